//! The type system, tested: what may cross threads, unwind boundaries and moves, for good and for bad parameters.

use std::cell::Cell;
use std::error::Error as StdError;
use std::future::Ready;
use std::hash::Hash;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::MutexGuard;

use oneflight_core::error::{Aborted, AlreadySettled, Cause, Rejected, SettleError, SharedError};
use oneflight_core::gate::Gate;
use oneflight_core::handle::{Run, Spawned, TryWork, Wait, Work};
use oneflight_core::rt::Timeout;
use oneflight_core::{
    Begin, Entry, Error, FlightId, Group, GroupBuilder, Primary, RandomState, SettleCell, Settled,
    Stats, Success, Waiter,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

/// `Send`, not `Sync`.
type SendOnly = Cell<u8>;
/// `Sync`, not `Send`.
type SyncOnly = MutexGuard<'static, u8>;
/// Neither.
type Neither = Rc<u8>;

type TimeoutOf<K, T> = Timeout<'static, Waiter<K, T>, Ready<()>>;
type RunOf<K, T> = Run<K, T, Ready<T>>;
type SuccessOf<K, T> = Success<K, T, T>;
/// `Run` with an operation that is fine, whatever the value is.
type RunPlain<K, T> = Run<K, T, Ready<()>>;

macro_rules! crosses_threads_exactly_with_send_and_sync_parameters {
    ($($handle:ident)*) => { $(
        assert_impl_all!($handle<u8, u8>: Send, Sync);
        assert_impl_all!($handle<String, Vec<u8>>: Send, Sync);
        assert_not_impl_any!($handle<SendOnly, u8>: Send, Sync);
        assert_not_impl_any!($handle<SyncOnly, u8>: Send, Sync);
        assert_not_impl_any!($handle<Neither, u8>: Send, Sync);
        assert_not_impl_any!($handle<u8, SendOnly>: Send, Sync);
        assert_not_impl_any!($handle<u8, SyncOnly>: Send, Sync);
        assert_not_impl_any!($handle<u8, Neither>: Send, Sync);
        assert_not_impl_any!($handle<Neither, Neither>: Send, Sync);
    )* };
}

#[test]
fn handles_cross_threads_exactly_when_key_and_value_may_be_shared() {
    crosses_threads_exactly_with_send_and_sync_parameters!(
        Group Primary Waiter Settled SuccessOf Work Spawned Begin TimeoutOf RunPlain
    );
    // It can be made of what crosses threads only.
    assert_impl_all!(SharedError<u8>: Send, Sync, Unpin);
}

#[test]
fn an_operation_decides_for_its_run_future_too() {
    assert_impl_all!(RunOf<u8, u8>: Send, Sync);
    assert_impl_all!(Run<u8, u8, Cell<u8>>: Send);
    assert_not_impl_any!(Run<u8, u8, Cell<u8>>: Sync);
    assert_not_impl_any!(Run<u8, u8, Rc<u8>>: Send, Sync);
    assert_not_impl_any!(Timeout<'static, Waiter<u8, u8>, Rc<u8>>: Send, Sync);
}

#[test]
fn a_hasher_decides_for_its_group_too() {
    assert_impl_all!(Group<u8, u8, std::hash::RandomState>: Send, Sync);
    assert_not_impl_any!(Group<u8, u8, Rc<u8>>: Send, Sync);
    assert_not_impl_any!(Group<u8, u8, Cell<u8>>: Send, Sync);
    assert_impl_all!(GroupBuilder<u8, u8, RandomState>: Send, Sync);
    assert_not_impl_any!(GroupBuilder<u8, u8, Rc<u8>>: Send, Sync);
    assert_impl_all!(Entry<'static, Group<u8, u8>>: Send, Sync);
    assert_impl_all!(Entry<'static, Gate<u8, u8>>: Send, Sync);
    assert_impl_all!(Entry<'static, Group<String, u8>, str>: Send, Sync);
    assert_not_impl_any!(Entry<'static, Group<Neither, u8>>: Send, Sync);
    assert_not_impl_any!(Entry<'static, Group<u8, Neither>>: Send, Sync);
}

#[test]
fn a_cell_needs_send_to_move_and_both_to_be_shared() {
    assert_impl_all!(SettleCell<u8>: Send, Sync);
    assert_impl_all!(SettleCell<SendOnly>: Send);
    assert_not_impl_any!(SettleCell<SendOnly>: Sync);
    assert_not_impl_any!(SettleCell<SyncOnly>: Send, Sync);
    assert_not_impl_any!(SettleCell<Neither>: Send, Sync);

    assert_impl_all!(Wait<'static, u8>: Send, Sync);
    assert_not_impl_any!(Wait<'static, SendOnly>: Send, Sync);
    assert_not_impl_any!(Wait<'static, SyncOnly>: Send, Sync);
    assert_not_impl_any!(Wait<'static, Neither>: Send, Sync);
}

#[test]
fn handles_may_cross_an_unwind_boundary_whatever_they_carry() {
    macro_rules! unwind_safe {
        ($($handle:ident)*) => { $(
            assert_impl_all!($handle<u8, u8>: UnwindSafe, RefUnwindSafe);
            assert_impl_all!($handle<Cell<u8>, Cell<u8>>: UnwindSafe, RefUnwindSafe);
            assert_impl_all!($handle<&'static mut u8, &'static mut u8>: UnwindSafe, RefUnwindSafe);
        )* };
    }
    unwind_safe!(Group Primary Waiter Settled SuccessOf Work Spawned Begin);
    assert_impl_all!(Group<u8, u8, Cell<u8>>: UnwindSafe, RefUnwindSafe);
    assert_impl_all!(SettleCell<Cell<u8>>: UnwindSafe, RefUnwindSafe);
    assert_impl_all!(SettleCell<&'static mut u8>: UnwindSafe, RefUnwindSafe);
    assert_impl_all!(Wait<'static, Cell<u8>>: UnwindSafe, RefUnwindSafe);
}

#[test]
fn handles_move_freely_even_when_the_value_must_not() {
    macro_rules! unpin {
        ($($handle:ident)*) => { $(
            assert_impl_all!($handle<PhantomPinned, PhantomPinned>: Unpin);
        )* };
    }
    unpin!(Group Primary Waiter Settled SuccessOf Work Spawned Begin RunPlain TimeoutOf);
    assert_impl_all!(Wait<'static, PhantomPinned>: Unpin);
    // A pinned operation stays pinned.
    assert_not_impl_any!(Run<u8, u8, PhantomPinned>: Unpin);
    assert_not_impl_any!(Timeout<'static, Waiter<u8, u8>, PhantomPinned>: Unpin);
}

#[test]
fn a_role_can_not_be_duplicated_and_an_outcome_can() {
    assert_not_impl_any!(Primary<u8, u8>: Clone, Copy, Default);
    assert_not_impl_any!(Waiter<u8, u8>: Clone, Copy, Default);
    assert_not_impl_any!(Work<u8, u8>: Clone, Copy, Default);
    assert_not_impl_any!(Spawned<u8, u8>: Clone, Copy, Default);
    assert_not_impl_any!(Begin<u8, u8>: Clone, Copy, Default);
    assert_not_impl_any!(Wait<'static, u8>: Clone, Copy, Default);
    assert_not_impl_any!(SettleCell<u8>: Clone, Copy);
    // No copy of the value is asked for, nor of the key, the hasher, or a print of any of them.
    struct Plain;
    assert_impl_all!(Settled<Plain, Plain>: Clone);
    assert_impl_all!(Success<Plain, Plain, Plain>: Clone);
    assert_impl_all!(SharedError<Plain>: Clone);
    assert_impl_all!(Group<Plain, Plain, Plain>: Clone, std::fmt::Debug);
    assert_impl_all!(Primary<Plain, Plain>: std::fmt::Debug);
    assert_impl_all!(Waiter<Plain, Plain>: std::fmt::Debug);
    assert_impl_all!(Work<Plain, Plain>: std::fmt::Debug);
    assert_impl_all!(Spawned<Plain, Plain>: std::fmt::Debug);
    assert_impl_all!(SettleCell<Plain>: std::fmt::Debug, Default);
    assert_impl_all!(SettleError<Plain>: StdError);
    assert_impl_all!(AlreadySettled<Plain>: StdError);
    // A settled value is shared: nobody gets at it exclusively.
    assert_not_impl_any!(Settled<u8, u8>: std::ops::DerefMut, AsMut<u8>);
    assert_not_impl_any!(Success<u8, u8, u8>: std::ops::DerefMut, AsMut<u8>);
    assert_not_impl_any!(SharedError<u8>: std::ops::DerefMut, AsMut<u8>);
}

#[test]
fn an_outcome_is_what_its_value_is() {
    macro_rules! as_the_value {
        ($($Handle:ty)*) => { $(
            assert_impl_all!($Handle: std::fmt::Debug, std::fmt::Display, Eq, Hash);
        )* };
    }
    as_the_value!(Settled<u8, u8> Settled<Plain, u8> Success<u8, u8, u8> Success<Plain, u8, Plain>);
    assert_impl_all!(SharedError<u8>: std::fmt::Debug, std::fmt::Display, Eq, StdError);
    macro_rules! nothing {
        ($($Handle:ty)*) => { $(
            assert_not_impl_any!($Handle: std::fmt::Debug, std::fmt::Display, PartialEq, Hash);
        )* };
    }
    struct Plain;
    nothing!(Settled<u8, Plain> Success<u8, Plain, u8>);
    assert_not_impl_any!(SharedError<Plain>: std::fmt::Debug, std::fmt::Display, PartialEq, StdError);
    // It would hide those of the value, `Result::as_ref` say.
    assert_not_impl_any!(Settled<u8, Result<u8, u8>>: AsRef<Result<u8, u8>>);
}

#[test]
fn plain_data_is_plain() {
    assert_impl_all!(FlightId: Copy, Ord, Hash, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
    assert_impl_all!(Cause: Copy, Eq, Hash, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
    assert_impl_all!(Stats: Copy, Eq, Default, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe);
    assert_impl_all!(RandomState: Clone, Default, Send, Sync, UnwindSafe, RefUnwindSafe);
    macro_rules! errors {
        ($($error:ident)*) => { $(
            assert_impl_all!($error: StdError, Copy, Eq, Hash, Send, Sync, UnwindSafe, RefUnwindSafe);
        )* };
    }
    errors!(Aborted Rejected Error);
}

#[test]
fn an_operation_decides_whether_a_panic_can_be_caught_around_it() {
    type Unsafe = Ready<&'static mut u8>;
    assert_impl_all!(Run<Neither, Neither, Ready<u8>>: UnwindSafe, RefUnwindSafe);
    assert_not_impl_any!(Run<u8, u8, Unsafe>: UnwindSafe);
    assert_impl_all!(TryWork<u8, u8, fn() -> Ready<u8>, Ready<u8>>: UnwindSafe, RefUnwindSafe);
    assert_not_impl_any!(TryWork<u8, u8, fn() -> Unsafe, Unsafe>: UnwindSafe);
    assert_impl_all!(Timeout<'static, Waiter<u8, u8>, Ready<()>>: UnwindSafe, RefUnwindSafe);
    assert_not_impl_any!(Timeout<'static, Waiter<u8, u8>, Unsafe>: UnwindSafe);
    assert_impl_all!(GroupBuilder<u8, u8>: UnwindSafe, RefUnwindSafe);
}

#[test]
fn an_error_that_gives_the_value_back_is_as_the_value_is() {
    assert_impl_all!(SettleError<u8>: Send, Sync);
    assert_impl_all!(SettleError<SendOnly>: Send);
    assert_not_impl_any!(SettleError<SendOnly>: Sync);
    assert_impl_all!(SettleError<SyncOnly>: Sync);
    assert_not_impl_any!(SettleError<SyncOnly>: Send);
    assert_not_impl_any!(SettleError<Neither>: Send, Sync);
}

#[test]
fn handles_are_small_whatever_they_carry() {
    const WORD: usize = size_of::<usize>();
    type Big = [u64; 1024];
    assert!(size_of::<Waiter<u64, u64>>() <= 24);
    assert_eq!(size_of::<Waiter<u64, u64>>(), 2 * WORD);
    assert_eq!(size_of::<Option<Waiter<u64, u64>>>(), 2 * WORD);
    assert_eq!(size_of::<Waiter<Big, Big>>(), 2 * WORD);
    assert_eq!(size_of::<Primary<Big, Big>>(), 2 * WORD);
    assert_eq!(size_of::<Settled<Big, Big>>(), WORD);
    assert_eq!(size_of::<Option<Settled<Big, Big>>>(), WORD);
    assert_eq!(size_of::<Group<Big, Big>>(), WORD);
    assert_eq!(size_of::<Wait<'static, Big>>(), 2 * WORD);
    assert!(size_of::<Work<Big, Big>>() <= 2 * WORD + 8);
    // The same, and its operation and what makes that: here they are empty.
    assert!(size_of::<TryWork<Big, Big, (), ()>>() <= 2 * WORD + 16);
    assert!(size_of::<Spawned<Big, Big>>() <= 4 * WORD);
    assert!(size_of::<Begin<Big, Big>>() <= 4 * WORD);
    assert_eq!(size_of::<Option<FlightId>>(), size_of::<u64>());
}
