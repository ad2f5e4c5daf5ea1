#!/usr/bin/env bash
# What the crates stand on.
#     bash .ci/supply.sh [deny|minimal|powerset|package]...      all four when none is named
# deny       licences and sources of the dependencies, and none twice in the core. Six minutes from cold, five of them to build
#            cargo-deny.
# minimal    every dependency in the lowest version that the manifests allow. Three minutes from cold.
# powerset   every set of features builds. Three minutes from cold.
# package    what would be published can be packed, and builds from the packages. A minute from cold.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

readonly home=$PWD log=$PWD/target/supply.log
readonly crates=(oneflight-core oneflight-tokio oneflight-smol oneflight-async-std oneflight)

check() {
  "$@" >"$log" 2>&1 || { cat "$log" >&2; echo "supply: failed: $*" >&2; exit 1; }
  pass
}

# Known faults of dependencies are asked for where there is a network: `cargo deny check advisories`.
deny() {
  cargo_tool cargo-deny 0.20.2
  check cargo deny --workspace --all-features check --hide-inclusion-graph bans licenses sources
  # The core alone: nothing twice, whatever the executors bring.
  check cargo deny --manifest-path core/Cargo.toml --all-features --exclude-dev check --hide-inclusion-graph bans licenses sources
}

# Each direct dependency in the lowest version that its bound allows; what these depend on stays new.
minimal() {
  cargo_tool cargo-hack 0.6.46
  cargo_tool cargo-minimal-versions 0.1.38
  local crate features
  export CARGO_TARGET_DIR=$home/target/minimal
  lowest() {
    check cargo minimal-versions check --direct --lib --quiet "$@"
  }
  for crate in "${crates[@]}"; do
    lowest -p "$crate"
  done
  for features in "" std critical-section portable-atomic tracing serde metrics "std tracing serde metrics critical-section portable-atomic"; do
    lowest -p oneflight-core --no-default-features --features "$features"
  done
  lowest -p oneflight --features tokio,smol,async-std,tracing,serde,metrics
}

# Every set of features there is in the core; in the facade, where they only pass on, every two of them and all. `loom`
# takes effect under its own `--cfg` only, and is checked there.
powerset() {
  cargo_tool cargo-hack 0.6.46
  export CARGO_TARGET_DIR=$home/target/powerset
  hack() {
    local sets without=$1
    shift
    sets=$(cargo hack check --lib --feature-powerset --exclude-features "$without" "$@" --print-command-list | wc -l)
    check cargo hack check --quiet --lib --feature-powerset --exclude-features "$without" "$@"
    checks=$((checks + sets - 1))
  }
  hack loom,default -p oneflight-core
  hack default -p oneflight --depth 2
  check cargo check --quiet --lib -p oneflight --all-features
}

# The packages stand on each other, so they are packed and built together.
package() {
  export CARGO_TARGET_DIR=$home/target/package
  local crate names=()
  for crate in "${crates[@]}"; do
    names+=(-p "$crate")
  done
  check cargo package --quiet --allow-dirty "${names[@]}"
  for crate in "${crates[@]}"; do
    check test -s "$CARGO_TARGET_DIR/package/$crate-$(cargo pkgid -p "$crate" | sed 's/.*[#@]//').crate"
  done
}

[ "$#" -gt 0 ] || set -- deny minimal powerset package
mkdir -p target
# cargo-minimal-versions writes manifests and the lock file: into a copy.
copy_tree target/supply
cd target/supply
declare -A least=([deny]=2 [minimal]=13 [powerset]=70 [package]=6)
for part in "$@"; do
  [ -n "${least[$part]:-}" ] || { echo "supply: no part $part" >&2; exit 2; }
  checks=0 begun=$SECONDS
  "$part"
  finish "supply: $part, $((SECONDS - begun)) s" "${least[$part]}"
done
