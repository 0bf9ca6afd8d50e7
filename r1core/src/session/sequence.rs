//! The tokens of one sequence and their cache, one pass of the model after the other.

use super::outlook::Outlook;
use crate::cache::KvCache;
use crate::model::{Step, Wanted};
use crate::speculation::{Draft, Outcome};

/// What one sequence is made of: a session's own, or a sample of a vote. It goes through the model in passes, alone or
/// beside others, each of which reads the tokens that were chosen and guesses behind them.
#[derive(Debug)]
pub(super) struct Sequence {
    cache: KvCache,
    /// Position of the first of `tokens`: what is before belongs to the prompt of a vote.
    start: usize,
    /// Positions that are ever needed.
    most: usize,
    /// The tokens that the model has read.
    tokens: Vec<u32>,
    /// The logits after them, and what the cache holds beyond them.
    outlook: Outlook,
    /// What the next pass reads, guesses last.
    next: Vec<u32>,
    guesses: usize,
    /// What is wanted of the last token that was chosen.
    wanted: Wanted,
    /// The step of the runner's last run whose scores are those after the last token, where `outlook` has none.
    step: Option<usize>,
    /// The next pass reads on behind what was read ahead, not behind `tokens`.
    leads: bool,
    /// The sequence's number among the texts that are searched for guesses.
    text: usize,
}

impl Sequence {
    /// A sequence right behind what `cache` holds, with room for `most` tokens.
    pub(super) fn new(cache: KvCache, text: usize, most: usize) -> Sequence {
        let start = cache.len();
        Sequence {
            start,
            most: start.saturating_add(most).min(cache.capacity()),
            cache,
            tokens: Vec::new(),
            outlook: Outlook::default(),
            next: Vec::new(),
            guesses: 0,
            wanted: Wanted::Last,
            step: None,
            leads: false,
            text,
        }
    }

    /// A second sequence with the same past, which costs no copy of the cache now.
    pub(super) fn fork(&self) -> Sequence {
        let mut cache = self.cache.fork();
        cache.truncate(self.position());
        let (tokens, outlook) = (self.tokens.clone(), self.outlook.without_ahead());
        Sequence { cache, tokens, outlook, next: Vec::new(), guesses: 0, step: None, leads: false, ..*self }
    }

    pub(super) fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// The tokens that the model has read, without those ahead.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The position behind them.
    pub(super) fn position(&self) -> usize {
        self.start + self.tokens.len()
    }

    /// What is known after them.
    pub(super) fn outlook(&self) -> &Outlook {
        &self.outlook
    }

    /// The step of the runner's last run that has the scores after them, where nothing is kept here.
    pub(super) fn scored_step(&self) -> Option<usize> {
        self.step
    }

    pub(super) fn text(&self) -> usize {
        self.text
    }

