#!/usr/bin/env bash
# What the compiler can not see, seen while the tests run:
#     bash .ci/sanitize.sh [asan|tsan|memcheck]...
# asan      AddressSanitizer and LeakSanitizer on every test of the workspace, the hostile users' slow ones too
# tsan      ThreadSanitizer, with a `std` that is instrumented too, on the tests in which threads meet
# memcheck  valgrind, on what exercises the cell
# Without an argument, all three: about half an hour. None needs a nightly compiler.
# Left out of asan and tsan is `calls_of_every_kind_add_up_exactly_on_one_thread`: its twin makes the same calls on four
# threads, and under a sanitizer it takes longer than its watchdog allows.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=.ci/lib.sh
source .ci/lib.sh

host=$(rustc -vV | sed -n 's/^host: //p')
readonly too_slow=calls_of_every_kind_add_up_exactly_on_one_thread
mkdir -p target/sanitize

# passed LOG EXPECTED: counts the tests that a log says have passed.
passed() {
  local ran
  ran=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$1" | awk '{sum += $1} END {print sum + 0}')
  [ "$ran" -ge "$2" ] || { echo "$part: $ran tests passed, $2 expected" >&2; exit 1; }
  checks=$((checks + ran))
  echo "$part: $ran tests passed"
}

asan() {
  CARGO_PROFILE_DEV_DEBUG=line-tables-only RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
    cargo test --quiet --no-fail-fast --workspace --tests --examples --target "$host" --target-dir target/asan \
    -- --skip "$too_slow" 2>&1 | tee target/sanitize/asan.log
  passed target/sanitize/asan.log 1123
}

# The tests in which threads meet. Of the executors there are `everywhere`, `seed_scenarios` and `shutdown`, where they meet;
# the conformance suite on each of them is slow to build.
readonly racing=(by_hand drops ended_while_polled everywhere retain_room seed_scenarios shutdown stress superseded threads)

tsan() {
  debian_rust
  local tests=()
  for test in "${racing[@]}"; do
    tests+=(--test "$test")
  done
  CARGO_PROFILE_DEV_DEBUG=line-tables-only RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread \
    RUSTC=$debian_rust/bin/rustc RUSTDOC=$debian_rust/bin/rustdoc \
    cargo test --quiet --no-fail-fast -p oneflight-core -p oneflight-conformance --test races "${tests[@]}" -Zbuild-std \
    --target "$host" --target-dir target/tsan -- --skip "$too_slow" 2>&1 |
    tee target/sanitize/tsan.log
  passed target/sanitize/tsan.log 188
}

# The tests that take every way through the cell; small, since each step is emulated. AddressSanitizer's alone are the tables of
# hostile users, and hostile wakers, which keep cells for ever. Of the stress tests one does.
readonly emulated=(by_hand colliding_keys drops flight_memory hostile retain_room stress superseded)
readonly too_large=(user_code_may_ an_operation_may_panic_and_panic_again wakers:: calls_of_every_kind_ random_calls_from_
  heirs_that_race_ an_operation_of_work_is_made_once_ an_operation_of_try_work_is_made_once_
  a_begin_that_finds_an_aborted_flight_replaces_it)

memcheck() {
  debian valgrind valgrind
  # An empty test makes this report too. What the product keeps by an inner address (an `Arc` in a waker) is not excused.
  cat >target/sanitize/memcheck.supp <<'SUPPRESSION'
{
   std keeps the handle of the main thread by the address behind its counters
   Memcheck:Leak
   match-leak-kinds: possible
   fun:malloc
   ...
   fun:*init_current*
   ...
   fun:*test_main*
}
SUPPRESSION
  local arguments=() program
  for test in "${emulated[@]}"; do
    arguments+=(--test "$test")
  done
  cargo test --quiet -p oneflight-core -p oneflight-conformance --test races "${arguments[@]}" --no-run --message-format=json |
    python3 -c 'import json, sys
for line in sys.stdin:
    program = json.loads(line).get("executable")
    if program: print(program)' >target/sanitize/programs
  : >target/sanitize/memcheck.log
  while read -r program; do
    valgrind -q --leak-check=full --suppressions=target/sanitize/memcheck.supp --errors-for-leak-kinds=definite,possible \
      --error-exitcode=9 "$program" --test-threads=1 "${too_large[@]/#/--skip=}" </dev/null 2>&1 | tee -a target/sanitize/memcheck.log
  done <target/sanitize/programs
  passed target/sanitize/memcheck.log 312
}

[ $# -gt 0 ] || set -- asan tsan memcheck
for part in "$@"; do
  case $part in
    asan | tsan | memcheck) "$part" ;;
    *) echo "sanitize: no part $part" >&2; exit 2 ;;
  esac
done
finish sanitize 188
