#!/usr/bin/env bash
# Scale and endurance: a million waiters, participants and keys, a hundred million flights, random calls from many
# threads. Takes a minute, and the seconds that the random part is given:
#     ONEFLIGHT_STRESS_SECONDS=3600 bash .ci/scale.sh
# ONEFLIGHT_STRESS_SEED runs the rounds of an earlier run again, ONEFLIGHT_SCALE_MILLIONS makes fewer flights.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

log=target/scale.log
mkdir -p target
# One at a time: they measure memory.
if ! cargo test --release -p oneflight-conformance --test scale -- --ignored --nocapture --test-threads=1 >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
grep -o 'scale: .*' "$log"
checks=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$log")
finish scale 5
