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
                mixed:
                    a_begin_on_a_work_flight_never_drives
                    a_work_call_on_a_begin_flight_only_waits
                    work_and_spawn_wait_for_each_other
                    a_blocking_thread_waits_on_a_flight_of_any_kind
                    work_calls_that_leave_a_begin_flight_end_nothing;
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
    assert!(cases > 60, "only {cases} cases found");
}
