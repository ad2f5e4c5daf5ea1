#!/usr/bin/env bash
# The oldest Rust that is promised, tried: every set of features that differs, on that very compiler (out of Debian's
# archive), with the locked dependencies. With the argument `fresh`: with those that cargo would choose for it today.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh
# shellcheck source=.ci/debian_rust.sh
source .ci/debian_rust.sh

promised=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
debian_rust "$promised"
export RUSTC=$debian_rust/bin/rustc RUSTDOC=$debian_rust/bin/rustdoc CARGO_TARGET_DIR=$PWD/target/minimum
compiler=$("$RUSTC" --version)
[[ $compiler == "rustc $promised".* ]] || { echo "msrv: $compiler is not $promised" >&2; exit 1; }
grep -q "Minimum Rust: $promised\." README.md || { echo "msrv: the README promises another Rust" >&2; exit 1; }
pass

locked=(--locked)
case ${1:-} in
  '') ;;
  fresh)
    # A copy without the lock file: cargo then prefers what says that it works with the promised Rust.
    copy=target/fresh
    rm -rf "$copy"
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard core adapters tests Cargo.toml | xargs -0 cp --parents -t "$copy"
    cd "$copy"
    cargo generate-lockfile --quiet
    locked=()
    ;;
  *) echo "msrv: no argument but fresh" >&2; exit 2 ;;
esac

compiles() {
  cargo check --quiet "${locked[@]}" "$@"
  pass
}
for features in "" std critical-section portable-atomic "critical-section portable-atomic" \
  "std critical-section" "std portable-atomic" tracing metrics "tracing metrics portable-atomic"; do
  compiles -p oneflight-core --lib --no-default-features --features "$features"
done
for features in "" std tokio smol async-std "tokio smol async-std tracing metrics" critical-section; do
  compiles -p oneflight --lib --no-default-features --features "$features"
done
compiles --manifest-path tests/no_std/Cargo.toml
# It is the oldest that can be: an older one does not know this edition.
grep -q '^edition = "2024"$' Cargo.toml && [ "$promised" = 1.85 ] || { echo "msrv: an older Rust may do" >&2; exit 1; }
pass

finish "msrv $promised" 20
