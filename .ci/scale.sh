#!/usr/bin/env bash
# Scale and endurance: a million waiters, participants and keys, a hundred million flights, random calls from many
# threads. Takes a minute, and for each of the 7 random tests the seconds that they are given:
#     ONEFLIGHT_STRESS_SECONDS=600 bash .ci/scale.sh
# ONEFLIGHT_STRESS_SEED runs the rounds of an earlier run again, ONEFLIGHT_SCALE_MILLIONS makes fewer flights.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

export ONEFLIGHT_STRESS_SECONDS=${ONEFLIGHT_STRESS_SECONDS:-20}
export ONEFLIGHT_STRESS_SEED=${ONEFLIGHT_STRESS_SEED:-$(date +%s)}
log=target/scale.log
mkdir -p target
# One at a time: they measure memory.
run() {
  cargo test --release -p oneflight-conformance "$@" --nocapture --test-threads=1 >>"$log" 2>&1
}
: >"$log"
if ! run --test scale -- --ignored || ! run --test stress --; then
  cat "$log" >&2
  exit 1
fi
grep -oE '(scale|stress): .*' "$log"
checks=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$log" | awk '{sum += $1} END {print sum + 0}')
finish scale 11
