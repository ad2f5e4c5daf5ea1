//! The cases. Each is named after the behaviour it shows.

pub mod abort_handle;
pub mod begin;
pub mod blocking;
pub mod blocking_calls;
pub mod detach;
pub mod detach_loss;
pub mod fingerprint;
pub mod forget;
pub mod gate;
pub mod gate_modes;
pub mod gate_policies;
pub mod heels;
pub mod join;
pub mod keys;
pub mod limits;
pub mod local;
pub mod lost_primary;
pub mod mixed;
pub mod reentrant;
pub mod retain;
pub mod retain_window;
pub mod spawn_joins_work;
pub mod stopping;
pub mod stopping_races;
pub mod supersede_after;
pub mod timeouts;
pub mod try_work;
pub mod try_work_ends;
pub mod try_work_errors;
pub mod waiting;
pub mod wanted;
pub mod wanted_ends;
pub mod work;
pub mod work_alone;
pub mod work_ends;

/// The group that nearly every case needs.
pub(crate) type Group = oneflight::Group<&'static str, usize>;
