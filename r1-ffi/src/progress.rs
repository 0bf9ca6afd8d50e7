//! Telling the host how far a long step has come.

use std::ffi::c_void;

use engine::{CancelToken, Progress, ProgressFn, Stage};

use crate::callback::{self, User, r1_drop_fn};

/// Weights are being read and repacked; counted in bytes of the file.
pub const R1_STAGE_LOAD: i32 = 0;
/// The prompt is being read by the model; counted in tokens.
pub const R1_STAGE_PREFILL: i32 = 1;

/// Told that `done` of `total` units of a step (`R1_STAGE_*`) are finished; `total` is at least 1. Runs on the thread
/// that made the call which takes so long. Return 0 to go on; anything else stops the work as a cancel token does. It
/// must not call back, except the functions that say "callbacks included", and must not throw.
pub type r1_progress_fn = Option<unsafe extern "C" fn(user: *mut c_void, stage: i32, done: u64, total: u64) -> i32>;

/// The host's function as the engine takes it. A non-zero return fires `cancel`.
///
/// Made as soon as options are known to be of a version that this library reads (all errors before are
/// `R1_ERR_VERSION`), so that `drop` is called exactly once whatever happens from then on.
pub(crate) fn hook(
    call: r1_progress_fn,
    user: *mut c_void,
    drop: r1_drop_fn,
    cancel: Option<&CancelToken>,
) -> Option<ProgressFn> {
    let user = User { pointer: user, drop };
    let (call, cancel) = (call?, cancel?.clone());
    Some(ProgressFn::new(move |progress: Progress| {
        let stage = match progress.stage {
            Stage::Load => R1_STAGE_LOAD,
            Stage::Prefill => R1_STAGE_PREFILL,
        };
        // Borrowed whole, so that the closure owns the user pointer together with its drop function.
        let user = &user;
        // SAFETY: the host's function and its pointer, which it keeps valid until `drop`.
        let stop = callback::enter(|| unsafe { call(user.pointer, stage, progress.done, progress.total) });
        if stop != 0 {
            cancel.cancel();
        }
    }))
}
