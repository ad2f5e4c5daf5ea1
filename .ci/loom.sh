#!/usr/bin/env bash
# Model checks of the core (core/tests/loom). Under nextest, because a dead-lock that loom finds aborts the process.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTUP_DIST_SERVER=file:///nonexistent

cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked --quiet

log=target/loom.log
mkdir -p target
RUSTFLAGS="--cfg loom" cargo nextest run -p oneflight-core --features loom --test loom --release \
  --target-dir target/loom --no-fail-fast 2>&1 | tee "$log"

expected=51
ran=$(sed -n 's/.* \([0-9]*\) tests\{0,1\} run: \([0-9]*\) passed.*/\2/p' "$log")
[ "${ran:-0}" -ge "$expected" ] || { echo "loom: ${ran:-0} models ran, $expected expected" >&2; exit 1; }
echo "loom: $ran models passed"
