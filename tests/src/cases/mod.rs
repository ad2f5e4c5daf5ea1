//! The cases. Each is named after the behaviour it shows.

pub mod begin;
pub mod blocking;
pub mod detach;
pub mod detach_loss;
pub mod forget;
pub mod heels;
pub mod local;
pub mod lost_primary;
pub mod mixed;
pub mod timeouts;
pub mod waiting;
pub mod work;
pub mod work_ends;

/// The group that nearly every case needs.
pub(crate) type Group = oneflight::Group<&'static str, usize>;
