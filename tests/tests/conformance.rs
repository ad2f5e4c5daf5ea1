//! Every case on every executor: `tokio_multi::a_waiter_may_be_dropped_at_any_point`, and so on.

use oneflight_conformance::executors::{
    AsyncStd, Hand, SmolGlobal, SmolLocal, TokioCurrent, TokioLocal, TokioMulti,
};
use oneflight_conformance::{cases, conform};

macro_rules! tests {
    ($executor:ty: $($theme:ident: $($case:ident)*;)*) => {
        $($(
            #[test]
            fn $case() {
                conform::<$executor, _>(stringify!($case), cases::$theme::$case);
            }
        )*)*
    };
}

macro_rules! on {
    ($module:ident, $executor:ty, $($local:ident)*) => {
        mod $module {
            use super::*;
            $($local!($executor);)*
            tests! { $executor:
                abort_handle:
                    an_abort_handle_ends_the_flight_and_drops_the_operation
                    an_abort_handle_touches_no_newer_flight
                    a_blocking_call_that_is_aborted_keeps_nobody_waiting;
                begin:
                    callers_that_begin_at_once_get_one_primary
                    only_a_primary_clones_a_borrowed_key
                    the_ids_of_a_key_rise;
                blocking:
                    parked_threads_get_the_outcome_of_a_task
                    a_settle_from_the_blocking_pool_reaches_tasks
                    parked_threads_are_told_of_an_abort
                    a_deadline_that_passes_ends_nothing
                    an_outcome_comes_before_a_deadline
                    threads_and_tasks_wait_for_a_bare_cell;
                detach:
                    a_spawned_operation_runs_to_its_end_without_callers
                    a_spawned_operation_settles_though_nobody_waits
                    callers_of_spawn_are_left_alone_until_the_outcome
                    a_blocking_call_takes_one_thread_whatever_waits
                    a_blocking_call_runs_to_its_end_without_callers;
                detach_loss:
                    a_panic_ends_in_the_task
                    a_runtime_that_drops_the_task_inline_aborts_the_flight
                    a_runtime_that_runs_the_task_inline_settles_the_flight
                    a_runtime_that_drops_the_task_later_aborts_the_flight;
                fingerprint:
                    another_payload_of_a_key_is_a_mismatch
                    a_retained_outcome_is_for_its_own_payload
                    a_call_without_a_fingerprint_shares
                    racers_with_two_payloads_share_one_and_refuse_the_other
                    another_payload_of_a_token_is_a_mismatch;
                forget:
                    a_forgotten_flight_settles_for_its_own_and_touches_no_newer_one
                    the_loss_of_an_old_flight_touches_no_newer_one
                    forgotten_flights_of_one_key_end_in_any_order
                    a_forgotten_work_flight_goes_on_for_those_in_it
                    only_a_key_in_flight_can_be_forgotten
                    flights_outlive_the_last_handle_of_their_group;
                heels:
                    a_begin_that_finds_an_aborted_flight_replaces_it
                    a_begin_that_finds_a_settled_flight_is_ready_or_the_next;
                gate:
                    a_gate_that_is_held_turns_another_token_away
                    a_holder_without_a_token_is_never_joined
                    a_refusal_is_never_inherited_as_an_outcome
                    only_the_holder_releases_the_gate
                    a_reentrant_gate_lets_everyone_in
                    an_invocation_that_begins_its_own_token_is_told;
                gate_queue:
                    turns_come_in_the_order_of_asking
                    a_newcomer_does_not_pass_those_who_wait
                    duplicates_of_a_queued_token_wait_for_that_claim
                    a_queued_caller_that_leaves_takes_its_claim_with_it
                    a_turn_may_be_dropped_at_any_point;
                limits:
                    one_waiter_too_many_is_full_at_once
                    participants_count_as_waiters
                    one_flight_too_many_is_full_at_once
                    what_is_retained_counts_for_no_limit
                    limits_stay_exact_while_threads_race;
                lost_primary:
                    a_dropped_guard_aborts_its_waiters_and_frees_the_key
                    an_abort_says_that_it_was_cancelled
                    a_guard_dropped_by_a_panic_says_so
                    a_panic_in_run_goes_on_in_the_primary_alone
                    a_dropped_run_aborts_its_waiters_before_it_drops_the_operation
                    a_panic_in_a_poll_of_work_goes_on_in_its_driver_alone
                    a_panic_in_the_making_of_work_ends_the_flight
                    an_error_of_the_operation_reaches_everyone
                    ten_thousand_cancelled_primaries_leave_nothing;
                max_age:
                    a_flight_that_is_too_old_gives_way
                    racers_supersede_a_flight_exactly_once
                    an_operation_that_is_superseded_is_dropped
                    a_superseded_primary_keeps_the_group_from_draining
                    every_kind_of_call_supersedes;
                mixed:
                    a_begin_on_a_work_flight_never_drives
                    a_work_call_on_a_begin_flight_only_waits
                    work_and_spawn_wait_for_each_other
                    a_blocking_thread_waits_on_a_flight_of_any_kind
                    work_calls_that_leave_a_begin_flight_end_nothing;
                reentrant:
                    an_operation_that_begins_its_own_key_is_told
                    a_nested_call_of_another_group_is_seen_through
                    what_is_reentrant_ends_with_the_poll
                    a_forgotten_operation_may_begin_its_key;
                rerun:
                    a_lost_driver_is_followed_by_exactly_one_rerun
                    the_flight_stays_registered_while_it_changes_hands
                    a_driver_that_panics_counts_as_lost
                    an_idle_heir_stalls_nobody
                    an_operation_of_rerun_may_borrow_and_be_not_send;
                rerun_ends:
                    a_budget_that_is_used_up_ends_the_flight_for_everyone
                    plain_waiters_hear_that_the_budget_is_used_up
                    the_last_participant_of_a_rerun_ends_the_flight
                    callers_of_other_kinds_never_run_a_rerun_flight
                    a_rerun_call_on_another_flight_only_waits;
                retain:
                    a_late_duplicate_gets_the_outcome_at_once
                    only_what_was_settled_is_retained
                    a_forgotten_flight_is_not_retained
                    forgetting_a_retained_outcome_frees_it
                    a_retained_outcome_keeps_no_waker
                    a_panic_of_keep_ends_the_flight
                    the_last_handle_frees_what_is_retained;
                retain_window:
                    an_outcome_expires_exactly_at_its_deadline
                    each_flight_has_a_window_of_its_own
                    successes_and_failures_have_windows_of_their_own
                    the_oldest_outcome_of_a_full_shard_goes
                    the_capacity_is_shared_out_among_the_shards
                    what_has_expired_is_freed_by_later_calls;
                stopping:
                    a_closed_group_begins_nothing_and_lets_duplicates_join
                    abort_all_ends_every_flight_there_is
                    a_group_is_drained_when_it_is_closed_and_empty
                    waiting_for_the_drain_may_be_given_up
                    close_and_abort_all_drain_a_group;
                stopping_races:
                    a_drain_races_with_begins_and_settles
                    an_abort_of_all_races_with_settles;
                timeouts:
                    a_time_out_is_no_abort_and_touches_nobody
                    an_outcome_within_the_time_is_the_outcome
                    a_dropped_time_out_leaves_the_waiter_as_it_was
                    the_adapters_clock_rings_in_a_task;
                waiting:
                    a_waiter_that_registers_after_the_settle_is_ready_at_its_first_poll
                    a_settle_from_another_thread_reaches_a_waiter_that_is_registering
                    a_waiter_may_be_dropped_at_any_point
                    the_last_waiter_is_ready_though_no_other_is_polled
                    a_parked_waiter_is_left_alone_until_the_outcome
                    a_second_settle_gets_its_value_back
                    a_resumed_waiter_begins_a_new_flight
                    a_begin_from_inside_the_wake_starts_a_new_flight
                    a_waiter_counts_until_it_is_dropped_or_resolved
                    a_ready_waiter_is_ready_again;
                work:
                    a_duplicates_operation_is_never_made
                    a_lost_driver_leaves_the_operation_where_it_stood
                    a_driver_that_leaves_a_ready_operation_wakes_every_participant
                    a_driver_that_leaves_a_waiting_operation_wakes_nobody
                    a_participant_that_does_not_drive_leaves_unnoticed
                    duplicates_that_come_while_the_operation_is_made_take_it_over
                    an_idle_driver_does_not_stall_a_participant_that_is_polled
                    an_operation_that_wakes_itself_is_polled_again;
                work_ends:
                    the_last_participant_to_leave_ends_the_flight
                    a_newcomer_after_the_end_starts_its_own
                    a_newcomer_before_the_end_continues_the_operation
                    a_call_from_within_the_drop_starts_its_own
                    participants_that_were_never_polled_keep_the_flight
                    a_ready_call_is_ready_again;
            }
        }
    };
}

