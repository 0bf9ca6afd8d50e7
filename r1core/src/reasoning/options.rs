//! How long and how the model may think.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Clock, Sign, Until};
use crate::constraint::Scripts;
use crate::sampler::SamplerOptions;
use crate::{Error, ErrorKind, Result};

/// How long and how the model may think. [`ThinkOptions::default()`] sets no limit; it only ends thoughts that go in
/// circles, keeps the model from ending its reply inside a thought, and keeps room for an answer where the number of
/// tokens is limited.
///
/// A limit that is reached closes the thought for the model: [`message`](Self::message) and the closing tag are forced
/// and the answer follows. **Sampled thought tokens never exceed budget + grace**, whatever the model does; tags and
/// forced tokens are counted apart.
///
/// ```
/// use r1core::reasoning::{Boundary, ThinkOptions};
/// let think = ThinkOptions { budget: Some(256), boundary: Boundary::Line, grace: Some(32), ..Default::default() };
/// think.validate()?;
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ThinkOptions {
    /// Thought tokens of the whole reply, all its thoughts together; `None` sets no limit, 0 closes every thought as it
    /// opens. Default `None`.
    pub budget: Option<usize>,
    /// Thought tokens of each thought. Default `None`.
    pub block_budget: Option<usize>,
    /// Whether thought tokens that the prompt already holds count as spent. Default false.
    pub charge_prompt: bool,
    /// Tokens by which a budget may be exceeded to reach the [`boundary`](Self::boundary). `None` takes a tenth of the
    /// budget, and nothing where the boundary is [`Boundary::Token`]. Default `None`.
    pub grace: Option<usize>,
    /// Where a used-up budget cuts; other limits cut at once. Default [`Boundary::Token`]. Characters are never cut.
    pub boundary: Boundary,
    /// Draws the model towards its closing tag as a budget runs out. Default `None`.
    pub ramp: Option<Ramp>,
    /// What a used-up budget does. Default [`OnBudget::Force`].
    pub on_budget: OnBudget,
    /// Thought tokens that must come before the model may close its thought; other limits still close it. The close tag
    /// is masked until then. Default 0.
    pub minimum: usize,
    /// So many times the model's own closing tag is replaced by [`wait`](Self::wait), so that it thinks again
    /// (Muennighoff et al. 2025, "s1"). Default 0.
    pub max_extensions: usize,
    /// What is written in place of a closing tag that came too early, on a line of its own. Default `Wait`.
    pub wait: String,
    /// What is written before a forced closing tag, on a new line; ends with a line break if the tag shall have its own
    /// line. `Some("")` only ends the line, `None` cuts where the thought stands. Left out where nothing was thought,
    /// where the model has begun the tag or has ended its reply, and where there is no room. Words that the model was not
    /// trained to close with cost accuracy: measure them (`examples/think_budget.rs`). Default `Some("")`.
    pub message: Option<String>,
    /// Tokens kept for the answer where the number of tokens is limited (by the caller or the context): the thought is
    /// closed in time. `None` takes a quarter of the limit, at most 512, and nothing below 16; 0 keeps none and closes
    /// nothing. Default `None`.
    pub answer_reserve: Option<usize>,
    /// Time for thoughts, counted from the end of the prompt. Default `None`.
    pub deadline_think: Option<Duration>,
    /// Time for the whole reply, prompt included. The thought is closed early enough for an answer of
    /// [`answer_reserve`](Self::answer_reserve) tokens at the present speed (a quarter of the time at most), and the
    /// answer ends when the time is over. Default `None`.
    pub deadline_total: Option<Duration>,
    /// What to do about a thought that goes in circles.
    pub loops: LoopGuard,
    /// Signs that a thought has come to its point: any of them closes it. Default none.
    pub until: Vec<Until>,
    /// What to do when the model ends its reply inside a thought. Default [`GuardEos::Redirect`].
    pub guard_eos: GuardEos,
    /// Whether a further thought may begin after one was closed. Default true.
    pub reopen: bool,
    /// Thoughts of one reply; what is opened beyond that is closed at once. Default `None`.
    pub max_blocks: Option<usize>,
    /// What a tool call inside a thought means. Default [`ToolInThink::Text`].
    pub tool_in_think: ToolInThink,
    /// How tokens outside thoughts are chosen; `None` takes the same way as inside. The penalties of thoughts never
    /// reach into the answer. Default `None`.
    pub answering: Option<SamplerOptions>,
    /// The scripts that thoughts are written in; `None` allows all. Texts that the host gave to be forced need not keep to
    /// them. Default `None`.
    pub scripts: Option<Scripts>,
    /// Where the time comes from. Default: the system's monotonic clock.
    pub clock: Clock,
}

/// Places where a thought can be cut, in the order of how long they keep one waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Any token that ends a character.
    #[default]
    Token,
    /// The end of a word.
    Word,
    /// The end of a line.
    Line,
    /// The end of a sentence or of a line.
    Sentence,
    /// An empty line.
    Paragraph,
}

/// What a used-up budget does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OnBudget {
    /// Closes the thought; the answer follows.
    #[default]
    Force,
    /// Ends the reply inside the thought, at exactly the budget (for training).
    Truncate,
}

/// What to do when the model ends its reply inside a thought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GuardEos {
    /// Close the thought instead.
    #[default]
    Redirect,
    /// Forbid it; the model goes on thinking.
    Mask,
    /// Let it.
    Allow,
}

