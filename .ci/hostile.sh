#!/usr/bin/env bash
# Code of the user's that attacks (core/tests/hostile), on each build of the core: with std, on critical sections, on spin
# locks, on portable atomics.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

checks=0
# build FEATURES CASES: runs every test there is on that build, with at least so many cases of the tables.
build() {
  local log=target/hostile.log ran
  mkdir -p target
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

build std 15426
# Without std, what needs a second panic to be ended is left out: it aborts the process there, as documented.
for features in critical-section "" "critical-section portable-atomic"; do
  build "$features" 15045
done

finish hostile 60561
