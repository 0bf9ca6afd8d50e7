//! Calling the host's functions, and knowing on each thread whether one of them runs.

use std::cell::Cell;
use std::ffi::c_void;

/// Called once when the library will not use `user` any more: free what it points to. May be NULL. It must not call
/// back, except the functions that say "callbacks included".
pub type r1_drop_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a host's function.
pub(crate) fn active() -> bool {
    ACTIVE.get()
}

/// Marks this thread as being inside a host's function.
pub(crate) fn enter<T>(call: impl FnOnce() -> T) -> T {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let _leave = Leave(ACTIVE.replace(true));
    call()
}

/// A host's pointer, given back to it with every call, and dropped by the host's own function.
pub(crate) struct User {
    pub(crate) pointer: *mut c_void,
    pub(crate) drop: r1_drop_fn,
}

// SAFETY: the header says on which threads callbacks run; that its pointer bears this is the host's promise.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the host gave the function together with the pointer, and this is the only call.
            enter(|| unsafe { drop(self.pointer) });
        }
    }
}
