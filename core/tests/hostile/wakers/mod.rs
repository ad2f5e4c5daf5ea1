//! Wakers that attack, as a table: every place where the core keeps a waker, every moment at which
//! the waker's code runs, every act. Each case has a name and a time limit.

mod act;
mod ground;
mod place;
mod scene;
mod told;
mod wild;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::act::{Act, REENTERING};
#[cfg(feature = "std")]
pub(crate) use self::ground::Shelf;
use self::place::{PLACES, Place};
use self::scene::{Part, Scene};
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
    fn come(self, scene: &Arc<Scene>, act: Act, during: fn(&mut dyn FnMut())) {
        let park = |part: Option<Part>| {
            for index in scene.everyone() {
                let waker = match part {
                    Some(part) => scene.hostile(index, part, act),
                    None => scene.harmless(index),
                };
                scene.poll(index, &waker);
            }
        };
        let each = |step: &dyn Fn(usize)| scene.everyone().for_each(step);
        match self {
            Moment::Woken => {
                park(Some(Part::Wake));
                during(&mut || scene.end());
            }
            Moment::DroppedAfterItsWake => {
                park(Some(Part::Drop));
                during(&mut || scene.end());
            }
            Moment::ClonedToPark => during(&mut || park(Some(Part::Clone))),
            Moment::ClonedToReplace => {
                park(None);
                during(&mut || park(Some(Part::Clone)));
            }
            Moment::Replaced => {
                park(Some(Part::Drop));
                during(&mut || each(&|index| scene.poll(index, &scene.harmless(index))));
            }
            Moment::TakenBack => {
                park(Some(Part::Drop));
                during(&mut || each(&|index| scene.evict(index)));
            }
            Moment::ClonedTooLate => {
                for index in scene.everyone().skip(1) {
                    scene.poll(index, &scene.harmless(index));
                }
                during(&mut || scene.poll(0, &scene.too_late(0, act)));
            }
        }
    }

    /// The call that ends the flights runs the hostile part.
    fn is_in_the_end(self) -> bool {
        matches!(self, Moment::Woken | Moment::DroppedAfterItsWake)
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
    table(&REENTERING, 2_464, |place, moment, act| {
        let scene = Scene::new(place);
        moment.come(&scene, act, plainly);
        scene.end();
        let caught = scene.caught.load(Ordering::SeqCst);
        scene.close_up();
        assert_eq!(caught, 0, "panics that nobody asked for");
    });
}

#[test]
fn a_waker_may_panic_at_any_moment_and_strands_nobody() {
    table(&[Act::Panic], 154, |place, moment, act| {
        let scene = Scene::new(place);
        moment.come(&scene, act, plainly);
        let caught = scene.caught.load(Ordering::SeqCst);
        scene.close_up();
        let kept = moment.is_in_the_end() && !place.lets_panics_of_the_end_through();
        assert_eq!(caught, usize::from(!kept), "panics that came out");
    });
}

/// Not without `std`: nothing can end the second panic there, and it aborts the process, as
/// documented.
#[test]
#[cfg(feature = "std")]
fn wakers_may_all_panic_and_strand_nobody() {
    table(&[Act::PanicEachTime], 154, |place, moment, act| {
        let scene = Scene::new(place);
        moment.come(&scene, act, plainly);
        let caught = scene.caught.load(Ordering::SeqCst);
        scene.close_up();
        let kept = moment.is_in_the_end() && !place.lets_panics_of_the_end_through();
        assert_eq!(caught == 0, kept, "{caught} panics came out");
    });
}

/// Not without `std`: nobody can tell there that the thread unwinds.
#[test]
#[cfg(feature = "std")]
fn wakers_may_all_panic_while_the_thread_unwinds() {
    table(&[Act::PanicEachTime], 154, |place, moment, act| {
        let scene = Scene::new(place);
        moment.come(&scene, act, |call| while_unwinding(call));
        scene.close_up();
    });
}
