//! The two inner loops of attention: M queries by some vectors of sixteen keys or dimensions, held in registers.

use super::attention::SPLIT;
use super::lanes::{Lanes, Op};
use super::page::{KvElement, PAGE, Q8_BLOCK, Q8Rows};
use std::ops::Range;

/// The keys of a page, `[dim][PAGE]`.
pub(super) trait Keys: Copy {
    /// Bytes of a number.
    const BYTES: usize;
    /// Numbers in the page, dimensions times [`PAGE`].
    fn len(self) -> usize;
    /// What [`Q8_BLOCK`] dimensions of the keys `16 * at..16 * (at + N)` share.
    fn scales<L: Lanes, const N: usize>(self, lanes: L, block: usize, at: usize) -> [L::V; N];
    /// Dimension `d` of the keys `16 * at..16 * (at + N)`.
    fn load<L: Lanes, const N: usize>(self, lanes: L, d: usize, at: usize, scales: &[L::V; N]) -> [L::V; N];
}

/// The values of a page, `[PAGE][dim]`.
pub(super) trait Values: Copy {
    /// Bytes of a number.
    const BYTES: usize;
    /// Numbers in the page, [`PAGE`] times dimensions.
    fn len(self) -> usize;
    /// The dimensions `at..at + 16 * N` of a key's value; `at` is a multiple of 16.
    fn load<L: Lanes, const N: usize>(self, lanes: L, dim: usize, key: usize, at: usize) -> [L::V; N];
    /// One number.
    fn one(self, dim: usize, key: usize, d: usize) -> f32;
}

impl<E: KvElement> Keys for &[E] {
    const BYTES: usize = size_of::<E>();

    #[inline(always)]
    fn len(self) -> usize {
        <[E]>::len(self)
    }

    #[inline(always)]
    fn scales<L: Lanes, const N: usize>(self, lanes: L, _: usize, _: usize) -> [L::V; N] {
        [lanes.splat(1.0); N]
    }

    #[inline(always)]
    fn load<L: Lanes, const N: usize>(self, lanes: L, d: usize, at: usize, _: &[L::V; N]) -> [L::V; N] {
        let keys = self[d * PAGE + 16 * at..][..16 * N].as_chunks::<16>().0;
        let mut k = [lanes.splat(0.0); N];
        for n in 0..N {
            k[n] = E::load(lanes, &keys[n]);
        }
        k
    }
}

impl Keys for Q8Rows<'_> {
    const BYTES: usize = 1;

    #[inline(always)]
    fn len(self) -> usize {
        self.codes.len()
    }

    #[inline(always)]
    fn scales<L: Lanes, const N: usize>(self, lanes: L, block: usize, at: usize) -> [L::V; N] {
        let halves = self.scales[block * PAGE + 16 * at..][..16 * N].as_chunks::<16>().0;
        let mut scales = [lanes.splat(0.0); N];
        for n in 0..N {
            scales[n] = lanes.load_f16(&halves[n]);
        }
        scales
    }

    #[inline(always)]
    fn load<L: Lanes, const N: usize>(self, lanes: L, d: usize, at: usize, scales: &[L::V; N]) -> [L::V; N] {
        let codes = self.codes[d * PAGE + 16 * at..][..16 * N].as_chunks::<16>().0;
        let mut k = [lanes.splat(0.0); N];
        for n in 0..N {
            k[n] = lanes.mul(lanes.load_i8(&codes[n]), scales[n]);
        }
        k
    }
}

impl<E: KvElement> Values for &[E] {
    const BYTES: usize = size_of::<E>();

    #[inline(always)]
    fn len(self) -> usize {
        <[E]>::len(self)
    }

    #[inline(always)]
    fn load<L: Lanes, const N: usize>(self, lanes: L, dim: usize, key: usize, at: usize) -> [L::V; N] {
        let values = self[key * dim + at..][..16 * N].as_chunks::<16>().0;
        let mut v = [lanes.splat(0.0); N];
        for n in 0..N {
            v[n] = E::load(lanes, &values[n]);
        }
        v
    }

    #[inline(always)]
    fn one(self, dim: usize, key: usize, d: usize) -> f32 {
        self[key * dim + d].to_f32()
    }
}

