//! The threads that work for a session.

use r1_kernels::ThreadStart;

/// How many threads work for a runner, and what each does first. `From<Option<usize>>` takes the number alone.
#[derive(Debug, Clone, Default)]
pub struct Threads {
    /// The caller's included; `None` takes one for each processor that the system offers. Clamped to 1..=256.
    pub count: Option<usize>,
    /// Called on every thread but the caller's before it works.
    pub start: Option<ThreadStart>,
}

impl From<Option<usize>> for Threads {
    fn from(count: Option<usize>) -> Threads {
        Threads { count, start: None }
    }
}
