//! The door through which other threads reach a running vote.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::VoteProgress;
use crate::reasoning::{Counters, Phase, ThinkHandle};

/// Steers a running vote from any thread. Clones reach the same vote. Requests are read between two tokens; a handle
/// whose vote is over does nothing.
#[derive(Debug, Clone, Default)]
pub struct VoteHandle(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    running: Vec<(usize, ThinkHandle)>,
    /// Samples that are to end.
    cancelled: Vec<usize>,
    /// No further sample starts.
    hurried: bool,
    /// The budget that was set last.
    budget: Option<Option<usize>>,
    progress: VoteProgress,
}

impl VoteHandle {
    /// Asks for the result now: the thoughts of all running samples are closed before their next tokens, and no further
    /// sample starts; the vote ends when they have answered. Returns how many run; where that is 0 the vote is over, or
    /// has not read its prompt yet and will take one sample.
    ///
    /// Samples whose thought was closed like this count only where none has closed its own
    /// ([`Voters::Natural`](crate::voting::Voters::Natural)).
    pub fn answer_now(&self) -> usize {
        let mut shared = self.lock();
        shared.hurried = true;
        for (_, sample) in &shared.running {
            sample.close();
        }
        shared.running.len()
    }

    /// Sets the thought budget of each sample, those to come included. Returns how many run.
    pub fn set_budget(&self, budget: Option<usize>) -> usize {
        let mut shared = self.lock();
        shared.budget = Some(budget);
        for (_, sample) in &shared.running {
            sample.set_budget(budget);
        }
        shared.running.len()
    }

    /// Ends one sample without a vote; none takes its place. Returns whether it was running.
    pub fn cancel_sample(&self, index: usize) -> bool {
        let mut shared = self.lock();
        let runs = shared.running.iter().any(|(running, _)| *running == index);
        if runs && !shared.cancelled.contains(&index) {
            shared.cancelled.push(index);
        }
        runs
    }

    /// A handle on the thought of one running sample.
    pub fn sample(&self, index: usize) -> Option<ThinkHandle> {
        self.lock().running.iter().find(|(running, _)| *running == index).map(|(_, handle)| handle.clone())
    }

    /// The running samples: index, phase and counts of each.
    pub fn samples(&self) -> Vec<(usize, Phase, Counters)> {
        self.lock().running.iter().map(|(index, handle)| (*index, handle.phase(), handle.counters())).collect()
    }

    /// How far the vote is.
    pub fn progress(&self) -> VoteProgress {
        self.lock().progress
    }

    /// Whether no further sample is to start.
    pub(super) fn is_hurried(&self) -> bool {
        self.lock().hurried
    }

    /// Takes the requests to end samples.
    pub(super) fn take_cancelled(&self) -> Vec<usize> {
        std::mem::take(&mut self.lock().cancelled)
    }

    /// Makes a sample known that has started.
    pub(super) fn enter(&self, index: usize, sample: ThinkHandle) {
        let mut shared = self.lock();
        if let Some(budget) = shared.budget {
            sample.set_budget(budget);
        }
        if shared.hurried {
            sample.close();
        }
        shared.running.push((index, sample));
    }

    /// Notes how far the vote is, and which samples still run.
    pub(super) fn publish(&self, progress: VoteProgress, runs: impl Fn(usize) -> bool) {
        let mut shared = self.lock();
        shared.progress = progress;
        shared.running.retain(|(index, _)| runs(*index));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
