//! One shard of the registry: a lock, and all that it guards.
//!
//! | file | its job |
//! |---|---|
//! | `mod` | the lock; the short way of a begin; questions about what is registered |
//! | `search` | the long way of a begin; `request`: what a call brings to it |
//! | `share`, `room` | what a call can do with a flight of its key; room for a new one |
//! | `after` | what a critical section leaves to be done after it |
//! | `end` | how a flight ends: record, free the key, tell; and when it is over |
//! | `in_hand` | a shared operation that one caller has |
//! | `table` | the flights of the shard; `keyed`: by the hashes of their keys |
//! | `extras` | what a shard has only if it is used: notes on flights, and the next two |
//! | `line`, `retained` | a gate's line; retained outcomes |
//!
//! # Invariants
//! 1. Nothing of the user's runs under the lock: no `Hash`, `Eq`, `Clone` or `Drop` of a key or
//!    value, no clock. Candidates are found by their full hash under the lock and compared after it
//!    is released.
//! 2. Flight ids rise within a shard, and all flights of a key are in one shard. So a search that
//!    has compared every candidate up to some id continues after that id, whatever came and went
//!    meanwhile.
//!
//! # Deadlock safety
//! A shard's lock is taken under no other. The lock of a shared operation can be taken under it, to
//! read a figure, and to end a flight whose operation nobody polls. The lock of the group's
//! `places` is taken neither under it nor around it.

mod after;
mod end;
mod extras;
mod in_hand;
mod keyed;
mod line;
mod request;
mod retained;
mod room;
mod search;
mod share;
mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use extras::Drain;
pub(crate) use in_hand::InHand;
pub use line::Mode;
pub(crate) use line::Ticket;
pub(crate) use request::{BorrowedKey, Call, Later, OwnedKey, Plain, Request, SoughtKey};
pub(crate) use table::Met;

use crate::cell::Snapshot;
use crate::flight::observe::Label;
use crate::flight::{FlightId, FlightRef};
use crate::group::begin::Begin;
use crate::group::places::Places;
use crate::group::primary::Primary;
use crate::group::rules::Rules;
use crate::group::stats::Figures;
use crate::group::waiter::Waiter;
use crate::sync::{Arc, Mutex, random};
use after::After;
use table::{JoinOrBegin, Table};

/// In this order, what every call reads comes first and fits two cache lines.
///
/// `pub` because a sealed trait names it. No public path leads here.
#[repr(C)]
#[expect(missing_debug_implementations, reason = "no path leads here")]
pub struct Shard<K, T> {
    rules: Option<Arc<Rules<T>>>,
    /// Of the flights of this shard.
    first_id: u64,
    /// How many shards the group has: the step from one id to the next.
    shards: u32,
    table: Mutex<Table<K, T>>,
    /// For what the group retains.
    places: Option<Arc<Places<K, T>>>,
    label: Label<K>,
}

/// Where the ids of a group start. Below 2^52, so that a JSON number holds them.
pub(crate) fn random_id() -> u64 {
    random() >> 12
}

impl<K, T> Shard<K, T> {
    pub(crate) fn new(first_id: u64, shards: u32, rules: Option<Arc<Rules<T>>>) -> Self {
        let extras = rules.as_ref().map(|_| Box::default());
        Self {
            rules,
            first_id,
            shards,
            table: Mutex::new(Table::new(extras)),
            places: None,
            label: Label::default(),
        }
    }

    pub(crate) fn with_places(self, places: Option<Arc<Places<K, T>>>) -> Self {
        Self { places, ..self }
    }

    pub(crate) fn with_label(self, label: Label<K>) -> Self {
        Self { label, ..self }
    }

    #[inline(always)]
    pub(crate) fn label(&self) -> &Label<K> {
        &self.label
    }

    #[inline(always)]
    pub(crate) fn rules(&self) -> Option<&Rules<T>> {
        self.rules.as_deref()
    }

    pub(crate) fn places(&self) -> Option<&Places<K, T>> {
        self.places.as_deref()
    }

    /// The time, if the rules depend on it. Runs the user's clock.
    pub(crate) fn now(&self) -> Option<Duration> {
        self.rules()?.now()
    }

    /// Counts one more flight of the group, if the limit allows it.
    fn count_in(&self) -> bool {
        self.rules().is_none_or(Rules::count_in)
    }

    /// For a flight whose place another one is about to give back.
    fn count_in_beyond(&self) {
        if let Some(rules) = self.rules() {
            rules.count_in_beyond();
        }
    }

    /// Whether the limit allows one more flight at this moment.
    fn has_room(&self) -> bool {
        self.rules().is_none_or(Rules::has_room)
    }

    fn count_out(&self) {
        if let Some(rules) = self.rules() {
            rules.count_out();
        }
    }

    /// Joins the key's flight, or begins one: the short way, in one lock acquisition. It serves the
    /// two common cases: no flight has this hash and nothing could refuse a new one, or the flight
    /// with this hash is open and has this key, and this thread is inside of no flight. Every other
    /// call takes the long way.
    #[inline(always)]
    pub(crate) fn begin(
        this: &Arc<Self>,
        hash: u64,
        key: K,
        call: &mut impl Call<K, T>,
    ) -> Begin<K, T>
    where
        K: Eq,
    {
        let mut unused = Some(key);
        let joined = match Self::join_or_begin(this, hash, &mut unused, call) {
            Some(Met::Begun(settler)) => {
                let primary = Primary::new(settler, this.clone());
                this.report_begun(primary.flight());
                return Begin::Primary(primary);
            }
            Some(Met::Joined(two)) => Some(Waiter::new(two)),
            None => None,
        };
        let Some(key) = unused else {
            unreachable!("a key is taken for a flight only")
        };
        Self::finish_short_way(this, hash, key, joined, call)
    }

