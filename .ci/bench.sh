#!/usr/bin/env bash
# The comparison harness is alive: everyone gives the right result, every row says what it promises to, the report is what the
# rows make it. It measures for seconds; its figures mean nothing here. Not part of a quick check: the peers take minutes to
# compile.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh

crate=tests/benches
out=$crate/target/smoke
mkdir -p "$out"
compare() {
  cargo bench --quiet --locked --manifest-path $crate/Cargo.toml --bench compare -- "$@"
}

cargo clippy --quiet --locked --manifest-path $crate/Cargo.toml --all-targets -- -D warnings && pass

compare --quick --workload solo --workload amplify --workload value \
  --json "$PWD/$out/rows.jsonl" --plots "$PWD/$out/plots" | tee "$out/report"
grep -qE '^[0-9]+ right results verified$' "$out/report" && pass

# Every row has the keys of its place and no others, and everybody is there.
python3 - "$out/rows.jsonl" <<'PY' && pass
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

# Written from the rows that are kept, the page and the plots are those that are kept: they can not drift.
compare --from "$PWD/$crate/figures.jsonl" --markdown "$PWD/$out/BENCHMARKS.md" --plots "$PWD/$out/plots" >/dev/null
diff -u BENCHMARKS.md "$out/BENCHMARKS.md" && pass
for plot in "$crate"/plots/*.svg; do
  cmp "$plot" "$out/plots/${plot##*/}" || exit 1
done
pass

cargo bench --quiet --locked --manifest-path $crate/own/Cargo.toml --bench dev -- --test >/dev/null && pass
finish bench 6
