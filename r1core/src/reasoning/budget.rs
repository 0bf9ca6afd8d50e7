//! How much has been thought, and how much may be.

use super::{Boundary, Counters, Ramp, ThinkOptions};

/// The two budgets of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    block: Option<usize>,
    grace: Option<usize>,
    boundary: Boundary,
    /// Thought tokens of the prompt that count.
    pub(super) charged: usize,
    /// Thought tokens of earlier thoughts.
    earlier: usize,
}

/// The budget that ends first, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) limit: usize,
    pub(super) spent: usize,
    /// Tokens by which `limit` may be exceeded.
    pub(super) grace: usize,
}

impl Budget {
    pub(super) fn new(options: &ThinkOptions) -> Self {
        let &ThinkOptions { block_budget: block, grace, boundary, .. } = options;
        Self { block, grace, boundary, charged: 0, earlier: 0 }
    }

    /// A further thought begins.
    pub(super) fn begin_block(&mut self, counters: &Counters) {
        self.earlier = counters.reasoning as usize;
    }

    /// The budget with the least left, `None` without limits. Tokens that may still become a tag count: the text that
    /// they would be otherwise must not exceed the bound either.
    pub(super) fn stand(&self, turn: Option<usize>, counters: &Counters) -> Option<Stand> {
        let spent = (counters.reasoning + counters.pending) as usize;
        let charged = if self.earlier == 0 { self.charged } else { 0 };
        let turn = turn.map(|limit| self.at(limit, spent + self.charged));
        let block = self.block.map(|limit| self.at(limit, spent - self.earlier + charged));
        [turn, block].into_iter().flatten().min_by_key(|stand| stand.limit as i128 - stand.spent as i128)
    }

    fn at(&self, limit: usize, spent: usize) -> Stand {
        let default = if self.boundary == Boundary::Token { 0 } else { limit / 10 };
        Stand { limit, spent, grace: self.grace.unwrap_or(default) }
    }
}

impl Stand {
    /// Whether it is used up.
    pub(super) fn is_due(&self) -> bool {
        self.spent >= self.limit
    }

    /// Tokens that may still come, grace included.
    pub(super) fn left(&self) -> usize {
        self.limit.saturating_add(self.grace).saturating_sub(self.spent)
    }

    /// How far the ramp has risen, from 0 to 1.
    pub(super) fn progress(&self, ramp: &Ramp) -> f32 {
        let last_part = (self.limit as f64 * f64::from(ramp.share)).max(1.0);
        let left = self.limit.saturating_sub(self.spent) as f64;
        (1.0 - left / last_part).max(0.0) as f32
    }
}
