//! The tokens still in play, with integer masses.

use std::cmp::Ordering;

use super::exp::exp_negative;

/// Mass of the likeliest token. A vocabulary of 2^23 such tokens still sums in u64.
pub(super) const UNIT: u64 = 1 << 40;

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    pub(super) logit: f32,
    /// Weight relative to the likeliest token, in units of 1 / [`UNIT`].
    pub(super) mass: u64,
}

impl Candidate {
    /// Orders likelier tokens first and equal ones by id. Logits are never NaN here.
    pub(super) fn likelier(&self, other: &Self) -> Ordering {
        other.logit.partial_cmp(&self.logit).unwrap_or(Ordering::Equal).then(self.id.cmp(&other.id))
    }
}

/// The first largest logit; `None` when there is none above minus infinity.
pub(super) fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    // A maximum over lanes, which vectorises; a comparison with NaN is false, so NaN never wins.
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    if max == f32::NEG_INFINITY {
        return None;
    }
    let id = logits.iter().position(|&logit| logit == max)?;
    Some((id as u32, max))
}

/// Weight of a logit relative to `max`; `inverse` is 1 / temperature.
#[inline(always)]
pub(super) fn weight(logit: f32, max: f32, inverse: f32) -> f32 {
    // Both may be plus infinity, where difference and product are not numbers.
    let x = if logit == max { 0.0 } else { (logit - max) * inverse };
    exp_negative(x)
}

fn mass(weight: f32) -> u64 {
    (weight * UNIT as f32) as u64
}

/// Gives every candidate its mass.
pub(super) fn weigh(candidates: &mut [Candidate], max: f32, temperature: f32) {
    let inverse = 1.0 / temperature;
    for c in candidates {
        c.mass = mass(weight(c.logit, max, inverse));
    }
}

/// All tokens whose mass is not zero, by ascending id.
pub(super) fn gather_all(logits: &[f32], max: f32, temperature: f32, candidates: &mut Vec<Candidate>) {
    const BLOCK: usize = 64;
    candidates.clear();
    let inverse = 1.0 / temperature;
    let mut weights = [0.0f32; BLOCK];
    for (block, logits) in logits.chunks(BLOCK).enumerate() {
        for (weight_out, &logit) in weights.iter_mut().zip(logits) {
            *weight_out = weight(logit, max, inverse);
        }
        // Most blocks of a language model's distribution have no mass at all.
        let heaviest = weights[..logits.len()].iter().fold(0.0f32, |a, &b| if b > a { b } else { a });
        if mass(heaviest) == 0 {
            continue;
        }
        for (i, (&logit, &weight)) in logits.iter().zip(&weights).enumerate() {
            let mass = mass(weight);
            if mass > 0 {
                candidates.push(Candidate { id: (block * BLOCK + i) as u32, logit, mass });
            }
        }
    }
}

/// Sum of the masses.
pub(super) fn total(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|c| c.mass).sum()
}
