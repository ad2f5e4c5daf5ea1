"""Checks the rows that `retry_storm --json` prints. Usage: storm_rows.py KIND ARGUMENTS < rows

storm N [POLICY PERCENT]                    of N duplicates
trace RUNTIME                               of `good.jsonl`
lost POLICY EXECUTIONS RERUNS ABORTED LEFT  of `lost.jsonl`
retained POLICY RETAINED                    of `late.jsonl`
"""

import json
import sys

STORM = ["kind", "runtime", "duplicates", "executions", "resumed", "threads_before", "threads_waiting",
         "settle_to_last_us", "bytes_per_waiter"]
PARKED = ["kind", "pool", "duplicates", "outcome"]
TRACE = ["kind", "runtime", "requests", "tokens", "executions", "joined", "aborted", "largest_flight", "threads_peak"]


def expect(holds, why):
    if not holds:
        sys.exit(f"rows: {why}")


def begins_with(row, keys):
    expect(list(row)[:len(keys)] == keys, f"the keys of {row} do not begin with {keys}")


def ends_with(row, keys):
    expect(list(row)[-len(keys):] == keys, f"the keys of {row} do not end with {keys}")


def equal(row, **wanted):
    for key, value in wanted.items():
        expect(row[key] == value, f"{key} of {row} is not {value}")


def storm(rows, duplicates, policy="detach", percent=0):
    """Who leaves follows the rule that the example's source states, the first caller included."""
    leaves = [(index % 100 * 37 + index // 100 % 100 * 61) % 100 < percent for index in range(duplicates + 1)]
    cancelled, stay = sum(leaves), leaves[1:].count(False)
    reruns = int(policy == "rerun" and leaves[0] and stay > 0)
    aborted = int(policy != "detach" and all(leaves))
    runtimes = [row["runtime"] for row in rows if row["kind"] == "storm"]
    expect(runtimes == ["tokio", "tokio-current", "smol", "async-std"], f"storms on {runtimes}")
    for row in rows[:4]:
        begins_with(row, STORM)
        ends_with(row, ["policy", "cancel", "cancelled", "reruns", "aborted"])
        equal(row, duplicates=duplicates, executions=1 + reruns, resumed=stay, policy=policy, cancel=percent,
              cancelled=cancelled, reruns=reruns, aborted=aborted)
        expect(row["bytes_per_waiter"] > 0, f"a waiter without memory: {row}")
        before, waiting = row["threads_before"], row["threads_waiting"]
        if sys.platform == "linux":
            expect(before and waiting, f"no threads read: {row}")
            expect(waiting <= before, f"threads for waiting: {row}")
    parked = rows[4:]
    expect(len(parked) == 2, f"{len(parked)} rows after the storms")
    for row in parked:
        begins_with(row, PARKED)
    pool = parked[0]["pool"]
    equal(parked[0], kind="parked", duplicates=pool - 1, outcome="ok")
    equal(parked[1], kind="parked", pool=pool, duplicates=pool, outcome="deadlock")


def trace(rows, runtime):
    """20 requests of token `hot` while the first runs, one after it, and one of another token."""
    expect(len(rows) == 1, f"{len(rows)} rows")
    (row,) = rows
    begins_with(row, TRACE)
    equal(row, kind="trace", runtime=runtime, requests=22, tokens=2, executions=3, joined=19, aborted=0,
          largest_flight=19, policy="continue", cancel=0, retain_ms=None, cancelled=0, reruns=0, retained=0, settled=3)
    ends_with(row, ["policy", "cancel", "retain_ms", "cancelled", "reruns", "retained", "settled"])
    expect(row["waited_max_ms"] >= 100, f"duplicates did not wait: {row}")


def lost(rows, policy, executions, reruns, aborted, left):
    """Of 20 requests of one token, some leave when the first one's operation is half done, that one included."""
    (row,) = rows
    equal(row, policy=policy, requests=20, tokens=1, executions=executions, joined=19, reruns=reruns, aborted=aborted,
          cancelled=left, resumed=20 - left, settled=1 - aborted)


def retained(rows, policy, retained):
    """Ten requests of one token while the first runs, and ten after it."""
    (row,) = rows
    equal(row, policy=policy, requests=20, resumed=20, cancelled=0, aborted=0, retained=retained)
    if retained:
        equal(row, executions=1, joined=9)
    else:
        equal(row, executions=2, joined=18)


def main():
    kind, *wanted = sys.argv[1:]
    rows = [json.loads(line) for line in sys.stdin]
    if kind == "trace":
        trace(rows, *wanted)
    elif kind == "retained":
        retained(rows, wanted[0], int(wanted[1]))
    elif kind == "lost":
        lost(rows, wanted[0], *map(int, wanted[1:]))
    else:
        duplicates, *told = wanted
        storm(rows, int(duplicates), *(told and [told[0], int(told[1])]))


main()
