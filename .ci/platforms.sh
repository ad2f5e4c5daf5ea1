#!/usr/bin/env bash
# Where the crates build and run: without `std`, on other targets, with the oldest Rust that is promised.
#     bash .ci/platforms.sh [no_std|targets|msrv|fresh]...     no_std, targets and msrv when none is named
# no_std    the core against a sysroot that holds `core` and `alloc` and nothing else, so that a use of `std`, anywhere in
#           the graph, does not compile; and tests/no_std, a program without `std`, is run. One minute.
# targets   the same program on an emulated microcontroller with compare-and-swap (thumbv7m) and without (thumbv6m); RISC-V
#           and wasm are built, and on wasm nothing that blocks is there. Six minutes.
# msrv      every set of features that differs, with the compiler that the README promises and the locked dependencies.
#           Three minutes.
# fresh     as msrv, with the dependencies that cargo would choose today. Needs the network.
# The compilers of targets and msrv come from Debian's archive and are unpacked below target/; nothing of them is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

host=$(rustc -vV | sed -n 's/^host: //p')
readonly host

# held FILE: the program in tests/no_std has written there that its checks held.
held() {
  local count
  count=$(sed -n 's/^no_std: \([0-9]*\) checks held$/\1/p' "$1")
  [ "${count:-0}" -ge 130 ] || { echo "platforms: ${count:-0} checks held, 130 expected" >&2; exit 1; }
  pass
}

no_std() (
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
    held "$said"
  done
  # And so must this one.
  if run planted >/dev/null; then
    echo "no_std: the program leaks a block, and did not say so" >&2
    exit 1
  fi
  grep -q 'FAILED: no block is left' "$said" || { echo "no_std: the planted failure is not the one that was found" >&2; exit 1; }
  pass
  finish "platforms: no_std" 14
)

targets() (
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
    held "$said"
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

  # builds TARGET LIBRARIES FEATURES
  builds() {
    cargo build --quiet -p oneflight --lib --no-default-features --features "$3" --target "$1" -Zbuild-std="$2"
    pass
  }
  for features in "" critical-section; do
    builds riscv32imac-unknown-none-elf core,alloc "$features"
  done
  wasm=wasm32-unknown-unknown
  for features in "" std; do
    builds $wasm std,panic_abort "$features"
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
use oneflight::{GroupBuilder, Group, SettleCell, Waiter};
pub async fn waits(cell: &SettleCell<u8>, waiter: Waiter<u8, u8>) -> u8 {
    *cell.wait().await + waiter.get().map_or(0, |it| it.map_or(0, |it| *it)) + waiter.await.map_or(0, |it| *it)
}
pub fn limited() -> GroupBuilder<u8, u8> {
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
    if [ "$errors" != 1 ] || ! grep -qE "^error\[E0(599|432|433)\].*$1" $user/log; then
      cat $user/log >&2
      exit 1
    fi
    pass
  }
  absent wait_blocking 'pub fn cell(cell: &SettleCell<u8>) { cell.wait_blocking(); }'
  absent wait_blocking 'pub fn waiter(waiter: Waiter<u8, u8>) { let _ = waiter.wait_blocking(); }'
  absent wait_deadline 'pub fn waiter(mut waiter: Waiter<u8, u8>, at: std::time::Instant) { let _ = waiter.wait_deadline(at); }'
  finish "platforms: targets" 13
)

# oldest ARGUMENTS...: every set of features that differs, with the oldest Rust; the arguments are cargo's.
oldest() {
  promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  grep -q "minimum Rust version is $promised\." README.md || { echo "msrv: the README promises another Rust" >&2; exit 1; }
  pass
  # It is the oldest that can be: an older one does not know this edition.
  if [ "$promised" != 1.85 ] || ! grep -q '^edition = "2024"$' Cargo.toml; then
    echo "msrv: an older Rust may do" >&2
    exit 1
  fi
  pass
  compiles() {
    cargo check --quiet "$@"
    pass
  }
  for features in "" std critical-section portable-atomic "critical-section portable-atomic" \
    "std critical-section" "std portable-atomic" tracing serde metrics "tracing metrics portable-atomic"; do
    compiles "$@" -p oneflight-core --lib --no-default-features --features "$features"
  done
  for features in "" std tokio smol async-std "tokio smol async-std tracing serde metrics" critical-section; do
    compiles "$@" -p oneflight --lib --no-default-features --features "$features"
  done
  compiles "$@" --manifest-path tests/no_std/Cargo.toml
  finish "platforms: Rust $promised" 20
}

# with_oldest: the oldest Rust is the one that cargo takes.
with_oldest() {
  local promised compiler
  promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  debian_rust "$promised"
  export RUSTC=$debian_rust/bin/rustc RUSTDOC=$debian_rust/bin/rustdoc CARGO_TARGET_DIR=$PWD/target/minimum
  compiler=$("$RUSTC" --version)
  [[ $compiler == "rustc $promised".* ]] || { echo "msrv: $compiler is not $promised" >&2; exit 1; }
}

msrv() (
  with_oldest
  oldest --locked
)

fresh() (
  with_oldest
  # A copy without the lock file: cargo then prefers what says that it works with this Rust.
  copy_tree target/fresh
  cd target/fresh
  rm Cargo.lock
  cargo generate-lockfile --quiet
  oldest
)

[ $# -gt 0 ] || set -- no_std targets msrv
for part in "$@"; do
  case $part in
    no_std | targets | msrv | fresh) "$part" ;;
    *) echo "platforms: no part $part" >&2; exit 2 ;;
  esac
done
