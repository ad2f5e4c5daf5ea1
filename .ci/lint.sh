#!/usr/bin/env bash
# Clippy and rustdoc with warnings denied, on every set of features that differs.
set -euo pipefail
cd "$(dirname "$0")/.."

checks=0
clippy() {
  cargo clippy --quiet "$@" -- -D warnings
  checks=$((checks + 1))
}

clippy --workspace --all-targets
clippy -p oneflight-core --all-targets --features tracing,metrics
for features in "" std critical-section portable-atomic "critical-section portable-atomic" \
  "std critical-section" "std portable-atomic" tracing metrics "tracing metrics portable-atomic"; do
  clippy -p oneflight-core --lib --no-default-features --features "$features"
done
for features in "" std tokio smol async-std "tokio smol" "tokio smol async-std" critical-section tracing metrics; do
  clippy -p oneflight --lib --no-default-features --features "$features"
done
RUSTFLAGS="--cfg loom" cargo clippy --quiet -p oneflight-core --features loom --test loom --target-dir target/loom -- -D warnings
RUSTFLAGS="--cfg shuttle" cargo clippy --quiet -p oneflight-core --features shuttle --test shuttle --target-dir target/shuttle -- -D warnings
checks=$((checks + 2))

RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace --document-private-items
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps -p oneflight --features tokio,smol,async-std
checks=$((checks + 2))

expected=26
[ "$checks" -eq "$expected" ] || { echo "lint: $checks checks ran, $expected expected" >&2; exit 1; }
echo "lint: $checks checks passed"