impl Values for Q8Rows<'_> {
    const BYTES: usize = 1;

    #[inline(always)]
    fn len(self) -> usize {
        self.codes.len()
    }

    #[inline(always)]
    fn load<L: Lanes, const N: usize>(self, lanes: L, dim: usize, key: usize, at: usize) -> [L::V; N] {
        let codes = self.codes[key * dim + at..][..16 * N].as_chunks::<16>().0;
        let scales = &self.scales[key * dim.div_ceil(Q8_BLOCK) + at / Q8_BLOCK..];
        let mut v = [lanes.splat(0.0); N];
        for n in 0..N {
            // `at` is at the first or the second half of a block.
            let scale = lanes.splat_f16(scales[(at % Q8_BLOCK + 16 * n) / Q8_BLOCK]);
            v[n] = lanes.mul(lanes.load_i8(&codes[n]), scale);
        }
        v
    }

    #[inline(always)]
    fn one(self, dim: usize, key: usize, d: usize) -> f32 {
        f32::from(self.codes[key * dim + d]) * self.scales[key * dim.div_ceil(Q8_BLOCK) + d / Q8_BLOCK].to_f32()
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Keys whose values are added to some dimensions before it is the turn of the next dimensions.
const STRIDE: usize = 32;

/// `out[m][key]` = sum over d of `q[m][d] * k[d][key]`, d ascending, for [`PAGE`] keys; rows of `out` are [`SPLIT`] apart.
pub(super) struct ScorePage<'a, K, const M: usize> {
    pub(super) q: &'a [f32],
    pub(super) dim: usize,
    pub(super) k: K,
    /// Where what is read next begins.
    pub(super) ahead: *const u8,
    pub(super) out: &'a mut [f32],
}

#[expect(clippy::needless_range_loop, reason = "the indices run over several arrays at once")]
impl<K: Keys, const M: usize> ScorePage<'_, K, M> {
    /// The vectors `at..at + N` of sixteen keys.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize>(&mut self, lanes: L, at: usize) {
        let mut q = [&self.q[..0]; M];
        for m in 0..M {
            q[m] = &self.q[m * self.dim..][..self.dim];
        }
        let mut sums = [[lanes.splat(0.0); N]; M];
        for start in (0..self.dim).step_by(Q8_BLOCK) {
            let scales = self.k.scales::<L, N>(lanes, start / Q8_BLOCK, at);
            let next = start + Q8_BLOCK;
            let ahead = self.ahead.wrapping_add(start * PAGE * K::BYTES);
            for d in start..self.dim.min(next) {
                for line in (0..16 * N * K::BYTES).step_by(LINE) {
                    lanes.prefetch(ahead.wrapping_add(((d - start) * PAGE + 16 * at) * K::BYTES + line));
                }
                let k = self.k.load::<L, N>(lanes, d, at, &scales);
                for m in 0..M {
                    let q = lanes.splat(q[m][d]);
                    for n in 0..N {
                        sums[m][n] = lanes.fma(q, k[n], sums[m][n]);
                    }
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

impl<K: Keys, const M: usize> Op for ScorePage<'_, K, M> {
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
pub(super) struct WeighKeys<'a, V, const M: usize> {
    /// Begins with the weight of the first of `keys`.
    pub(super) weights: &'a [f32],
    /// Keys, by their slots in the page.
    pub(super) keys: Range<usize>,
    pub(super) values: V,
    /// Where what is read next begins.
    pub(super) ahead: *const u8,
    pub(super) dim: usize,
    pub(super) out: &'a mut [f32],
}

#[expect(clippy::needless_range_loop, reason = "the indices run over several arrays at once")]
impl<V: Values, const M: usize> WeighKeys<'_, V, M> {
    /// The dimensions `at..at + 16 * N` of some of the keys.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize>(&mut self, lanes: L, keys: Range<usize>, at: usize) {
        let mut weights = [&self.weights[..0]; M];
        for m in 0..M {
            weights[m] = &self.weights[m * SPLIT + keys.start - self.keys.start..][..keys.len()];
        }
        let ahead = self.ahead.wrapping_add(keys.start * self.dim * V::BYTES);
        let mut sums = [[lanes.splat(0.0); N]; M];
        for m in 0..M {
            let out = self.out[m * (self.dim + 2) + at..][..16 * N].as_chunks::<16>().0;
            for n in 0..N {
                sums[m][n] = lanes.load(&out[n]);
            }
        }
        for key in 0..keys.len() {
            for line in (0..16 * N * V::BYTES).step_by(LINE) {
                lanes.prefetch(ahead.wrapping_add((key * self.dim + at) * V::BYTES + line));
            }
            let v = self.values.load::<L, N>(lanes, self.dim, keys.start + key, at);
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
                for key in 0..self.keys.len() {
                    let value = self.values.one(self.dim, self.keys.start + key, d);
                    sum = self.weights[m * SPLIT + key].mul_add(value, sum);
                }
                self.out[m * (self.dim + 2) + d] = sum;
            }
        }
    }
}

impl<V: Values, const M: usize> Op for WeighKeys<'_, V, M> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(mut self, lanes: L) {
        let (all, dim) = (self.keys.clone(), self.dim);
        let mut at = 0;
        for start in all.clone().step_by(STRIDE) {
            let keys = start..all.end.min(start + STRIDE);
            at = 0;
            if 4 * (M + 1) <= L::VECTORS {
                while at + 64 <= dim {
                    self.vectors::<L, 4>(lanes, keys.clone(), at);
                    at += 64;
                }
            }
            if 2 * (M + 1) <= L::VECTORS {
                while at + 32 <= dim {
                    self.vectors::<L, 2>(lanes, keys.clone(), at);
                    at += 32;
                }
            }
            while at + 16 <= dim {
                self.vectors::<L, 1>(lanes, keys.clone(), at);
                at += 16;
            }
        }
        self.rest(at);
    }
}
