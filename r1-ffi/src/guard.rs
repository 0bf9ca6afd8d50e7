//! What stands at the entrance of every exported function: no panic leaves, and no callback calls back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use crate::caller::Caller;
use crate::error::{self, r1_error};
use crate::fail::{Fail, Result};
use crate::status::*;
use crate::{callback, log};

/// The body of an exported function that returns a status: `guard!(err, |caller| { ... })`. The body gives a status
/// or a [`Fail`], which becomes the status and the error object.
macro_rules! guard {
    ($err:expr, |$caller:pat_param| $body:expr) => {
        $crate::guard::run(
            // SAFETY: the functions of this crate are called from C only, where each of them promises what the header
            // asks: pointers are NULL or valid for the length given, for this call and as long as documented.
            unsafe { $crate::caller::Caller::new() },
            $err,
            |$caller| $body,
        )
    };
}

/// The body of an exported function that may be called anywhere, callbacks included, and gives `$default` rather than
/// an error object.
macro_rules! guard_or {
    ($default:expr, || $body:expr) => {
        ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| $body)).unwrap_or($default)
    };
}

/// Runs the body of an exported function.
pub(crate) fn run(
    caller: Caller,
    err: *mut *mut r1_error,
    body: impl FnOnce(&Caller) -> Result<r1_status>,
) -> r1_status {
    keep_panics_quiet();
    let result = if callback::active() {
        Err(Fail::new(R1_ERR_REENTRANT, "this function cannot be called from within a callback"))
    } else {
        catch_unwind(AssertUnwindSafe(|| body(&caller))).unwrap_or_else(|payload| Err(panicked(&*payload)))
    };
    let fail = match result {
        Ok(status) => return status,
        Err(fail) => fail,
    };
    let status = fail.status;
    guard_or!((), || {
        log::failure(&fail);
        if let Ok(out) = caller.out(err, "err")
            && let Ok(error) = error::give(fail)
        {
            out.set(error);
        }
    });
    status
}

/// Where the last panic happened; the payload does not know.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Takes the message of panics for the error object instead of stderr. The hook belongs to this library's own copy of
/// the standard library: Rust code elsewhere in the process keeps its own.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    if cfg!(test) {
        return;
    }
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
        }));
    });
}

fn panicked(payload: &(dyn Any + Send)) -> Fail {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
    Fail::new(R1_ERR_PANIC, format!("a bug of this library was caught{place}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::ptr;

    #[test]
    fn a_panic_becomes_an_error_object() {
        let mut err = ptr::null_mut();
        let status = guard!(&raw mut err, |_| panic!("boom {}", 7));
        assert_eq!(status, R1_ERR_PANIC);
        assert_eq!(error::r1_error_code(err), R1_ERR_PANIC);
        // SAFETY: the text lives until the error is freed.
        let text = unsafe { CStr::from_ptr(error::r1_error_message(err)) };
        assert!(text.to_str().unwrap().ends_with("boom 7"), "{text:?}");
        assert_eq!(error::r1_error_free(err), R1_OK);
    }

    #[test]
    fn a_panic_without_an_error_place_is_a_status() {
        assert_eq!(guard!(ptr::null_mut(), |_| panic!("boom")), R1_ERR_PANIC);
        assert_eq!(guard_or!(7, || panic!("boom")), 7);
    }

    #[test]
    fn a_callback_cannot_call_back() {
        let mut err = ptr::null_mut();
        let status = callback::enter(|| guard!(&raw mut err, |_| Ok(R1_OK)));
        assert_eq!(status, R1_ERR_REENTRANT);
        assert_eq!(error::r1_error_free(err), R1_OK);
        assert_eq!(guard!(ptr::null_mut(), |_| Ok(R1_OK)), R1_OK);
    }

    #[test]
    fn success_leaves_the_error_place_alone() {
        let mut err = ptr::dangling_mut();
        assert_eq!(guard!(&raw mut err, |_| Ok(R1_DONE)), R1_DONE);
        assert_eq!(err, ptr::dangling_mut());
    }
}