macro_rules! and_not_send {
    ($executor:ty) => {
        tests! { $executor:
            local:
                a_guard_that_is_not_send_settles_and_aborts
                primary_run_takes_an_operation_that_is_not_send;
        }
    };
}

on!(tokio_multi, TokioMulti,);
on!(tokio_current, TokioCurrent,);
on!(tokio_local, TokioLocal, and_not_send);
on!(smol_global, SmolGlobal,);
on!(smol_local, SmolLocal, and_not_send);
on!(async_std, AsyncStd,);
on!(hand, Hand, and_not_send);

/// A case that is written and not listed above would never run.
#[test]
fn every_case_is_listed() {
    let here = include_str!("conformance.rs");
    let listed: Vec<&str> = here
        .lines()
        .map(|line| line.trim().trim_end_matches(';'))
        .collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cases");
    let mut cases = 0;
    for file in std::fs::read_dir(folder).expect("the cases are there") {
        let path = file.expect("readable").path();
        let source = std::fs::read_to_string(&path).expect("readable");
        for line in source.lines() {
            let Some(name) = line.strip_prefix("pub async fn ") else {
                continue;
            };
            let (name, _) = name.split_once('<').expect("generic over the executor");
            assert!(listed.contains(&name), "{name} is not listed");
            cases += 1;
        }
    }
    assert!(cases > 110, "only {cases} cases found");
}
