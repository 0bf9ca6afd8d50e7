//! What to vote on.

use std::fmt;
use std::sync::Arc;

use super::super::GenerateOptions;
use super::VoteSample;
use crate::answer::AnswerKind;
use crate::voting::{EarlyStop, Voters, sample_seed};
use crate::{Error, ErrorKind, Result};

/// Samples of one vote at most.
const MAX_SAMPLES: usize = 4096;

/// How a vote is held. `VoteOptions::default()` takes 16 samples as the DeepSeek-R1 paper does (temperature 0.6, top-p
/// 0.95), reads mathematical answers, and stops as soon as the winner is certain.
#[derive(Debug, Clone)]
pub struct VoteOptions {
    /// Samples at most, 1 to 4096. Default 16.
    pub samples: usize,
    /// How each sample is generated. Sample `i` has the seed [`sample_seed`]`(seed, i)`; its token events are kept in
    /// [`VoteSample::chosen`].
    pub generate: GenerateOptions,
    /// What an answer is: how it is found in the reply and compared. Default [`AnswerKind::Math`].
    pub kind: AnswerKind,
    /// Finds the answer in place of [`extract`](crate::answer::extract) and [`normalise`](crate::answer::normalise).
    pub extract: Option<ExtractFn>,
    /// How much each answer counts; `None` counts them alike.
    pub weigh: Option<WeighFn>,
    /// Whose answers count. By default those whose thought the model closed by itself and whose reply is complete.
    pub voters: Voters,
    /// When the vote may end before all samples have. Default [`EarlyStop::Certain`]: the winner of all, for less.
    pub early_stop: EarlyStop,
    /// Samples that decode together at most; `None` sets no bound.
    pub batch: Option<usize>,
    /// Starts as many samples at once as `batch` admits: the shortest wait. By default a sample starts only when those
    /// that run could not end the vote even if they agreed ([`EarlyStop::fewest`]): the fewest tokens.
    pub eager: bool,
}

impl Default for VoteOptions {
    fn default() -> Self {
        Self {
            samples: 16,
            generate: GenerateOptions::default(),
            kind: AnswerKind::default(),
            extract: None,
            weigh: None,
            voters: Voters::default(),
            early_stop: EarlyStop::default(),
            batch: None,
            eager: false,
        }
    }
}

impl VoteOptions {
    /// The options with which [`Session::generate`](crate::Session::generate) gives sample `index` on its own, bit for
    /// bit.
    pub fn sample_options(&self, index: usize) -> GenerateOptions {
        let mut options = self.generate.clone();
        options.sampler.seed = sample_seed(options.sampler.seed, index);
        options
    }

    pub(super) fn validate(&self) -> Result<()> {
        if !(1..=MAX_SAMPLES).contains(&self.samples) {
            let what = format!("a vote of {} samples is out of range 1..={MAX_SAMPLES}", self.samples);
            return Err(Error::new(ErrorKind::Argument, what));
        }
        if self.batch == Some(0) {
            return Err(Error::new(ErrorKind::Argument, "a vote in batches of 0 samples makes no progress"));
        }
        Ok(())
    }
}

/// A host's way to find the answer: takes a reply without its thought and returns the text under which it is counted, or
/// `None` where there is no answer. Called once for every finished sample, on the thread that pulls the vote.
#[derive(Clone)]
pub struct ExtractFn(Arc<Extract>);

type Extract = dyn Fn(&str) -> Option<String> + Send + Sync;

impl ExtractFn {
    /// Wraps a function.
    pub fn new(f: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    pub(super) fn find(&self, reply: &str) -> Option<String> {
        (self.0)(reply)
    }
}

impl fmt::Debug for ExtractFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExtractFn")
    }
}

/// A host's way to weigh an answer: takes a sample that has ended, its answer found, and returns how much it counts, above
/// 0 and at most 1; anything else ends the vote with an error. Called once for every finished sample, on the thread that
/// pulls the vote. Rules that end a vote early take it that the samples to come count 1.
#[derive(Clone)]
pub struct WeighFn(Arc<Weigh>);

type Weigh = dyn Fn(&VoteSample) -> f64 + Send + Sync;

impl WeighFn {
    /// Wraps a function.
    pub fn new(f: impl Fn(&VoteSample) -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    pub(super) fn weigh(&self, sample: &VoteSample) -> f64 {
        (self.0)(sample)
    }
}

impl fmt::Debug for WeighFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeighFn")
    }
}
