"""Checks the rows that `retry_storm --json` prints. Usage: storm_rows.py storm N | trace RUNTIME < rows"""

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


def equal(row, **wanted):
    for key, value in wanted.items():
        expect(row[key] == value, f"{key} of {row} is not {value}")


def storm(rows, duplicates):
    runtimes = [row["runtime"] for row in rows if row["kind"] == "storm"]
    expect(runtimes == ["tokio", "tokio-current", "smol", "async-std"], f"storms on {runtimes}")
    for row in rows[:4]:
        begins_with(row, STORM)
        equal(row, duplicates=duplicates, executions=1, resumed=duplicates)
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
          largest_flight=19)
    expect(row["waited_max_ms"] >= 100, f"duplicates did not wait: {row}")


def main():
    kind, wanted = sys.argv[1:]
    rows = [json.loads(line) for line in sys.stdin]
    if kind == "storm":
        storm(rows, int(wanted))
    else:
        trace(rows, wanted)


main()
