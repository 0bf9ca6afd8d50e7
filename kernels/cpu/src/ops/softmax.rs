//! Scores to weights, in place.

use super::add::soft_cap_of;
use super::exp::exp_of;
use super::lanes::{Lanes, Op, dispatch, map_lanes};
use super::reduce::max_of;
use crate::isa::Isa;
use std::ops::Range;

/// x = e^x / sum(e^x), element by element, computed from x less the greatest; the sum has sixteen lanes. Where an element
/// is NaN or positive infinity, all become NaN.
pub fn softmax_slice(isa: Isa, x: &mut [f32]) {
    struct Shares<'a>(&'a mut [f32]);
    impl Op for Shares<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let Shares(x) = self;
            let offset = lanes.splat(max_of(lanes, x));
            let mut sum = lanes.splat(0.0);
            let (whole, part) = x.as_chunks_mut::<16>();
            for x in whole {
                let p = exp_of(lanes, lanes.sub(lanes.load(x), offset));
                sum = lanes.add(sum, p);
                lanes.store(p, x);
            }
            if !part.is_empty() {
                let p = exp_of(lanes, lanes.sub(lanes.load_part(part, f32::NEG_INFINITY), offset));
                sum = lanes.add(sum, p);
                lanes.store_part(p, part);
            }
            let sum = lanes.splat(lanes.sum(sum));
            map_lanes!(lanes, x, |x| lanes.div(x, sum));
        }
    }
    dispatch(isa, Shares(x));
}

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
    fn shares_add_up_and_follow_the_definition() {
        for isa in Isa::available() {
            for len in [1, 2, 15, 16, 17, 60, 256] {
                let xs: Vec<f32> = (0..len).map(|i| 80.0 + (i as f32 * 1.7).sin() * 9.0).collect();
                let mut shares = xs.clone();
                softmax_slice(isa, &mut shares);
                let total: f64 = xs.iter().map(|x| (f64::from(*x) - 80.0).exp()).sum();
                for (x, share) in xs.iter().zip(shares) {
                    let exact = (f64::from(*x) - 80.0).exp() / total;
                    assert!((f64::from(share) - exact).abs() <= 1e-6 * exact, "{x} of {len}");
                }
            }
            let mut bad = [1.0, f32::NAN, 3.0];
            softmax_slice(isa, &mut bad);
            assert!(bad.iter().all(|x| x.is_nan()));
        }
    }

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
