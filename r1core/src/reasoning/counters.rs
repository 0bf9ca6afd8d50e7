//! Where the tokens went.

/// Token counts of one sequence. `generated()` is the sum of all others, always.
///
/// A token counts for the phase of its first byte: `".</"` in a thought is a reasoning token, even if `"think>"` follows.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sampled tokens of thoughts, without tags. This is what budgets limit.
    pub reasoning: u64,
    /// Sampled tokens that are (or begin inside) a tag.
    pub tag: u64,
    /// Tokens that were forced rather than sampled, tags among them.
    pub forced: u64,
    /// Sampled tokens of the answer.
    pub answer: u64,
    /// End-of-generation tokens.
    pub eog: u64,
    /// Tokens that may still turn out to be a tag. 0 after `finish`.
    pub pending: u64,
}

impl Counters {
    /// All tokens of the sequence.
    pub fn generated(&self) -> u64 {
        self.reasoning + self.tag + self.forced + self.answer + self.eog + self.pending
    }
}
