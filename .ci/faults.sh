#!/usr/bin/env bash
# Tests that bite: each patch in .ci/faults plants one fault into a copy of the tree, and the one check that it names must
# then fail. A fault that nothing sees is a hole in the tests.
#     bash .ci/faults.sh              all of them
#     bash .ci/faults.sh gate slab    those that have `gate` or `slab` in their file name or their check; without the run
#                                     of each check before
#     bash .ci/faults.sh --table      no builds: writes the table into core/TESTING.md
# A patch begins with two lines, `Fault: what is weakened` and `Check: KIND NAME`, where KIND is
#     unit             a unit test of the core
#     loom             a model of core/tests/loom
#     test FILE        a test of tests/tests/FILE.rs
#     core FILE        a test of core/tests/FILE.rs, with every feature for looking in
#     oracle           a target of fuzz/oracle, on random bytes of fixed seeds: the cheapest
#     hostile FILE     a test of tests/hostile/tests/FILE, with `std`
# With FAULTS_TREE=.x, all that is written has that ending: several may run at once, each for its own part.
# The check must pass without the fault, and a test that hangs has caught it.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

# A check that is not over by then hangs; the watchdog of the tests rings after 30 s. A model may be slow, and never hangs:
# loom sees a dead-lock itself.
limit=${FAULTS_LIMIT:-300}
readonly home=$PWD only=${FAULTS_TREE:-} tree=$PWD/target/faults/tree${FAULTS_TREE:-} page=core/TESTING.md
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_INCREMENTAL=true

header() {
  sed -n "1,2s/^$2: //p" "$1"
}

