//! One user at a time: a second one gets `R1_ERR_BUSY` instead of waiting or racing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::fail::{Fail, Result};
use crate::status::*;

/// A value for one thread at a time, and for one stream at a time across calls.
pub(crate) struct Busy<T> {
    value: Mutex<T>,
    streaming: AtomicBool,
    name: &'static str,
}

impl<T> Busy<T> {
    pub(crate) fn new(value: T, name: &'static str) -> Self {
        Self { value: Mutex::new(value), streaming: AtomicBool::new(false), name }
    }

    /// The value for one call that changes nothing a stream relies on.
    pub(crate) fn peek(&self) -> Result<MutexGuard<'_, T>> {
        self.value.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                Fail::new(R1_ERR_BUSY, format!("the {} is in use by another thread", self.name))
            }
            TryLockError::Poisoned(_) => {
                Fail::new(R1_ERR_PANIC, format!("an earlier call on this {} met a bug; free it", self.name))
            }
        })
    }

    /// The value for one call that may change it, which no stream must be using.
    pub(crate) fn take(&self) -> Result<MutexGuard<'_, T>> {
        let value = self.peek()?;
        if self.streaming.load(Ordering::Acquire) {
            let message =
                format!("the {} has a stream or vote that has not ended; read it to its end or free it", self.name);
            return Err(Fail::new(R1_ERR_BUSY, message));
        }
        Ok(value)
    }

    /// Marks the value as being used by a stream until [`Busy::end_stream`]. Called while it is taken.
    pub(crate) fn begin_stream(&self) {
        self.streaming.store(true, Ordering::Release);
    }

    pub(crate) fn end_stream(&self) {
        self.streaming.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_user_is_refused_and_the_first_leaves_no_trace() {
        let busy = Busy::new(7, "session");
        let first = busy.take().unwrap();
        assert_eq!(busy.peek().err().unwrap().status, R1_ERR_BUSY);
        drop(first);
        busy.begin_stream();
        assert_eq!(busy.take().err().unwrap().status, R1_ERR_BUSY);
        assert_eq!(*busy.peek().unwrap(), 7);
        busy.end_stream();
        assert_eq!(*busy.take().unwrap(), 7);
    }

    #[test]
    fn a_panic_poisons_the_value_for_good() {
        let busy = Busy::new(7, "session");
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _value = busy.take();
            panic!("boom");
        }));
        assert!(caught.is_err());
        assert_eq!(busy.take().err().unwrap().status, R1_ERR_PANIC);
    }
}
