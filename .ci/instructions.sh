#!/usr/bin/env bash
# Instructions of each piece of work against its cap, counted by valgrind: noise does not move them. The caps stand in
# tests/benches/own/benches/instructions.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

debian valgrind valgrind libc6-dbg
cargo_tool gungraun-runner 0.20.0

report=$(mktemp)
trap 'rm -f "$report"' EXIT
# The closing line is read below; lib.sh has switched colours off.
cargo bench --manifest-path tests/benches/own/Cargo.toml --bench instructions --locked 2>&1 | tee "$report"
within=$(sed -nE 's/^Gungraun result: Ok\. ([0-9]+) without regressions.*/\1/p' "$report")
for ((i = 0; i < ${within:-0}; i++)); do
  pass
done
finish instructions 7
