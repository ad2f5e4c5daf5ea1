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
rule "unsafe outside core/src/cell.rs and the counting allocator of the benches" \
  "$(grep -nE '\bunsafe( impl| fn|\s*\{)' $sources | grep -vE '^(core/src/cell|tests/benches/src/counted)\.rs:' || true)"
rule "an unsafe site without its reason" \
  "$(awk '/SAFETY:/ {ok = NR} /unsafe( impl|[[:space:]]*\{)/ && NR - ok > 8 {print FILENAME ":" NR ": " $0}' core/src/cell.rs)"
rule "more than 600 lines" \
  "$(wc -l $sources | awk '$2 != "total" && $1 > 600 {print $2 ": " $1}')"
rule "left to do" "$(grep -nE '\b(todo!|unimplemented!|TODO|FIXME|XXX)' $sources README.md CHANGELOG.md || true)"
rule "an ignored test or example" "$(grep -nE '#\[ignore|```(ignore|no_run)' $sources README.md || true)"
rule "a test that sleeps to synchronise" \
  "$(grep -nE '\bsleep\(' $(printf '%s\n' $sources | grep -E '(^|/)tests/') | grep -vE 'fn sleep\(|\.sleep\(duration\)|// about time' || true)"
rule "an adapter whose files differ from the others'" \
  "$(for a in tokio smol async-std; do (cd "adapters/$a/src" && echo $(ls)); done | sort -u | tail -n +2)"
rule "a member without its licence" \
  "$(for m in core adapters/*; do [ -e "$m/LICENSE" ] || echo "$m"; done)"

expected=8
[ "$checks" -eq "$expected" ] || { echo "rules: $checks rules checked, $expected expected" >&2; exit 1; }
[ "$failed" -eq 0 ] || exit 1
echo "rules: $checks checks passed"
