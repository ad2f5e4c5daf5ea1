#!/usr/bin/env bash
# The tests in other ways than `cargo test`: on each build of the core, at full size, and by what they reach.
#     bash .ci/tests.sh [hostile|scale|coverage|lines]...      hostile, scale and coverage when none is named
# hostile    hostile users (wakers, keys, values, operations, clocks, runtimes) on four builds of the core: with `std`, on
#            critical sections, on spin locks, on portable atomics. Three minutes.
# scale      a million waiters, participants and keys, a hundred million flights, random calls from many threads. A minute, and
#            for each of the random tests the ONEFLIGHT_STRESS_SECONDS that they are given. ONEFLIGHT_STRESS_SEED runs the rounds of an earlier
#            run again, ONEFLIGHT_SCALE_MILLIONS makes fewer flights.
# coverage   lines of the core that its own tests, those of tests/tests, the hostile users and the oracles reach: each file
#            and the whole, which must not be below 95 %. Left out: the cases on the other executors, which reach no line that
#            `by_hand` does not; the stress tests, which take long; and the examples in the documentation, which need a
#            nightly compiler. Six minutes.
# lines      coverage, and each line that nothing reaches
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh
mkdir -p target

hostile() (
  # build FEATURES CASES: runs every test there is on that build, with at least so many cases of the tables.
  build() {
    local log=target/hostile.log ran
    # Most of the time is the sweeps', not the compiler's.
    export CARGO_PROFILE_TEST_OPT_LEVEL=1
    # The core alone, so that no other crate switches features on. One test at a time: a fault that holds a critical section
    # open would show in every other test too.
    if ! cargo test -p oneflight-core --no-default-features --features "$1" --test hostile --target-dir target/hostile \
      -- --show-output --test-threads=1 >"$log" 2>&1; then
      cat "$log" >&2
      exit 1
    fi
    ran=$(awk '/^cases survived: / {sum += $3} /^test result: / {sum += $4} END {print sum + 0}' "$log")
    echo "hostile: ${1:-spin}: $ran cases"
    [ "$ran" -ge "$2" ] || { echo "hostile: $ran cases ran on ${1:-spin}, $2 expected" >&2; exit 1; }
    checks=$((checks + ran))
  }
  build std 29000
  # Without std, what needs a second panic to be ended is left out: it aborts the process there, as documented.
  for features in critical-section "" "critical-section portable-atomic"; do
    build "$features" 28500
  done
  finish "tests: hostile" 114500
)

scale() (
  log=target/scale.log
  # One at a time: they measure memory.
  export ONEFLIGHT_STRESS_SECONDS=${ONEFLIGHT_STRESS_SECONDS:-20}
  export ONEFLIGHT_STRESS_SEED=${ONEFLIGHT_STRESS_SEED:-$(date +%s)}
  at_full_size() {
    cargo test --release -p oneflight-conformance "$@" --nocapture --test-threads=1 >>"$log" 2>&1
  }
  : >"$log"
  if ! at_full_size --test scale -- --ignored || ! at_full_size --test stress --; then
    cat "$log" >&2
    exit 1
  fi
  grep -oE '(scale|stress): .*' "$log"
  checks=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$log" | awk '{sum += $1} END {print sum + 0}')
  finish "tests: scale" 12
)

# coverage [lines]
coverage() (
  # The reader of the profile must be as new as the compiler's LLVM.
  llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  debian "llvm-cov-$llvm" "llvm-$llvm"
  LLVM_COV=$(command -v "llvm-cov-$llvm")
  LLVM_PROFDATA=$(command -v "llvm-profdata-$llvm")
  export LLVM_COV LLVM_PROFDATA
  cargo_tool cargo-llvm-cov 0.9.1

  export CARGO_TARGET_DIR=$PWD/target/coverage CARGO_PROFILE_DEV_DEBUG=0
  report=$CARGO_TARGET_DIR/report.json
  cargo llvm-cov clean --workspace
  cargo llvm-cov test --no-report --quiet -p oneflight-core --features tracing,metrics --lib --tests
  tests=()
  for file in tests/tests/*.rs; do
    case $file in
      *on_*.rs | *scale.rs | *threads.rs) ;;
      *) tests+=(--test "$(basename "$file" .rs)") ;;
    esac
  done
  cargo llvm-cov test --no-report --quiet -p oneflight-conformance "${tests[@]}"
  cargo llvm-cov test --no-report --quiet -p oneflight-oracle --test replay
  cargo llvm-cov report --json --output-path "$report" --ignore-filename-regex '(^|/)(tests|adapters|fuzz)/'

  python3 - "$report" 95 "${1:-}" <<'PYTHON'
import json, os, sys
report, floor, more = sys.argv[1:]
data = json.load(open(report))["data"][0]
root = os.getcwd() + "/core/src/"
rows = []
for file in data["files"]:
    name = file["filename"]
    if not name.startswith(root):
        continue
    lines = file["summary"]["lines"]
    rows.append((name[len(root):], lines["count"], lines["covered"], file["segments"]))
print(f"{'file':<24}{'lines':>7}{'reached':>9}{'percent':>9}")
for name, count, covered, _ in sorted(rows):
    print(f"{name:<24}{count:>7}{covered:>9}{100 * covered / count:>9.1f}")
count, covered = sum(row[1] for row in rows), sum(row[2] for row in rows)
print(f"{'all':<24}{count:>7}{covered:>9}{100 * covered / count:>9.2f}")
if more == "lines":
    for name, *_, segments in sorted(rows):
        source = open(root + name).read().split("\n")
        bare = set()
        for here, following in zip(segments, segments[1:]):
            if here[3] and here[2] == 0:
                bare.update(range(here[0], following[0] + (following[1] > 1)))
        for line in sorted(bare):
            print(f"{name}:{line}: {source[line - 1].strip()}")
if len(rows) < 30:
    sys.exit(f"coverage: only {len(rows)} files found")
if 100 * covered < float(floor) * count:
    sys.exit(f"coverage: below {floor} percent")
PYTHON
  pass
  finish "tests: coverage" 1
)

[ $# -gt 0 ] || set -- hostile scale coverage
for part in "$@"; do
  case $part in
    hostile | scale | coverage) "$part" ;;
    lines) coverage lines ;;
    *) echo "tests: no part $part" >&2; exit 2 ;;
  esac
done
