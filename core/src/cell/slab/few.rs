//! [`Few`]: a slab for those of whom there is often one.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;
use core::task::Waker;

use crate::cell::slab::{END, Place, Slab, Slot};

/// A [`Slab`] whose first place is apart, so that one waker takes no memory of its own. The other
/// places are in a slab that is made for the second one.
///
/// It promises what a slab promises. The index of each of the other places is one more than its
/// index in that slab.
pub(crate) struct Few<'a> {
    /// None if it is not to be used.
    pub(crate) first: Option<&'a mut Slot>,
    pub(crate) others: &'a mut Option<Box<Slab>>,
}

impl Slot {
    /// A first place that is free.
    pub(crate) const FREE: Self = Slot::Vacant(END);
}

impl Few<'_> {
    /// How many slots it has, parked or vacant.
    pub(crate) fn len(&self) -> usize {
        match &self.others {
            Some(others) => others.len() + 1,
            None => usize::from(self.first.is_some() && !self.first_is_free()),
        }
    }

    /// Whether a waker can be parked here.
    pub(crate) fn may_have_wakers(&self) -> bool {
        matches!(self.first, Some(Slot::Parked(_)))
            || self.others.as_ref().is_some_and(|it| it.len() > 0)
    }

    fn first_is_free(&self) -> bool {
        matches!(self.first, Some(Slot::Vacant(END)))
    }

    /// Whether a waker is parked in `place`.
    pub(crate) fn is_parked(&self, place: Place) -> bool {
        self.parked(place).is_some()
    }

    /// Whether `place` is parked with a waker that wakes the same task as `waker`.
    pub(crate) fn will_wake(&self, place: Place, waker: &Waker) -> bool {
        self.parked(place)
            .is_some_and(|parked| parked.will_wake(waker))
    }

    fn parked(&self, place: Place) -> Option<&Waker> {
        let slot = match place.before() {
            None => self.first.as_deref()?,
            Some(place) => self.others.as_ref()?.slots.get(place.index())?,
        };
        match slot {
            Slot::Parked(waker) => Some(waker),
            Slot::Vacant(_) => None,
        }
    }

    /// Parks `waker` in `place`, which is taken first if it is none. Returns the waker that was
    /// there before.
    pub(crate) fn park(&mut self, place: &mut Place, waker: Waker) -> Option<Waker> {
        let mut other = Place::NONE;
        if place.is_taken() {
            match (place.before(), &mut self.first) {
                (Some(before), _) => other = before,
                (None, Some(first)) => return mem::replace(*first, Slot::Parked(waker)).take(),
                (None, None) => unreachable!("nobody is in a place that is not to be used"),
            }
        } else if let Some(first @ Slot::Vacant(END)) = &mut self.first {
            **first = Slot::Parked(waker);
            *place = Place::FIRST;
            return None;
        }
        let others = self.others.get_or_insert_with(|| Box::new(Slab::new()));
        let old = others.park(&mut other, waker);
        *place = Place::at(other.index() + 1);
        old
    }

    /// Takes the waker out of `place`. The slot stays reserved.
    pub(crate) fn take(&mut self, place: Place) -> Option<Waker> {
        match place.before() {
            None => self.first.as_mut()?.take(),
            Some(place) => self.others.as_mut()?.take(place),
        }
    }

    /// Gives the place back. Returns its waker if that was still there.
    pub(crate) fn vacate(&mut self, place: &mut Place) -> Option<Waker> {
        match mem::replace(place, Place::NONE).before() {
            None => mem::replace(&mut **self.first.as_mut()?, Slot::FREE).take(),
            Some(mut place) => self.others.as_mut()?.vacate(&mut place),
        }
    }

    /// As [`Slab::take_some`].
    pub(crate) fn take_some(&mut self, places: &mut Range<usize>, batch: &mut Vec<Slot>) -> bool {
        if places.start == 0 && places.next().is_some() {
            if let Some(waker) = self.take(Place::FIRST) {
                batch.push(Slot::Parked(waker));
                return true;
            }
        }
        let Some(others) = &mut self.others else {
            return false;
        };
        let mut shifted = places.start.saturating_sub(1)..places.end.saturating_sub(1);
        let more = others.take_some(&mut shifted, batch);
        *places = shifted.start + 1..shifted.end + 1;
        more
    }

    /// As [`Slab::take_rest`]. The first one is a batch of its own.
    pub(crate) fn take_rest(&mut self, batch: &mut Vec<Slot>) -> bool {
        if let Some(waker) = self.take(Place::FIRST) {
            batch.push(Slot::Parked(waker));
            return true;
        }
        let more = self.others.as_mut().is_some_and(|it| it.take_rest(batch));
        if !more {
            // An outcome that is kept keeps nothing of them.
            *self.others = None;
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::wake::BATCH;

    struct Own {
        first: Slot,
        others: Option<Box<Slab>>,
    }

    impl Own {
        fn few(&mut self) -> Few<'_> {
            Few {
                first: Some(&mut self.first),
                others: &mut self.others,
            }
        }
    }

    fn parked(count: usize) -> (Own, Vec<Place>) {
        let mut own = Own {
            first: Slot::FREE,
            others: None,
        };
        let mut places = Vec::new();
        for _ in 0..count {
            let mut place = Place::NONE;
            assert!(own.few().park(&mut place, Waker::noop().clone()).is_none());
            places.push(place);
        }
        (own, places)
    }

    #[test]
    fn one_waker_takes_no_memory_and_its_place_is_used_again() {
        let (mut own, mut places) = parked(1);
        assert!(own.others.is_none());
        let mut few = own.few();
        assert!(few.len() == 1 && few.is_parked(places[0]));
        // Taking a waker out does not free its place.
        assert!(few.take(places[0]).is_some() && few.take(places[0]).is_none());
        let mut other = Place::NONE;
        assert!(few.park(&mut other, Waker::noop().clone()).is_none());
        assert!(few.len() == 2 && other != places[0]);
        assert!(few.park(&mut places[0], Waker::noop().clone()).is_none());
        assert!(few.park(&mut places[0], Waker::noop().clone()).is_some());
        assert!(few.vacate(&mut places[0]).is_some() && !places[0].is_taken());
        let mut again = Place::NONE;
        assert!(few.park(&mut again, Waker::noop().clone()).is_none());
        assert!(again == Place::FIRST && few.vacate(&mut other).is_some());
        assert!(!few.is_parked(Place::NONE) && !few.will_wake(Place::NONE, Waker::noop()));
    }

    #[test]
    fn a_first_place_that_is_away_is_nobodys() {
        let mut few = Few {
            first: None,
            others: &mut None,
        };
        assert!(few.len() == 0 && !few.may_have_wakers() && few.take(Place::FIRST).is_none());
        let mut place = Place::NONE;
        assert!(few.park(&mut place, Waker::noop().clone()).is_none());
        assert!(place != Place::FIRST && few.is_parked(place) && few.may_have_wakers());
        let (mut range, mut batch) = (0..few.len(), Vec::new());
        assert!(!few.take_some(&mut range, &mut batch) && batch.len() == 1);
        assert!(few.vacate(&mut place).is_none() && !few.take_rest(&mut Vec::new()));
    }

    #[test]
    fn all_are_handed_out_once_whether_their_places_stay_or_not() {
        for count in [0, 1, 2, BATCH, BATCH + 1, 2 * BATCH + 3] {
            let (mut some, _places) = parked(count);
            let (mut rest, mut places) = parked(count);
            let (mut some, mut rest) = (some.few(), rest.few());
            let (mut range, mut batch, mut out) = (0..some.len(), Vec::new(), 0);
            while some.take_some(&mut range, &mut batch) {
                assert!(batch.len() <= BATCH);
                out += batch.drain(..).count();
            }
            assert_eq!((out + batch.len(), some.len()), (count, count));
            (out, batch) = (0, Vec::new());
            while rest.take_rest(&mut batch) {
                assert!(batch.len() <= BATCH);
                out += batch.drain(..).count();
            }
            assert_eq!(out + batch.len(), count);
            assert!(places.iter_mut().all(|place| rest.vacate(place).is_none()));
        }
    }
}
