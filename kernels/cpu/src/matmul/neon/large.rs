//! Blocks of 256 values.

use crate::neon::*;
use std::arch::aarch64::{float32x4_t, int8x16_t, int16x8_t, int32x4_t};

use super::{Multiplier, PARTS, load_codes, load_floats, store_floats};
use crate::activation::Q8x256;
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

/// What differs between the formats. A chunk has four groups of 16 values: the low run's first, the high run's first,
/// the low run's second, the high run's second.
pub(super) trait Large {
    /// Where the values of a chunk lie.
    const RUNS: Runs;
    /// Whether both groups of a run have one scale.
    const THIRTY_TWO: bool = false;

    /// Codes of group `2 * SECOND + HIGH` of chunk `c` for four rows, four values a register.
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4];
    /// Signed scales of the groups of chunk `c`: a byte each, four rows. Of a run's groups that have one scale, only the
    /// first is looked at.
    fn scales(&self, c: usize, part: usize) -> int8x16_t;
    /// Scales of the scales.
    fn d(&self, part: usize) -> float32x4_t;
    /// Minimums, for formats that have them.
    #[inline(always)]
    fn mins(&self, _part: usize) -> Option<Mins> {
        None
    }
    /// The sums of activations that the minimums belong to, in their order, in two parts: see [`Split`].
    #[inline(always)]
    fn sums(_x: &Q8x256) -> [Split; 2] {
        [vdupq_n_s8(0); 2]
    }
}

/// Minimums of four rows.
#[derive(Clone, Copy)]
pub(super) struct Mins {
    pub(super) dmin: float32x4_t,
    /// Up to sixteen, eight at a time, four a register. What is beyond meets sums of zero.
    pub(super) eights: [[int8x16_t; 2]; 2],
    /// How many eights there are.
    pub(super) count: usize,
}

/// Eight sums of activations as bytes: `128 * high + low`, the lows in the lower half. As bytes they multiply with
/// minimums like activations with codes.
pub(super) type Split = int8x16_t;

/// Splits sums up to ±4064.
#[inline(always)]
pub(super) fn split(sums: int16x8_t) -> Split {
    let high = vrshrq_n_s16::<7>(sums);
    let low = vsubq_s16(sums, vshlq_n_s16::<7>(high));
    vcombine_s8(vmovn_s16(low), vmovn_s16(high))
}

/// [`Blocks::add`](super::Blocks::add) of all of them.
#[inline(always)]
pub(super) fn add<M: Multiplier, P: Large, const N: usize, const R: usize>(
    m: M,
    w: &[P],
    x: Columns<'_, Q8x256>,
    out: &mut Tile,
) {
    for (w, x) in x.zip::<_, N>(w) {
        let mut sums = [[vdupq_n_s8(0); 2]; N];
        for n in 0..N {
            sums[n] = P::sums(&x[n]);
        }
        for part in (0..PARTS).step_by(R) {
            let mut integer = [[vdupq_n_s32(0); N]; R];
            for c in 0..4 {
                run::<M, P, N, R, false>(m, w, x, (c, part), &mut integer);
                run::<M, P, N, R, true>(m, w, x, (c, part), &mut integer);
            }
            for r in 0..R {
                let integer = columns(m, integer[r]);
                let (d, mins) = (w.d(part + r), w.mins(part + r));
                let minimum = mins.map(|mins| minimum::<M, N>(m, &mins, &sums));
                for n in 0..N {
                    let mut value = vmulq_f32(d, vcvtq_f32_s32(integer[n]));
                    if let (Some(mins), Some(minimum)) = (mins, minimum) {
                        value = vfmsq_f32(value, mins.dmin, vcvtq_f32_s32(minimum[n]));
                    }
                    let total = vfmaq_n_f32(load_floats(&out[n], part + r), value, x[n].d);
                    store_floats(&mut out[n], part + r, total);
                }
            }
        }
    }
}

/// Adds the products of a run of chunk `c`, times the scales.
#[inline(always)]
fn run<M: Multiplier, P: Large, const N: usize, const R: usize, const HIGH: bool>(
    m: M,
    w: &P,
    x: &[Q8x256; N],
    (c, part): (usize, usize),
    integer: &mut [[int32x4_t; N]; R],
) {
    let mut dot = [[vdupq_n_s32(0); N]; R];
    group::<M, P, N, R, HIGH, false>(m, w, x, (c, part), &mut dot);
    if !P::THIRTY_TWO {
        scale::<M, P, N, R, HIGH, false>(m, w, (c, part), &dot, integer);
        dot = [[vdupq_n_s32(0); N]; R];
    }
    group::<M, P, N, R, HIGH, true>(m, w, x, (c, part), &mut dot);
    if P::THIRTY_TWO {
        scale::<M, P, N, R, HIGH, false>(m, w, (c, part), &dot, integer);
    } else {
        scale::<M, P, N, R, HIGH, true>(m, w, (c, part), &dot, integer);
    }
}

