//! Gates of the feed-forward block: SiLU (Llama, Qwen, DeepSeek) and the tanh form of GELU (Gemma).

use super::exp::times_sigmoid;
use super::lanes::{Lanes, Math, One, Op, dispatch, map_lanes, zip_lanes};
use crate::isa::Isa;

/// x / (1 + e^-x).
pub fn silu(x: f32) -> f32 {
    silu_of(One, x)
}

/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the approximation of GELU by Hendrycks and Gimpel (2016), computed
/// as x times the logistic function of twice the argument.
pub fn gelu(x: f32) -> f32 {
    gelu_of(One, x)
}

/// x = 1 / (1 + e^-x), element by element.
pub fn sigmoid(isa: Isa, x: &mut [f32]) {
    struct Sigmoid<'a>(&'a mut [f32]);
    impl Op for Sigmoid<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            let one = lanes.splat(1.0);
            map_lanes!(lanes, self.0, |x| times_sigmoid(lanes, one, x));
        }
    }
    dispatch(isa, Sigmoid(x));
}

/// gate = silu(gate) * up, element by element.
///
/// # Panics
///
/// When the lengths differ.
pub fn silu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    struct SiluMul<'a>(&'a mut [f32], &'a [f32]);
    impl Op for SiluMul<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            zip_lanes!(lanes, self.0, self.1, |gate, up| lanes.mul(silu_of(lanes, gate), up));
        }
    }
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    dispatch(isa, SiluMul(gate, up));
}

/// gate = gelu(gate) * up, element by element.
///
/// # Panics
///
/// When the lengths differ.
pub fn gelu_mul(isa: Isa, gate: &mut [f32], up: &[f32]) {
    struct GeluMul<'a>(&'a mut [f32], &'a [f32]);
    impl Op for GeluMul<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, lanes: L) {
            zip_lanes!(lanes, self.0, self.1, |gate, up| lanes.mul(gelu_of(lanes, gate), up));
        }
    }
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    dispatch(isa, GeluMul(gate, up));
}

#[inline(always)]
fn silu_of<M: Math>(m: M, x: M::V) -> M::V {
    times_sigmoid(m, x, x)
}

#[inline(always)]
fn gelu_of<M: Math>(m: M, x: M::V) -> M::V {
    // 2 sqrt(2/pi) (x + 0.044715 x^3) = x (a + b x^2).
    let s = m.mul(x, m.fma(m.mul(x, x), m.splat(0.071_354_814), m.splat(1.595_769_2)));
    times_sigmoid(m, x, s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_follow_their_definitions() {
        for i in -3000..=3000 {
            let x = i as f32 * 0.005;
            let z = f64::from(x);
            let silu_exact = z / (1.0 + (-z).exp());
            let gelu_exact =
                0.5 * z * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z * z * z)).tanh());
            assert!((f64::from(silu(x)) - silu_exact).abs() <= 3e-7 * silu_exact.abs() + 1e-12, "silu {x}");
            assert!((f64::from(gelu(x)) - gelu_exact).abs() <= 3e-7 * z.abs() + 1e-12, "gelu {x}");
        }
    }

    #[test]
    fn the_logistic_function_is_close_and_stays_in_bounds() {
        for isa in Isa::available() {
            let xs: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.05).collect();
            let mut out = xs.clone();
            sigmoid(isa, &mut out);
            for (x, s) in xs.iter().zip(out) {
                let exact = 1.0 / (1.0 + (-f64::from(*x)).exp());
                assert!((f64::from(s) - exact).abs() <= 3e-7 * exact + 1e-37, "sigmoid {x}");
            }
        }
    }

    #[test]
    fn gates_vanish_far_below_zero() {
        for x in [-100.0, -1e4, -1e10] {
            assert_eq!(silu(x), 0.0);
            assert_eq!(gelu(x), 0.0);
        }
        assert_eq!(silu(1e4), 1e4);
        assert_eq!(gelu(1e10), 1e10);
    }
}
