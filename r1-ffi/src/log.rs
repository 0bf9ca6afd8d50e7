//! The log: off until the host gives a function for it.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::callback::{self, User, r1_drop_fn};
use crate::error::r1_error;
use crate::fail::Fail;
use crate::status::*;

/// Nothing.
pub const R1_LOG_OFF: i32 = 0;
/// Calls that failed.
pub const R1_LOG_ERROR: i32 = 1;
/// What works but is worth a look.
pub const R1_LOG_WARN: i32 = 2;
/// Models loaded, replies finished.
pub const R1_LOG_INFO: i32 = 3;
/// Everything else, such as calls refused because the object was busy.
pub const R1_LOG_DEBUG: i32 = 4;

/// Gets one line of the log, UTF-8 without a line end: `text` has `len` bytes, is followed by NUL and is valid during
/// the call. Runs on the thread whose call is logged, so on several at once if the host calls from several. It must
/// not call back, except the functions that say "callbacks included", and must not throw.
pub type r1_log_fn = Option<unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char, len: usize)>;

struct Logger {
    write: unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize),
    user: User,
}

static LOGGER: RwLock<Option<Logger>> = RwLock::new(None);
static LEVEL: AtomicI32 = AtomicI32::new(R1_LOG_OFF);

/// Sends log lines up to `level` to `write`, in place of whatever was set before; NULL or `R1_LOG_OFF` turns the log
/// off, which is how it begins. This is the only state that the library keeps for the whole process. When the call
/// returns, the function set before is not running any more on any thread and its `drop` has been called.
///
/// Errors: `R1_ERR_RANGE` for an unknown level. `drop` is called in that case too.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_log_set(
    level: i32,
    write: r1_log_fn,
    user: *mut c_void,
    drop: r1_drop_fn,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |_| {
        let user = User { pointer: user, drop };
        if !(R1_LOG_OFF..=R1_LOG_DEBUG).contains(&level) {
            return Err(Fail::range("level", format_args!("is {level}, not one of R1_LOG_*")));
        }
        let new = write.filter(|_| level != R1_LOG_OFF).map(|write| Logger { write, user });
        let level = if new.is_some() { level } else { R1_LOG_OFF };
        let old = {
            let mut logger = LOGGER.write().unwrap_or_else(PoisonError::into_inner);
            LEVEL.store(level, Ordering::Relaxed);
            std::mem::replace(&mut *logger, new)
        };
        std::mem::drop(old);
        Ok(R1_OK)
    })
}

/// Logs a line; its text is made only if someone reads it.
pub(crate) fn line(level: i32, text: impl FnOnce() -> String) {
    // Inside a callback this thread may hold the lock already.
    if level > LEVEL.load(Ordering::Relaxed) || callback::active() {
        return;
    }
    let mut text = text().replace(['\n', '\0'], " ");
    let len = text.len();
    text.push('\0');
    if let Some(logger) = &*LOGGER.read().unwrap_or_else(PoisonError::into_inner) {
        // SAFETY: the host's function and its pointer, which it keeps valid until `drop`; the text outlives the call.
        callback::enter(|| unsafe { (logger.write)(logger.user.pointer, level, text.as_ptr().cast(), len) });
    }
}

/// Logs a failed call.
pub(crate) fn failure(fail: &Fail) {
    let expected = matches!(fail.status, R1_ERR_BUSY | R1_ERR_CANCELLED | R1_ERR_BUFFER);
    line(if expected { R1_LOG_DEBUG } else { R1_LOG_ERROR }, || fail.message.clone());
}
