#!/usr/bin/env bash
# Races, explored: the real code of the core under a scheduler that chooses which thread goes on.
#     bash .ci/models.sh [loom|shuttle]...      both when none is named; loom takes ten minutes from cold, shuttle two
# loom      every interleaving of two or three threads and every ordering that the memory model allows (core/tests/loom)
# shuttle   random and PCT schedules of five to seven threads (core/tests/shuttle). SHUTTLE_SCHEDULES is how many each test
#           runs, SHUTTLE_RANDOM_SEED chooses others.
# Under nextest, a process for each: a dead-lock that is found aborts the process, and so may a panic in a drop.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

nextest
export SHUTTLE_SCHEDULES=${SHUTTLE_SCHEDULES:-20000}

# models TOOL VERB NOUN FEWEST EACH: runs them all. Each prints `VERB NAME: COUNT NOUN`: at least FEWEST of them must, and
# each a COUNT of EACH or more.
models() {
  local tool=$1 verb=$2 noun=$3 fewest=$4 each=$5 log=target/$1.log sum=0 count
  mkdir -p target
  RUSTFLAGS="--cfg $tool" cargo nextest run -p oneflight-core --features "$tool" --test "$tool" --release \
    --target-dir "target/$tool" --profile "$tool" 2>&1 | tee "$log"
  checks=0
  while read -r count; do
    [ "$count" -ge "$each" ] || { echo "models: one of $tool ran $count $noun only" >&2; exit 1; }
    sum=$((sum + count))
    pass
  done < <(sed -n "s/^ *$verb .*: \([0-9]*\) $noun\$/\1/p" "$log")
  finish "models: $tool: $sum $noun" "$fewest"
}

[ $# -gt 0 ] || set -- loom shuttle
for part in "$@"; do
  case $part in
    loom) models loom explored executions 267 2 ;;
    shuttle) models shuttle checked schedules 36 "$SHUTTLE_SCHEDULES" ;;
    *) echo "models: no part $part" >&2; exit 2 ;;
  esac
done
