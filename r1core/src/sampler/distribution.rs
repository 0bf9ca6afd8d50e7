//! Log-probabilities under the model's own distribution.

use super::candidates::{argmax, weight};

/// The maximum and the logarithm of the sum of e^(logit - maximum).
pub(super) struct Normaliser {
    max: f32,
    log_sum: f64,
}

impl Normaliser {
    pub(super) fn of(logits: &[f32]) -> Self {
        Self::below(logits, argmax(logits).map_or(f32::NEG_INFINITY, |(_, max)| max))
    }

    /// For logits whose maximum is known.
    pub(super) fn below(logits: &[f32], max: f32) -> Self {
        // Sixteen lanes of f32 over short blocks, gathered in f64: a fixed order that vectorises.
        let mut sum = 0.0f64;
        for block in logits.chunks(1024) {
            let mut lanes = [0.0f32; 16];
            let (chunks, rest) = block.as_chunks::<16>();
            for chunk in chunks {
                for (lane, &logit) in lanes.iter_mut().zip(chunk) {
                    *lane += weight(logit, max, 1.0);
                }
            }
            sum += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            sum += rest.iter().map(|&logit| f64::from(weight(logit, max, 1.0))).sum::<f64>();
        }
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
