#!/usr/bin/env bash
# Rules about the sources themselves, and clippy, rustdoc and shellcheck with warnings denied.
#     bash .ci/lint.sh            all of it: five minutes from cold
#     bash .ci/lint.sh rules      the rules alone: a second
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

mapfile -t tracked < <(git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
  if [ -e "$file" ]; then echo "$file"; fi
done)
# files PATTERN: of those that are tracked, or new.
files() {
  printf '%s\n' "${tracked[@]}" | grep -E "$1"
}
mapfile -t sources < <(files '\.rs$')
mapfile -t tests < <(files '(^|/)tests/.*\.rs$')
mapfile -t core < <(files '^core/src/.*\.rs$')
mapfile -t wrapped < <(files '^(core|adapters/[a-z-]+)/src/.*\.rs$')

# rule WHAT FOUND: nothing may be found.
broken=0
rule() {
  if [ -n "$2" ]; then
    broken=$((broken + 1))
    printf 'lint: %s:\n%s\n' "$1" "$2" >&2
  fi
  pass
}

# The rooms of core/src from top to bottom. A path that starts with `crate::` names its own room or one further down. What
# lib.rs exports belongs to the room where it is written, and is named there. Tests are exempt, and so is lib.rs.
rooms="gate policy rt group flight cell clock fingerprint error unwind sync"
runs_up() {
  python3 - core/src "$rooms" <<'PYTHON'
import re, sys
from pathlib import Path

src, rooms = Path(sys.argv[1]), sys.argv[2].split()
no_code = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^\\'\n])'|"(?:\\.|[^"\\])*"|#\[cfg\((?:all\()?test\b.*""", re.S)

def named(code):
    """Where `crate::` stands in the code, and each name right after it, in a group too."""
    for path in re.finditer(r"\bcrate::(\w+|\{)", code):
        depth, first = 0, path[1] == "{"
        for token in re.finditer(r"\w+|\S", code[path.start(1):]):
            depth += (token[0] == "{") - (token[0] == "}")
            if token[0] not in "{,}" and (first or depth == 0):
                yield path.start(), token[0]
            first = depth == 1 and token[0] in "{,"
            if depth == 0:
                break

up = 0
for file in sorted(src.rglob("*.rs")):
    room = file.relative_to(src).with_suffix("").parts[0]
    code = no_code.sub(lambda it: "\n" * it[0].count("\n"), file.read_text())
    for at, name in named(code) if room in rooms else ():
        exported = not (src / name).is_dir() and not (src / f"{name}.rs").is_file() and not name.islower()
        if exported or name in rooms[: rooms.index(room)]:
            up += 1
            print(f"{file}:{code.count(chr(10), 0, at) + 1}: {room} names crate::{name}")
print(f"lint: {up} imports run back up", file=sys.stderr)
PYTHON
}
found=$(runs_up)
rule "an import of a room that is higher" "$found"

# The cell and the memory of a flight are the only places of the product with unsafe code. A program without std and an allocator that
# counts can not be written without it either.
unsafe_in='core/src/cell/settle_cell\.rs|core/src/flight/memory/[a-z]+\.rs|tests/no_std/src/[a-z]+\.rs|tests/benches/src/counted\.rs'
mapfile -t unsafe_files < <(files "^($unsafe_in)\$")
rule "unsafe code outside core/src/cell/settle_cell.rs and core/src/flight/memory" \
  "$(grep -nE '\bunsafe( impl| fn|\s*\{)' "${sources[@]}" | grep -vE "^($unsafe_in):" || true)"
rule "an unsafe site without its reason" \
  "$(awk 'FNR == 1 {ok = -9} /SAFETY:/ {ok = FNR} /unsafe( impl|[[:space:]]*\{)/ && FNR - ok > 8 {print FILENAME ":" FNR ": " $0}' "${unsafe_files[@]}")"
rule "a file of the core with more than 450 lines" "$(wc -l "${core[@]}" | awk '$2 != "total" && $1 > 450 {print $2 ": " $1}')"
rule "a file with more than 600 lines" "$(wc -l "${sources[@]}" | awk '$2 != "total" && $1 > 600 {print $2 ": " $1}')"
rule "a line with more than 100 columns" "$(LC_ALL=C.UTF-8 grep -nE '^.{101}' "${wrapped[@]}" | cut -c 1-120 || true)"
rule "a let chain, which the oldest Rust that is promised does not know" "$(grep -nE '&& let ' "${wrapped[@]}" || true)"
rule "450 tracked files or more" "$([ "${#tracked[@]}" -lt 450 ] || echo "${#tracked[@]}")"
rule "left to do" "$(grep -nE '\b(todo!|unimplemented!|TODO|FIXME|XXX)' "${sources[@]}" README.md CHANGELOG.md || true)"
# Only what runs for minutes, in one file, each with its reason: `.ci/tests.sh scale` runs it.
rule "an ignored test or example" \
  "$(grep -nE '#\[ignore|```(ignore|no_run)' "${sources[@]}" README.md |
    grep -vE '^tests/tests/scale\.rs:[0-9]+:#\[ignore = ".+; run by \.ci/tests\.sh scale"\]$' || true)"
rule "a test that sleeps to synchronise" \
  "$(grep -nE '\bsleep\(' "${tests[@]}" | grep -vE 'fn sleep\(|\.sleep\(duration\)|// about time' || true)"
rule "an adapter whose files differ from the others'" \
  "$(for adapter in tokio smol async-std; do
    files "^adapters/$adapter/src/" | sed 's,.*/src/,,' | xargs
  done | sort -u | tail -n +2)"
rule "a member without its licence" "$(for member in core adapters/*; do [ -e "$member/LICENSE" ] || echo "$member"; done)"
[ "$broken" -eq 0 ] || { echo "lint: $broken of $checks rules are broken" >&2; exit 1; }
case ${1:-} in
  rules) finish "lint: rules" 13; exit ;;
  "") ;;
  *) echo "lint: no argument but rules" >&2; exit 2 ;;
esac

debian shellcheck shellcheck
shellcheck --external-sources --severity=warning .ci/run .ci/deep .ci/*.sh
pass

clippy() {
  cargo clippy --quiet "$@" -- -D warnings
  pass
}
clippy --workspace --all-targets
clippy -p oneflight-core --all-targets --features tracing,metrics
for features in "" std critical-section portable-atomic "critical-section portable-atomic" \
  "std critical-section" "std portable-atomic" tracing serde metrics "tracing metrics portable-atomic"; do
  clippy -p oneflight-core --lib --no-default-features --features "$features"
done
for features in "" std tokio smol async-std "tokio smol" "tokio smol async-std" critical-section tracing serde metrics; do
  clippy -p oneflight --lib --no-default-features --features "$features"
done
for models in loom shuttle; do
  RUSTFLAGS="--cfg $models" clippy -p oneflight-core --features "$models" --test "$models" --target-dir "target/$models"
done

document() {
  RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps "$@"
  pass
}

document --workspace --document-private-items
for features in "" std critical-section "portable-atomic" "std tracing metrics serde"; do
  document -p oneflight-core --no-default-features --features "$features"
done
for features in "" std tokio smol async-std "tokio smol async-std tracing metrics serde"; do
  document -p oneflight --no-default-features --features "$features"
done
# A link that only a private import resolves is plain text on a page of another crate. rustdoc does not warn of it.
rule "a dead link on a page of the facade" \
  "$(grep -rhoE '\[<code>[^]]*</code>\]' target/doc/oneflight | grep -vE '>(Span|WithDispatch)<' | sort -u || true)"
[ "$broken" -eq 0 ] || exit 1
finish lint 51
