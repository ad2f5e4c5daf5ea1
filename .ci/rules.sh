#!/usr/bin/env bash
# Rules about the sources themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

checks=0
failed=0
rule() {
  local what=$1 found=$2
  checks=$((checks + 1))
  if [ -n "$found" ]; then
    failed=1
    printf 'rules: %s:\n%s\n' "$what" "$found" >&2
  fi
}

sources=$(git ls-files --cached --others --exclude-standard '*.rs')
# A program without std and an allocator that counts can not be written without; neither is a part of the product.
rule "unsafe outside core/src/cell.rs" \
  "$(grep -nE '\bunsafe( impl| fn|\s*\{)' $sources | grep -vE '^(core/src/cell.rs|tests/no_std/src/[a-z]+.rs|tests/benches/src/counted.rs):' || true)"
rule "an unsafe site without its reason" \
  "$(awk 'FNR == 1 {ok = -9} /SAFETY:/ {ok = FNR} /unsafe( impl|[[:space:]]*\{)/ && FNR - ok > 8 {print FILENAME ":" FNR ": " $0}' core/src/cell.rs tests/no_std/src/*.rs tests/benches/src/counted.rs)"
rule "more than 600 lines" \
  "$(wc -l $sources | awk '$2 != "total" && $1 > 600 {print $2 ": " $1}')"
rule "left to do" "$(grep -nE '\b(todo!|unimplemented!|TODO|FIXME|XXX)' $sources README.md CHANGELOG.md || true)"
# Only what runs for minutes, in one file, each with its reason: `.ci/scale.sh` runs it.
rule "an ignored test or example" \
  "$(grep -nE '#\[ignore|```(ignore|no_run)' $sources README.md | grep -vE '^tests/tests/scale\.rs:[0-9]+:#\[ignore = ".+; run by \.ci/scale\.sh"\]$' || true)"
rule "a test that sleeps to synchronise" \
  "$(grep -nE '\bsleep\(' $(printf '%s\n' $sources | grep -E '(^|/)tests/') | grep -vE 'fn sleep\(|\.sleep\(duration\)|// about time' || true)"
rule "an adapter whose files differ from the others'" \
  "$(for a in tokio smol async-std; do (cd "adapters/$a/src" && echo $(ls)); done | sort -u | tail -n +2)"
rule "a member without its licence" \
  "$(for m in core adapters/*; do [ -e "$m/LICENSE" ] || echo "$m"; done)"

expected=8
[ "$checks" -ge "$expected" ] || { echo "rules: $checks rules checked, $expected expected" >&2; exit 1; }
[ "$failed" -eq 0 ] || exit 1
echo "rules: $checks checks passed"
