//! Blocks of 256 values.

use crate::neon::*;
use std::arch::aarch64::{float32x4_t, int8x16_t, int16x8_t, int32x4_t};

use super::columns::{arrange, columns, eights, pairs, sixteen};
use super::{Multiplier, PARTS, load_floats, store_floats};
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
    out: &mut Tile<'_>,
) {
    for (w, x) in x.zip::<_, N>(w) {
        let qs = arrange::<M, N, 16>(m, |group, n| &x[n].qs.as_chunks().0[group]);
        let mut sums = [[vdupq_n_s8(0); N]; 2];
        for n in 0..N {
            [sums[0][n], sums[1][n]] = P::sums(&x[n]);
        }
        let sums = [pairs(m, sums[0]), pairs(m, sums[1])];
        for part in (0..PARTS).step_by(R) {
            let mut integer = [[vdupq_n_s32(0); N]; R];
            for c in 0..4 {
                run::<M, P, N, R, false>(m, w, &qs, (c, part), &mut integer);
                run::<M, P, N, R, true>(m, w, &qs, (c, part), &mut integer);
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
    x: &[[int8x16_t; N]; 16],
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
    x: &[[int8x16_t; N]; 16],
    (c, part): (usize, usize),
    dot: &mut [[int32x4_t; N]; R],
) {
    let step = 4 * usize::from(SECOND);
    let first = if HIGH { P::RUNS.high(c, step) } else { P::RUNS.low(c, step) };
    // The remainder spares a check.
    let x = &x[first / 16 % 16];
    for r in 0..R {
        sixteen(m, &mut dot[r], w.codes::<HIGH, SECOND>(c, part + r), x);
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
fn minimum<M: Multiplier, const N: usize>(m: M, mins: &Mins, sums: &[[Split; N]; 2]) -> [int32x4_t; N] {
    let (mut low, mut high) = ([vdupq_n_s32(0); N], [vdupq_n_s32(0); N]);
    for (&codes, sums) in mins.eights[..mins.count].iter().zip(sums) {
        eights::<M, N, false>(m, &mut low, codes, sums);
        eights::<M, N, true>(m, &mut high, codes, sums);
    }
    for n in 0..N {
        low[n] = vaddq_s32(low[n], vshlq_n_s32::<7>(high[n]));
    }
    columns(m, low)
}