/// Draws the model towards its closing tag in the last part of a budget: the tag's next token is raised to
/// `logit + p * strength * (best - margin - logit)`, where `p` grows from 0 to 1, and never lowered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// Share of the budget that is the last part, in (0, 1]. Default 0.2.
    pub share: f32,
    /// How far the token is raised at the end of the budget, in (0, 1]. Default 1.
    pub strength: f32,
    /// What it always stays below the best token's logit, 0 or more. Default 0.25.
    pub margin: f32,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { share: 0.2, strength: 1.0, margin: 0.25 }
    }
}

/// Finds thoughts that repeat themselves word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopGuard {
    /// What to do then. Default [`LoopAction::Close`].
    pub action: LoopAction,
    /// Lengths of what is repeated, in tokens. Default 4..=128.
    pub period: RangeInclusive<usize>,
    /// How often it must have come, at least 2. Default 3.
    pub copies: usize,
    /// Thought tokens that are looked at; at least the longest period times `copies`. Default 512.
    pub window: usize,
    /// Tokens from one look to the next, at least 1. Default 16.
    pub every: usize,
    /// Thought tokens before the first look. Default 256.
    pub after: usize,
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self { action: LoopAction::Close, period: 4..=128, copies: 3, window: 512, every: 16, after: 256 }
    }
}

/// What to do about a thought that goes in circles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum LoopAction {
    /// Close the thought; the answer follows.
    #[default]
    Close,
    /// End the reply.
    Stop,
    /// Nothing.
    None,
}

/// What a tool call inside a thought means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolInThink {
    /// It is part of the thought.
    #[default]
    Text,
    /// Each of these texts (such as `<tool_call>`) closes the thought and begins the answer.
    ImplicitClose(Vec<String>),
    /// None of these texts may come in a thought: where one is a token of its own it is masked, else a line break takes
    /// the place of the token that would complete it.
    Forbid(Vec<String>),
}

impl Default for ThinkOptions {
    fn default() -> Self {
        Self {
            budget: None,
            block_budget: None,
            charge_prompt: false,
            grace: None,
            boundary: Boundary::Token,
            ramp: None,
            on_budget: OnBudget::Force,
            minimum: 0,
            max_extensions: 0,
            wait: "Wait".to_owned(),
            message: Some(String::new()),
            answer_reserve: None,
            deadline_think: None,
            deadline_total: None,
            loops: LoopGuard::default(),
            until: Vec::new(),
            guard_eos: GuardEos::default(),
            reopen: true,
            max_blocks: None,
            tool_in_think: ToolInThink::default(),
            answering: None,
            scripts: None,
            clock: Clock::default(),
        }
    }
}

/// Bytes that a forced text may have.
const LONGEST_TEXT: usize = 4096;

/// Signs that a thought may be watched for.
const MOST_SIGNS: usize = 64;

/// Thought tokens that a loop guard may look at.
const WIDEST_WINDOW: usize = 1 << 16;

impl ThinkOptions {
    /// No limits and no guards: the model does as it likes.
    pub fn unguarded() -> Self {
        Self {
            loops: LoopGuard { action: LoopAction::None, ..LoopGuard::default() },
            guard_eos: GuardEos::Allow,
            answer_reserve: Some(0),
            ..Self::default()
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] that names the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        let budgets = [self.budget, self.block_budget];
        if budgets.into_iter().flatten().any(|budget| budget < self.minimum) {
            return fail("minimum", "more than a budget allows");
        }
        if let Some(Ramp { share, strength, margin }) = self.ramp {
            let fraction = |v: f32| v > 0.0 && v <= 1.0;
            if !fraction(share) || !fraction(strength) {
                return fail("ramp", "outside its range: share and strength must be in (0, 1]");
            }
            if !(margin.is_finite() && margin >= 0.0) {
                return fail("ramp", "outside its range: margin must be finite and at least 0");
            }
        }
        if self.wait.len() > LONGEST_TEXT || (self.max_extensions > 0 && self.wait.trim().is_empty()) {
            return fail("wait", "empty or longer than 4096 bytes");
        }
        if self.message.as_ref().is_some_and(|message| message.len() > LONGEST_TEXT) {
            return fail("message", "longer than 4096 bytes");
        }
        let LoopGuard { period, copies, window, every, .. } = &self.loops;
        if *period.start() == 0 || period.is_empty() || *copies < 2 || *every == 0 {
            return fail("loops", "outside its range: period and every must be at least 1 and copies at least 2");
        }
        if *window > WIDEST_WINDOW || period.end().checked_mul(*copies).is_none_or(|needed| needed > *window) {
            return fail(
                "loops",
                "outside its range: window must hold all copies of the longest period, at most 65536",
            );
        }
        if self.max_blocks == Some(0) {
            return fail("max_blocks", "0; to keep the model from thinking set budget to 0");
        }
        if let ToolInThink::ImplicitClose(tags) | ToolInThink::Forbid(tags) = &self.tool_in_think
            && tags.iter().any(|tag| tag.is_empty() || tag.len() > LONGEST_TEXT)
        {
            return fail("tool_in_think", "given an empty tag or one longer than 4096 bytes");
        }
        let empty = |sign: &Sign| matches!(sign, Sign::Text(text) if text.is_empty() || text.len() > LONGEST_TEXT);
        if self.until.len() > MOST_SIGNS || self.until.iter().any(|until| until.times == 0 || empty(&until.sign)) {
            return fail(
                "until",
                "given more than 64 signs, one that shall come 0 times, or an empty or overlong text",
            );
        }
        self.answering.as_ref().map_or(Ok(()), SamplerOptions::validate)
    }
}

fn fail(field: &str, problem: &str) -> Result<()> {
    Err(Error::new(ErrorKind::Argument, format!("think option {field} is {problem}")))
}
