//! How many tokens may still come, and how many of them are the answer's.

use super::closing::Closing;

/// The largest share of the tokens, and the largest number of them, that the answer is given by default.
const SHARE: usize = 4;
const MOST: usize = 512;

/// Fewer tokens make no answer: so short a limit is left to the thought.
const FEWEST: usize = 16;

/// The tokens that a sequence may have.
#[derive(Debug, Clone)]
pub(super) struct Room {
    tokens: usize,
    reserve: usize,
    /// Tokens for closing the thought: with the message where that takes no more than the answer gets.
    closing: usize,
}

impl Room {
    pub(super) fn new(tokens: usize, reserve: Option<usize>, closing: &Closing) -> Self {
        let reserve =
            reserve.unwrap_or_else(|| Some((tokens / SHARE).min(MOST)).filter(|part| *part >= FEWEST).unwrap_or(0));
        let with_message = closing.longest(true);
        let closing = if with_message <= reserve { with_message } else { closing.longest(false) };
        Self { tokens, reserve, closing }
    }

    /// Whether the thought must be closed now for the answer to have its tokens.
    pub(super) fn is_short(&self, generated: u64) -> bool {
        self.reserve > 0 && self.free(generated) <= self.closing_tokens()
    }

    /// Tokens that may still come.
    pub(super) fn free(&self, generated: u64) -> usize {
        self.tokens.saturating_sub(generated as usize)
    }

    /// Tokens that are kept for the answer.
    pub(super) fn reserve(&self) -> usize {
        self.reserve
    }

    /// Tokens that are kept for closing the thought and for the answer.
    pub(super) fn closing_tokens(&self) -> usize {
        self.closing.saturating_add(self.reserve)
    }
}
