//! Telling the host how far a long step has come.

use std::fmt;
use std::sync::Arc;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Weights are being read and repacked, while loading or by [`Model::finish_repacking`](crate::Model::finish_repacking);
    /// counted in bytes of the file.
    Load,
    /// The prompt is being read by the model; counted in tokens.
    Prefill,
}

/// How far a step has come: `done` of `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub stage: Stage,
    /// Units finished; rises, and ends equal to `total`.
    pub done: u64,
    /// Units in all; at least 1.
    pub total: u64,
}

/// A host's progress function, called on the thread that does the work.
#[derive(Clone)]
pub struct ProgressFn(Arc<dyn Fn(Progress) + Send + Sync>);

impl ProgressFn {
    /// Wraps a function.
    pub fn new(f: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    pub(crate) fn report(&self, stage: Stage, done: u64, total: u64) {
        (self.0)(Progress { stage, done: done.min(total.max(1)), total: total.max(1) });
    }
}

impl fmt::Debug for ProgressFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressFn")
    }
}
