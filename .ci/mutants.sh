#!/usr/bin/env bash
# cargo-mutants on the core: each function with another result, each comparison turned round; some test must notice.
#     bash .ci/mutants.sh                 all of the core: hours
#     bash .ci/mutants.sh state slab      core/src/**/state.rs and core/src/**/slab.rs
# In two rounds: first the tests that are built fastest, then, for what these have missed, nearly all there are. What is
# left out, and why, stands in .cargo/mutants.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
source .ci/lib.sh
cargo_tool cargo-mutants 27.1.0

readonly home=$PWD tree=$PWD/target/mutants/tree
readonly fast=(--lib --test by_hand)
readonly wide=("${fast[@]}" --test superseded --test colliding_keys --test memory --test drops --test peers_bugs
  --test refusals --test ended_while_polled --test retained_memory --test bad_input --test hostile_gate
  --test hostile_keys --test hostile_operation_wakers --test hostile_operations --test hostile_rerun
  --test hostile_retain --test hostile_stopping --test hostile_values --test hostile_waker_clones --test hostile_wakers)

files=()
[ $# -gt 0 ] || set -- '*'
for name in "$@"; do
  files+=(--file "core/src/**/$name.rs")
done

copy_tree "$tree"
export CARGO_TARGET_DIR=$home/target/mutants/build CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=1
out=$home/target/mutants
# round TESTS...: first without a mutant, which cargo-mutants would do in the core's own package alone. Its status is 2
# when some are missed and 3 when some hang; both are read from what it writes.
round() {
  (cd "$tree" && cargo test --quiet -p oneflight-core -p oneflight-conformance "$@" >"$out/before.log" 2>&1) ||
    { cat "$out/before.log" >&2; exit 1; }
  (cd "$tree" && cargo mutants --in-place --no-shuffle --baseline skip --timeout 60 --colors never --output "$out" \
    --test-package oneflight-core,oneflight-conformance --caught "${files[@]}" "${again[@]}" "${@/#/--cargo-arg=}") || [ $? -le 3 ]
}
again=()
rm -rf "$out/mutants.out" "$out/mutants.out.old"
round "${fast[@]}"
ran=$(($(cat "$out"/mutants.out/{caught,missed,timeout,unviable}.txt | wc -l)))
cat "$out"/mutants.out/{caught,timeout}.txt >"$out/noticed.txt"
unviable=$(wc -l <"$out/mutants.out/unviable.txt")
timeouts=$(wc -l <"$out/mutants.out/timeout.txt")
if [ -s "$out/mutants.out/missed.txt" ]; then
  again=(--iterate)
  round "${wide[@]}"
  cat "$out"/mutants.out/{caught,timeout}.txt >>"$out/noticed.txt"
fi
noticed=$(sort -u "$out/noticed.txt" | wc -l)
missed=$(wc -l <"$out/mutants.out/missed.txt")
cat "$out/mutants.out/missed.txt"
echo "mutants: $ran ran: $noticed caught, $timeouts of them as a hang; $unviable do not build; $missed missed"
[ "$missed" -eq 0 ] || exit 1
checks=$noticed
finish mutants 1
