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

# Rust compilers out of Debian's archive, unpacked below target/ and never installed. For what the compiler of the machine can
# not do: build `std` from its exactly matching source (targets whose libraries are not there, an instrumented `std`), and
# build with the oldest Rust that is promised.

# debian_rust_version [RUST]: the version of Debian's package of Rust RUST, or of the newest there is. Asked for and not
# written down: it moves with each security update.
debian_rust_version() {
  apt-cache madison rustc-web 2>/dev/null | awk -F ' *[|] *' -v wanted="${1:-}" \
    '$2 ~ /^[0-9]/ && index($2, wanted) == 1 && !found { found = 1; print $2 }'
}

# debian_rust [RUST]: unpacks Rust RUST, or the newest there is together with its source, unless it is there. Puts its
# folder into $debian_rust; `$debian_rust/bin/rustc` and `rustdoc` are for RUSTC and RUSTDOC.
debian_rust() {
  local wanted=${1:-} version minor llvm archives package
  command -v apt-get >/dev/null || { echo "debian_rust: needs apt-get, for Debian's rustc-web" >&2; return 1; }
  version=$(debian_rust_version "$wanted")
  if [ -z "$version" ]; then
    apt-get -qq update
    version=$(debian_rust_version "$wanted")
  fi
  [ -n "$version" ] || { echo "debian_rust: the archive has no rustc-web ${wanted:-at all}" >&2; return 1; }

  debian_rust=$PWD/target/debian-rust/${wanted:-newest}
  [ "$(cat "$debian_rust/version" 2>/dev/null)" = "$version" ] && return

  minor=$(cut -d . -f 1,2 <<<"$version")
  llvm=$(apt-cache show "libstd-rust-web-$minor=$version" | sed -n 's/^Depends: .*\(libllvm[0-9]*\).*/\1/p')
  archives=("rustc-web=$version" "libstd-rust-web-$minor=$version" "libstd-rust-web-dev=$version" "$llvm")
  [ -n "$wanted" ] || archives+=("rust-web-src=$version")

  rm -rf "$debian_rust"
  mkdir -p "$debian_rust/packages" "$debian_rust/bin"
  # As root it notes that the sandbox user can not write here; that is all its standard error is good for when it succeeds.
  (cd "$debian_rust/packages" && apt-get -qq download "${archives[@]}" 2>log) || { cat "$debian_rust/packages/log" >&2; return 1; }
  for package in "$debian_rust"/packages/*.deb; do
    case $package in
      */rust-web-src_*) # The compiler's own source is three quarters of it, and nobody builds that.
        dpkg --fsys-tarfile "$package" |
          tar -x -C "$debian_rust" --wildcards './usr/lib/*' './usr/src/rustc-*/library/*' ;;
      *) dpkg -x "$package" "$debian_rust" ;;
    esac
  done
  rm -r "$debian_rust/packages"

  # Debian's compiler has no sanitizers' runtimes; those of the machine's compiler are LLVM's and do not mind.
  # A script that calls this may have a constant `host`.
  local triple libraries
  triple=$(rustc -vV | sed -n 's/^host: //p')
  libraries=$(rustc --print sysroot)/lib/rustlib/$triple/lib
  find "$libraries" -name 'librustc-*_rt.*.a' -exec ln -sf {} "$debian_rust/usr/lib/rustlib/$triple/lib/" ";"

  local program
  for program in rustc rustdoc; do
    cat >"$debian_rust/bin/$program" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$debian_rust/usr/lib/$(gcc -print-multiarch):$debian_rust/usr/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$debian_rust/usr/bin/$program" "\$@"
WRAPPER
    chmod +x "$debian_rust/bin/$program"
  done
  "$debian_rust/bin/rustc" --version >/dev/null
  echo "$version" >"$debian_rust/version"
}
