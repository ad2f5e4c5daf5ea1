//! What the oracle says of an operation's poll: the calls it makes from within.

use oneflight_core::error::Cause;

use crate::book::Answer;
use crate::operation::{Act, Hand, Seen};
use crate::world::World;

/// The book's side of a poll in which the operation of `flight` did `act`. Whether it finished is left to the caller.
pub(crate) fn inside(world: &mut World, hand: &Hand, flight: usize, act: Act) {
    match act {
        Act::Pending | Act::Finish | Act::Wake => {}
        Act::Panic => {
            world.book.abort(flight, Cause::Panicked);
            // A wake that panics on top of that ends where it is.
            world.book.parked.provoked();
        }
        Act::BeginOwn => {
            let seen = hand.cues().seen;
            begin_own(world, seen, flight, true);
        }
        Act::AbortAll(_) => {
            world.book.abort_all();
            let provoked = hand.cues().provoked;
            world.agree_on_panic(provoked);
        }
        Act::Forget => {
            world.book.forget(world.book.flights[flight].key);
        }
    }
}

/// It joins, counts for nothing, and is told if it is `polled` with the operation's waker; unless its flight has lost the key:
/// then it begins a flight or joins one. It leaves at once.
pub(crate) fn begin_own(world: &mut World, seen: Option<Seen>, flight: usize, polled: bool) {
    world.book.inside.push(flight);
    let answer = world.book.begin(world.book.flights[flight].key, None);
    world.book.inside.pop();
    match (answer, seen) {
        (Answer::Primary(new), Some(Seen::Primary(id))) => {
            world.identify(new, id);
            world.book.abort(new, Cause::Dropped);
        }
        (Answer::Waiter(other), Some(Seen::Waiter(id))) => {
            assert_eq!(id, world.id(other));
            world.book.leave(other);
        }
        (Answer::Inside(other), Some(Seen::Reentrant(id))) if polled => {
            assert_eq!((other, id), (flight, world.id(other)));
        }
        // While the operation of a new flight is made, nobody knows its identity yet.
        (Answer::Inside(other), Some(Seen::Waiter(_))) if !polled => assert_eq!(other, flight),
        (Answer::Rejected(why), Some(Seen::Rejected(real))) => assert_eq!(real, why),
        (answer, seen) => panic!("from within: {answer:?} expected, not {seen:?}"),
    }
}
