//! What a host sees of a generation.

use std::time::Duration;

use crate::reasoning::CloseReason;

/// One step of a generation, in the order in which things happen: pieces of thought and answer, then [`Event::Usage`],
/// then [`Event::Done`], which is the last.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A piece of the thought: whole characters, never empty, tags removed.
    Thought(String),
    /// A piece of the answer: whole characters, never empty.
    Answer(String),
    /// One generated token, where [`GenerateOptions::logprobs`](super::GenerateOptions::logprobs) asks for them. Comes
    /// before the text that the token completes.
    Token(TokenEvent),
    /// Counts and times.
    Usage(Usage),
    /// The end.
    Done(Done),
}

/// A generated token with its probabilities under the model's own distribution (before temperature, penalties and cuts).
#[derive(Debug, Clone, PartialEq)]
pub struct TokenEvent {
    /// The token.
    pub id: u32,
    /// Its log-probability, natural logarithm. `None` for forced tokens but the first of a row: they go through the model
    /// together, which computes no distribution for them.
    pub logprob: Option<f32>,
    /// The most probable tokens and their log-probabilities, best first; none where the log-probability is not known.
    pub top: Vec<(u32, f32)>,
    /// Who chose it. A trainer has to leave out what was forced.
    pub provenance: Provenance,
}

/// Who chose a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// The model.
    Sampled,
    /// The controller of its thoughts.
    Forced,
}

impl Provenance {
    /// The name used in JSON: `sampled`, `forced`.
    pub fn as_str(self) -> &'static str {
        match self {
            Provenance::Sampled => "sampled",
            Provenance::Forced => "forced",
        }
    }
}

/// Token counts and times of one generation. `reasoning + tag + forced + answer` is the number of generated tokens, the
/// end token aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, those found in the cache included.
    pub prompt: usize,
    /// Tokens of the prompt that were still in the cache and not computed again.
    pub cached: usize,
    /// Thought tokens that the model chose.
    pub reasoning: usize,
    /// Tokens of the thought's opening and closing tags.
    pub tag: usize,
    /// Tokens that were forced on the model.
    pub forced: usize,
    /// Answer tokens.
    pub answer: usize,
    /// Thought tokens of the prompt that counted against the budget.
    pub charged: usize,
    /// Time in the prompt.
    pub prefill: Duration,
    /// Time from the end of the prompt to the end of the generation.
    pub decode: Duration,
    /// The part of `decode` in thoughts.
    pub thinking: Duration,
    /// The part of `decode` outside thoughts.
    pub answering: Duration,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Why it ended.
    pub finish: Finish,
    /// Why the thought ended.
    pub close: CloseReason,
    /// Whether the answer satisfies its [`grammar`](super::GenerateOptions::grammar) as it stands: false where a limit, a
    /// deadline, the host or a stop text cut it short. `None` without a grammar.
    pub complete: Option<bool>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finish {
    /// The model ended its turn, a stop text was reached, or the answer's grammar allows nothing more.
    Stop,
    /// The token limit was reached, or a thought was cut off where it stood.
    Length,
    /// The host cancelled.
    Cancelled,
    /// The context is full.
    Context,
    /// The time for the whole reply is over.
    Deadline,
}

impl Finish {
    /// The name used in JSON: `stop`, `length`, `cancelled`, `context`, `deadline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Cancelled => "cancelled",
            Finish::Context => "context",
            Finish::Deadline => "deadline",
        }
    }
}
