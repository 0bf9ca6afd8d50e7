//! A stack that is deep enough for the template engine, whatever the caller's.
//!
//! The pre-scan bounds how deep the engine recurses, but not how much stack a level takes: that depends on how the host
//! was compiled (an unoptimised build takes many times more). So templates run on a thread of their own.

use std::thread;

use crate::{Error, ErrorKind, Result};

/// Address space of the thread's stack; memory is taken only as far as it is used.
const STACK: usize = 64 << 20;

/// Runs `work`, and frees all that it made, on a thread with a deep stack. Takes some tens of microseconds.
///
/// # Errors
/// Those of `work`; `OutOfMemory` where the system refuses a thread.
pub(super) fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("r1-template".into()).stack_size(STACK).spawn_scoped(scope, work);
        let worker = worker.map_err(|e| {
            Error::new(ErrorKind::OutOfMemory, "no thread could be started for the chat template").source(e)
        })?;
        worker.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the template engine panicked")))
    })
}
