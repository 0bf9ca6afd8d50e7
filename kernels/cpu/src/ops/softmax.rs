//! Scores to weights, in place.

use super::add::soft_cap_of;
use super::exp::exp_of;
use super::lanes::{Lanes, Op, dispatch};
use super::reduce::max_of;
use crate::isa::Isa;
use std::ops::Range;

/// Turns `scores[keys]` into e^(s - m) with s = score * scale, capped softly where a cap is given, and m the greatest
/// s; returns (m, sum). The sum has sixteen lanes by index, so it depends on where a key stands, not on where `keys`
/// begins. Scores beside `keys`, up to the multiples of 16 around them, become 0.
pub(super) fn softmax(
    isa: Isa,
    scores: &mut [f32],
    keys: Range<usize>,
    scale: f32,
    soft_cap: Option<f32>,
) -> (f32, f32) {
    let start = keys.start / 16 * 16;
    let scores = &mut scores[start..keys.end.next_multiple_of(16)];
    dispatch(isa, Softmax { scores, keys: keys.start - start..keys.end - start, scale, soft_cap })
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    keys: Range<usize>,
    scale: f32,
    soft_cap: Option<f32>,
}

impl Op for Softmax<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn call<L: Lanes>(self, lanes: L) -> (f32, f32) {
        let Softmax { scores, keys, scale, soft_cap } = self;
        let scale = lanes.splat(scale);
        for s in scores.as_chunks_mut::<16>().0 {
            lanes.store(lanes.mul(lanes.load(s), scale), s);
        }
        if let Some(cap) = soft_cap {
            let cap = lanes.splat(cap);
            for s in scores.as_chunks_mut::<16>().0 {
                lanes.store(soft_cap_of(lanes, lanes.load(s), cap), s);
            }
        }
        scores[..keys.start].fill(f32::NEG_INFINITY);
        scores[keys.end..].fill(f32::NEG_INFINITY);
        let greatest = max_of(lanes, scores);
        let offset = lanes.splat(greatest);
        let mut sum = lanes.splat(0.0);
        for s in scores.as_chunks_mut::<16>().0 {
            let p = exp_of(lanes, lanes.sub(lanes.load(s), offset));
            sum = lanes.add(sum, p);
            lanes.store(p, s);
        }
        (greatest, lanes.sum(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_sum_do_not_see_what_is_masked() {
        for isa in Isa::available() {
            for keys in [0..1, 0..16, 3..17, 15..16, 40..64, 0..64] {
                let mut clean: Vec<f32> = (0..64).map(|i| (i as f32).sin() * 5.0).collect();
                let mut stale = clean.clone();
                for (i, s) in stale.iter_mut().enumerate() {
                    if !keys.contains(&i) {
                        *s = f32::NAN;
                    }
                }
                let a = softmax(isa, &mut clean, keys.clone(), 0.5, None);
                let b = softmax(isa, &mut stale, keys.clone(), 0.5, None);
                assert_eq!(a, b);
                assert_eq!(clean[keys.clone()], stale[keys.clone()]);
                let total: f32 = clean[keys.clone()].iter().sum();
                assert!((total - a.1).abs() < 1e-5 * total);
            }
        }
    }
}
