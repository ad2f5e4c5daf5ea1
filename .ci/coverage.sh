#!/usr/bin/env bash
# Coverage of the core by line, over its own tests, those of tests/tests, and the oracles on random bytes. Prints each file and the whole, and fails when the whole is below the floor. Left out: the cases on the other
# executors, which reach no line that `by_hand` does not; the stress tests, which take long; and the examples in the
# documentation, which need a nightly compiler.
#     bash .ci/coverage.sh            the table
#     bash .ci/coverage.sh --lines    and the lines that nothing reaches
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

readonly floor=95
# The reader of the profile must be as new as the compiler's LLVM.
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
if ! command -v "llvm-cov-$llvm" >/dev/null; then
  debian "llvm-cov-$llvm" "llvm-$llvm"
fi
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
    *conformance.rs | *scale.rs | *threads.rs) ;;
    *) tests+=(--test "$(basename "$file" .rs)") ;;
  esac
done
cargo llvm-cov test --no-report --quiet -p oneflight-conformance "${tests[@]}"
cargo llvm-cov test --no-report --quiet -p oneflight-oracle --test replay
cargo llvm-cov report --json --output-path "$report" --ignore-filename-regex '(^|/)(tests|adapters|fuzz)/'

python3 - "$report" "$floor" "${1:-}" <<'PYTHON'
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
if more == "--lines":
    for name, *_, segments in sorted(rows):
        source = open(root + name).read().split("\n")
        bare, reach = set(), None
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
finish coverage 1
