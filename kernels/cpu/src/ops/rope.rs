//! Rotary position embedding (Su et al., 2021), with linear, Llama 3 and YaRN scaling.

use super::lanes::{Lanes, Op, dispatch};
use crate::isa::Isa;

/// Which two dimensions of a head form pair i.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopeKind {
    /// 2i and 2i + 1: `llama` and `deepseek2` files.
    Norm,
    /// i and i + n_rot / 2: `qwen2`, `qwen3` and `gemma3` files.
    Neox,
}

/// What a model file says about its rotation.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeScaling {
    /// The frequency base: pair i turns by base^(-2i / n_rot) radians a position.
    pub base: f64,
    /// How many dimensions of a head turn; an odd last one does not.
    pub n_rot: usize,
    /// Linear interpolation of positions: 1 / factor, or 1 for none.
    pub freq_scale: f64,
    /// How much of YaRN to mix in: 1 for YaRN, 0 for none.
    pub ext_factor: f64,
    /// Multiplies every cosine and sine. With YaRN they are multiplied by 1 + 0.1 ln(1 / freq_scale) besides, which
    /// loaders cancel here where a model does not want it.
    pub attn_factor: f64,
    /// YaRN: pairs that turn more often than this over `n_ctx_orig` keep their frequency. Usually 32.
    pub beta_fast: f64,
    /// YaRN: pairs that turn less often than this over `n_ctx_orig` are interpolated in full. Usually 1.
    pub beta_slow: f64,
    /// YaRN: the context length of the training before the extension.
    pub n_ctx_orig: usize,
    /// Divisors of the frequencies, one a pair (the tensor `rope_freqs.weight`; Llama 3). Missing ones count as 1.
    pub factors: Option<Vec<f32>>,
}

/// Frequencies of one rotation, ready for any position. Everything up to the final cosines is in double precision with
/// functions of our own supply, so all machines agree on the bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians a position, one a pair.
    frequencies: Vec<f64>,
    multiplier: f64,
}

impl Default for RopeScaling {
    /// Base 10,000, nothing rotated and nothing scaled; set at least `n_rot`.
    fn default() -> RopeScaling {
        RopeScaling {
            base: 10_000.0,
            n_rot: 0,
            freq_scale: 1.0,
            ext_factor: 0.0,
            attn_factor: 1.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            n_ctx_orig: 0,
            factors: None,
        }
    }
}

impl RopeScaling {
    /// The pairs between which YaRN (Peng et al., 2023) goes from extrapolation to interpolation, first and last.
    pub fn yarn_range(&self) -> (f64, f64) {
        let n_rot = self.n_rot as f64;
        let pair = |turns: f64| {
            let wavelengths = self.n_ctx_orig as f64 / (2.0 * std::f64::consts::PI * turns);
            n_rot * libm::log(wavelengths) / (2.0 * libm::log(self.base))
        };
        let low = libm::floor(pair(self.beta_fast)).max(0.0);
        let high = libm::ceil(pair(self.beta_slow)).min(n_rot - 1.0);
        (low, high)
    }

    /// What every cosine and sine is multiplied by.
    pub fn multiplier(&self) -> f64 {
        if self.ext_factor == 0.0 {
            self.attn_factor
        } else {
            self.attn_factor * (1.0 + 0.1 * libm::log(1.0 / self.freq_scale))
        }
    }
}

impl Rope {
    /// The rotation that `scaling` describes.
    pub fn new(scaling: &RopeScaling) -> Rope {
        let (low, high) = scaling.yarn_range();
        let frequency = |pair: usize| {
            let divisor = scaling.factors.as_ref().and_then(|f| f.get(pair)).map_or(1.0, |&f| f64::from(f));
            let exponent = -2.0 * pair as f64 / scaling.n_rot as f64;
            let extrapolated = libm::pow(scaling.base, exponent) / divisor;
            let interpolated = scaling.freq_scale * extrapolated;
            if scaling.ext_factor == 0.0 {
                return interpolated;
            }
            let along = (pair as f64 - low) / (high - low).max(0.001);
            let mix = (1.0 - along.clamp(0.0, 1.0)) * scaling.ext_factor;
            interpolated * (1.0 - mix) + extrapolated * mix
        };
        Rope { frequencies: (0..scaling.n_rot / 2).map(frequency).collect(), multiplier: scaling.multiplier() }
    }

