//! What a host may set.

use super::penalties::History;
use crate::{Error, ErrorKind, Result};

/// Settings of a [`Sampler`](super::Sampler).
///
/// The default is what the DeepSeek-R1 paper evaluates with: temperature 0.6, top-p 0.95, everything else off, seed 0.
/// Its authors warn against greedy decoding of these models (endless repetition).
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits; 0 takes the likeliest token. 0 or more, finite. Default 0.6.
    pub temperature: f32,
    /// Keeps the k likeliest tokens; 0 is off. Default 0.
    pub top_k: u32,
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this; 1 is off. In (0, 1]. Default 0.95.
    pub top_p: f32,
    /// Drops tokens less likely than this share of the likeliest one; 0 is off. In [0, 1]. Default 0.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in the window (Keskar et al. 2019); 1 is off.
    /// More than 0, finite. Default 1.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of every token in the window. Finite. Default 0.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit once for each time it is in the window. Finite. Default 0.
    pub frequency_penalty: f32,
    /// How many of the latest accepted tokens the penalties see. Default 256.
    pub penalty_window: u32,
    /// Added to the logits of single tokens; minus infinity forbids one. Not NaN, not plus infinity. Default empty.
    pub logit_bias: Vec<(u32, f32)>,
    /// Chooses the random numbers together with the position. Default 0.
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            temperature: 0.6,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 256,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl SamplerOptions {
    /// Always the likeliest token, the lowest id among equals.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_p: 1.0, ..Self::default() }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] that names the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        check("temperature", self.temperature, "a finite number of at least 0", |v| v.is_finite() && v >= 0.0)?;
        check("top_p", self.top_p, "in (0, 1]", |v| v > 0.0 && v <= 1.0)?;
        check("min_p", self.min_p, "in [0, 1]", |v| (0.0..=1.0).contains(&v))?;
        check("repetition_penalty", self.repetition_penalty, "finite and more than 0", |v| v.is_finite() && v > 0.0)?;
        check("presence_penalty", self.presence_penalty, "finite", f32::is_finite)?;
        check("frequency_penalty", self.frequency_penalty, "finite", f32::is_finite)?;
        for &(_, bias) in &self.logit_bias {
            check("logit_bias", bias, "finite or minus infinity", |v| !v.is_nan() && v < f32::INFINITY)?;
        }
        Ok(())
    }

    pub(super) fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }

    pub(super) fn edits_logits(&self, history: &History) -> bool {
        !self.logit_bias.is_empty() || (self.has_penalties() && !history.is_empty())
    }
}

fn check(field: &str, value: f32, range: &str, ok: impl Fn(f32) -> bool) -> Result<()> {
    if ok(value) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, format!("sampler option {field} is {value}; it must be {range}")))
}