/// Adds the products of a group.
#[inline(always)]
fn group<M: Multiplier, P: Large, const N: usize, const R: usize, const HIGH: bool, const SECOND: bool>(
    m: M,
    w: &P,
    x: &[Q8x256; N],
    (c, part): (usize, usize),
    dot: &mut [[int32x4_t; N]; R],
) {
    let step = 4 * usize::from(SECOND);
    let first = if HIGH { P::RUNS.high(c, step) } else { P::RUNS.low(c, step) };
    let mut qs = [vdupq_n_s8(0); N];
    for n in 0..N {
        // The remainder spares a check.
        qs[n] = load_codes(&x[n].qs.as_chunks().0[first / 16 % 16]);
    }
    for r in 0..R {
        sixteen(m, &mut dot[r], w.codes::<HIGH, SECOND>(c, part + r), &qs);
    }
}

/// Adds sums times their scales.
#[inline(always)]
fn scale<M: Multiplier, P: Large, const N: usize, const R: usize, const HIGH: bool, const SECOND: bool>(
    m: M,
    w: &P,
    (c, part): (usize, usize),
    dot: &[[int32x4_t; N]; R],
    integer: &mut [[int32x4_t; N]; R],
) {
    for r in 0..R {
        let words = vreinterpretq_s32_s8(w.scales(c, part + r));
        let scale = match (SECOND, HIGH) {
            (false, false) => vshrq_n_s32::<24>(vshlq_n_s32::<24>(words)),
            (false, true) => vshrq_n_s32::<24>(vshlq_n_s32::<16>(words)),
            (true, false) => vshrq_n_s32::<24>(vshlq_n_s32::<8>(words)),
            (true, true) => vshrq_n_s32::<24>(words),
        };
        let factors = m.factors(scale);
        for n in 0..N {
            // A last column without a neighbour lies as it is.
            let factor = if n + 1 == N && n % 2 == 0 { scale } else { factors[n % 2] };
            integer[r][n] = vmlaq_s32(integer[r][n], dot[r][n], factor);
        }
    }
}

/// `Σ min·Σ q`.
#[inline(always)]
fn minimum<M: Multiplier, const N: usize>(m: M, mins: &Mins, sums: &[[Split; 2]; N]) -> [int32x4_t; N] {
    let (mut low, mut high) = ([vdupq_n_s32(0); N], [vdupq_n_s32(0); N]);
    for (i, &codes) in mins.eights[..mins.count].iter().enumerate() {
        let mut eight = [vdupq_n_s8(0); N];
        for n in 0..N {
            eight[n] = sums[n][i];
        }
        eights::<M, N, false>(m, &mut low, codes, &eight);
        eights::<M, N, true>(m, &mut high, codes, &eight);
    }
    for n in 0..N {
        low[n] = vaddq_s32(low[n], vshlq_n_s32::<7>(high[n]));
    }
    columns(m, low)
}

/// Adds to the sums of `N` columns the products of sixteen values, four a register of codes.
#[inline(always)]
pub(super) fn sixteen<M: Multiplier, const N: usize>(
    m: M,
    sums: &mut [int32x4_t; N],
    [a, b, c, d]: [int8x16_t; 4],
    x: &[int8x16_t; N],
) {
    eights::<M, N, false>(m, sums, [a, b], x);
    eights::<M, N, true>(m, sums, [c, d], x);
}

/// Adds to the sums of `N` columns the products of eight values, of the lower or upper half of `x`.
#[inline(always)]
fn eights<M: Multiplier, const N: usize, const UPPER: bool>(
    m: M,
    sums: &mut [int32x4_t; N],
    codes: [int8x16_t; 2],
    x: &[int8x16_t; N],
) {
    let (pairs, last) = sums.as_chunks_mut::<2>();
    let (x, last_x) = x.as_chunks::<2>();
    for (sums, &x) in pairs.iter_mut().zip(x) {
        *sums = m.two::<UPPER>(*sums, codes, x);
    }
    for (sums, &x) in last.iter_mut().zip(last_x) {
        *sums = m.one::<UPPER>(*sums, codes, x);
    }
}

/// The sums of `N` columns, a register each.
#[inline(always)]
pub(super) fn columns<M: Multiplier, const N: usize>(m: M, mut sums: [int32x4_t; N]) -> [int32x4_t; N] {
    for pair in sums.as_chunks_mut::<2>().0 {
        *pair = m.columns(*pair);
    }
    sums
}
