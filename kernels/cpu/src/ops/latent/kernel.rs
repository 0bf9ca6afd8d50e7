//! The two inner loops of latent attention, over rows in single precision: both hold a block of results in registers.

use super::super::lanes::{Lanes, Op};
use super::super::page::{KvElement, PAGE, Q8_BLOCK, Q8Rows};

/// Copies rows of `row` elements to rows of `wide` floats, filled up with zeros.
pub(super) struct Widen<'a, E> {
    pub(super) from: &'a [E],
    pub(super) row: usize,
    pub(super) to: &'a mut [f32],
    pub(super) wide: usize,
}

impl<E: KvElement> Op for Widen<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(self, lanes: L) {
        for (from, to) in self.from.chunks_exact(self.row).zip(self.to.chunks_exact_mut(self.wide)) {
            let (from, part) = from.as_chunks::<16>();
            let to = to.as_chunks_mut::<16>().0;
            for (from, to) in from.iter().zip(&mut *to) {
                lanes.store(E::load(lanes, from), to);
            }
            if let Some(to) = to.get_mut(from.len()) {
                let mut last = [E::default(); 16];
                last[..part.len()].copy_from_slice(part);
                lanes.store(E::load(lanes, &last), to);
            }
        }
    }
}

/// As [`Widen`], of codes and their scales.
pub(super) struct WidenQ8<'a> {
    pub(super) from: Q8Rows<'a>,
    pub(super) row: usize,
    pub(super) to: &'a mut [f32],
    pub(super) wide: usize,
}

impl Op for WidenQ8<'_> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(self, lanes: L) {
        let scales = self.from.scales.chunks_exact(self.row.div_ceil(Q8_BLOCK));
        let codes = self.from.codes.chunks_exact(self.row);
        for ((codes, scales), to) in codes.zip(scales).zip(self.to.chunks_exact_mut(self.wide)) {
            for (i, (codes, to)) in codes.chunks(16).zip(to.as_chunks_mut::<16>().0).enumerate() {
                let mut last = [0; 16];
                let codes = codes.first_chunk().unwrap_or_else(|| {
                    last[..codes.len()].copy_from_slice(codes);
                    &last
                });
                lanes.store(lanes.mul(lanes.splat_f16(scales[i * 16 / Q8_BLOCK]), lanes.load_i8(codes)), to);
            }
        }
    }
}

/// `out[query][key]` = sum over d of `queries[d][query] * keys[key][d]`, d ascending. Vectors run over queries, so one
/// load of a key serves sixteen of them.
pub(super) struct Score<'a> {
    /// `[dim][lanes]`; `lanes` is a multiple of 16.
    pub(super) queries: &'a [f32],
    pub(super) lanes: usize,
    /// `[PAGE][wide]`
    pub(super) rows: &'a [f32],
    pub(super) wide: usize,
    pub(super) dim: usize,
    /// Keys to score; some more may be.
    pub(super) keys: usize,
    /// `[lanes][PAGE]`
    pub(super) out: &'a mut [f32],
}

#[expect(clippy::needless_range_loop, reason = "the indices run over several arrays at once")]
impl Score<'_> {
    /// `K` keys from `key` on, `V` vectors of queries from `lane` on.
    #[inline(always)]
    fn block<L: Lanes, const K: usize, const V: usize>(&mut self, l: L, key: usize, lane: usize) {
        let mut rows = [&self.rows[..0]; K];
        for k in 0..K {
            rows[k] = &self.rows[(key + k) * self.wide..][..self.dim];
        }
        let mut sums = [[l.splat(0.0); V]; K];
        for (d, queries) in self.queries.chunks_exact(self.lanes).take(self.dim).enumerate() {
            let queries = queries[lane..][..16 * V].as_chunks::<16>().0;
            let mut q = [l.splat(0.0); V];
            for v in 0..V {
                q[v] = l.load(&queries[v]);
            }
            for k in 0..K {
                let x = l.splat(rows[k][d]);
                for v in 0..V {
                    sums[k][v] = l.fma(x, q[v], sums[k][v]);
                }
            }
        }
        for v in 0..V {
            let out = &mut self.out[(lane + 16 * v) * PAGE..][..16 * PAGE];
            for k in 0..K {
                let mut scores = [0.0; 16];
                l.store(sums[k][v], &mut scores);
                for (out, score) in out.chunks_exact_mut(PAGE).zip(scores) {
                    out[key + k] = score;
                }
            }
        }
    }
}

impl Op for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn call<L: Lanes>(mut self, l: L) {
        let mut lane = 0;
        while lane < self.lanes {
            let two = L::VECTORS >= 20 && lane + 32 <= self.lanes;
            let mut key = 0;
            while key < self.keys {
                if two {
                    self.block::<L, 8, 2>(l, key, lane);
                    key += 8;
                } else if L::VECTORS >= 20 {
                    self.block::<L, 16, 1>(l, key, lane);
                    key += 16;
                } else {
                    self.block::<L, 4, 1>(l, key, lane);
                    key += 4;
                }
            }
            lane += if two { 32 } else { 16 };
        }
    }
}

/// `out[m][d] += weights[m][key] * rows[key][d]`, keys ascending, for the first `dim` of a row.
pub(super) struct Weigh<'a, const M: usize> {
    /// `[M][PAGE]`
    pub(super) weights: &'a [f32],
    pub(super) keys: usize,
    /// `[PAGE][wide]`
    pub(super) rows: &'a [f32],
    pub(super) wide: usize,
    /// A multiple of 16.
    pub(super) dim: usize,
    /// Rows of `stride`.
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
}

#[expect(clippy::needless_range_loop, reason = "the indices run over several arrays at once")]
impl<const M: usize> Weigh<'_, M> {
    /// The dimensions `at..at + 16 * N`.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize>(&mut self, lanes: L, at: usize) {
        let mut weights = [&self.weights[..0]; M];
        for m in 0..M {
            weights[m] = &self.weights[m * PAGE..][..self.keys];
        }
        let mut sums = [[lanes.splat(0.0); N]; M];
        for m in 0..M {
            let out = self.out[m * self.stride + at..][..16 * N].as_chunks::<16>().0;
            for n in 0..N {
                sums[m][n] = lanes.load(&out[n]);
            }
        }
        for (key, row) in self.rows.chunks_exact(self.wide).take(self.keys).enumerate() {
            let row = row[at..][..16 * N].as_chunks::<16>().0;
            let mut x = [lanes.splat(0.0); N];
            for n in 0..N {
                x[n] = lanes.load(&row[n]);
            }
            for m in 0..M {
                let weight = lanes.splat(weights[m][key]);
                for n in 0..N {
                    sums[m][n] = lanes.fma(weight, x[n], sums[m][n]);
                }
            }
        }
        for m in 0..M {
            let out = self.out[m * self.stride + at..][..16 * N].as_chunks_mut::<16>().0;
            for n in 0..N {
                lanes.store(sums[m][n], &mut out[n]);
            }
        }
    }
}

impl<const M: usize> Op for Weigh<'_, M> {
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
        while at < dim {
            self.vectors::<L, 1>(lanes, at);
            at += 16;
        }
    }
}
