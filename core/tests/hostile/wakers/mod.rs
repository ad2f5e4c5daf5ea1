//! Wakers that attack, as a table: every place where the core keeps a waker, every moment at which
//! the waker's code runs, every act. Each case has a name and a time limit.

mod act;
mod case;
pub(crate) mod hooked;
mod place;
mod setup;
mod told;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::act::{Act, REENTERING};
use self::case::{Case, Part};
use self::place::{PLACES, Place};
#[cfg(feature = "std")]
pub(crate) use self::setup::Shelf;
use crate::limit::survive;
#[cfg(feature = "std")]
use crate::limit::while_unwinding;

/// When the hostile part of the waker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Woken, by the call that ends what all wait for.
    Woken,
    /// Consumed by that wake.
    DroppedAfterItsWake,
    /// Cloned, in the first poll.
    ClonedToPark,
    /// Cloned, in a poll that replaces another waker.
    ClonedToReplace,
    /// Dropped, in a poll that brings another waker.
    Replaced,
    /// Dropped, with the future that waits.
    TakenBack,
    /// Cloned while all ends: the clone is of no use and is dropped.
    ClonedTooLate,
}

const MOMENTS: [Moment; 7] = [
    Moment::Woken,
    Moment::DroppedAfterItsWake,
    Moment::ClonedToPark,
    Moment::ClonedToReplace,
    Moment::Replaced,
    Moment::TakenBack,
    Moment::ClonedTooLate,
];

impl Moment {
    /// Lets every waker come to this moment. `during` makes the calls in which it comes.
    fn come(self, case: &Arc<Case>, act: Act, during: fn(&mut dyn FnMut())) {
        let park = |part: Option<Part>| {
            for index in case.indices() {
                let waker = match part {
                    Some(part) => case.hostile(index, part, act),
                    None => case.harmless(index),
                };
                case.poll(index, &waker);
            }
        };
        let each = |step: &dyn Fn(usize)| case.indices().for_each(step);
        match self {
            Moment::Woken => {
                park(Some(Part::Wake));
                during(&mut || case.end());
            }
            Moment::DroppedAfterItsWake => {
                park(Some(Part::Drop));
                during(&mut || case.end());
            }
            Moment::ClonedToPark => during(&mut || park(Some(Part::Clone))),
            Moment::ClonedToReplace => {
                park(None);
                during(&mut || park(Some(Part::Clone)));
            }
            Moment::Replaced => {
                park(Some(Part::Drop));
                during(&mut || each(&|index| case.poll(index, &case.harmless(index))));
            }
            Moment::TakenBack => {
                park(Some(Part::Drop));
                during(&mut || each(&|index| case.drop_victim(index)));
            }
            Moment::ClonedTooLate => {
                for index in case.indices().skip(1) {
                    case.poll(index, &case.harmless(index));
                }
                during(&mut || case.poll(0, &case.too_late(0, act)));
            }
        }
    }

    /// The call that ends the flights runs the hostile part.
    fn is_in_the_end(self) -> bool {
        matches!(self, Moment::Woken | Moment::DroppedAfterItsWake)
    }

    /// Whether its panic ends in a task.
    fn is_kept_by(self, place: Place) -> bool {
        if self.is_in_the_end() {
            !place.lets_panics_of_the_end_through()
        } else {
            place.keeps_panics_of_its_own()
        }
    }
}

/// Every place, moment and act.
fn table(acts: &'static [Act], at_least: usize, run: fn(Place, Moment, Act)) {
    let cases = PLACES.into_iter().flat_map(move |place| {
        MOMENTS.into_iter().flat_map(move |moment| {
            acts.iter().map(move |act| {
                let case = move || run(place, moment, *act);
                (format!("{place:?} / {moment:?} / {act:?}"), case)
            })
        })
    });
    survive(cases, at_least);
}

fn plainly(call: &mut dyn FnMut()) {
    call();
}

#[test]
fn a_waker_may_come_back_at_any_moment() {
    table(&REENTERING, 2_688, |place, moment, act| {
        let case = Case::new(place);
        moment.come(&case, act, plainly);
        case.end();
        let caught = case.caught.load(Ordering::SeqCst);
        case.assert_over();
        assert_eq!(caught, 0, "panics that nobody asked for");
    });
}

#[test]
fn a_waker_may_panic_at_any_moment_and_strands_nobody() {
    table(&[Act::Panic], 168, |place, moment, act| {
        let case = Case::new(place);
        moment.come(&case, act, plainly);
        let caught = case.caught.load(Ordering::SeqCst);
        case.assert_over();
        let kept = moment.is_kept_by(place);
        assert_eq!(caught, usize::from(!kept), "panics that came out");
    });
}

/// Not without `std`: nothing can end the second panic there, and it aborts the process, as
/// documented.
#[test]
#[cfg(feature = "std")]
fn wakers_may_all_panic_and_strand_nobody() {
    table(&[Act::PanicEachTime], 168, |place, moment, act| {
        let case = Case::new(place);
        moment.come(&case, act, plainly);
        let caught = case.caught.load(Ordering::SeqCst);
        case.assert_over();
        let kept = moment.is_kept_by(place);
        assert_eq!(caught == 0, kept, "{caught} panics came out");
    });
}

/// Not without `std`: nobody can tell there that the thread unwinds.
#[test]
#[cfg(feature = "std")]
fn wakers_may_all_panic_while_the_thread_unwinds() {
    table(&[Act::PanicEachTime], 168, |place, moment, act| {
        let case = Case::new(place);
        moment.come(&case, act, |call| while_unwinding(call));
        case.assert_over();
    });
}
