#!/usr/bin/env bash
# How fast: against caps that noise does not move, and against peers.
#     bash .ci/bench.sh [instructions|peers]...      both when none is named
# instructions   instructions of each piece of work against its cap, counted by valgrind. The caps stand in
#                tests/benches/own/benches/instructions.rs. Three minutes from cold, seconds after that.
# peers          the comparison is alive: everyone gives the right result, every row says what it promises to, and the page is
#                what its rows make it. It measures for seconds, so its figures mean nothing here. Ten minutes, nearly all of
#                them to compile the peers.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

instructions() (
  debian valgrind valgrind libc6-dbg
  cargo_tool gungraun-runner 0.20.0

  report=$(mktemp)
  trap 'rm -f "$report"' EXIT
  # The closing line is read below; lib.sh has switched colours off.
  cargo bench --manifest-path tests/benches/own/Cargo.toml --bench instructions --locked 2>&1 | tee "$report"
  within=$(sed -nE 's/^Gungraun result: Ok\. ([0-9]+) without regressions.*/\1/p' "$report")
  for ((i = 0; i < ${within:-0}; i++)); do
    pass
  done
  finish "bench: instructions" 10
)

peers() (
  crate=tests/benches
  out=$crate/target/smoke
  mkdir -p "$out"
  compare() {
    cargo bench --quiet --locked --manifest-path $crate/Cargo.toml --bench compare -- "$@"
  }

  cargo clippy --quiet --locked --manifest-path $crate/Cargo.toml --all-targets -- -D warnings
  pass

  compare --quick --workload solo --workload amplify --workload value \
    --json "$PWD/$out/rows.jsonl" --plots "$PWD/$out/plots" | tee "$out/report"
  grep -qE '^[0-9]+ right results verified$' "$out/report"
  pass

  # Every row has the keys of its place and no others, and everybody is there.
  python3 - "$out/rows.jsonl" <<'PY'
import json, sys

always = {"workload", "key", "n", "contender"}
sometimes = {"ns", "min_ns", "spread", "allocs", "bytes", "polls", "settle_us", "ratio_best_peer", "ratio_limit"}
rows = [json.loads(line) for line in open(sys.argv[1])]
for row in rows:
    assert always <= row.keys() <= always | sometimes, row
    assert row["ns"] >= row["min_ns"] > 0 and row["spread"] >= 0, row
places = {}
for row in rows:
    places.setdefault((row["workload"], row["key"], row["n"]), []).append(row)
expected = {("solo", "u64", 1), ("solo", "str36", 1), ("amplify", "wakes-100", 1000), ("value", "u64", 8), ("value", "u64", 1 << 20)}
assert places.keys() == expected, places.keys()
for place, rows in places.items():
    ours = [row for row in rows if row["contender"] == "oneflight"]
    assert len(ours) == 1 and ours[0]["ratio_best_peer"] > 0, place
    assert len(rows) >= 22 and len({row["contender"] for row in rows}) == len(rows), (place, len(rows))
    if place[0] == "amplify":
        assert ours[0]["polls"] == 2, ours
print(f"bench: {sum(map(len, places.values()))} rows are well formed")
PY
  pass

  # Written from the rows that are kept, the page and the plots are those that are kept: they can not drift.
  compare --from "$PWD/$crate/figures.jsonl" --markdown "$PWD/$out/BENCHMARKS.md" --plots "$PWD/$out/plots" >/dev/null
  diff -u BENCHMARKS.md "$out/BENCHMARKS.md"
  pass
  for plot in "$crate"/plots/*.svg; do
    cmp "$plot" "$out/plots/${plot##*/}" || exit 1
  done
  pass

  cargo bench --quiet --locked --manifest-path $crate/own/Cargo.toml --bench dev -- --test >/dev/null
  pass
  finish "bench: peers" 6
)

[ $# -gt 0 ] || set -- instructions peers
for part in "$@"; do
  case $part in
    instructions | peers) "$part" ;;
    *) echo "bench: no part $part" >&2; exit 2 ;;
  esac
done
