//! What to generate.

use crate::Result;
use crate::constraint::{Grammar, Scripts};
use crate::model::Model;
use crate::reasoning::{ThinkOptions, ThinkTags};
use crate::sampler::SamplerOptions;

/// What to generate. `GenerateOptions::default()` samples as the DeepSeek-R1 paper does (temperature 0.6, top-p 0.95)
/// until the model ends its turn or the context is full.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Tokens to generate at most, thought included; `None` goes on until the context is full.
    pub max_tokens: Option<usize>,
    /// How long and how the model may think.
    pub think: ThinkOptions,
    /// The answer ends where one of these texts begins; thoughts are not searched.
    pub stop: Vec<String>,
    /// What the answer has to be. It holds from the end of the thought, line breaks aside, or from the beginning where
    /// there is no thought; no further thought may then begin. The reply ends where nothing more may come, and the model
    /// may end it only where the answer is complete; a limit may cut it short, which
    /// [`Done::complete`](super::Done::complete) tells. Needs the crate's feature `grammar`.
    pub grammar: Option<Grammar>,
    /// The scripts that the answer is written in; `None` allows all. [`ThinkOptions::scripts`] has those of thoughts.
    pub scripts: Option<Scripts>,
    /// The tags around thoughts; `None` takes those that the model's vocabulary or chat template has.
    pub tags: Option<ThinkTags>,
    /// Whether the prompt leaves a thought open; `None` tells it from the prompt's end.
    pub thought_open: Option<bool>,
    /// Sends an [`Event::Token`](super::Event::Token) for every token, with this many of the most probable ones.
    pub logprobs: Option<usize>,
    /// Goes on after the model has ended its turn (for measurements).
    pub ignore_end: bool,
}

impl GenerateOptions {
    /// Refuses a grammar that is none before anything is computed.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        self.grammar.as_ref().map_or(Ok(()), |grammar| model.parser(grammar).map(|_| ()))
    }
}
