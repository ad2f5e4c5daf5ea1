#!/usr/bin/env bash
# Builds the core against a sysroot that holds `core` and `alloc` and nothing else: a use of `std`, anywhere in the
# graph, does not compile.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
from=$(rustc --print sysroot)/lib/rustlib/$host/lib
sysroot=$PWD/target/no_std/sysroot
rm -rf "$sysroot"
mkdir -p "$sysroot/lib/rustlib/$host/lib"
for crate in core alloc compiler_builtins rustc_std_workspace_core rustc_std_workspace_alloc; do
  # Newer toolchains keep the metadata beside the library, older ones inside it.
  find "$from" -name "lib$crate-*.r*" -exec cp {} "$sysroot/lib/rustlib/$host/lib/" ";"
done

checks=0
build() {
  RUSTFLAGS="--sysroot $sysroot" cargo build --quiet -p "$1" --lib --no-default-features --features "$2" \
    --target "$host" --target-dir target/no_std || return 1
  checks=$((checks + 1))
}
for features in "" critical-section portable-atomic "critical-section portable-atomic"; do
  build oneflight-core "$features"
  build oneflight "$features"
done

# The check must be able to fail.
if build oneflight-core std 2>/dev/null; then
  echo "no_std: the sysroot holds std, so the check proves nothing" >&2
  exit 1
fi
checks=$((checks + 1))

expected=9
[ "$checks" -eq "$expected" ] || { echo "no_std: $checks checks ran, $expected expected" >&2; exit 1; }
echo "no_std: $checks checks passed"
