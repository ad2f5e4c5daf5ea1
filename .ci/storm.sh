#!/usr/bin/env bash
# Runs the example as its users do: the storm, a replay on each runtime, and everything that it must refuse.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly expected=75

cargo build --quiet --release --example retry_storm
target=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
readonly storm="$target/release/examples/retry_storm"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readonly out="$work/out" err="$work/err"
passed=0

fail() {
    echo "storm: FAILED: $1" >&2
    cat "$err" >&2
    exit 1
}

pass() {
    passed=$((passed + 1))
}

# status WANTED ARGUMENTS...: runs the example and compares its exit status.
status() {
    local wanted=$1 got=0
    shift
    "$storm" "$@" >"$out" 2>"$err" || got=$?
    [ "$got" = "$wanted" ] || fail "status $got, not $wanted: $*"
}

# refused MESSAGE ARGUMENTS...: status 2, nothing on standard output, and the message on standard error.
refused() {
    local message=$1
    shift
    status 2 "$@"
    [ ! -s "$out" ] || fail "refused, but something was printed: $*"
    grep -qF -e "$message" "$err" || fail "the message does not say '$message': $*"
    pass
}

# refused_trace MESSAGE CONTENT: as a file.
refused_trace() {
    printf '%b' "$2" >"$work/bad.jsonl"
    refused "$1" --trace "$work/bad.jsonl"
}

# The storm and the contrast.
status 0 --json --duplicates 500
python3 .ci/storm_rows.py storm 500 <"$out" || fail "rows of the storm"
pass
status 0 --json --duplicates 1
python3 .ci/storm_rows.py storm 1 <"$out" || fail "rows of the smallest storm"
pass
status 0 --duplicates 500 --runtime smol
grep -q '^Verdict: 1 execution, 500 of 500 resumed; ' <(tail -n 1 "$out") || fail "the table has no verdict"
! grep -q 're-runs' "$out" || fail "re-runs are told, but nobody was told to leave"
pass

# The storm whose callers leave: its call goes on, is made again, or runs on; and the same if nobody stays.
for policy in continue rerun detach; do
    for percent in 20 100; do
        status 0 --json --duplicates 500 --policy "$policy" --cancel "$percent"
        python3 .ci/storm_rows.py storm 500 "$policy" "$percent" <"$out" || fail "$policy, and $percent % leave"
        pass
    done
done
status 0 --json --duplicates 500 --policy rerun
python3 .ci/storm_rows.py storm 500 rerun 0 <"$out" || fail "a policy and nobody leaves"
pass
status 0 --json --duplicates 500 --cancel 30
python3 .ci/storm_rows.py storm 500 detach 30 <"$out" || fail "a share that leaves and no policy"
pass
status 0 --duplicates 500 --runtime smol --policy rerun --cancel 20
grep -q 're-runs.*aborted' "$out" || fail "the table does not show re-runs and aborted"
grep -q '^Verdict: 2 executions, 400 of 500 resumed; 101 callers left early; ' <(tail -n 1 "$out") ||
    fail "the verdict does not tell who left"
pass

# A replay.
request() {
    echo "{\"at_ms\":$1,\"token\":\"$2\",\"work_ms\":$3}"
}
{
    # Out of order, so that a replay in the order of the lines would not pass.
    request 1600 hot 10
    for _ in $(seq 20); do request 20 hot 1000; done
    echo
    request 0 cold 10
} >"$work/good.jsonl"
for runtime in tokio tokio-current smol async-std; do
    status 0 --json --trace "$work/good.jsonl" --runtime "$runtime"
    python3 .ci/storm_rows.py trace "$runtime" <"$out" || fail "rows of the replay on $runtime"
    pass
done
"$storm" --json --trace - <"$work/good.jsonl" >"$out" 2>"$err" || fail "a trace from standard input"
python3 .ci/storm_rows.py trace tokio <"$out" || fail "rows of the replay from standard input"
pass
status 0 --trace "$work/good.jsonl"
grep -q '^Verdict: tokio: 22 of 22 requests answered' <(tail -n 1 "$out") || fail "the replay has no verdict"
pass
[ ! -s "$err" ] || fail "a progress bar without a terminal"
pass

# A replay whose callers leave. All duplicates that leave have left long before the first request does.
{
    request 0 hot 2000
    for _ in $(seq 19); do request 20 hot 400; done
} >"$work/lost.jsonl"
lost() {
    local runtime=$1 percent=$2
    shift 2
    status 0 --json --trace "$work/lost.jsonl" --runtime "$runtime" --policy "$1" --cancel "$percent"
    python3 .ci/storm_rows.py lost "$@" <"$out" || fail "the replay on $runtime, $1, and $percent % leave"
    pass
}
# Policy, executions, re-runs, aborted, left.
lost tokio 40 continue 1 0 0 9
lost smol 40 rerun 2 1 0 9
lost async-std 40 detach 1 0 0 9
lost tokio-current 100 continue 1 0 1 20
lost tokio 100 rerun 1 0 1 20
lost smol 100 detach 1 0 0 20

