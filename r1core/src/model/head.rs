//! What steps want of the rows that come out of the last layer: all logits, or the best token alone.

use super::project::{Projector, Rows};
use super::runner::{Pass, Step, Wanted};
use crate::cancel::cancelled;
use crate::config::Config;
use crate::sampler::argmax;
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops;

/// The answers to the steps of one run.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    steps: Vec<Answer>,
    /// Rows that [`Runner::run`](super::Runner::run) returns: those of steps that want logits.
    whole: usize,
    /// Rows of which the best token alone is wanted.
    bests: usize,
}

/// The answer to one step.
#[derive(Debug)]
struct Answer {
    wanted: Wanted,
    /// The place of its last row among the rows of its kind.
    last: Option<usize>,
    best: Option<(u32, f32)>,
}

impl Answers {
    /// No answers yet to these steps.
    pub(crate) fn begin(&mut self, steps: &[Step<'_>]) {
        (self.whole, self.bests) = (0, 0);
        self.steps.clear();
        for Step { tokens, wanted, .. } in steps {
            let (count, rows) = match wanted {
                Wanted::Best => (&mut self.bests, 1),
                Wanted::None => (&mut self.whole, 0),
                Wanted::Last => (&mut self.whole, 1),
                Wanted::All => (&mut self.whole, tokens.len()),
            };
            *count += rows;
            let last = (rows > 0).then(|| *count - 1);
            self.steps.push(Answer { wanted: *wanted, last, best: None });
        }
    }

    /// Rows whose logits are wanted; those of which the best token is come behind them.
    pub(crate) fn whole(&self) -> usize {
        self.whole
    }

    /// Rows of both kinds.
    pub(crate) fn rows(&self) -> usize {
        self.whole + self.bests
    }

    /// The place of a step's last row among all rows, where anything is wanted of it.
    pub(crate) fn place(&self, step: usize) -> Option<usize> {
        let Answer { wanted, last, .. } = self.steps.get(step)?;
        last.map(|last| if *wanted == Wanted::Best { self.whole + last } else { last })
    }

    /// Notes the best token of a step; `None` where no token is possible.
    #[cfg(feature = "ggml")]
    pub(crate) fn set_best(&mut self, step: usize, best: Option<(u32, f32)>) {
        if let Some(answer) = self.steps.get_mut(step) {
            answer.best = best;
        }
    }

    /// Finds the best tokens of the steps that want them in `logits`, all rows `[row][vocabulary]`.
    pub(crate) fn choose(&mut self, logits: &[f32], vocabulary: usize) {
        let whole = self.whole;
        let rows = |row: usize| logits.get(row * vocabulary..(row + 1) * vocabulary).unwrap_or_default();
        for answer in self.steps.iter_mut().filter(|answer| answer.wanted == Wanted::Best) {
            answer.best = answer.last.and_then(|last| argmax(rows(whole + last)));
        }
    }

    /// The best tokens of the steps that want them, in order, where all steps do that want anything.
    fn bests_are(&mut self, bests: Vec<Option<(u32, f32)>>) {
        let wanting = self.steps.iter_mut().filter(|answer| answer.wanted == Wanted::Best);
        wanting.zip(bests).for_each(|(answer, best)| answer.best = best);
    }

    /// The best token of a step, if it wanted that and there is one.
    pub(crate) fn best(&self, step: usize) -> &[(u32, f32)] {
        self.steps.get(step).map_or(&[], |answer| answer.best.as_slice())
    }
}

/// From the rows after the last layer to answers, on the CPU.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// `[row][embedding_length]`: the rows whose logits are wanted, then those of which the best token is.
    rows: Vec<f32>,
    /// `[row][vocabulary]` of the same rows; empty where only best tokens were wanted, until somebody asks.
    logits: Vec<f32>,
}

impl Head {
    /// Answers the steps from `residual`, their wanted rows in order, `[row][embedding_length]`.
    pub(super) fn run(
        &mut self,
        pass: &Pass<'_>,
        config: &Config,
        weights: &Weights,
        projector: &mut Projector,
        residual: &[f32],
        answers: &mut Answers,
    ) {
        self.rows.clear();
        self.logits.clear();
        let (Some(output), true) = (&weights.output, answers.rows() > 0) else { return };
        self.rows.extend_from_slice(residual);
        // A cap may make equals of different logits, and the first of those is the best.
        if answers.whole == 0 && config.logit_soft_cap.is_none() && output.bias.is_none() {
            answers.bests_are(projector.best(pass, Rows::Normed(&self.rows, &weights.output_norm), output));
            return;
        }
        if answers.whole > 0 && answers.bests > 0 {
            self.rows = answers.sorted(&self.rows, pass.width);
        }
        self.compute(pass, config, weights, projector);
        answers.choose(&self.logits, config.vocabulary);
    }

    /// The logits of all rows.
    fn compute(&mut self, pass: &Pass<'_>, config: &Config, weights: &Weights, projector: &mut Projector) {
        let Some(output) = &weights.output else { return };
        self.logits.resize(self.rows.len() / pass.width * config.vocabulary, 0.0);
        let normed = Rows::Normed(&self.rows, &weights.output_norm);
        projector.project(pass, normed, &mut [(output, &mut self.logits)]);
        if let Some(cap) = config.logit_soft_cap {
            ops::soft_cap(pass.isa, &mut self.logits, cap);
        }
    }

    /// The logits of `count` rows from the first.
    pub(super) fn first(&self, count: usize, vocabulary: usize) -> &[f32] {
        &self.logits[..count * vocabulary]
    }

    /// All logits of a row, also where only its best token was wanted.
    pub(super) fn row(
        &mut self,
        row: usize,
        pass: &Pass<'_>,
        config: &Config,
        weights: &Weights,
        projector: &mut Projector,
    ) -> Result<&[f32]> {
        if self.logits.is_empty() {
            self.compute(pass, config, weights, projector);
            if pass.team.take_dropped() {
                self.logits.clear();
                return Err(cancelled());
            }
        }
        let vocabulary = config.vocabulary;
        self.logits.get(row * vocabulary..(row + 1) * vocabulary).ok_or_else(|| internal("a row that was not run"))
    }
}

impl Answers {
    /// The rows of the steps, in order, with those of which the best is wanted moved behind the others.
    fn sorted(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let (mut whole, mut best) = (Vec::with_capacity(rows.len()), Vec::<f32>::new());
        let mut rows = rows.chunks_exact(width);
        let mut whole_rows = 0;
        for Answer { wanted, last, .. } in &self.steps {
            let Some(last) = last else { continue };
            if *wanted == Wanted::Best {
                best.extend(rows.next().into_iter().flatten());
            } else {
                let count = last + 1 - whole_rows;
                whole.extend(rows.by_ref().take(count).flatten());
                whole_rows += count;
            }
        }
        whole.extend(best);
        whole
    }
}

pub(super) fn internal(what: &str) -> Error {
    Error::new(ErrorKind::Internal, what)
}
