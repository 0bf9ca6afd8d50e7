//! One pass of the model over sequences, with guesses where they are worth it.

use std::time::Instant;

use super::sequence::Sequence;
use crate::Result;
use crate::model::{Runner, Wanted};
use crate::speculation::{Drafter, Suffixes};

/// Adds guesses to what those of `sequences` read next that wait for it, as many as promise most tokens for a second, and
/// keeps `texts` up to date.
pub(super) fn guess<'s>(
    drafter: &mut Drafter,
    texts: &mut Suffixes,
    sequences: impl Iterator<Item = &'s mut Sequence>,
) {
    let mut sequences: Vec<_> = sequences.collect();
    for outcome in sequences.iter_mut().filter_map(|sequence| sequence.take_outcome()) {
        drafter.learn(outcome);
    }
    let columns = sequences.iter().map(|sequence| sequence.columns()).sum();
    let waiting = sequences.iter().filter(|sequence| sequence.is_waiting()).count();
    if !drafter.hopes(columns, waiting) {
        return;
    }
    for sequence in &sequences {
        texts.follow(sequence.text(), sequence.tokens());
    }
    let draft = |sequence: &&mut Sequence| texts.draft(sequence.text(), sequence.unread(), sequence.room());
    let mut drafts: Vec<_> = sequences.iter().map(|sequence| draft(sequence).unwrap_or_default()).collect();
    drafter.cut(columns, waiting, &mut drafts);
    for (sequence, draft) in sequences.iter_mut().zip(&drafts) {
        sequence.guess(draft);
    }
}

/// Runs what `sequences` read next as one batch, and returns [`Sequence::rows`] rows of logits for each, where `wanted` is
/// that of the last token.
pub(super) fn run<'r, 's>(
    runner: &'r mut Runner,
    drafter: Option<&mut Drafter>,
    sequences: impl Iterator<Item = &'s mut Sequence>,
    wanted: Wanted,
) -> Result<&'r [f32]> {
    let vocabulary = runner.model().config().vocabulary;
    let mut steps: Vec<_> =
        sequences.filter(|sequence| sequence.columns() > 0).map(|sequence| sequence.step(wanted)).collect();
    let columns: usize = steps.iter().map(|step| step.tokens.len()).sum();
    let start = Instant::now();
    let logits = runner.run(&mut steps)?;
    // What is read without logits takes less.
    if let (Some(drafter), true) = (drafter, logits.len() == columns * vocabulary) {
        drafter.timed(columns, start.elapsed());
    }
    Ok(logits)
}