# A replay with a window: late duplicates get the outcome, as long as it is open.
{
    for _ in $(seq 10); do request 0 hot 300; done
    for _ in $(seq 10); do request 1500 hot 300; done
} >"$work/late.jsonl"
for policy in continue rerun detach; do
    status 0 --json --trace "$work/late.jsonl" --policy "$policy" --retain 60000
    python3 .ci/storm_rows.py retained "$policy" 10 <"$out" || fail "$policy, late duplicates within the window"
    pass
done
status 0 --json --trace "$work/late.jsonl" --retain 1
python3 .ci/storm_rows.py retained continue 0 <"$out" || fail "late duplicates after the window"
pass
status 0 --trace "$work/late.jsonl" --retain 60000 --policy detach --cancel 0
for part in retained re-runs aborted 'Outcomes are retained for 60,000 ms' 'Policy detach'; do
    grep -qF -e "$part" "$out" || fail "the table of the replay does not show $part"
done
pass

# Options that are refused.
refused "0 is not in 1..=10000000" --duplicates 0
refused "10000001 is not in 1..=10000000" --duplicates 10000001
refused "99999999999999999999" --duplicates 99999999999999999999
refused "-1 is not in" --duplicates=-1
refused "invalid value" --duplicates 1.5
refused "invalid value" --duplicates many
refused "possible values: tokio, tokio-current, smol, async-std, all" --runtime glommio
refused "unexpected argument '--storm'" --storm
refused "unexpected argument" trace.jsonl
refused "cannot be used with" --trace "$work/good.jsonl" --duplicates 5
refused "a value is required" --trace
refused "possible values: continue, rerun, detach" --policy retry
refused "a value is required" --policy
refused "-1 is not in 0..=100" --cancel=-1
refused "101 is not in 0..=100" --cancel 101
refused "invalid value" --cancel 12.5
refused "invalid value" --cancel 20%
refused "a value is required" --cancel
refused "0 is not in 1..=86400000" --trace "$work/good.jsonl" --retain 0
refused "86400001 is not in 1..=86400000" --trace "$work/good.jsonl" --retain 86400001
refused "-1 is not in 1..=86400000" --trace "$work/good.jsonl" --retain=-1
refused "invalid value" --trace "$work/good.jsonl" --retain 1s
refused "--trace <FILE>" --retain 500
refused "--trace <FILE>" --retain 500 --policy continue --cancel 20

# Traces that are refused.
good='{"at_ms":1,"token":"a","work_ms":1}'
refused "can not read $work/none.jsonl" --trace "$work/none.jsonl"
refused "can not read $work" --trace "$work"
refused_trace "no request in it" ''
refused_trace "no request in it" '\n \n'
refused_trace "line 3, column" "$good\n\n{oops\n$good"
refused_trace "line 1, column 1: not a JSON object" 'hello'
refused_trace "line 1, column 1: not a JSON object" '[1,"a",1]'
refused_trace "line 2, column 8: not UTF-8" "$good\n"'{"token\xff":1}'
refused_trace "line 1, column 11: at_ms: invalid type: integer \`-1\`" '{"at_ms":-1,"token":"a","work_ms":1}'
refused_trace "at_ms: invalid type: floating point" '{"at_ms":1.5,"token":"a","work_ms":1}'
refused_trace "at_ms: invalid value: integer \`86400001\`" '{"at_ms":86400001,"token":"a","work_ms":1}'
refused_trace "work_ms: invalid type" '{"at_ms":1,"token":"a","work_ms":99999999999999999999}'
refused_trace "work_ms: invalid type: string" '{"at_ms":1,"token":"a","work_ms":"1"}'
refused_trace "missing field \`work_ms\`" '{"at_ms":1,"token":"a"}'
refused_trace "missing field \`token\`" '{"at_ms":1,"work_ms":1}'
refused_trace "duplicate field \`at_ms\`" '{"at_ms":1,"at_ms":1,"token":"a","work_ms":1}'
refused_trace "unknown field \`x\`" '{"at_ms":1,"token":"a","work_ms":1,"x":1}'
refused_trace "trailing characters" "$good $good"

# Help, and standard output that goes away.
status 0 --help
for part in --duplicates --runtime --trace --policy --cancel --retain --json 'Examples:' 'Exit status:'; do
    grep -qF -e "$part" "$out" || fail "the help does not name $part"
done
pass
: >"$err"
"$storm" --json --duplicates 10 2>"$err" | head -n 1 >"$out"
[ -s "$out" ] && [ ! -s "$err" ] || fail "a closed pipe is not quiet"
pass
if [ -w /dev/full ]; then
    got=0
    "$storm" --json --duplicates 10 2>"$err" >/dev/full || got=$?
    [ "$got" = 1 ] || fail "status $got, not 1, when nothing can be written"
fi
pass

[ "$passed" = "$expected" ] || fail "$passed checks passed, $expected are there"
echo "storm: $passed checks passed"
