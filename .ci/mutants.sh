#!/usr/bin/env bash
# cargo-mutants on the core: each function with another result, each comparison turned round; some test must notice.
#     bash .ci/mutants.sh                 all of the core: an hour and more
#     bash .ci/mutants.sh state slab      core/src/**/state.rs and core/src/**/slab.rs
#     bash .ci/mutants.sh --go-on         all, but those finished by an earlier run, which was cut off
# File by file, and each in two rounds: first the oracles, which are built fastest and notice most, then, for what these
# have missed, nearly all tests there are. What is left out, and why, stands in .cargo/mutants.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh
cargo_tool cargo-mutants 27.1.0

readonly home=$PWD tree=$PWD/target/mutants/tree out=$PWD/target/mutants/results
readonly oracles=(--package oneflight-oracle --test replay)
readonly wide=(--package oneflight-core --package oneflight-conformance --lib --test by_hand --test superseded
  --test colliding_keys --test memory --test drops --test peers_bugs --test refusals --test ended_while_polled
  --test retained_memory --test bad_input --test shutdown --test hostile)

go_on=
if [ "${1:-}" = --go-on ]; then
  go_on=1
  shift
fi
[ $# -gt 0 ] || mapfile -t all < <(find core/src -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort -u)
names=("$@" "${all[@]}")

copy_tree "$tree"
mkdir -p "$out"
# Unstable is only that a test binary stops at its first failure.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$home/target/mutants/build CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1
export ORACLE_INPUTS=${ORACLE_INPUTS:-100} RUST_BACKTRACE=0
readonly stop=(-Z unstable-options --fail-fast)

# unchanged TESTS...: the tests pass as long as nothing is changed. cargo-mutants would ask it of the core's own tests alone.
unchanged() {
  (cd "$tree" && cargo test --quiet "$@" >"$out/unchanged.log" 2>&1) || { cat "$out/unchanged.log" >&2; exit 1; }
}
# round NAME TIMEOUT PACKAGES TESTS...: its status is 2 when some are missed and 3 when some hang; both are read from what
# it writes.
round() {
  local name=$1 timeout=$2 packages=$3
  shift 3
  (cd "$tree" && cargo mutants --in-place --no-shuffle --baseline skip --timeout "$timeout" --colors never \
    --output "$out/$name" --test-package "$packages" --file "core/src/**/$name.rs" "$@" -- -- "${stop[@]}") || [ $? -le 3 ]
}
# figure FILE NAME: how many lines.
figure() {
  if [ -e "$out/$2/mutants.out/$1.txt" ]; then wc -l <"$out/$2/mutants.out/$1.txt"; else echo 0; fi
}
# arguments TESTS...: as cargo-mutants hands them to `cargo test`, which has its packages already.
arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --package) shift ;;
      *) printf -- '--cargo-arg=%s\n' "$1" ;;
    esac
    shift
  done
}
mapfile -t oracle_arguments < <(arguments "${oracles[@]}")
mapfile -t wide_arguments < <(arguments "${wide[@]}")

unchanged "${oracles[@]}"
widely=
for name in "${names[@]}"; do
  if [ -n "$go_on" ] && [ -e "$out/$name/figures" ]; then continue; fi
  rm -rf "${out:?}/$name"
  mkdir "$out/$name"
  begun=$SECONDS
  round "$name" 15 oneflight-oracle "${oracle_arguments[@]}"
  caught=$(figure caught "$name") hang=$(figure timeout "$name") unviable=$(figure unviable "$name")
  missed=$(figure missed "$name")
  if [ "$missed" -gt 0 ]; then
    [ -n "$widely" ] || unchanged "${wide[@]}"
    widely=1
    round "$name" 60 oneflight-core,oneflight-conformance --iterate "${wide_arguments[@]}"
    caught=$((caught + $(figure caught "$name"))) hang=$((hang + $(figure timeout "$name")))
    missed=$(figure missed "$name")
    cp "$out/$name/mutants.out/missed.txt" "$out/$name/missed.txt"
  fi
  echo "$caught $hang $unviable $missed $((SECONDS - begun))" >"$out/$name/figures"
done

read -r caught hang unviable missed seconds < <(
  for name in "${names[@]}"; do cat "$out/$name/figures"; done |
    awk '{ for (i = 1; i <= 5; i++) sum[i] += $i } END { print sum[1], sum[2], sum[3], sum[4], sum[5] }'
)
for name in "${names[@]}"; do
  if [ -e "$out/$name/missed.txt" ]; then cat "$out/$name/missed.txt"; fi
done
echo "mutants: $((caught + hang + unviable + missed)) in $seconds s: $caught caught and $hang more as a hang;" \
  "$unviable do not build; $missed missed"
[ "$missed" -eq 0 ] || exit 1
checks=$((caught + hang))
finish mutants 1