    /// How many pairs turn: half of `n_rot`.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Fills `cos` and `sin` for `position`, the multiplier included.
    ///
    /// # Panics
    ///
    /// When one of them is not [`Rope::pairs`] long.
    pub fn angles(&self, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        assert!(cos.len() == self.pairs() && sin.len() == self.pairs(), "one cosine and one sine a pair");
        for ((frequency, cos), sin) in self.frequencies.iter().zip(cos).zip(sin) {
            let (s, c) = libm::sincos(position as f64 * frequency);
            *cos = (c * self.multiplier) as f32;
            *sin = (s * self.multiplier) as f32;
        }
    }

    /// Turns the first `2 * cos.len()` dimensions of every head in the row `x` of heads of `head_dim` dimensions, by
    /// the cosines and sines of [`Rope::angles`]: x0' = fma(x0, cos, -(x1 sin)), x1' = fma(x1, cos, x0 sin).
    ///
    /// # Panics
    ///
    /// When `x` is not whole heads, a head has fewer dimensions than turn, or `cos` and `sin` differ in length.
    pub fn rotate(isa: Isa, kind: RopeKind, cos: &[f32], sin: &[f32], x: &mut [f32], head_dim: usize) {
        struct Rotate<'a>(RopeKind, &'a [f32], &'a [f32], &'a mut [f32], usize);
        impl Op for Rotate<'_> {
            type Output = ();

