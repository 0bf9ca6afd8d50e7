//! The tokens still in play, with integer masses.

use std::cmp::Ordering;

use r1_kernels::Isa;
use r1_kernels::ops;

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

/// The first largest logit; `None` when there is none above minus infinity. NaN never wins.
pub(crate) fn argmax(logits: &[f32]) -> Option<(u32, f32)> {
    let best = ops::argmax(Isa::detect(), logits);
    logits.get(best).filter(|max| **max > f32::NEG_INFINITY).map(|max| (best as u32, *max))
}

/// The exponent of a logit's weight relative to `max`; `inverse` is 1 / temperature.
#[inline(always)]
fn exponent(logit: f32, max: f32, inverse: f32) -> f32 {
    // Both may be plus infinity, where difference and product are not numbers.
    if logit == max { 0.0 } else { (logit - max) * inverse }
}

/// A weight as a mass; that of NaN is 0.
fn mass(weight: f32) -> u64 {
    (weight * UNIT as f32) as u64
}

/// Gives every candidate its mass.
pub(super) fn weigh(candidates: &mut [Candidate], max: f32, temperature: f32) {
    let inverse = 1.0 / temperature;
    for c in candidates {
        c.mass = mass(ops::exp(exponent(c.logit, max, inverse)));
    }
}

/// All tokens whose mass is not zero, by ascending id.
pub(super) fn gather_all(logits: &[f32], max: f32, temperature: f32, candidates: &mut Vec<Candidate>) {
    /// Logits that are weighed at once, and those that are looked at together.
    const SLAB: usize = 1024;
    const BLOCK: usize = 64;
    candidates.clear();
    let (isa, inverse) = (Isa::detect(), 1.0 / temperature);
    let mut weights = [0.0f32; SLAB];
    for (slab, logits) in logits.chunks(SLAB).enumerate() {
        let weights = &mut weights[..logits.len()];
        for (weight, &logit) in weights.iter_mut().zip(logits) {
            *weight = exponent(logit, max, inverse);
        }
        ops::exp_slice(isa, weights);
        for (block, (weights, logits)) in weights.chunks(BLOCK).zip(logits.chunks(BLOCK)).enumerate() {
            // Most blocks of a language model's distribution have no mass at all.
            let heaviest = weights.iter().fold(0.0f32, |a, &b| if b > a { b } else { a });
            if mass(heaviest) == 0 {
                continue;
            }
            for (i, (&logit, &weight)) in logits.iter().zip(weights).enumerate() {
                let mass = mass(weight);
                if mass > 0 {
                    candidates.push(Candidate { id: (slab * SLAB + block * BLOCK + i) as u32, logit, mass });
                }
            }
        }
    }
}

/// Sum of the masses.
pub(super) fn total(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|c| c.mass).sum()
}