    /// Moves on by those of the chosen tokens that were read ahead. Returns the others, and drops what was read ahead in
    /// vain if there are any.
    pub(super) fn take<'c>(&mut self, chosen: &'c [u32]) -> &'c [u32] {
        let mut rest = chosen;
        while let Some((&first, after)) = rest.split_first()
            && self.outlook.take(first)
        {
            self.tokens.push(first);
            rest = after;
        }
        if !rest.is_empty() {
            self.forget_ahead();
        }
        rest
    }

    /// Has the next pass read `chosen`, and nothing else so far. So much is wanted of the last of them.
    pub(super) fn expect(&mut self, chosen: &[u32], wanted: Wanted) {
        self.next.clear();
        self.next.extend_from_slice(chosen);
        (self.guesses, self.leads) = (0, false);
        (self.wanted, self.step) = (wanted, None);
    }

    /// The chosen tokens that the model has not read.
    pub(super) fn unread(&self) -> &[u32] {
        if self.leads { &[] } else { &self.next[..self.next.len() - self.guesses] }
    }

    /// Whether it has tokens that the model has to read before anything can be chosen.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unread().is_empty()
    }

    /// Where the sequence does not wait: has the next pass read the token behind those read ahead, if `foresee` tells it
    /// from the logits before it and the position, so that the sequence keeps its lead when others need a pass.
    pub(super) fn lead(&mut self, mut foresee: impl FnMut(&[f32], usize) -> Option<u32>) {
        let position = self.position();
        if self.is_waiting() {
            return;
        }
        let token = self.outlook.foresee(|logits, at| foresee(logits, position + at));
        let ahead = self.outlook.ahead().len();
        self.cache.truncate(position + ahead);
        // The last token of a sequence needs no logits.
        if let Some(token) = token.filter(|_| position + ahead + 1 < self.most) {
            self.expect(&[token], Wanted::Last);
            self.leads = true;
        }
    }

    /// Tokens that the next pass reads.
    pub(super) fn columns(&self) -> usize {
        self.next.len()
    }

    /// Rows of logits that the next pass gives.
    fn rows(&self) -> usize {
        match self.wanted() {
            Wanted::None | Wanted::Best => 0,
            Wanted::Last => self.next.len().min(1),
            Wanted::All => self.next.len(),
        }
    }

    /// What is wanted of the next pass: all logits where it reads further than what was chosen.
    fn wanted(&self) -> Wanted {
        if self.guesses > 0 || self.leads { Wanted::All } else { self.wanted }
    }

    /// Guesses that the next pass may read, at most: none where the sequence is ahead, so that its lead stays small, or
    /// where tokens were forced together.
    pub(super) fn room(&self) -> usize {
        // The last token of a sequence needs no logits, so one position is left over.
        let position = self.position() + self.next.len() + 1;
        if self.unread().len() == 1 { self.most.saturating_sub(position) } else { 0 }
    }

    /// Has the next pass read guesses, too.
    pub(super) fn guess(&mut self, draft: &Draft) {
        if !draft.tokens.is_empty() {
            self.next.extend_from_slice(&draft.tokens);
            self.guesses = draft.tokens.len();
            self.outlook.begin_guesses(draft);
        }
    }

    /// What the next pass reads.
    pub(super) fn step(&mut self) -> Step<'_> {
        let wanted = self.wanted();
        Step { cache: &mut self.cache, tokens: &self.next, wanted }
    }

    /// Notes that the pass has run, with this sequence as its step number `step`. Takes the sequence's rows off the front of
    /// `logits`, and keeps them where the pass read further than what was chosen.
    pub(super) fn read(&mut self, step: usize, logits: &mut &[f32], vocabulary: usize) {
        let (rows, others) = logits.split_at(self.rows() * vocabulary);
        *logits = others;
        let mut rows = rows.chunks_exact(vocabulary);
        let next = std::mem::take(&mut self.next);
        let (chosen, guesses) = next.split_at(next.len() - self.guesses);
        let plain = !self.leads && guesses.is_empty();
        if self.leads {
            for (token, row) in chosen.iter().zip(&mut rows) {
                self.outlook.extend(*token, row, true);
            }
        } else {
            self.tokens.extend_from_slice(chosen);
            self.outlook.clear();
            if let (Some(row), false) = (rows.next(), plain) {
                self.outlook.set(row);
            }
        }
        for (token, row) in guesses.iter().zip(rows) {
            self.outlook.extend(*token, row, false);
        }
        self.next = next;
        self.expect(&[], self.wanted);
        self.step = plain.then_some(step);
    }

    /// Keeps the logits after the last token.
    pub(super) fn keep(&mut self, row: &[f32]) {
        self.outlook.set(row);
        self.step = None;
    }

    /// Keeps the highest logits after the last token.
    pub(super) fn keep_top(&mut self, top: &[(u32, f32)]) {
        self.outlook.set_top(top);
        self.step = None;
    }

    /// The last token, and a cache of all before it: for reading it again.
    pub(super) fn last(&self) -> Option<(u32, KvCache)> {
        let last = *self.tokens.last()?;
        let mut cache = self.cache.fork();
        cache.truncate(self.position() - 1);
        Some((last, cache))
    }

    /// Takes what was read ahead out of the cache.
    pub(super) fn forget_ahead(&mut self) {
        self.outlook.forget_ahead();
        self.cache.truncate(self.position());
    }

    /// Forgets the tokens from `len` on, with the logits.
    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.tokens.truncate(len);
            self.outlook.clear();
            self.cache.truncate(self.position());
        }
    }

    /// What guesses came to since the last call.
    pub(super) fn take_outcome(&mut self) -> Option<Outcome> {
        self.outlook.take_outcome()
    }

    /// Drops what was read ahead, and tells what the last guesses came to.
    pub(super) fn end(&mut self) -> Option<Outcome> {
        self.forget_ahead();
        self.take_outcome()
    }

    /// Frees the cache and returns the tokens, those that the model has not read included.
    pub(super) fn into_tokens(self) -> Vec<u32> {
        [&self.tokens, self.unread()].concat()
    }
}
