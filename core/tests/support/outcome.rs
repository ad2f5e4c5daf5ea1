//! What several test programs of the core ask of an outcome.

use oneflight_core::Error;
use oneflight_core::error::Cause;

/// Why the flight was aborted, where the test knows that it was.
#[track_caller]
pub(crate) fn cause_of<R>(outcome: Result<R, Error>) -> Cause {
    match outcome {
        Err(Error::Aborted(aborted)) => aborted.cause(),
        Err(other) => panic!("expected an abort, got {other}"),
        Ok(_) => panic!("expected an abort, got an outcome"),
    }
}
