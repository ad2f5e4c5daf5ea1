//! Nothing hangs for ever.

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Generous: what takes this long never ends.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Runs `body` on a thread of its own and fails when it has not ended after [`LIMIT`].
///
/// A thread that hangs can not be ended; it is left to the end of the process.
pub fn watched(name: &str, body: impl FnOnce() + Send + 'static) {
    let (done, ended) = sync_channel::<()>(1);
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            body();
            drop(done);
        })
        .expect("a thread can be started");
    match ended.recv_timeout(LIMIT) {
        Err(RecvTimeoutError::Timeout) => panic!("`{name}` hangs: no end after {LIMIT:?}"),
        // Returned or unwound: both drop the sender.
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    }
}
