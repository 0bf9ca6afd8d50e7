//! Plain element-wise operations: sums, multiples, caps.

use super::exp::tanh_of;
use super::lanes::{Lanes, Math, Op, dispatch, map_lanes, zip_lanes};
use crate::isa::Isa;

/// x = x + y, element by element.
///
/// # Panics
///
/// When the lengths differ.
pub fn add(isa: Isa, x: &mut [f32], y: &[f32]) {
    struct Add<'a>(&'a mut [f32], &'a [f32]);
    impl Op for Add<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            zip_lanes!(lanes, self.0, self.1, |x, y| lanes.add(x, y));
        }
    }
    assert_eq!(x.len(), y.len(), "terms differ in length");
    dispatch(isa, Add(x, y));
}

/// x = x + factor * y, element by element, rounded once.
///
/// # Panics
///
/// When the lengths differ.
pub fn add_scaled(isa: Isa, x: &mut [f32], y: &[f32], factor: f32) {
    struct AddScaled<'a>(&'a mut [f32], &'a [f32], f32);
    impl Op for AddScaled<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let factor = lanes.splat(self.2);
            zip_lanes!(lanes, self.0, self.1, |x, y| lanes.fma(y, factor, x));
        }
    }
    assert_eq!(x.len(), y.len(), "terms differ in length");
    dispatch(isa, AddScaled(x, y, factor));
}

/// x = x * factor, element by element.
pub fn scale(isa: Isa, x: &mut [f32], factor: f32) {
    struct Scale<'a>(&'a mut [f32], f32);
    impl Op for Scale<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let factor = lanes.splat(self.1);
            map_lanes!(lanes, self.0, |x| lanes.mul(x, factor));
        }
    }
    dispatch(isa, Scale(x, factor));
}

/// x = cap * tanh(x / cap), element by element: the soft cap of Gemma's logits and scores.
pub fn soft_cap(isa: Isa, x: &mut [f32], cap: f32) {
    struct SoftCap<'a>(&'a mut [f32], f32);
    impl Op for SoftCap<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let cap = lanes.splat(self.1);
            map_lanes!(lanes, self.0, |x| soft_cap_of(lanes, x, cap));
        }
    }
    dispatch(isa, SoftCap(x, cap));
}

#[inline(always)]
pub(super) fn soft_cap_of<M: Math>(m: M, x: M::V, cap: M::V) -> M::V {
    m.mul(cap, tanh_of(m, m.div(x, cap)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_cap_bounds_large_values_and_keeps_small_ones() {
        let mut x = [-1e6, -30.0, -0.001, 0.0, 0.001, 30.0, 1e6];
        soft_cap(Isa::detect(), &mut x, 30.0);
        assert_eq!(x[0], -30.0);
        assert!((f64::from(x[1]) + 30.0 * 1f64.tanh()).abs() < 1e-5);
        assert!((x[2] + 0.001).abs() < 1e-9);
        assert_eq!(x[3], 0.0);
        assert_eq!((x[4], x[5], x[6]), (-x[2], -x[1], 30.0));
    }
}
