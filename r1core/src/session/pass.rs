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

/// Runs what `sequences` read next as one batch, and tells each of them.
pub(super) fn run<'s>(
    runner: &mut Runner,
    drafter: Option<&mut Drafter>,
    sequences: impl Iterator<Item = &'s mut Sequence>,
) -> Result<()> {
    let vocabulary = runner.model().config().vocabulary;
    let mut sequences: Vec<_> = sequences.filter(|sequence| sequence.columns() > 0).collect();
    let columns = sequences.iter().map(|sequence| sequence.columns()).sum();
    let mut steps: Vec<_> = sequences.iter_mut().map(|sequence| sequence.step()).collect();
    let answered = steps.iter().all(|step| step.tokens.len() == 1 || step.wanted == Wanted::All);
    let start = Instant::now();
    let mut logits = runner.run(&mut steps)?;
    // What is read without an answer takes less.
    if let (Some(drafter), true) = (drafter, answered) {
        drafter.timed(columns, start.elapsed());
    }
    for (step, sequence) in sequences.iter_mut().enumerate() {
        sequence.read(step, &mut logits, vocabulary);
    }
    Ok(())
}
