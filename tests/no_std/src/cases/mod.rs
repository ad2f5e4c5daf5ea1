//! What is run. Each case leaves nothing behind.

mod flights;
mod gate;
mod groups;
mod policies;

use crate::check::that;
use crate::{executor, heap, user};

pub(crate) fn all() {
    let cases: [(&str, fn()); 25] = [
        ("cell", flights::cell),
        ("begin, join, settle", flights::begin_join_settle),
        ("a crowd", flights::crowd),
        ("cancel", flights::cancel),
        ("a dropped primary", flights::dropped),
        ("an aborted primary", flights::aborted),
        ("run", flights::run),
        ("a run that is dropped", flights::run_dropped),
        ("forget", flights::forget),
        ("begin by reference", flights::by_reference),
        ("work", policies::work),
        ("work, carried on", policies::work_carried_on),
        ("work, nobody left", policies::work_nobody_left),
        ("try_work", policies::try_work),
        ("try_work, max_reruns used up", policies::try_work_exhausted),
        ("try_work, failed", policies::try_work_failed),
        ("spawn", policies::spawn),
        ("a gate that turns away", gate::exclusive),
        ("a gate with a queue", gate::queue),
        ("a gate that lets in", gate::reentrant),
        ("close and drain", groups::close_and_drain),
        ("abort all", groups::abort_all),
        ("limits and fingerprints", groups::limits),
        ("retained outcomes", groups::retained),
        ("a flight too old", groups::too_old),
    ];
    for (name, case) in cases {
        case();
        that(
            name,
            heap::blocks() == 0 && executor::wakers() == 0 && user::operations() == 0,
        );
    }
}
