# What the scripts share: sourced, never run. Installs a tool where the right version is not there yet, and counts checks.
# shellcheck shell=bash
# No tool fetches a compiler or a component of it by itself.
export RUSTUP_DIST_SERVER=file:///nonexistent CARGO_LLVM_COV_SETUP=no CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

# cargo_tool PACKAGE VERSION: a cargo subcommand from the registry.
cargo_tool() {
  cargo install --list | grep -qF "$1 v$2" || cargo install --quiet --locked "$1@$2"
}

# nextest: however it came here.
nextest() {
  cargo nextest --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-nextest@0.9.143
}

# debian PROGRAM PACKAGE...: packages of Debian, unless PROGRAM is there. Says what is missing where they can not be had.
debian() {
  local program=$1 as=()
  shift
  command -v "$program" >/dev/null && return
  [ "$(id -u)" -eq 0 ] || as=(sudo --non-interactive)
  if ! command -v apt-get >/dev/null || ! "${as[@]}" apt-get -qq update ||
    ! "${as[@]}" apt-get -qq install --yes --no-install-recommends "$@" >/dev/null; then
    echo "$program is not there: install it (Debian: $*)" >&2
    exit 1
  fi
}

checks=0
pass() {
  checks=$((checks + 1))
}

# finish NAME EXPECTED: the closing line; fails when fewer checks ran than there are.
finish() {
  [ "$checks" -ge "$2" ] || { echo "$1: $checks checks ran, $2 expected" >&2; exit 1; }
  echo "$1: $checks checks passed"
}

# step COMMAND...: prints and times it. Where `keep_going` is set, a failure is counted and the next step is run all the same.
steps=0
failed=()
step() {
  steps=$((steps + 1))
  printf '\n== %s\n' "$*"
  local begun=$SECONDS
  if [ -n "${keep_going:-}" ]; then
    "$@" || { failed+=("$*"); printf '%s\n' "-- FAILED"; }
  else
    "$@"
  fi
  printf -- '-- %d s\n' $((SECONDS - begun))
}

# copy_tree FOLDER: the tree as it stands, tracked and new, for what changes files. The times are new, so that nothing
# built from an earlier copy is taken for this one's.
copy_tree() {
  rm -rf "$1"
  mkdir -p "$1"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done | tar --null -T - -cf - | tar -xmf - -C "$1"
}
