//! Cancel tokens.

use engine::CancelToken;

use crate::error::r1_error;
use crate::fail::Result;
use crate::handle::{self, object};
use crate::status::*;

/// Stops work from another thread. Named in the options of a model load or of a session; one token may serve many. Work
/// looks at it between tensors while loading, between layers in a prompt and before every token of a reply, so it ends
/// within one of those steps. A token stays fired until it is reset. Any number of threads may use it at once.
pub struct r1_cancel {
    _private: (),
}

struct Cancel(CancelToken);

object!(Cancel, r1_cancel, Cancel);

/// The token of a handle in options; NULL gives a fresh one that nobody else has.
pub(crate) fn token(cancel: *const r1_cancel) -> Result<CancelToken> {
    if cancel.is_null() { Ok(CancelToken::new()) } else { Ok(handle::get::<Cancel>(cancel, "cancel")?.0.clone()) }
}

/// A new token that has not fired. Free it with `r1_cancel_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_cancel_new(out: *mut *mut r1_cancel, err: *mut *mut r1_error) -> r1_status {
    guard!(err, |caller| {
        let out = caller.out(out, "out")?;
        out.set(handle::give(Cancel(CancelToken::new()))?);
        Ok(R1_OK)
    })
}

/// Fires a token, any number of times. Takes no lock and no memory: may be called from any thread, from callbacks, and
/// from a signal handler unless the token is being freed meanwhile.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn r1_cancel_fire(cancel: *const r1_cancel) -> r1_status {
    guard_or!(R1_ERR_PANIC, || match handle::lookup::<Cancel>(cancel) {
        Some(cancel) => {
            cancel.0.cancel();
            R1_OK
        }
        None if cancel.is_null() => R1_ERR_NULL_ARG,
        None => R1_ERR_HANDLE,
    })
}

/// Makes a fired token usable again. Threads and errors as `r1_cancel_fire`.
#[unsafe(no_mangle)]
pub extern "C" fn r1_cancel_reset(cancel: *const r1_cancel) -> r1_status {
    guard_or!(R1_ERR_PANIC, || match handle::lookup::<Cancel>(cancel) {
        Some(cancel) => {
            cancel.0.reset();
            R1_OK
        }
        None if cancel.is_null() => R1_ERR_NULL_ARG,
        None => R1_ERR_HANDLE,
    })
}

/// Frees a token; work that was given it goes on and cannot be stopped by it any more. NULL is fine; a handle that is
/// not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_cancel_free(cancel: *mut r1_cancel) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Cancel>(cancel))
}
