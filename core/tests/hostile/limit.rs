//! What every attack needs, on every build of the core: a time limit, a list of the cases that went
//! wrong, a way to tell whether user code runs inside a critical section, and panics that make no
//! noise.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;
use std::{io, thread};

/// Generous: reached only by a dead-lock.
const LIMIT: Duration = Duration::from_secs(30);

/// A build without `std` can not end a second panic: it would abort the process, as documented. Nor
/// does it know whether the thread unwinds.
pub(crate) const ISOLATES_PANICS: bool = cfg!(feature = "std");

/// Far longer than the core stays in a critical section, on however busy a machine.
#[cfg(feature = "critical-section")]
const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// The case that runs on this thread.
    static CASE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// In some cases sixty wakers each poll the next caller inline. Without optimization that takes about
/// two megabytes.
const STACK: usize = 16 << 20;

/// Runs a case on a thread of its own; the error says what was wrong with it: it hung, or panicked.
pub(crate) fn within_limit(
    name: &str,
    case: impl FnOnce() + Send + 'static,
) -> Result<(), (Wrong, String)> {
    tell_the_case_of_a_panic();
    let (done, ended) = sync_channel::<()>(1);
    let own_name = name.to_owned();
    let thread = thread::Builder::new().stack_size(STACK);
    let thread = thread.spawn(move || {
        CASE.with(|case| case.replace(own_name));
        case();
        drop(done);
    });
    let thread = thread.expect("a thread for the case");
    match ended.recv_timeout(LIMIT) {
        // The thread can not be ended; it is left to the end of the process.
        Err(RecvTimeoutError::Timeout) => Err((Wrong::Hung, format!("{name}: dead-locked"))),
        _ => thread.join().map_err(|payload| {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()));
            let text = text.unwrap_or_else(|| "a panic got out".to_owned());
            (Wrong::Panicked, format!("{name}: {text}"))
        }),
    }
}

/// Runs every case, each within the limit, and fails with what was wrong with them; and when there
/// are fewer than `at_least`.
pub(crate) fn survive<C: FnOnce() + Send + 'static>(
    cases: impl Iterator<Item = (String, C)>,
    at_least: usize,
) {
    /// As many wrong cases as are worth waiting for: a fault shows everywhere.
    const ENOUGH: usize = 10;
    let (mut ran, mut wrong) = (0, Vec::new());
    for (name, case) in cases {
        ran += 1;
        if let Err((how, text)) = within_limit(&name, case) {
            wrong.push(text);
            // A case that hangs may hold what the next ones need.
            if how == Wrong::Hung || wrong.len() == ENOUGH {
                break;
            }
        }
    }
    println!("cases survived: {}", ran - wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ran >= at_least, "only {ran} cases");
}

/// One case, where there is no table.
pub(crate) fn alone(case: impl FnOnce() + Send + 'static) {
    survive(std::iter::once(("this test".to_owned(), case)), 1);
}

/// What was wrong with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It did not end in time.
    Hung,
    /// It panicked.
    Panicked,
}

/// A panic that aborts the process can not be reported by the test: its hook says which case it
/// was.
fn tell_the_case_of_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = take_hook();
        set_hook(Box::new(move |info| {
            CASE.with(|case| {
                let case = case.try_borrow();
                if let Some(case) = case.ok().filter(|case| !case.is_empty()) {
                    use io::Write;
                    // Past the test harness, which keeps what an aborted test has printed.
                    writeln!(io::stderr(), "in the case {case}").ok();
                }
            });
            next(info);
        }));
    });
}

/// Panics without the hook: a panic that a case wants makes no noise.
pub(crate) fn quiet_panic() -> ! {
    quiet_panic_of("on purpose")
}

/// As [`quiet_panic`], of a kind that a test tells from others.
pub(crate) fn quiet_panic_of(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Whether `f` panics.
pub(crate) fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// What `f` panics with, if that is a text.
pub(crate) fn panic_text(f: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
}

/// Runs `f` while this thread unwinds. A panic that leaves it there would abort the process.
#[cfg(feature = "std")]
pub(crate) fn while_unwinding(f: impl FnOnce()) {
    struct Last<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Last<F> {
        fn drop(&mut self) {
            if let Some(f) = self.0.take() {
                f();
            }
        }
    }
    let last = Last(Some(f));
    assert!(panics(move || {
        let _last = last;
        quiet_panic();
    }));
}

/// Locks what no case holds over user code; a panic that passed it by has broken nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this thread is inside a critical section: then another thread does not get into one.
/// True everywhere but on the `critical-section` build, where re-entry on the same thread would go
/// unnoticed; elsewhere it dead-locks, and the time limit tells.
pub(crate) fn outside_of_every_section() -> bool {
    #[cfg(feature = "critical-section")]
    return probe::passes(PATIENCE);
    #[cfg(not(feature = "critical-section"))]
    true
}

#[cfg(feature = "critical-section")]
mod probe {
    use std::sync::OnceLock;
    use std::sync::mpsc::{Sender, channel};

    use super::{Duration, Mutex, lock, thread};

    static PROBER: OnceLock<Mutex<Sender<Sender<()>>>> = OnceLock::new();

    /// A thread that enters a section whenever it is asked to.
    fn start() -> Mutex<Sender<Sender<()>>> {
        let (ask, asked) = channel::<Sender<()>>();
        thread::spawn(move || {
            for answer in asked {
                critical_section::with(|_| ());
                // Nobody listens any more to an answer that came too late.
                answer.send(()).ok();
            }
        });
        Mutex::new(ask)
    }

    pub(crate) fn passes(patience: Duration) -> bool {
        let (answer, answered) = channel();
        let asked = lock(PROBER.get_or_init(start)).send(answer);
        asked.is_ok() && answered.recv_timeout(patience).is_ok()
    }
}

#[test]
#[cfg(feature = "critical-section")]
fn the_probe_tells_inside_from_outside() {
    assert!(outside_of_every_section());
    let patience = Duration::from_millis(100);
    assert!(!critical_section::with(|_| probe::passes(patience)));
    assert!(outside_of_every_section());
}