            #[inline(always)]
            fn call<L: Lanes>(self, _: L) {
                let Rotate(kind, cos, sin, x, head_dim) = self;
                // Plain loops: the compiler makes vectors of them, and may not change a bit in doing so.
                for head in x.chunks_exact_mut(head_dim) {
                    let turning = &mut head[..2 * cos.len()];
                    match kind {
                        RopeKind::Norm => {
                            for ((pair, &cos), &sin) in turning.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                                let [x0, x1] = *pair;
                                *pair = [x0.mul_add(cos, -(x1 * sin)), x1.mul_add(cos, x0 * sin)];
                            }
                        }
                        RopeKind::Neox => {
                            let (first, second) = turning.split_at_mut(cos.len());
                            for (((x0, x1), &cos), &sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                                (*x0, *x1) = (x0.mul_add(cos, -(*x1 * sin)), x1.mul_add(cos, *x0 * sin));
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(cos.len(), sin.len(), "one cosine and one sine a pair");
        if cos.is_empty() || x.is_empty() {
            return;
        }
        assert!(2 * cos.len() <= head_dim, "more dimensions turn than a head has");
        assert!(x.len().is_multiple_of(head_dim), "the row is not whole heads");
        dispatch(isa, Rotate(kind, cos, sin, x, head_dim));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factors that a converter writes for Llama 3: factor 8, low 1, high 4, old context 8192.
    fn llama3_factors() -> Vec<f32> {
        (0..64)
            .map(|i| {
                let wavelength = 2.0 * std::f64::consts::PI * 500_000f64.powf(f64::from(i) / 64.0);
                if wavelength < 8192.0 / 4.0 {
                    1.0
                } else if wavelength > 8192.0 {
                    8.0
                } else {
                    let s = (8192.0 / wavelength - 1.0) / 3.0;
                    (1.0 / ((1.0 - s) / 8.0 + s)) as f32
                }
            })
            .collect()
    }

    fn angles(rope: &Rope, position: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut cos, mut sin) = (vec![0.0; rope.pairs()], vec![0.0; rope.pairs()]);
        rope.angles(position, &mut cos, &mut sin);
        (cos, sin)
    }

    #[test]
    fn plain_and_linear_angles_follow_the_formula() {
        for freq_scale in [1.0, 0.125] {
            let rope = Rope::new(&RopeScaling { base: 1e6, n_rot: 64, freq_scale, ..RopeScaling::default() });
            for position in [0, 1, 63, 4096, 131_071] {
                let (cos, sin) = angles(&rope, position);
                for i in 0..32 {
                    let theta = position as f64 * freq_scale * 1e6f64.powf(-(i as f64) / 32.0);
                    assert!((f64::from(cos[i]) - theta.cos()).abs() < 1e-6);
                    assert!((f64::from(sin[i]) - theta.sin()).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn llama3_factors_divide_the_frequencies() {
        let factors = llama3_factors();
        for (i, expected) in [(28, 1.0), (29, 1.2075), (30, 1.5534), (31, 2.0263), (32, 2.6945), (33, 3.6843)] {
            assert!((factors[i] - expected).abs() < 1e-4);
        }
        assert!((factors[34] - 5.2573).abs() < 1e-4 && factors[35] == 8.0);
        let scaling =
            RopeScaling { base: 500_000.0, n_rot: 128, factors: Some(factors.clone()), ..RopeScaling::default() };
        let (cos, sin) = angles(&Rope::new(&scaling), 10_000);
        for i in 0..64 {
            let theta = 10_000.0 * 500_000f64.powf(-(i as f64) / 64.0) / f64::from(factors[i]);
            assert!((f64::from(cos[i]) - theta.cos()).abs() < 1e-6);
            assert!((f64::from(sin[i]) - theta.sin()).abs() < 1e-6);
        }
    }

    #[test]
    fn yarn_of_r1_mixes_between_pairs_10_and_23_and_keeps_the_length() {
        let log = 1.0 + 0.1 * 40f64.ln();
        let scaling = RopeScaling {
            n_rot: 64,
            freq_scale: 1.0 / 40.0,
            ext_factor: 1.0,
            attn_factor: 1.0 / log,
            n_ctx_orig: 4096,
            ..RopeScaling::default()
        };
        assert_eq!(scaling.yarn_range(), (10.0, 23.0));
        assert!((scaling.multiplier() - 1.0).abs() < 1e-15);
        let (cos, sin) = angles(&Rope::new(&scaling), 5000);
        for i in 0..32 {
            let extrapolated = 5000.0 * 10_000f64.powf(-(i as f64) / 32.0);
            let ramp = 1.0 - ((i as f64 - 10.0) / 13.0).clamp(0.0, 1.0);
            let theta = extrapolated / 40.0 * (1.0 - ramp) + extrapolated * ramp;
            assert!((f64::from(cos[i]) - theta.cos()).abs() < 1e-6, "pair {i}");
            assert!((f64::from(sin[i]) - theta.sin()).abs() < 1e-6, "pair {i}");
        }
        let plain = RopeScaling { attn_factor: 1.0, ..scaling };
        assert!((plain.multiplier() - log).abs() < 1e-15);
    }

    #[test]
    fn the_two_kinds_pair_their_own_dimensions_and_leave_the_rest() {
        let rope = Rope::new(&RopeScaling { n_rot: 8, ..RopeScaling::default() });
        let (cos, sin) = angles(&rope, 3);
        let row: Vec<f32> = (0..20).map(|i| i as f32 + 1.0).collect();
        for (kind, pair) in [
            (RopeKind::Norm, (|i| (2 * i, 2 * i + 1)) as fn(usize) -> (usize, usize)),
            (RopeKind::Neox, |i| (i, i + 4)),
        ] {
            for isa in Isa::available() {
                let mut turned = row.clone();
                Rope::rotate(isa, kind, &cos, &sin, &mut turned, 10);
                for head in [0, 10] {
                    for i in 0..4 {
                        let (a, b) = pair(i);
                        let (x, y) = (row[head + a], row[head + b]);
                        assert_eq!(turned[head + a], x.mul_add(cos[i], -(y * sin[i])));
                        assert_eq!(turned[head + b], y.mul_add(cos[i], x * sin[i]));
                    }
                    assert_eq!(turned[head + 8..head + 10], row[head + 8..head + 10]);
                }
            }
        }
    }

    #[test]
    fn scores_depend_on_the_distance_alone() {
        let rope = Rope::new(&RopeScaling { n_rot: 64, ..RopeScaling::default() });
        let (q, k): (Vec<f32>, Vec<f32>) = (0..64).map(|i| ((i as f32).sin(), (i as f32 * 1.3).cos())).unzip();
        let score = |position: usize, distance: usize| {
            let turn = |x: &[f32], position| {
                let ((cos, sin), mut x) = (angles(&rope, position), x.to_vec());
                Rope::rotate(Isa::detect(), RopeKind::Neox, &cos, &sin, &mut x, 64);
                x
            };
            crate::ops::dot(Isa::detect(), &turn(&q, position + distance), &turn(&k, position))
        };
        assert!((score(0, 7) - score(1000, 7)).abs() < 1e-4);
    }
}
