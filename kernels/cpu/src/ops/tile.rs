//! The two inner loops of attention: M queries by some vectors of sixteen keys or dimensions, held in registers.

use super::attention::SPLIT;
use super::lanes::{Lanes, Op};
use super::page::{KvElement, PAGE};

/// `out[m][key]` = sum over d of `q[m][d] * k[d][key]`, d ascending, for [`PAGE`] keys; rows of `out` are [`SPLIT`] apart.
pub(super) struct ScorePage<'a, E, const M: usize> {
    pub(super) q: &'a [f32],
    pub(super) dim: usize,
    pub(super) k: &'a [E],
    pub(super) out: &'a mut [f32],
}

#[expect(clippy::needless_range_loop, reason = "the indices run over several arrays at once")]
impl<E: KvElement, const M: usize> ScorePage<'_, E, M> {
    /// The vectors `at..at + N` of sixteen keys.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize>(&mut self, lanes: L, at: usize) {
        let mut q = [&self.q[..0]; M];
        for m in 0..M {
            q[m] = &self.q[m * self.dim..][..self.dim];
        }
        let mut sums = [[lanes.splat(0.0); N]; M];
        for (d, keys) in self.k.as_chunks::<PAGE>().0.iter().enumerate() {
            let keys = keys.as_chunks::<16>().0;
            let mut k = [lanes.splat(0.0); N];
            for n in 0..N {
                k[n] = E::load(lanes, &keys[at + n]);
            }
            for m in 0..M {
                let q = lanes.splat(q[m][d]);
                for n in 0..N {
                    sums[m][n] = lanes.fma(q, k[n], sums[m][n]);
                }
            }
        }
        for m in 0..M {
            let out = self.out[m * SPLIT..][..PAGE].as_chunks_mut::<16>().0;
            for n in 0..N {
                lanes.store(sums[m][n], &mut out[at + n]);
            }
        }
    }
}

impl<E: KvElement, const M: usize> Op for ScorePage<'_, E, M> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(mut self, lanes: L) {
        if 4 * (M + 1) <= L::VECTORS {
            self.vectors::<L, 4>(lanes, 0);
        } else if 2 * (M + 1) <= L::VECTORS {
            for at in [0, 2] {
                self.vectors::<L, 2>(lanes, at);
            }
        } else {
            for at in 0..4 {
                self.vectors::<L, 1>(lanes, at);
            }
        }
    }
}

/// `out[m][d] += weights[m][key] * values[key][d]`, keys ascending; rows of `weights` are [`SPLIT`] apart, of `out`
/// `dim + 2`.
pub(super) struct WeighKeys<'a, E, const M: usize> {
    pub(super) weights: &'a [f32],
    pub(super) keys: usize,
    pub(super) values: &'a [E],
    pub(super) dim: usize,
    pub(super) out: &'a mut [f32],
}

#[expect(clippy::needless_range_loop, reason = "the indices run over several arrays at once")]
impl<E: KvElement, const M: usize> WeighKeys<'_, E, M> {
    /// The dimensions `at..at + 16 * N`.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize>(&mut self, lanes: L, at: usize) {
        let mut weights = [&self.weights[..0]; M];
        for m in 0..M {
            weights[m] = &self.weights[m * SPLIT..][..self.keys];
        }
        let mut sums = [[lanes.splat(0.0); N]; M];
        for m in 0..M {
            let out = self.out[m * (self.dim + 2) + at..][..16 * N].as_chunks::<16>().0;
            for n in 0..N {
                sums[m][n] = lanes.load(&out[n]);
            }
        }
        for (key, values) in self.values.chunks_exact(self.dim).enumerate() {
            let values = values[at..][..16 * N].as_chunks::<16>().0;
            let mut v = [lanes.splat(0.0); N];
            for n in 0..N {
                v[n] = E::load(lanes, &values[n]);
            }
            for m in 0..M {
                let weight = lanes.splat(weights[m][key]);
                for n in 0..N {
                    sums[m][n] = lanes.fma(weight, v[n], sums[m][n]);
                }
            }
        }
        for m in 0..M {
            let out = self.out[m * (self.dim + 2) + at..][..16 * N].as_chunks_mut::<16>().0;
            for n in 0..N {
                lanes.store(sums[m][n], &mut out[n]);
            }
        }
    }

    /// The dimensions from `at` on that fill no vector.
    #[inline(always)]
    fn rest(&mut self, at: usize) {
        for m in 0..M {
            for d in at..self.dim {
                let mut sum = self.out[m * (self.dim + 2) + d];
                for key in 0..self.keys {
                    sum = self.weights[m * SPLIT + key].mul_add(self.values[key * self.dim + d].to_f32(), sum);
                }
                self.out[m * (self.dim + 2) + d] = sum;
            }
        }
    }
}

impl<E: KvElement, const M: usize> Op for WeighKeys<'_, E, M> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(mut self, lanes: L) {
        let (mut at, dim) = (0, self.dim);
        if 4 * (M + 1) <= L::VECTORS {
            while at + 64 <= dim {
                self.vectors::<L, 4>(lanes, at);
                at += 64;
            }
        }
        if 2 * (M + 1) <= L::VECTORS {
            while at + 32 <= dim {
                self.vectors::<L, 2>(lanes, at);
                at += 32;
            }
        }
        while at + 16 <= dim {
            self.vectors::<L, 1>(lanes, at);
            at += 16;
        }
        self.rest(at);
    }
}
