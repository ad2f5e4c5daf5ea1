//! One shard of the registry: a lock, and the rules of when it is taken. What it guards is the
//! [`Table`].
//!
//! # Invariants
//! 1. Nothing of the user's runs under the lock: no `Hash`, `Eq`, `Clone` or `Drop` of a key or
//!    value, no clock. Candidates are found by their full hash under the lock and compared after it
//!    is released (`search`). A hit needs the flight's `Arc` anyway; a false match resumes the
//!    search where it stopped.
//! 2. Flight ids rise within a shard, and all flights of a key are in one shard. So a search that
//!    has compared every candidate up to some id resumes after it, whatever came and went
//!    meanwhile.
//!
//! # Deadlock safety
//! A shard's lock is taken under no other. Under it, a desk's may be taken, to read a figure.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::baton::Baton;
use crate::drain::Drain;
use crate::error::Cause;
use crate::fingerprint::Fingerprint;
use crate::flight::Flight;
use crate::group::Begin;
use crate::group::extras::{Later, Line, Ticket};
use crate::group::search::Search;
use crate::group::table::{Ending, First, Last, Table};
use crate::observe::rejected;
use crate::primary::Primary;
use crate::reentry::is_inside;
use crate::rules::Rules;
use crate::state::Snapshot;
use crate::stats::Tally;
use crate::sync::{Arc, Mutex, Wakeable};
use crate::waiter::Waiter;

/// In this order, what every call touches comes first and fits two cache lines.
#[repr(C)]
pub(crate) struct Shard<K, T> {
    rules: Option<Arc<Rules<T>>>,
    pub(crate) index: u32,
    pub(crate) shards: u32,
    table: Mutex<Table<K, T>>,
}

/// What a begin asks for beyond its key.
#[derive(Clone, Default)]
pub(crate) struct Request {
    pub(crate) hash: u64,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Read before the lock is taken, where the rules need it.
    pub(crate) now: Option<Duration>,
    /// The flight can not be joined, and joins none.
    pub(crate) alone: bool,
    /// At a gate that is held: wait for a turn instead of being turned away.
    pub(crate) ticket: Option<Arc<Ticket>>,
}

/// What a begin came to, and a duplicate's key.
pub(crate) type Begun<K, T> = (Begin<K, T>, Option<K>);

impl<K, T> Shard<K, T> {
    pub(crate) fn new(index: u32, shards: u32, rules: Option<Arc<Rules<T>>>) -> Self {
        let extras = rules.as_ref().map(|_| Box::default());
        Self {
            rules,
            index,
            shards,
            table: Mutex::new(Table::new(extras)),
        }
    }

    /// The one shard of a gate.
    pub(crate) fn gate() -> Self {
        let shard = Self::new(0, 1, None);
        shard
            .table
            .with(|table| table.extras_mut().line = Some(Line::new()));
        shard
    }

    #[inline(always)]
    pub(crate) fn rules(&self) -> Option<&Rules<T>> {
        self.rules.as_deref()
    }

    /// The time, if anything here depends on it. Runs the user's clock.
    pub(crate) fn now(&self) -> Option<Duration> {
        self.rules()?.now()
    }

    /// Counts one more flight of the group, if there may be one more.
    pub(crate) fn take_off(&self) -> bool {
        self.rules().is_none_or(Rules::take_off)
    }

    pub(crate) fn land(&self) {
        if let Some(rules) = self.rules() {
            rules.land();
        }
    }

    /// Joins the key's flight, or begins one: the short way, in one lock hold. It is for the two
    /// common cases: no flight with this hash and nothing that could refuse one, or one that is
    /// open and has this key. Everything else goes the long way, [`search`](Self::search).
    #[inline(always)]
    pub(crate) fn begin(this: &Arc<Self>, hash: u64, key: K) -> Begin<K, T>
    where
        K: Eq,
    {
        let mut unused = Some(key);
        let found = this.table.enter(First {
            shard: this,
            hash,
            key: &mut unused,
        });
        match (found, unused) {
            (Some(flight), None) => {
                let primary = Primary::new(flight, this.clone());
                primary.observe();
                Begin::Primary(primary)
            }
            (found, Some(key)) => Self::begin_again(this, hash, key, found.map(Waiter::new)),
            (None, None) => unreachable!("a key is taken for a flight only"),
        }
    }

    /// The second half of the short way, for a duplicate.
    #[inline(always)]
    fn begin_again(this: &Arc<Self>, hash: u64, key: K, found: Option<Waiter<K, T>>) -> Begin<K, T>
    where
        K: Eq,
    {
        match found {
            Some(waiter) if *waiter.key() == key && !is_inside(waiter.flight()) => {
                // While the waiter is a guard: the drop of a duplicate's key is the user's.
                drop(key);
                waiter.observe();
                Begin::Waiter(waiter)
            }
            found => Self::begin_anew(this, hash, key, found),
        }
    }

