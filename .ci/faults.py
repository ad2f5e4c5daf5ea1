#!/usr/bin/env python3
"""Do the tests notice a fault? Plants the faults of .ci/faults.toml into a copy of the tree, one at a time, and runs the one
check that must then fail. A fault that its check does not see is a hole in the tests.

    python3 .ci/faults.py               all faults; before them each check once without any fault; 10 minutes on two cores
    python3 .ci/faults.py gate slab     those with `gate` or `slab` in their name, file or check; without the run before
    python3 .ci/faults.py --dry         builds nothing: is each text there once, and is each check there? A second
    python3 .ci/faults.py --table FILE  another table, with any of the above

A check is a kind, a file for some kinds, and the name of a test:
    unit NAME             a unit test of the core
    loom NAME             a model of core/tests/loom
    core FILE NAME        a test of core/tests, with `std`, `tracing` and `metrics`
    test FILE NAME        a test of tests/tests
    oracle TARGET         a target of fuzz/oracle on random bytes of fixed seeds: the cheapest kind

A test that hangs or dead-locks has caught the fault too. With FAULTS_TREE=.x everything that is written gets that ending, so
that several of these may run at once, each for other faults. FAULTS_LIMIT is how many seconds a check may take.
Needs Python 3.11, for tomllib.
"""
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
ENDING = os.environ.get("FAULTS_TREE", "")
BUILDS = HOME / "target/faults"
TREE = BUILDS / f"tree{ENDING}"
LOG = BUILDS / f"tree{ENDING}.log"
# The watchdog of the tests ends a test that hangs after 30 s. What is slower than this hangs for good.
LIMIT = int(os.environ.get("FAULTS_LIMIT", "300"))
AT_LEAST = 55

# Of each kind: the arguments of `cargo test`, the folder for what is built, the folders where the test may be written.
LOOM = [
    *"-p oneflight-core --features loom --test loom --release --config profile.release.opt-level=0 --config".split(),
    'profile.release.package."*".opt-level=3',  # built once; what each fault builds again is not optimised
]
KINDS = {
    "unit": ("-p oneflight-core --lib".split(), "plain", ["core/src"]),
    "loom": (LOOM, "loom", ["core/tests/loom"]),
    "core": ("-p oneflight-core --features tracing,metrics --test".split(), "core", ["core/tests"]),
    "test": ("-p oneflight-conformance --test".split(), "plain", ["tests/src", "tests/tests"]),
    "oracle": ("-p oneflight-oracle --test replay".split(), "plain", ["fuzz/oracle/src"]),
}
WITH_FILE = ("core", "test")


def edits(fault):
    """The edits of a fault: file, text to find, text to put."""
    for edit in fault.get("edits", [fault]):
        yield edit.get("file", fault.get("file")), edit["find"], edit["put"]


def about(fault):
    """What the words of a call are looked for in."""
    return " ".join([fault["name"], fault["check"], *(file for file, _, _ in edits(fault))])


def split(check):
    """A check in two: all before its name (which test program), and its name."""
    program, _, name = check.rpartition(" ")
    return program, name


def mistakes(fault, tree):
    """What is wrong with an entry of the table."""
    for file, find, put in edits(fault):
        there = (tree / file).read_text().count(find) if (tree / file).is_file() else 0
        if there == 0:
            now = [str(path.relative_to(tree)) for path in (tree / "core/src").rglob("*.rs") if find in path.read_text()]
            yield f"its text is not in {file}, but in {' and '.join(now) or 'no file of core/src'}"
        elif there > 1:
            yield f"its text is {there} times in {file}"
        elif find == put:
            yield "it changes nothing"
    program, name = split(fault["check"])
    kind, *file = program.split(" ")
    if kind not in KINDS or len(file) != (kind in WITH_FILE):
        yield f"no such kind of check: {fault['check']}"
        return
    sources = [path for folder in KINDS[kind][2] for path in (tree / folder).rglob("*.rs")]
    if kind == "oracle":
        found = name in [path.stem for path in sources]
    else:
        word = re.compile(rf"\b{name.rpartition('::')[2]}\b")
        found = any(word.search(path.read_text()) for path in sources)
    if not found:
        yield f"its check is not there: {fault['check']}"


