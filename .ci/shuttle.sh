#!/usr/bin/env bash
# Random schedules of five to seven threads of the core (core/tests/shuttle). SHUTTLE_SCHEDULES is how many each test
# runs: more of them for a longer look. SHUTTLE_RANDOM_SEED runs others. Under nextest: a panic in a drop may abort.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

nextest

export SHUTTLE_SCHEDULES=${SHUTTLE_SCHEDULES:-20000}
log=target/shuttle.log
mkdir -p target
RUSTFLAGS="--cfg shuttle" cargo nextest run -p oneflight-core --features shuttle --test shuttle --release \
  --target-dir target/shuttle --profile shuttle 2>&1 | tee "$log"

expected=30
schedules=0
while read -r count; do
  [ "$count" -ge "$SHUTTLE_SCHEDULES" ] || { echo "shuttle: a test ran $count schedules only" >&2; exit 1; }
  schedules=$((schedules + count))
  pass
done < <(sed -n 's/^ *checked .*: \([0-9]*\) schedules$/\1/p' "$log")
finish "shuttle: $schedules schedules" "$expected"
