#!/usr/bin/env bash
# The fuzz targets without a fuzzer, on stable: each replays its committed corpus and runs random inputs of fixed seeds. Says
# how many. What a fuzzer finds in five minutes more is .ci/fuzz_long.sh's.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

cargo fmt --manifest-path fuzz/Cargo.toml --all --check
pass

log=target/fuzz.log
mkdir -p target
cargo test -p oneflight-oracle --test replay -- --nocapture 2>&1 | tee "$log"
targets=0
for file in fuzz/fuzz_targets/*.rs; do
  name=$(basename "$file" .rs)
  targets=$((targets + 1))
  grep -qE "^(test .* \.\.\. )?$name: [1-9][0-9]* random inputs" "$log" || { echo "fuzz: no random input ran in $name" >&2; exit 1; }
  pass
  grep -qE "^(test .* \.\.\. )?$name: [1-9][0-9]* inputs of its corpus" "$log" || { echo "fuzz: no corpus ran in $name" >&2; exit 1; }
  pass
done
inputs=$(grep -oE '[0-9]+ (random inputs|inputs of its corpus)' "$log" | awk '{sum += $1} END {print sum}')
echo "fuzz: $targets targets, $inputs inputs"
finish fuzz 13
