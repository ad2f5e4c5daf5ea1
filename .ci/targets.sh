#!/usr/bin/env bash
# Other targets than the machine's own. Microcontrollers: built, and the program in tests/no_std run on an emulated one,
# with compare-and-swap (thumbv7m) and without (thumbv6m). RISC-V: built. wasm: built, and what blocks is not there.
# Their libraries are built from source, by a compiler out of Debian's archive that has its own.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh
# shellcheck source=.ci/debian_rust.sh
source .ci/debian_rust.sh

debian qemu-system-arm qemu-system-arm
debian_rust
linker=$(find "$(rustc --print sysroot)" -name rust-lld -print -quit)
[ -n "$linker" ] || { echo "targets: the toolchain has no rust-lld" >&2; exit 1; }
export RUSTC=$debian_rust/bin/rustc RUSTDOC=$debian_rust/bin/rustdoc RUSTC_BOOTSTRAP=1
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$PWD/target/targets
for target in THUMBV7M THUMBV6M; do
  export "CARGO_TARGET_${target}_NONE_EABI_LINKER=$linker"
  export "CARGO_TARGET_${target}_NONE_EABI_RUSTFLAGS=-Clinker-flavor=ld.lld -Clink-arg=-Tlink.x -Clink-arg=-L$PWD/tests/no_std"
done

# emulate TARGET FEATURES: the program, on a Cortex-M3, which also runs what is built for the smaller ones.
said=target/targets/said
emulate() {
  cargo build --quiet --locked --manifest-path tests/no_std/Cargo.toml --target "$1" --features "$2" -Zbuild-std=core,alloc
  timeout 120 qemu-system-arm -M mps2-an385 -nographic -monitor none -serial none \
    -semihosting-config enable=on,target=native -kernel "target/targets/$1/debug/oneflight-no-std" </dev/null | tee "$said"
}
emulated() {
  printf '%s, %s: ' "$1" "${2:-spin locks}"
  emulate "$1" "$2"
  local held
  held=$(sed -n 's/^no_std: \([0-9]*\) checks held$/\1/p' "$said")
  [ "${held:-0}" -ge 130 ] || { echo "targets: ${held:-0} checks held, 130 expected" >&2; exit 1; }
  pass
}
emulated thumbv7m-none-eabi ""
emulated thumbv7m-none-eabi critical-section
emulated thumbv6m-none-eabi emulated
emulated thumbv6m-none-eabi "emulated critical-section"
# The check must be able to fail.
if emulate thumbv7m-none-eabi planted >/dev/null; then
  echo "targets: the program leaks a block, and did not say so" >&2
  exit 1
fi
pass

# builds TARGET LIBRARIES PACKAGE FEATURES
builds() {
  cargo build --quiet -p "$3" --lib --no-default-features --features "$4" --target "$1" -Zbuild-std="$2"
  pass
}
for features in "" critical-section; do
  builds riscv32imac-unknown-none-elf core,alloc oneflight "$features"
done
wasm=wasm32-unknown-unknown
for features in "" std; do
  builds $wasm std,panic_abort oneflight "$features"
done

# What is not there on wasm, though `std` is. `present` is compiled in each, so that nothing else can be why it fails.
user=target/targets/wasm
mkdir -p $user
cat >$user/Cargo.toml <<MANIFEST
[package]
name = "wasm-user"
edition = "2024"
[workspace]
[lib]
path = "lib.rs"
[dependencies]
oneflight = { path = "$PWD/adapters/facade" }
MANIFEST
cp Cargo.lock $user/Cargo.lock
cat >$user/present.rs <<'SOURCE'
use oneflight::{Builder, Group, SettleCell, Waiter};
pub async fn waits(cell: &SettleCell<u8>, waiter: Waiter<u8, u8>) -> u8 {
    *cell.wait().await + waiter.get().map_or(0, |it| it.map_or(0, |it| *it)) + waiter.await.map_or(0, |it| *it)
}
pub fn limited() -> Builder<u8, u8> {
    Group::builder().max_waiters(1)
}
SOURCE
# uses LINE...: present.rs and these.
uses() {
  cat $user/present.rs - >$user/lib.rs <<<"$*"
  cargo build --quiet --manifest-path $user/Cargo.toml --target $wasm -Zbuild-std=std,panic_abort 2>$user/log
}
uses "" || { cat $user/log >&2; exit 1; }
pass
# absent NAME ITEM: no code but E0599 or E0432 or E0433, and it is about NAME.
absent() {
  if uses "$2"; then
    echo "targets: $1 is there on wasm" >&2
    exit 1
  fi
  local errors
  errors=$(grep -c '^error\[' $user/log || true)
  [ "$errors" = 1 ] && grep -qE "^error\[E0(599|432|433)\].*$1" $user/log || { cat $user/log >&2; exit 1; }
  pass
}
absent wait_blocking 'pub fn cell(cell: &SettleCell<u8>) { cell.wait_blocking(); }'
absent wait_blocking 'pub fn waiter(waiter: Waiter<u8, u8>) { let _ = waiter.wait_blocking(); }'
absent wait_deadline 'pub fn waiter(mut waiter: Waiter<u8, u8>, at: std::time::Instant) { let _ = waiter.wait_deadline(at); }'
absent Monotonic 'pub use oneflight::Monotonic;'

finish targets 14
