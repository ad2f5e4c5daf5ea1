#!/usr/bin/env bash
# The core without `std`: built against a sysroot that holds `core` and `alloc` and nothing else, so that a use of `std`,
# anywhere in the graph, does not compile; and run, by the program in tests/no_std.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

host=$(rustc -vV | sed -n 's/^host: //p')
from=$(rustc --print sysroot)/lib/rustlib/$host/lib
sysroot=$PWD/target/no_std/sysroot
rm -rf "$sysroot"
mkdir -p "$sysroot/lib/rustlib/$host/lib"
for crate in core alloc compiler_builtins rustc_std_workspace_core rustc_std_workspace_alloc; do
  # Newer toolchains keep the metadata beside the library, older ones inside it.
  find "$from" -name "lib$crate-*.r*" -exec cp {} "$sysroot/lib/rustlib/$host/lib/" ";"
done
export RUSTFLAGS="--sysroot $sysroot"
target=(--target "$host" --target-dir "$PWD/target/no_std")

build() {
  cargo build --quiet -p "$1" --lib --no-default-features --features "$2" "${target[@]}"
}
for features in "" critical-section portable-atomic "critical-section portable-atomic"; do
  build oneflight-core "$features"
  pass
  build oneflight "$features"
  pass
done
# The check must be able to fail.
if build oneflight-core std 2>/dev/null; then
  echo "no_std: the sysroot holds std, so the check proves nothing" >&2
  exit 1
fi
pass

# run FEATURES: the program. Without optimisation: with debug assertions, and quicker to build.
said=target/no_std/said
run() {
  cargo build --quiet --locked --manifest-path tests/no_std/Cargo.toml --features "$1" "${target[@]}"
  timeout 60 "target/no_std/$host/debug/oneflight-no-std" | tee "$said"
}
for features in "" critical-section portable-atomic "critical-section portable-atomic"; do
  printf '%s: ' "${features:-spin locks}"
  run "$features"
  held=$(sed -n 's/^no_std: \([0-9]*\) checks held$/\1/p' "$said")
  [ "${held:-0}" -ge 130 ] || { echo "no_std: ${held:-0} checks held, 130 expected" >&2; exit 1; }
  pass
done
# And so must this one.
if run planted >/dev/null; then
  echo "no_std: the program leaks a block, and did not say so" >&2
  exit 1
fi
grep -q 'FAILED: no block is left' "$said" || { echo "no_std: the planted failure is not the one that was found" >&2; exit 1; }
pass

finish no_std 14
