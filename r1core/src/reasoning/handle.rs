//! The door through which other threads reach a running thought.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use super::{Counters, Phase};

/// Steers a running reply from any thread, without a lock. Clones reach the same reply. Requests are read between two
/// tokens; a handle whose reply has ended does nothing.
#[derive(Debug, Clone)]
pub struct ThinkHandle(Arc<Shared>);

/// No budget.
const UNLIMITED: u64 = u64::MAX;

#[derive(Debug, Default)]
struct Shared {
    close: AtomicBool,
    budget: AtomicU64,
    phase: AtomicU8,
    reasoning: AtomicU64,
    tag: AtomicU64,
    forced: AtomicU64,
    answer: AtomicU64,
    pending: AtomicU64,
}

impl ThinkHandle {
    /// Asks for the answer now: the thought is closed before the next token, and no further one may begin in this reply.
    /// Returns the phase at this moment; where it
    /// is not [`Phase::Thinking`] there is nothing to close and the request is dropped.
    pub fn close(&self) -> Phase {
        let phase = self.phase();
        if phase != Phase::Ended {
            self.0.close.store(true, Relaxed);
        }
        phase
    }

    /// Sets the budget of the whole reply, as [`ThinkOptions::budget`](super::ThinkOptions::budget). Less than what has
    /// been spent closes the thought before the next token. Returns the phase at this moment; the new budget holds for
    /// thoughts to come as well, but not for a reply that has [ended](Phase::Ended).
    pub fn set_budget(&self, budget: Option<usize>) -> Phase {
        self.0.budget.store(budget.map_or(UNLIMITED, |budget| budget as u64), Relaxed);
        self.phase()
    }

    /// Where the reply is.
    pub fn phase(&self) -> Phase {
        Phase::from_code(self.0.phase.load(Relaxed))
    }

    /// Token counts so far. Each is right by itself; a token may arrive while they are read.
    pub fn counters(&self) -> Counters {
        let load = |count: &AtomicU64| count.load(Relaxed);
        Counters {
            reasoning: load(&self.0.reasoning),
            tag: load(&self.0.tag),
            forced: load(&self.0.forced),
            answer: load(&self.0.answer),
            eog: 0,
            pending: load(&self.0.pending),
        }
    }

    pub(super) fn new(budget: Option<usize>, phase: Phase) -> Self {
        let handle = Self(Arc::default());
        handle.set_budget(budget);
        handle.publish(phase, Counters::default());
        handle
    }

    pub(super) fn budget(&self) -> Option<usize> {
        match self.0.budget.load(Relaxed) {
            UNLIMITED => None,
            budget => Some(usize::try_from(budget).unwrap_or(usize::MAX)),
        }
    }

    /// Takes a request to close, if there is one.
    pub(super) fn take_close(&self) -> bool {
        // The load keeps the usual step free of a locked instruction.
        self.0.close.load(Relaxed) && self.0.close.swap(false, Relaxed)
    }

    pub(super) fn publish(&self, phase: Phase, counters: Counters) {
        let shared = &*self.0;
        shared.reasoning.store(counters.reasoning, Relaxed);
        shared.tag.store(counters.tag, Relaxed);
        shared.forced.store(counters.forced, Relaxed);
        shared.answer.store(counters.answer, Relaxed);
        shared.pending.store(counters.pending, Relaxed);
        shared.phase.store(phase.code(), Relaxed);
    }
}