    /// The turn into the long way.
    #[cold]
    #[inline(never)]
    fn begin_anew(this: &Arc<Self>, hash: u64, key: K, found: Option<Waiter<K, T>>) -> Begin<K, T>
    where
        K: Eq,
    {
        let mut search = Search::new(hash);
        if let Some(waiter) = found {
            search.uncount(waiter);
        }
        let request = Request {
            hash,
            ..Request::default()
        };
        let (begin, key) = Self::search(this, &request, search, key, |_, _| true, || None);
        drop(key);
        begin
    }

    /// Joins the key's flight, or begins one, with everything that may have a say: rules,
    /// fingerprints, a gate, other keys of the same hash, flights that have ended. One lock
    /// hold for each candidate.
    ///
    /// `admit` may turn a waiter of a flight that is about to end into the primary of the next one.
    /// `baton` makes the new flight's baton; it runs under the lock and allocates at most.
    ///
    /// A duplicate's key comes back, to be dropped by the caller: what is counted is a guard by
    /// then, so should that drop panic, the waiter leaves.
    #[inline(never)]
    pub(crate) fn search(
        this: &Arc<Self>,
        request: &Request,
        mut search: Search<K, T>,
        key: K,
        admit: impl Fn(&Arc<Self>, &Arc<Flight<K, T>>) -> bool,
        baton: impl FnOnce() -> Option<Arc<Wakeable<Baton<T>>>>,
    ) -> Begun<K, T>
    where
        K: Eq,
    {
        let mut material = Some((key, baton));
        loop {
            let found = this
                .table
                .with(|table| match table.find(this, &mut search, request) {
                    Some(candidate) => Ok(candidate),
                    None => Err(match table.refusal(this, &search, request) {
                        Some(why) => Begin::Rejected(why),
                        None => {
                            let Some((key, baton)) = material.take() else {
                                unreachable!("the loop ends here")
                            };
                            Begin::Primary(table.insert(this, request, key, baton()))
                        }
                    }),
                });
            // Under no lock, and before anything more is counted: these drops may be the user's.
            search.let_go();
            let begin = match found {
                Err(begin) => Some(begin),
                Ok(candidate) => {
                    let Some((key, _)) = &material else {
                        unreachable!("used only when the loop ends")
                    };
                    search.compare(
                        candidate,
                        |other| other == key,
                        |flight| admit(this, flight),
                    )
                }
            };
            if let Some(begin) = begin {
                this.finish(search, &begin);
                return (begin, material.map(|(key, _)| key));
            }
            if let Some((key, _)) = &material {
                this.skip_strangers(&mut search, |other| other == key);
            }
        }
    }

    /// Joins the key's flight, if there is one.
    pub(crate) fn join(&self, request: &Request, eq: impl Fn(&K) -> bool) -> Option<Begin<K, T>> {
        let mut search = Search::new(request.hash);
        loop {
            let candidate = self
                .table
                .with(|table| table.find(self, &mut search, request))?;
            search.let_go();
            if let Some(begin) = search.compare(candidate, &eq, |_| true) {
                self.finish(search, &begin);
                return Some(begin);
            }
            if search.supersedes() {
                // Only a begin that can put a new flight in its place may end it.
                return None;
            }
        }
    }

    /// Passes over the other keys that share the whole hash, all in one lock hold. There are none
    /// but by malice, or by a poor hasher.
    fn skip_strangers(&self, search: &mut Search<K, T>, eq: impl Fn(&K) -> bool) {
        if !search.has_undone() {
            return;
        }
        let mut others = self.table.with(|table| table.others(search));
        others.sort_unstable_by_key(|flight| flight.id);
        for flight in &others {
            if eq(&flight.key) {
                break;
            }
            search.after = Some(flight.id);
        }
    }

    /// After a search: uncounts what it left counted, counts a refusal, and drops what it held,
    /// under no lock.
    fn finish(&self, mut search: Search<K, T>, begin: &Begin<K, T>) {
        if search.has_undone() || matches!(begin, Begin::Rejected(_)) {
            self.table.with(|table| {
                table.tally.uncount(search.take_undo());
                if let Begin::Rejected(why) = begin {
                    table.tally.reject(*why);
                }
            });
        }
        match begin {
            Begin::Primary(primary) => primary.observe(),
            Begin::Waiter(waiter) => waiter.observe(),
            Begin::Rejected(why) => rejected(*why),
        }
    }

    /// Takes the key from a flight: it goes on for those already in it. A retained one is gone with
    /// that. False when it had lost its key before.
    pub(crate) fn detach(&self, flight: &Arc<Flight<K, T>>) -> bool {
        let mut later = None;
        self.table.with(|table| table.detach(flight, &mut later))
    }

