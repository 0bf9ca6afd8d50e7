//! What a sequence knows of the tokens to come.

use std::collections::VecDeque;

use crate::speculation::{Draft, Outcome};

/// The logits after a sequence's last token, and after tokens beyond it that the model has read ahead: guesses, and in a
/// vote tokens that were foreseen. Or the highest logits after the last token alone.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// The logits after the last token and after each one of `ahead`; empty where nothing is known.
    rows: VecDeque<Vec<f32>>,
    /// The highest logits where `rows` is empty, with their tokens, the highest first.
    top: Vec<(u32, f32)>,
    ahead: VecDeque<u32>,
    /// Tokens at the front of `ahead` that were foreseen. The others are the latest guesses.
    foreseen: usize,
    /// What became of the latest guesses so far.
    outcome: Option<Outcome>,
    /// Rows to use again.
    spare: Vec<Vec<f32>>,
}

/// Rows that are kept to be used again.
const SPARE: usize = 2;

impl Outlook {
    /// The logits after the sequence's last token, where they are known.
    pub(super) fn logits(&self) -> Option<&[f32]> {
        self.rows.front().map(Vec::as_slice)
    }

    /// The highest logits after the sequence's last token, where no others are known.
    pub(super) fn top(&self) -> &[(u32, f32)] {
        &self.top
    }

    /// Whether anything is known.
    pub(super) fn is_known(&self) -> bool {
        !self.top.is_empty() || !self.rows.is_empty()
    }

    /// Tokens that the model has read ahead.
    pub(super) fn ahead(&self) -> &VecDeque<u32> {
        &self.ahead
    }

    /// Replaces everything by the logits `row` after the last token.
    pub(super) fn set(&mut self, row: &[f32]) {
        self.clear();
        self.push(row);
    }

    /// Replaces everything by the highest logits after the last token.
    pub(super) fn set_top(&mut self, top: &[(u32, f32)]) {
        self.clear();
        self.top.extend_from_slice(top);
    }

    /// Adds a token that the model has read behind all others, and the logits after it.
    pub(super) fn extend(&mut self, token: u32, row: &[f32], foreseen: bool) {
        self.foreseen += usize::from(foreseen);
        self.ahead.push_back(token);
        self.push(row);
    }

    /// The guesses that are added next are those of `draft`.
    pub(super) fn begin_guesses(&mut self, draft: &Draft) {
        let Draft { origin, matched, .. } = *draft;
        self.outcome = Some(Outcome { origin, matched, right: 0, missed: false });
    }

    /// Moves on by `token`, if that was read ahead.
    pub(super) fn take(&mut self, token: u32) -> bool {
        if self.ahead.front() != Some(&token) {
            // What was foreseen wrongly says nothing of the guesses behind it.
            let guessed = self.foreseen == 0 && !self.ahead.is_empty();
            self.settle(false, guessed);
            return false;
        }
        self.ahead.pop_front();
        let row = self.rows.pop_front();
        self.recycle(row);
        if self.foreseen > 0 {
            self.foreseen -= 1;
        } else {
            self.settle(true, false);
        }
        true
    }

    /// Checks the guesses ahead by what `foresee` makes of the logits before each, given with the number of tokens
    /// between them and the sequence's last. Drops them from the first wrong one on, and returns the token that comes
    /// behind all that is left, unless that cannot be foreseen.
    pub(super) fn foresee(&mut self, mut foresee: impl FnMut(&[f32], usize) -> Option<u32>) -> Option<u32> {
        loop {
            let at = self.foreseen;
            let token = foresee(self.rows.get(at)?, at)?;
            match self.ahead.get(at) {
                Some(guess) if *guess == token => {
                    self.foreseen += 1;
                    self.settle(true, false);
                }
                Some(_) => {
                    self.settle(false, true);
                    self.cut(at);
                    return Some(token);
                }
                None => return Some(token),
            }
        }
    }

    /// What the latest guesses came to, once nothing more is to be learnt of them.
    pub(super) fn take_outcome(&mut self) -> Option<Outcome> {
        if self.foreseen == self.ahead.len() { self.outcome.take() } else { None }
    }

    /// Keeps the logits after the last token and drops what was read ahead.
    pub(super) fn forget_ahead(&mut self) {
        self.cut(0);
    }

    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        self.cut(0);
        self.top.clear();
        let row = self.rows.pop_front();
        self.recycle(row);
    }

    /// What is known after the last token alone.
    pub(super) fn without_ahead(&self) -> Outlook {
        let rows = self.rows.front().cloned().into_iter().collect();
        Outlook { rows, top: self.top.clone(), ..Outlook::default() }
    }

    /// Keeps `ahead` tokens that were read ahead.
    fn cut(&mut self, ahead: usize) {
        while self.ahead.len() > ahead {
            self.ahead.pop_back();
            let row = self.rows.pop_back();
            self.recycle(row);
        }
        self.foreseen = self.foreseen.min(ahead);
    }

    fn settle(&mut self, right: bool, missed: bool) {
        if let Some(outcome) = &mut self.outcome {
            outcome.right += usize::from(right);
            outcome.missed |= missed;
        }
    }

    fn push(&mut self, row: &[f32]) {
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(row);
        self.rows.push_back(kept);
    }

    fn recycle(&mut self, row: Option<Vec<f32>>) {
        if self.spare.len() < SPARE {
            self.spare.extend(row);
        }
    }
}
