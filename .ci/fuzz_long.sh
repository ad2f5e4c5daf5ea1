#!/usr/bin/env bash
# Runs every fuzz target under libFuzzer with AddressSanitizer and LeakSanitizer, on stable, two targets at a time:
#     bash .ci/fuzz_long.sh [SECONDS for each target, 300 by default]
# Starts from the committed corpora; what it finds goes to target/fuzz_long/corpus. Fails on any crash, leak or hang.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

seconds=${1:-300}
# The fuzzer's runtime is C++.
debian g++ g++
cargo_tool cargo-fuzz 0.13.2
# Sanitizers and coverage counters are compiler flags that stable has, and does not promise.
export RUSTC_BOOTSTRAP=1

out=target/fuzz_long
mkdir -p "$out/logs"
targets=()
for file in fuzz/fuzz_targets/*.rs; do
  targets+=("$(basename "$file" .rs)")
done
cargo fuzz build --target-dir "$out/build"

one() {
  local name=$1 log=$2/logs/$1.log
  mkdir -p "$2/corpus/$name" "$2/artifacts/$name"
  if ! cargo fuzz run --target-dir "$2/build" "$name" "$2/corpus/$name" "fuzz/corpus/$name" -- -max_total_time="$3" -max_len=1024 -len_control=0 \
    -timeout=20 -print_final_stats=1 -artifact_prefix="$2/artifacts/$name/" >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "fuzz_long: $name failed; the input is in $2/artifacts/$name" >&2
    return 1
  fi
}
export -f one
printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'one "$@"' one '{}' "$out" "$seconds"

printf '%-14s %12s %8s %8s %8s %8s\n' target executions a_second cov ft corpus
for name in "${targets[@]}"; do
  log=$out/logs/$name.log
  executions=$(awk '/^stat::number_of_executed_units/ {print $2}' "$log")
  rate=$(awk '/^stat::average_exec_per_sec/ {print $2}' "$log")
  last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -1)
  figure() { sed -nE "s/.* $1: ([0-9]+).*/\1/p" <<<"$last"; }
  printf '%-14s %12s %8s %8s %8s %8s\n' "$name" "$executions" "$rate" "$(figure cov)" "$(figure ft)" "$(figure corp)"
  [ "${executions:-0}" -gt 0 ] || { echo "fuzz_long: $name executed nothing" >&2; exit 1; }
  pass
done
finish fuzz_long 6
