//! From logits to a token, one file per step.
//!
//! Order of the steps: a mask, logit bias, penalties, a controller's wishes, temperature, top-k, top-p, min-p, draw. Temperature comes *before* top-p,
//! as in Hugging Face and vLLM, because the settings that DeepSeek publishes for R1 (0.6 and 0.95) were used so;
//! llama.cpp applies temperature last, which keeps more tokens at the same numbers.
//!
//! Everything is deterministic and the same on every machine: weights come from multiply and add only, masses are
//! integers (their sums do not depend on an order), and the random number of a position is a function of
//! (seed, position) alone. A batch, a fork or a forced token in between cannot shift it.

mod bias;
mod candidates;
mod distribution;
mod draw;
mod mask;
mod min_p;
mod options;
mod penalties;
mod random;
mod scores;
mod steer;
mod top_k;
mod top_p;

pub(crate) use candidates::argmax;
pub use distribution::log_prob;
pub use mask::TokenMask;
pub use options::SamplerOptions;
pub(crate) use random::bits;
pub use random::uniform;
pub(crate) use scores::Scores;
pub use steer::{Raise, Steer};

use crate::{Error, ErrorKind, Result};
use candidates::Candidate;
use distribution::Normaliser;
use penalties::History;

/// One drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    /// The token.
    pub id: u32,
    /// Its natural log-probability under the *unmodified* distribution (temperature 1, no bias, no penalty, no cut).
    pub logprob: f32,
}

/// A drawn token, and the highest logit where the logits were taken as they are.
struct Drawn {
    id: u32,
    max: Option<f32>,
}

/// Draws tokens from logits. Keeps its buffers, so a step allocates nothing once they have grown.
///
/// ```
/// use r1core::sampler::{Sampler, SamplerOptions};
/// let mut sampler = Sampler::new(SamplerOptions::greedy())?;
/// assert_eq!(sampler.sample(&[0.0, 3.0, 3.0], 0)?.id, 1);
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
    history: History,
    edited: Vec<f32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler with an empty penalty history.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] that names the field which is outside its range.
    pub fn new(options: SamplerOptions) -> Result<Self> {
        options.validate()?;
        let history = History::new(options.penalty_window);
        Ok(Self { options, history, edited: Vec::new(), candidates: Vec::new() })
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// Draws the token for `position` from `logits` (one per vocabulary entry). NaN counts as minus infinity.
    /// Does not enter the token into the penalty history: that is [`accept`](Self::accept)'s job, because a token may
    /// still be refused (by a grammar, by a budget).
    ///
    /// # Errors
    /// [`ErrorKind::State`] when no token is possible (all minus infinity or NaN, or no logits), and
    /// [`ErrorKind::Argument`] when `logit_bias` names a token outside the vocabulary.
    pub fn sample(&mut self, logits: &[f32], position: u64) -> Result<Sampled> {
        self.sample_steered(logits, position, Steer::default())
    }

    /// As [`sample`](Self::sample), with a controller's wishes for this step.
    ///
    /// # Errors
    /// As [`sample`](Self::sample); [`ErrorKind::State`] also where no token that the mask allows is possible.
    pub fn sample_steered(&mut self, logits: &[f32], position: u64, steer: Steer<'_>) -> Result<Sampled> {
        let Drawn { id, max } = self.draw(logits, position, steer)?;
        let normaliser = max.map_or_else(|| Normaliser::of(logits), |max| Normaliser::below(logits, max));
        let logprob = logits.get(id as usize).map_or(f32::NEG_INFINITY, |logit| normaliser.logprob(*logit));
        Ok(Sampled { id, logprob })
    }

    /// Draws the token for `position`.
    fn draw(&mut self, logits: &[f32], position: u64, steer: Steer<'_>) -> Result<Drawn> {
        let Self { options, history, edited, candidates } = self;
        let limited = options.top_k > 0 && (options.top_k as usize) < logits.len();
        let mut top = candidates::argmax(logits);
        // Forbidding tokens that would not come anyway must not cost a copy of the logits.
        let steers = !steer.is_empty() && (limited || top.is_none_or(|(best, _)| !steer.spares(best)));
        let edits = options.edits_logits(history) || steer.mask.is_some() || steers;
        let effective = if edits {
            steer.copy(logits, edited);
            bias::apply(edited, &options.logit_bias)?;
            penalties::apply(edited, history, options);
            steer.apply(edited);
            top = candidates::argmax(edited);
            edited.as_slice()
        } else {
            logits
        };
        let (best, max) = top.ok_or_else(|| no_token(steer.mask))?;
        let id = if options.temperature == 0.0 {
            best
        } else {
            if limited {
                top_k::gather(effective, options.top_k as usize, candidates);
                candidates::weigh(candidates, max, options.temperature);
            } else {
                candidates::gather_all(effective, max, options.temperature, candidates);
                if !steer.forbid.is_empty() {
                    candidates.retain(|c| c.id == best || !steer.forbid.contains(&c.id));
                }
            }
            top_p::cut(candidates, options.top_p);
            min_p::cut(candidates, options.min_p);
            draw::pick(candidates, random::bits(options.seed, position)).unwrap_or(best)
        };
        Ok(Drawn { id, max: (!edits).then_some(max) })
    }

    /// Enters a token into the penalty history. Tokens that were forced rather than chosen should stay out of it.
    pub fn accept(&mut self, id: u32) {
        if self.options.has_penalties() {
            self.history.push(id);
        }
    }

    /// Forgets the penalty history.
    pub fn reset(&mut self) {
        self.history.clear();
    }
}

/// The `n` likeliest tokens with their natural log-probabilities under the unmodified distribution, likeliest first;
/// equal ones by ascending id. Fewer when fewer are possible.
pub fn top_logprobs(logits: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut candidates = Vec::new();
    top_k::gather(logits, n, &mut candidates);
    candidates.sort_unstable_by(Candidate::likelier);
    let normaliser = Normaliser::of(logits);
    candidates.iter().map(|c| (c.id, normaliser.logprob(c.logit))).collect()
}

fn no_token(mask: Option<&TokenMask>) -> Error {
    let Some(mask) = mask else {
        return Error::new(ErrorKind::State, "no token can be drawn: every logit is minus infinity or not a number");
    };
    let what = format!("no token can be drawn: none of the {} that are allowed here is possible", mask.count());
    Error::new(ErrorKind::State, what).remedy("loosen the grammar, the scripts or the logit bias of the reply")
}
