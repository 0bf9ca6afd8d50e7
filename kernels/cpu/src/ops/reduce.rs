//! Many numbers to one: inner product, maximum, sum of exponentials.

use super::exp::exp_of;
use super::lanes::{Lanes, Op, dispatch};
use crate::isa::Isa;

/// The inner product: one chain of fused multiply-adds in each of sixteen lanes, joined by a fixed tree.
///
/// # Panics
///
/// When the lengths differ.
pub fn dot(isa: Isa, x: &[f32], y: &[f32]) -> f32 {
    struct Dot<'a>(&'a [f32], &'a [f32]);
    impl Op for Dot<'_> {
        type Output = f32;

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) -> f32 {
            dot_of(lanes, self.0, self.1)
        }
    }
    assert_eq!(x.len(), y.len(), "factors differ in length");
    dispatch(isa, Dot(x, y))
}

#[inline(always)]
pub(super) fn dot_of<L: Lanes>(lanes: L, x: &[f32], y: &[f32]) -> f32 {
    let ((xs, x_part), (ys, y_part)) = (x.as_chunks::<16>(), y.as_chunks::<16>());
    let mut sum = lanes.splat(0.0);
    for (x, y) in xs.iter().zip(ys) {
        sum = lanes.fma(lanes.load(x), lanes.load(y), sum);
    }
    if !x_part.is_empty() {
        sum = lanes.fma(lanes.load_part(x_part, 0.0), lanes.load_part(y_part, 0.0), sum);
    }
    lanes.sum(sum)
}

/// The greatest element; NaNs are passed over. Negative infinity when there is none.
pub fn max(isa: Isa, x: &[f32]) -> f32 {
    struct Max<'a>(&'a [f32]);
    impl Op for Max<'_> {
        type Output = f32;

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) -> f32 {
            max_of(lanes, self.0)
        }
    }
    dispatch(isa, Max(x))
}

#[inline(always)]
pub(super) fn max_of<L: Lanes>(lanes: L, x: &[f32]) -> f32 {
    let (whole, part) = x.as_chunks::<16>();
    // Four chains, since the order of a maximum does not matter but for the sign of zero: they are joined in order.
    let mut greatest = [lanes.splat(f32::NEG_INFINITY); 4];
    let (fours, rest) = whole.as_chunks::<4>();
    for four in fours {
        for c in 0..4 {
            greatest[c] = lanes.max(lanes.load(&four[c]), greatest[c]);
        }
    }
    for x in rest {
        greatest[0] = lanes.max(lanes.load(x), greatest[0]);
    }
    if !part.is_empty() {
        greatest[0] = lanes.max(lanes.load_part(part, f32::NEG_INFINITY), greatest[0]);
    }
    let low = lanes.max(greatest[1], greatest[0]);
    let high = lanes.max(greatest[3], greatest[2]);
    lanes.largest(lanes.max(high, low))
}

/// The index of the greatest element, the lowest one on a tie; NaNs never win. 0 when there is nothing to win.
pub fn argmax(isa: Isa, x: &[f32]) -> usize {
    struct Find<'a>(&'a [f32], f32);
    impl Op for Find<'_> {
        type Output = usize;

        #[inline(always)]
        fn call<L: Lanes>(self, _: L) -> usize {
            let Find(x, wanted) = self;
            for (chunk, x) in x.chunks(256).enumerate() {
                let mut found = false;
                for &x in x {
                    found |= x == wanted;
                }
                if found {
                    return chunk * 256 + x.iter().position(|&x| x == wanted).unwrap_or(0);
                }
            }
            0
        }
    }
    dispatch(isa, Find(x, max(isa, x)))
}

/// The sum of e^(x - offset): of 4096 elements at a time in sixteen float lanes, which are added up in double precision.
/// NaNs are passed over. With the [`max`] as offset nothing overflows; an infinite offset gives NaN or 0.
pub fn sum_exp(isa: Isa, x: &[f32], offset: f32) -> f64 {
    struct SumExp<'a>(&'a [f32], f32);
    impl Op for SumExp<'_> {
        type Output = f64;

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) -> f64 {
            let (offset, nothing) = (lanes.splat(self.1), lanes.splat(f32::NEG_INFINITY));
            let mut total = 0.0;
            for block in self.0.chunks(4096) {
                let (whole, part) = block.as_chunks::<16>();
                let mut sum = lanes.splat(0.0);
                for x in whole {
                    let x = lanes.max(lanes.load(x), nothing);
                    sum = lanes.add(sum, exp_of(lanes, lanes.sub(x, offset)));
                }
                if !part.is_empty() {
                    let x = lanes.max(lanes.load_part(part, f32::NEG_INFINITY), nothing);
                    sum = lanes.add(sum, exp_of(lanes, lanes.sub(x, offset)));
                }
                total += f64::from(lanes.sum(sum));
            }
            total
        }
    }
    dispatch(isa, SumExp(x, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_index_wins_and_nan_never_does() {
        for isa in Isa::available() {
            assert_eq!(argmax(isa, &[]), 0);
            assert_eq!(argmax(isa, &[f32::NAN; 20]), 0);
            assert_eq!(argmax(isa, &[f32::NAN, f32::NEG_INFINITY]), 1);
            assert_eq!(argmax(isa, &[-0.0, 0.0, -1.0]), 0);
            for len in [1, 15, 16, 17, 300, 1000] {
                for place in [0, len / 2, len - 1] {
                    let mut x = vec![-2.5; len];
                    x[place..].fill(7.0);
                    if place > 0 {
                        x[place - 1] = f32::NAN;
                    }
                    assert_eq!(argmax(isa, &x), place);
                    assert_eq!(max(isa, &x), 7.0);
                }
            }
        }
        assert_eq!(max(Isa::detect(), &[]), f32::NEG_INFINITY);
    }

    #[test]
    fn sum_exp_is_close_and_passes_over_nan() {
        let x: Vec<f32> = (0..10_000).map(|i| 900.0 + (i as f32 * 0.37).sin() * 20.0).collect();
        let offset = max(Isa::detect(), &x);
        let exact = x.iter().map(|&x| (f64::from(x) - f64::from(offset)).exp()).sum::<f64>();
        for isa in Isa::available() {
            assert!((sum_exp(isa, &x, offset) / exact - 1.0).abs() < 1e-6);
            assert_eq!(sum_exp(isa, &[], 0.0), 0.0);
            assert_eq!(sum_exp(isa, &[f32::NEG_INFINITY; 3], 0.0), 0.0);
            assert_eq!(sum_exp(isa, &[3.0], 3.0), 1.0);
            let mut holes = vec![f32::NAN; 40];
            (holes[3], holes[37]) = (1.0, 1.0);
            assert_eq!(sum_exp(isa, &holes, 1.0), 2.0);
        }
    }
}