# The table as it stands in the page, and as it must.
table_there() {
  sed -n '/^## Planted faults/,/^##* [^P]/p' "$page" | grep '^|' || true
}
table_due() {
  printf '| fault | caught by |\n|---|---|\n'
  local patch kind
  for patch in .ci/faults/*.patch; do
    kind=$(header "$patch" Check)
    printf '| %s | %s `%s` |\n' "$(header "$patch" Fault)" "${kind% *}" "${kind##* }"
  done
}

if [ "${1:-}" = --table ]; then
  table_due >target/faults.table
  python3 - "$page" target/faults.table <<'PYTHON'
import sys
page, table = sys.argv[1:]
lines, out, inside = open(page).read().split("\n"), [], False
for line in lines:
    if line.startswith("#"):
        inside = line == "## Planted faults"
    if inside and line.startswith("|"):
        if table:
            out += open(table).read().rstrip("\n").split("\n")
            table = None
    else:
        out.append(line)
open(page, "w").write("\n".join(out))
PYTHON
  exit
fi
[ "$(table_there)" = "$(table_due)" ] ||
  { echo "faults: the table in $page is not that of .ci/faults: run .ci/faults.sh --table" >&2; exit 1; }

mapfile -t patches < <(for patch in .ci/faults/*.patch; do
  about="$patch $(header "$patch" Check)"
  for part in "${@:-}"; do
    if [[ $about = *"$part"* ]]; then echo "$patch"; break; fi
  done
done)
[ "${#patches[@]}" -gt 0 ] || { echo "faults: no patch is about $*" >&2; exit 1; }
debian patch patch

copy_tree "$tree"
cd "$tree"

# cargo_test CHECK ARGUMENTS...: the test binary of a check.
cargo_test() {
  local kind=$1
  shift
  # shellcheck disable=SC2086 -- a kind and a file
  set -- $kind -- "$@"
  case $1 in
    unit) shift 2 && cargo test --target-dir "$home/target/faults/plain$only" -p oneflight-core --lib "$@" ;;
    # What is built once is optimised, what each fault builds again is not.
    loom) shift 2 && RUSTFLAGS="--cfg loom" cargo test --target-dir "$home/target/faults/loom$only" \
      --config profile.release.opt-level=0 --config 'profile.release.package."*".opt-level=3' \
      -p oneflight-core --features loom --test loom --release "$@" ;;
    test) local file=$2 && shift 3 && cargo test --target-dir "$home/target/faults/plain$only" \
      -p oneflight-conformance --test "$file" "$@" ;;
    core) local file=$2 && shift 3 && cargo test --target-dir "$home/target/faults/core$only" \
      -p oneflight-core --features tracing,metrics --test "$file" "$@" ;;
    oracle) shift 2 && cargo test --target-dir "$home/target/faults/plain$only" \
      -p oneflight-oracle --test replay "$@" ;;
    hostile) local file=$2 && shift 3 && cargo test --target-dir "$home/target/faults/hostile$only" \
      -p oneflight-hostile --no-default-features --features std --test "$file" "$@" ;;
    *) echo "no such kind of check: $1" >&2 && return 2 ;;
  esac
}
export -f cargo_test
export home only

# run_check LIMIT KIND NAME...: the outcome in a word or two; everything else is in the log.
readonly log=$tree.log
run_check() {
  local limit=$1 kind=$2 status=0
  shift 2
  cargo_test "$kind" --quiet --no-run >"$log" 2>&1 || { echo "does not build"; return; }
  [ "$kind" != oracle ] || set -- "${@/%/::agrees_with_its_oracle_on_random_bytes}"
  timeout --kill-after=5 "$limit" bash -c 'cargo_test "$@"' _ "$kind" -- --exact "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    if grep -q "^test result: ok. $# passed" "$log"; then echo passes; else echo "is not there"; fi
  elif [ "$kind $status" = "loom 124" ]; then
    echo "takes too long"
  elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ] || grep -q 'hangs: no end after' "$log"; then
    echo "caught: a hang"
  elif grep -qi 'deadlock' "$log"; then
    echo "caught: a dead-lock"
  else
    echo "caught: a failure"
  fi
}

# First without any fault: each check once, those of one binary together.
failed=0
mapfile -t wanted < <(for patch in "${patches[@]}"; do header "$home/$patch" Check; done | sort -u)
[ $# -eq 0 ] || wanted=()
mapfile -t kinds < <(printf '%s\n' "${wanted[@]}" | sed '/ /!d; s/ [^ ]*$//' | sort -u)
for kind in "${kinds[@]}"; do
  mapfile -t names < <(printf '%s\n' "${wanted[@]}" | awk -v kind="$kind" \
    '{name = $NF; sub(/ [^ ]*$/, ""); if ($0 == kind) print name}')
  outcome=$(run_check $((10 * limit)) "$kind" "${names[@]}")
  printf '%-16s %s without a fault: %s\n' "$kind" "${#names[@]}" "$outcome"
  if [ "$outcome" != passes ]; then
    cat "$log" >&2
    failed=1
  fi
done

for patch in "${patches[@]}"; do
  check=$(header "$home/$patch" Check)
  if ! patch --quiet --strip=1 --fuzz=0 --forward --no-backup-if-mismatch <"$home/$patch" >"$log" 2>&1; then
    outcome="does not apply"
  else
    # An oracle takes a second or two, so one that hangs is told sooner.
    case $check in oracle*) most=$((limit / 5)) ;; *) most=$limit ;; esac
    outcome=$(run_check "$most" "${check% *}" "${check##* }")
  fi
  sed -n 's,^+++ b/,,p' "$home/$patch" | while IFS= read -r file; do
    cat "$home/$file" >"$file"
    rm -f "$file.rej" "$file.orig"
  done
  printf '%-52s %-20s %s\n' "$(basename "$patch" .patch)" "$outcome" "$check"
  case $outcome in
    caught:*) pass ;;
    *) failed=1 ;;
  esac
  case $outcome in "does not"*) cat "$log" >&2 ;; esac
done

cd "$home"
[ "$failed" -eq 0 ] || { echo "faults: $checks of ${#patches[@]} caught, see above for the rest" >&2; exit 1; }
finish faults "$([ $# -gt 0 ] && echo 1 || echo 115)"
