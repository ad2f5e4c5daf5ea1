#!/usr/bin/env bash
# Random schedules against the oracles of fuzz/oracle: what each step promises is compared with what it did.
#     bash .ci/fuzz.sh                     without a fuzzer, on stable: the inputs of fuzz/corpus, and random ones of fixed
#                                          seeds. A minute from cold.
#     bash .ci/fuzz.sh --long [SECONDS]    every target under libFuzzer with AddressSanitizer and LeakSanitizer, two at a
#                                          time, SECONDS each (300 when not said). Starts from fuzz/corpus and from what
#                                          earlier runs found, which stays in target/fuzz. 20 minutes.
# The names of new finds say nothing: what is worth keeping goes into fuzz/corpus by hand, with a name and a reason.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

targets=()
for file in fuzz/fuzz_targets/*.rs; do
  targets+=("$(basename "$file" .rs)")
done

replay() {
  local log=target/fuzz.log name inputs
  cargo fmt --manifest-path fuzz/Cargo.toml --all --check
  pass
  mkdir -p target
  cargo test -p oneflight-oracle --test replay -- --nocapture 2>&1 | tee "$log"
  for name in "${targets[@]}"; do
    for what in "random inputs" "inputs of its corpus"; do
      grep -qE "^(test .* \.\.\. )?$name: [1-9][0-9]* $what" "$log" || { echo "fuzz: none of the $what ran in $name" >&2; exit 1; }
      pass
    done
  done
  inputs=$(grep -oE '[0-9]+ (random inputs|inputs of its corpus)' "$log" | awk '{sum += $1} END {print sum}')
  finish "fuzz: ${#targets[@]} targets, $inputs inputs" 15
}

# one TARGET FOLDER SECONDS
one() {
  local name=$1 log=$2/logs/$1.log
  mkdir -p "$2/found/$name" "$2/artifacts/$name"
  if ! cargo fuzz run --target-dir "$2/build" "$name" "$2/found/$name" "$2/seeds/$name" -- -max_total_time="$3" -max_len=1024 -len_control=0 \
    -timeout=20 -print_final_stats=1 -artifact_prefix="$2/artifacts/$name/" >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "fuzz: $name failed; the input is in $2/artifacts/$name" >&2
    return 1
  fi
}

long() {
  local out=target/fuzz name input bytes log executions rate last
  # The fuzzer's runtime is C++.
  debian g++ g++
  cargo_tool cargo-fuzz 0.13.2
  # Sanitizers and coverage counters are compiler flags that stable has, and does not promise.
  export RUSTC_BOOTSTRAP=1
  mkdir -p "$out/logs"
  # A file for each input of the corpus, which is what libFuzzer reads.
  rm -rf "$out/seeds"
  for name in "${targets[@]}"; do
    mkdir -p "$out/seeds/$name"
    while read -r input bytes; do
      # shellcheck disable=SC2001 # of every two digits one byte
      printf '%b' "$(sed 's/../\\x&/g' <<<"$bytes")" >"$out/seeds/$name/$input"
    done < <(grep -E '^[a-z]' "fuzz/corpus/$name.txt")
  done
  cargo fuzz build --target-dir "$out/build"
  export -f one
  printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'one "$@"' one '{}' "$out" "$1"

  printf '%-14s %12s %8s %8s %8s %8s\n' target executions a_second cov ft corpus
  for name in "${targets[@]}"; do
    log=$out/logs/$name.log
    executions=$(awk '/^stat::number_of_executed_units/ {print $2}' "$log")
    rate=$(awk '/^stat::average_exec_per_sec/ {print $2}' "$log")
    last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -1)
    figure() { sed -nE "s/.* $1: ([0-9]+).*/\1/p" <<<"$last"; }
    printf '%-14s %12s %8s %8s %8s %8s\n' "$name" "$executions" "$rate" "$(figure cov)" "$(figure ft)" "$(figure corp)"
    [ "${executions:-0}" -gt 0 ] || { echo "fuzz: $name executed nothing" >&2; exit 1; }
    pass
  done
  finish "fuzz: long" 7
}

case ${1:-} in
  "") replay ;;
  --long) long "${2:-300}" ;;
  *) echo "fuzz: no argument but --long" >&2; exit 2 ;;
esac
