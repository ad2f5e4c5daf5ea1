# Rust compilers out of Debian's archive: sourced, never run. Unpacked below target/, never installed. For what the
# compiler of the machine can not do: build `std` from its exactly matching source (targets whose libraries are not there,
# an instrumented `std`), and build with the oldest Rust that is promised.
# shellcheck shell=bash
# shellcheck source=.ci/lib.sh

# debian_rust_version [RUST]: the version of Debian's package of Rust RUST, or of the newest there is. Asked for and not
# written down: it moves with each security update.
debian_rust_version() {
  apt-cache madison rustc-web 2>/dev/null | awk -F ' *[|] *' -v wanted="${1:-}" \
    '$2 ~ /^[0-9]/ && index($2, wanted) == 1 && !found { found = 1; print $2 }'
}

# debian_rust [RUST]: unpacks Rust RUST, or the newest there is together with its source, unless it is there. Puts its
# folder into $debian_rust; `$debian_rust/bin/rustc` and `rustdoc` are for RUSTC and RUSTDOC.
debian_rust() {
  local wanted=${1:-} version minor llvm packages package
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
  packages=("rustc-web=$version" "libstd-rust-web-$minor=$version" "libstd-rust-web-dev=$version" "$llvm")
  [ -n "$wanted" ] || packages+=("rust-web-src=$version")

  rm -rf "$debian_rust"
  mkdir -p "$debian_rust/packages" "$debian_rust/bin"
  # As root it notes that the sandbox user can not write here; that is all its standard error is good for when it succeeds.
  (cd "$debian_rust/packages" && apt-get -qq download "${packages[@]}" 2>log) || { cat "$debian_rust/packages/log" >&2; return 1; }
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
  local host libraries
  host=$(rustc -vV | sed -n 's/^host: //p')
  libraries=$(rustc --print sysroot)/lib/rustlib/$host/lib
  find "$libraries" -name 'librustc-*_rt.*.a' -exec ln -sf {} "$debian_rust/usr/lib/rustlib/$host/lib/" ";"

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