def cargo_test(program, *arguments, limit=None):
    """Runs one test program with cargo. Its exit status, or None when it took too long; what it prints is in LOG."""
    kind, *file = program.split(" ")
    options, folder, _ = KINDS[kind]
    environment = os.environ | {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_PROFILE_RELEASE_DEBUG": "0"}
    environment |= {"CARGO_PROFILE_RELEASE_INCREMENTAL": "true", "CARGO_TERM_COLOR": "never"}
    if kind == "loom":
        environment["RUSTFLAGS"] = "--cfg loom"
    command = ["cargo", "test", "--target-dir", BUILDS / f"{folder}{ENDING}", *options, *file, *arguments]
    with open(LOG, "w") as log:
        job = subprocess.Popen(
            command, cwd=TREE, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            return job.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if job.returncode is None:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()


def run_check(program, names, limit):
    """The outcome of some tests of one program, in a word or two."""
    if cargo_test(program, "--quiet", "--no-run") != 0:
        return "does not build"
    if program == "oracle":
        names = [f"{name}::agrees_with_its_oracle_on_random_bytes" for name in names]
    status = cargo_test(program, "--", "--exact", *names, limit=limit)
    said = LOG.read_text(errors="replace")
    if status == 0:
        return "passes" if f"test result: ok. {len(names)} passed" in said else "is not there"
    if status is None and program == "loom":
        # A model may be slow, and never hangs: loom itself sees a dead-lock.
        return "takes too long"
    if status is None or "hangs: no end after" in said:
        return "caught: a hang"
    return "caught: a dead-lock" if "deadlock" in said.lower() else "caught: a failure"


def copy_tree():
    """The tree as it stands, tracked and new. The times of the files are new: nothing built from an earlier copy counts."""
    subprocess.run(["bash", "-c", 'source .ci/lib.sh && copy_tree "$1"', "_", TREE], cwd=HOME, check=True)


def plant(fault):
    """Changes the copy of the tree, and returns what its files held before."""
    before = {}
    for file, find, put in edits(fault):
        path = TREE / file
        text = path.read_text()
        before.setdefault(path, text)
        path.write_text(text.replace(find, put))
    return before


def main(*words):
    table = HOME / ".ci/faults.toml"
    if "--table" in words:
        at = words.index("--table")
        table = Path(words[at + 1])
        words = words[:at] + words[at + 2 :]
    dry, words = "--dry" in words, [word for word in words if word != "--dry"]
    faults = tomllib.loads(table.read_text())["fault"]
    if len({fault["name"] for fault in faults}) < len(faults):
        sys.exit("faults: two have the same name")
    if words:
        faults = [fault for fault in faults if any(word in about(fault) for word in words)]
    if len(faults) < (1 if words else AT_LEAST):
        sys.exit(f"faults: {len(faults)} faults found for {' '.join(words) or 'all'}")

    if dry:
        wrong = [f"{fault['name']}: {mistake}" for fault in faults for mistake in mistakes(fault, HOME)]
        if wrong:
            sys.exit("\n".join(["faults: the table does not fit the tree:", *wrong]))
        print(f"faults: {len(faults)} texts and their checks are there")
        return

    copy_tree()
    failed = 0
    checks = {}
    for program, name in sorted({split(fault["check"]) for fault in faults}):
        checks.setdefault(program, []).append(name)
    for program, names in checks.items() if not words else ():
        outcome = run_check(program, names, 10 * LIMIT)
        print(f"{program:<28} {len(names)} without a fault: {outcome}", flush=True)
        if outcome != "passes":
            failed += 1
            print(LOG.read_text(errors="replace"), file=sys.stderr)

    caught = 0
    for fault in faults:
        program, name = split(fault["check"])
        wrong = list(mistakes(fault, TREE))
        if wrong:
            outcome = f"does not fit: {'; '.join(wrong)}"
        else:
            before = plant(fault)
            # An oracle takes a second or two, so that one that hangs is told sooner.
            outcome = run_check(program, [name], LIMIT // 5 if program == "oracle" else LIMIT)
            for path, text in before.items():
                path.write_text(text)
        print(f"{fault['name']:<44} {outcome:<20} {fault['check']}", flush=True)
        caught += outcome.startswith("caught")
        if outcome == "does not build":
            print(LOG.read_text(errors="replace"), file=sys.stderr)
    if failed or caught < len(faults):
        sys.exit(f"faults: {caught} of {len(faults)} caught, {failed} programs fail without a fault: see above")
    print(f"faults: {caught} of {len(faults)} caught")


if __name__ == "__main__":
    main(*sys.argv[1:])
