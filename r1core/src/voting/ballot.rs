//! One finished sample.

/// What one finished sample contributes to a vote.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot {
    /// The sample's index, 0-based: its place in the reproducible order that breaks ties.
    pub sample: usize,
    /// The normalised answer; `None` if the reply has none.
    pub answer: Option<String>,
    /// How much the answer counts, above 0 and at most 1. Default 1.
    pub weight: f64,
    /// Tokens of the thought. Default 0.
    pub tokens: u64,
    /// Whether the model closed the thought by itself, not a budget, a deadline or a loop breaker. Default true.
    pub natural: bool,
}

impl Ballot {
    /// A ballot of weight 1 with a thought that closed naturally.
    pub fn new(sample: usize, answer: Option<&str>) -> Self {
        Self { sample, answer: answer.map(str::to_owned), weight: 1.0, tokens: 0, natural: true }
    }

    /// Sets the weight.
    #[must_use]
    pub fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the length of the thought.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }

    /// Marks the thought as cut short.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.natural = false;
        self
    }
}
