#!/usr/bin/env bash
# Model checks of the core (core/tests/loom). Under nextest, because a dead-lock that loom finds aborts the process.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

nextest

log=target/loom.log
mkdir -p target
RUSTFLAGS="--cfg loom" cargo nextest run -p oneflight-core --features loom --test loom --release \
  --target-dir target/loom --profile loom 2>&1 | tee "$log"

# Each model says how many executions it took to explore it.
expected=59
executions=0
while read -r count; do
  executions=$((executions + count))
  pass
done < <(sed -n 's/^ *explored .*: \([0-9]*\) executions$/\1/p' "$log")
finish "loom: $executions executions" "$expected"