    /// The critical section of the short way. Takes the key if it begins a flight. Returns `None`
    /// if the call has to take the long way.
    #[inline(always)]
    pub(crate) fn join_or_begin(
        this: &Arc<Self>,
        hash: u64,
        key: &mut Option<K>,
        call: &mut impl Call<K, T>,
    ) -> Option<Met<K, T>> {
        this.table.enter(JoinOrBegin {
            shard: this,
            hash,
            key,
            call,
        })
    }

    /// Reports that a flight has begun, which the caller has as a guard has it.
    #[inline(always)]
    pub(crate) fn report_begun(&self, flight: &FlightRef<K, T>) {
        let observed = &flight.observed;
        observed.report_begun(flight.id, &self.label, &flight.key);
    }

    /// The second half of the short way: the flight with this hash has been joined, if it is open.
    #[inline(always)]
    fn finish_short_way(
        this: &Arc<Self>,
        hash: u64,
        key: K,
        found: Option<Waiter<K, T>>,
        call: &mut impl Call<K, T>,
    ) -> Begin<K, T>
    where
        K: Eq,
    {
        match found {
            Some(waiter) if *waiter.key() == key && call.try_share(this, waiter.flight()) => {
                // The waiter is a guard by now, and the drop of the key is the user's.
                drop(key);
                waiter.report_joined();
                Begin::Waiter(waiter)
            }
            found => Self::begin_the_long_way(this, hash, key, found, call),
        }
    }

    /// Takes the key from a flight, which continues for those already in it. A retained flight is
    /// given up. Returns false if the flight had lost its key before, had ended without a value, or
    /// is past its window at `now`.
    pub(crate) fn forget(&self, flight: &FlightRef<K, T>, now: Option<Duration>) -> bool {
        let mut after = After::default();
        self.table.with(|table| {
            let aborted = flight.cell.snapshot().cause().is_some();
            let expired = table.is_expired(flight, now);
            table.unregister(self, flight, &mut after) && !aborted && !expired
        })
    }

    /// The flight registered under the key: in flight, retained, or ended and not removed yet.
    pub(crate) fn lookup(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<FlightRef<K, T>> {
        let first = self.table.with(|table| {
            let flights = table.with_hash(hash, None);
            flights.min_by_key(|flight| flight.id).cloned()
        })?;
        if eq(&first.key) {
            return Some(first);
        }
        // Another key with the same whole hash: look at all of them.
        let others = self.table.with(|table| {
            let flights = table.with_hash(hash, Some(first.id));
            flights.cloned().collect::<Vec<_>>()
        });
        others.into_iter().find(|flight| eq(&flight.key))
    }

    /// The flight with this id, if it has its key still.
    pub(crate) fn registered_by_id(&self, hash: u64, id: FlightId) -> Option<FlightRef<K, T>> {
        self.table
            .with(|table| table.registered_by_id(hash, id).cloned())
    }

    /// The flights that have their keys still and whose states are asked for. With `retained`, also
    /// those that are retained.
    pub(crate) fn registered(
        &self,
        of: fn(Snapshot) -> bool,
        retained: bool,
    ) -> Vec<FlightRef<K, T>> {
        self.table.with(|table| {
            let flights = table.registered();
            let asked_for = flights.filter(|flight| of(flight.cell.snapshot()));
            let retained = table.retained().take_while(|_| retained);
            asked_for.chain(retained).cloned().collect()
        })
    }

    /// The age of this flight starts again at `now`. Returns false if it has ended or lost its key.
    pub(crate) fn touch(&self, flight: &FlightRef<K, T>, now: Option<Duration>) -> bool {
        self.table.with(|table| {
            let in_flight = table.is_registered(flight) && !flight.cell.snapshot().ended();
            if let (true, Some(now), Some(extras)) = (in_flight, now, &mut table.extras) {
                extras.renew(flight.id, now);
            }
            in_flight
        })
    }

    /// The flight with this id, forgotten or not, if it is still here.
    pub(crate) fn find(&self, hash: u64, id: FlightId) -> Option<FlightRef<K, T>> {
        self.table.with(|table| table.by_id(hash, id).cloned())
    }

    /// Every flight that has not ended, forgotten ones too. Those that wait for a gate come before
    /// the flight that holds it: if they are ended in this order, none of them gets its turn.
    pub(crate) fn flights(&self) -> Vec<FlightRef<K, T>> {
        self.table.with(|table| {
            let open = table.all().filter(|flight| !flight.cell.snapshot().ended());
            let mut flights: Vec<_> = open.cloned().collect();
            if let Some(at) = flights.iter().position(|flight| table.holds_gate(flight)) {
                let last = flights.len() - 1;
                flights.swap(at, last);
            }
            flights
        })
    }

    /// How many keys are in flight.
    pub(crate) fn len(&self) -> usize {
        self.table.with(|table| table.len())
    }

    /// What happened here so far, how many flights there are, how many of them have ended, and how
    /// many duplicates wait. Does not look at what is retained.
    pub(crate) fn figures(&self) -> Figures {
        self.table.with(|table| {
            let mut figures = Figures {
                counts: table.counts,
                in_flight: 0,
                waiting: 0,
                ending: table.ending(),
            };
            for state in table.states() {
                figures.in_flight += 1;
                figures.waiting += state.duplicates();
            }
            figures
        })
    }
}
