//! Many numbers to one: inner product, maximum, log-sum-exp.

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

/// ln(sum(e^x)) without overflow. Sums of 4096 elements in sixteen float lanes, added up in double precision; the
/// logarithm is in double precision too. Negative infinity when there is no element; elements that are NaN make it NaN.
pub fn log_sum_exp(isa: Isa, x: &[f32]) -> f32 {
    struct SumExp<'a>(&'a [f32], f32);
    impl Op for SumExp<'_> {
        type Output = f64;

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) -> f64 {
            let offset = lanes.splat(self.1);
            let mut total = 0.0;
            for block in self.0.chunks(4096) {
                let (whole, part) = block.as_chunks::<16>();
                let mut sum = lanes.splat(0.0);
                for x in whole {
                    sum = lanes.add(sum, exp_of(lanes, lanes.sub(lanes.load(x), offset)));
                }
                if !part.is_empty() {
                    let x = lanes.load_part(part, f32::NEG_INFINITY);
                    sum = lanes.add(sum, exp_of(lanes, lanes.sub(x, offset)));
                }
                total += f64::from(lanes.sum(sum));
            }
            total
        }
    }
    let greatest = max(isa, x);
    if greatest.is_infinite() {
        // Of what is left: all -inf (or NaN), or a +inf that outweighs the rest.
        return if x.iter().any(|x| x.is_nan()) { f32::NAN } else { greatest };
    }
    (f64::from(greatest) + libm::log(dispatch(isa, SumExp(x, greatest)))) as f32
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
    fn log_sum_exp_is_close_and_does_not_overflow() {
        let x: Vec<f32> = (0..10_000).map(|i| 900.0 + (i as f32 * 0.37).sin() * 20.0).collect();
        let exact = 900.0 + x.iter().map(|&x| (f64::from(x) - 900.0).exp()).sum::<f64>().ln();
        assert!((f64::from(log_sum_exp(Isa::detect(), &x)) - exact).abs() < 1e-4);
        assert_eq!(log_sum_exp(Isa::detect(), &[]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(Isa::detect(), &[f32::NEG_INFINITY; 3]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(Isa::detect(), &[0.0, f32::INFINITY]), f32::INFINITY);
        assert_eq!(log_sum_exp(Isa::detect(), &[3.0]), 3.0);
        assert!(log_sum_exp(Isa::detect(), &[0.0, f32::NAN]).is_nan());
    }
}
