//! Blocks of 32 values.

use crate::neon::*;
use std::arch::aarch64::{float32x4_t, int8x16_t};

use super::columns::{arrange, columns, sixteen};
use super::{Multiplier, PARTS, load_floats, store_floats};
use crate::activation::Q8x32;
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

/// What differs between the formats.
pub(super) trait Small: Packed {
    /// Codes of four rows: those of values 0..16, four a register, or of values 16..32 (`UPPER`).
    fn codes<const UPPER: bool>(&self, part: usize) -> [int8x16_t; 4];
    /// Scales of four rows.
    fn d(&self, part: usize) -> float32x4_t;
    /// Minimums of four rows, for formats that have them.
    #[inline(always)]
    fn m(&self, _part: usize) -> Option<float32x4_t> {
        None
    }
}

/// [`Blocks::add`](super::Blocks::add) of all of them.
#[inline(always)]
pub(super) fn add<M: Multiplier, P: Small, const N: usize, const R: usize>(
    m: M,
    w: &[P],
    x: Columns<'_, Q8x32>,
    out: &mut Tile<'_>,
) {
    for (w, x) in x.zip::<_, N>(w) {
        let qs = arrange::<M, N, 2>(m, |half, n| &x[n].qs.as_chunks().0[half]);
        for part in (0..PARTS).step_by(R) {
            let mut dot = [[vdupq_n_s32(0); N]; R];
            for r in 0..R {
                sixteen(m, &mut dot[r], w.codes::<false>(part + r), &qs[0]);
                sixteen(m, &mut dot[r], w.codes::<true>(part + r), &qs[1]);
            }
            for r in 0..R {
                let dot = columns(m, dot[r]);
                let (d, min) = (w.d(part + r), w.m(part + r));
                for n in 0..N {
                    let total = load_floats(&out[n], part + r);
                    let mut total = vfmaq_f32(total, vmulq_n_f32(d, x[n].d), vcvtq_f32_s32(dot[n]));
                    if let Some(min) = min {
                        total = vfmaq_n_f32(total, min, x[n].d * x[n].sum as f32);
                    }
                    store_floats(&mut out[n], part + r, total);
                }
            }
        }
    }
}
