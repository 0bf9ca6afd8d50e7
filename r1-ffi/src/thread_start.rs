//! What a host does first on every thread that works for it.

use std::ffi::c_void;

use engine::ThreadStart;

use crate::callback::{self, User, r1_drop_fn};

/// Called once on each thread that works for a session, except the caller's own, before its first work: bind it to a
/// processor, set its priority, name it. `thread` counts from 1. It must not call back, except the functions that say
/// "callbacks included", and must not throw.
pub type r1_thread_start_fn = Option<unsafe extern "C" fn(user: *mut c_void, thread: u32)>;

/// The host's function as the engine takes it. `drop` is called once, when no thread of the session and its forks can be
/// started any more.
pub(crate) fn hook(call: r1_thread_start_fn, user: *mut c_void, drop: r1_drop_fn) -> Option<ThreadStart> {
    let user = User { pointer: user, drop };
    let call = call?;
    Some(ThreadStart::new(move |thread| {
        // Borrowed whole, so that the closure owns the user pointer together with its drop function.
        let user = &user;
        // SAFETY: the host's function and its pointer, which it keeps valid until `drop`.
        callback::enter(|| unsafe { call(user.pointer, thread as u32) });
    }))
}
