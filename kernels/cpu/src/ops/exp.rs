//! The exponential function and what follows from it, from multiplications and additions alone: mathematical libraries
//! differ between systems, IEEE arithmetic does not.

use super::lanes::{Lanes, Math, One, Op, dispatch, map_lanes};
use crate::isa::Isa;

/// Least x with a normal e^x: just above ln 2^-126.
const LOWEST: f32 = -87.336_54;
/// Greatest x with a finite e^x.
const HIGHEST: f32 = 88.722_83;
/// Adding this rounds a small number to an integer, which then stands in the low bits of the significand.
const ROUND: f32 = 12_582_912.0;
/// ln 2 as the sum of two floats.
const LN_2_HIGH: f32 = std::f32::consts::LN_2;
const LN_2_LOW: f32 = -1.904_654_2e-9;

/// e^x, within 2 units in the last place. 0 below -87.3365 (where the result would be subnormal), infinite above
/// 88.7228; NaN stays NaN. The same bits as [`exp_slice`].
pub fn exp(x: f32) -> f32 {
    exp_of(One, x)
}

/// x = e^x for each element: see [`exp`].
pub fn exp_slice(isa: Isa, x: &mut [f32]) {
    struct Exp<'a>(&'a mut [f32]);
    impl Op for Exp<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            map_lanes!(lanes, self.0, |x| exp_of(lanes, x));
        }
    }
    dispatch(isa, Exp(x));
}

/// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r = 1 + r + r^2 P(r). P is the minimax polynomial of
/// degree 4 for the relative error of e^r (3e-9 before rounding).
#[inline(always)]
pub(super) fn exp_of<M: Math>(m: M, x: M::V) -> M::V {
    let t = m.fma(x, m.splat(std::f32::consts::LOG2_E), m.splat(ROUND));
    let n = m.sub(t, m.splat(ROUND));
    let r = m.fma(n, m.splat(-LN_2_HIGH), x);
    let r = m.fma(n, m.splat(-LN_2_LOW), r);
    let p = m.fma(r, m.splat(0.001_381_446_5), m.splat(0.008_368_781));
    let p = m.fma(r, p, m.splat(0.041_668_393));
    let p = m.fma(r, p, m.splat(0.166_665_2));
    let p = m.fma(r, p, m.splat(0.499_999_94));
    let p = m.add(m.fma(m.mul(r, r), p, r), m.splat(1.0));
    let y = m.add_exponent(p, t);
    let y = m.select_le(m.splat(LOWEST), x, y, m.splat(0.0));
    let y = m.select_le(x, m.splat(HIGHEST), y, m.splat(f32::INFINITY));
    m.select_le(x, x, y, x)
}

/// x / (1 + e^-s): x times the logistic function of s.
#[inline(always)]
pub(super) fn times_sigmoid<M: Math>(m: M, x: M::V, s: M::V) -> M::V {
    let e = exp_of(m, m.sub(m.splat(0.0), s));
    m.div(x, m.add(m.splat(1.0), e))
}

/// tanh z, odd to the bit: 1 - 2 / (1 + e^2|z|) with the sign of z; near 0, where that cancels, the minimax polynomial
/// z + z^3 Q(z^2) of degree 9.
#[inline(always)]
pub(super) fn tanh_of<M: Math>(m: M, z: M::V) -> M::V {
    let zero = m.splat(0.0);
    let size = m.max(z, m.sub(zero, z));
    let e = exp_of(m, m.add(size, size));
    let far = m.sub(m.splat(1.0), m.div(m.splat(2.0), m.add(m.splat(1.0), e)));
    let far = m.select_le(zero, z, far, m.sub(zero, far));
    let u = m.mul(z, z);
    let q = m.fma(u, m.splat(0.020_036_325), m.splat(-0.053_832_48));
    let q = m.fma(u, q, m.splat(0.133_329_33));
    let q = m.fma(u, q, m.splat(-0.333_333_28));
    let near = m.fma(m.mul(z, u), q, z);
    m.select_le(u, m.splat(0.09), near, far)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(x: f32, exact: f64) -> f64 {
        let ulp = f32::from_bits((exact as f32).to_bits() + 1) - exact as f32;
        (f64::from(x) - exact).abs() / f64::from(ulp)
    }

    #[test]
    fn exp_is_within_two_ulps_over_its_range() {
        let mut worst = 0.0f64;
        for bits in (0u32..0x42b2_0000).step_by(997) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                if (LOWEST..=HIGHEST).contains(&x) {
                    worst = worst.max(ulps(exp(x), f64::from(x).exp()));
                }
            }
        }
        assert!(worst < 1.1, "{worst} ulps");
    }

    #[test]
    fn exp_of_the_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY).to_bits(), 0);
        assert_eq!(exp(f32::MIN).to_bits(), 0);
        assert_eq!(exp(f32::MAX), f32::INFINITY);
        assert!(exp(HIGHEST).is_finite() && exp(HIGHEST.next_up()).is_infinite());
        assert!(exp(LOWEST).is_normal() && exp(LOWEST.next_down()) == 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_close_on_both_sides_of_its_seam() {
        let mut worst = 0.0f64;
        for i in -200_000..=200_000 {
            let z = i as f32 * 5e-5;
            let exact = f64::from(z).tanh();
            worst = worst.max((f64::from(tanh_of(One, z)) - exact).abs() / exact.abs().max(1e-30));
        }
        assert!(worst < 5e-7, "relative error {worst}");
        assert_eq!(tanh_of(One, f32::INFINITY), 1.0);
        assert_eq!(tanh_of(One, f32::NEG_INFINITY), -1.0);
    }
}