    /// The flight registered under the key: in flight, retained, or ended and not taken out yet.
    pub(crate) fn lookup(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<Arc<Flight<K, T>>> {
        let mut search = Search::new(hash);
        let flight = self
            .table
            .with(|table| table.left(&search).min_by_key(|flight| flight.id).cloned())?;
        if eq(&flight.key) {
            return Some(flight);
        }
        // Another key that shares the whole hash: look at all of them.
        search.after = Some(flight.id);
        let others = self.table.with(|table| table.others(&search));
        others.into_iter().find(|flight| eq(&flight.key))
    }

    /// Whether a retained flight is past its window.
    pub(crate) fn is_expired(&self, flight: &Arc<Flight<K, T>>, now: Option<Duration>) -> bool {
        self.table.with(|table| {
            table
                .note(flight.id)
                .deadline
                .is_some_and(|deadline| Some(deadline) <= now)
        })
    }

    /// Takes a settled flight out, by identity, and counts it. False if there is more to do than
    /// that: then nothing is done.
    #[inline(always)]
    pub(crate) fn retire_settled(&self, flight: &Arc<Flight<K, T>>, before: Snapshot) -> bool {
        if flight.baton.is_some() {
            return false;
        }
        // The caller holds the flight too: dropping the table's handle drops nothing of the user's.
        self.table.enter(Last { flight, before }).is_some()
    }

    /// Takes an ended flight out, by identity, and counts its end. `before` is the word its end
    /// returned.
    pub(crate) fn retire(
        &self,
        flight: &Arc<Flight<K, T>>,
        before: Snapshot,
        ending: Ending,
    ) -> Later<K, T> {
        let reruns = flight.reruns();
        let mut later = None;
        let _removed = self.table.with(|table| {
            table.tally.end(ending, before.waiting(), reruns);
            if !table.has_extras() {
                return table.remove(flight);
            }
            table.retire_with_extras(self, flight, ending, &mut later);
            None
        });
        later
    }

    /// The primary of a flight that was ended from outside is done with it. Only a superseded one
    /// has waited for that.
    #[cold]
    pub(crate) fn let_go(&self, flight: &Arc<Flight<K, T>>) {
        if flight.cell.snapshot().cause() != Some(Cause::Superseded) {
            return;
        }
        let mut later = None;
        self.table.with(|table| {
            if table.take_detached(flight).is_some() {
                table.over(self, flight, &mut later);
            }
        });
    }

    /// Begins nothing more. Joins go on.
    pub(crate) fn close(&self, drain: &Arc<Drain>) {
        let mut later = None;
        self.table.with(|table| {
            let extras = table.extras_mut();
            if !extras.closed {
                extras.closed = true;
                extras.drain = Some(drain.clone());
                table.arrive(&mut later);
            }
        });
    }

    /// Drops what is retained, and retains nothing more.
    pub(crate) fn orphan(&self) {
        let mut later = None;
        self.table.with(|table| {
            table.extras_mut().orphaned = true;
            while let Some(mark) = table.extras_mut().retained.pop_oldest() {
                table.release(&mark, &mut later);
            }
        });
    }

    /// Every flight that has not ended, forgotten ones too.
    pub(crate) fn flights(&self) -> Vec<Arc<Flight<K, T>>> {
        self.table.with(|table| {
            table
                .all()
                .filter(|flight| !flight.cell.snapshot().ended())
                .cloned()
                .collect()
        })
    }

    /// The number of keys in flight.
    pub(crate) fn len(&self) -> usize {
        self.table.with(|table| table.len() - table.kept())
    }

    /// Callers that wait for their turn at the gate.
    pub(crate) fn queued(&self) -> usize {
        self.table
            .with(|table| table.line().map_or(0, |line| line.queue.len()))
    }

    /// Whether the gate is held, or promised.
    pub(crate) fn is_busy(&self) -> bool {
        self.table
            .with(|table| table.line().is_some_and(Line::is_busy))
    }

    /// Whether this flight holds the gate.
    pub(crate) fn holds(&self, flight: &Arc<Flight<K, T>>) -> bool {
        self.table.with(|table| {
            let holder = table.line().and_then(|line| line.holder.as_ref());
            holder.is_some_and(|holder| Arc::ptr_eq(holder, flight))
        })
    }

    /// What happened here so far, how many flights there are, how many duplicates wait, and how
    /// many outcomes are retained.
    pub(crate) fn tally(&self) -> (Tally, usize, usize, usize) {
        self.table.with(|table| {
            let kept = table.kept();
            let pending = || table.all().filter_map(|flight| table.pending(flight));
            (
                table.tally,
                pending().count(),
                pending().map(Snapshot::waiting).sum(),
                kept,
            )
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_between_the_end_and_its_count_is_not_cancelled() {
        let shard = Arc::new(Shard::<u8, u8>::new(0, 1, None));
        let begin = || Shard::begin(&shard, 1, 1);
        let (Begin::Primary(primary), Begin::Waiter(counted)) = (begin(), begin()) else {
            unreachable!("the first one and its duplicate")
        };
        // The ender is held up between the word and the shard's lock.
        let recorded = primary.flight().cell.record(7);
        drop(counted);
        let left = shard.tally().2;
        let Begin::Waiter(uncounted) = begin() else {
            unreachable!("it is registered still")
        };
        drop(uncounted);
        assert_eq!((left, shard.tally().2), (1, 1));
        let Ok(before) = recorded else {
            unreachable!("nobody else has settled")
        };
        drop(shard.retire(primary.flight(), before, Ending::Settled(None)));
        assert_eq!(shard.tally().2, 0);
    }
}
