//! Log-probabilities under the model's own distribution.

use r1_kernels::Isa;
use r1_kernels::ops;

/// The maximum and the logarithm of the sum of e^(logit - maximum).
pub(super) struct Normaliser {
    max: f32,
    log_sum: f64,
}

impl Normaliser {
    pub(super) fn of(logits: &[f32]) -> Self {
        Self::below(logits, ops::max(Isa::detect(), logits))
    }

    /// For logits whose maximum is known.
    pub(super) fn below(logits: &[f32], max: f32) -> Self {
        let sum = if max.is_infinite() {
            // Differences to infinity are not numbers: all that has it is equally likely, the rest impossible.
            logits.iter().filter(|logit| **logit == max).count() as f64
        } else {
            ops::sum_exp(Isa::detect(), logits, max)
        };
        Self { max, log_sum: libm::log(sum) }
    }

    pub(super) fn logprob(&self, logit: f32) -> f32 {
        if logit == self.max {
            return -self.log_sum as f32;
        }
        if logit.is_nan() {
            return f32::NEG_INFINITY;
        }
        (f64::from(logit) - f64::from(self.max) - self.log_sum) as f32
    }
}

/// Natural log-probability of token `id` under the distribution of `logits`; minus infinity for one that is impossible.
pub fn log_prob(logits: &[f32], id: u32) -> f32 {
    match logits.get(id as usize) {
        Some(&logit) => Normaliser::of(logits).logprob(logit),
        None => f32::NEG_INFINITY,
    }
}
