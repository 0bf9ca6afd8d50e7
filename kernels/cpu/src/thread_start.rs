//! What a host does first on every thread that works for it.

use std::fmt;
use std::sync::Arc;

/// A host's function that every worker of a team calls once, on its own thread, before its first task: the place to bind
/// it to a processor, to set its priority or to name it. It is given the worker's number, from 1 on; the caller's thread,
/// which is the team's number 0, is the host's own already. A panic ends that worker, and the others do its work.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::sync::Arc;
/// use r1_kernels::{Team, ThreadStart};
/// let started = Arc::new(AtomicUsize::new(0));
/// let count = Arc::clone(&started);
/// let start = ThreadStart::new(move |_worker| {
///     count.fetch_add(1, Ordering::Relaxed);
/// });
/// drop(Team::with_start(3, Arc::default(), Some(start)));
/// assert_eq!(started.load(Ordering::Relaxed), 2);
/// ```
#[derive(Clone)]
pub struct ThreadStart(Arc<dyn Fn(usize) + Send + Sync>);

impl ThreadStart {
    /// Wraps a function.
    pub fn new(start: impl Fn(usize) + Send + Sync + 'static) -> ThreadStart {
        ThreadStart(Arc::new(start))
    }

    pub(crate) fn call(&self, worker: usize) {
        (self.0)(worker);
    }
}

impl fmt::Debug for ThreadStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadStart")
    }
}
