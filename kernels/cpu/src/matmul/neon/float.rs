//! Plain floats.

use crate::neon::*;
use std::arch::aarch64::{float32x4_t, vld1_u16};

use super::{Multiplier, PARTS, blocks, load, load_floats, load_halves, store_floats};
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

blocks!(f32, add: PackedF32 PackedF16 PackedBF16);

/// What differs between the formats.
trait Float: Packed {
    /// The values of four rows.
    fn values(&self, part: usize) -> float32x4_t;
}

impl Float for PackedF32 {
    #[inline(always)]
    fn values(&self, part: usize) -> float32x4_t {
        vreinterpretq_f32_u8(load(&self.value, part))
    }
}

impl Float for PackedF16 {
    #[inline(always)]
    fn values(&self, part: usize) -> float32x4_t {
        load_halves(&self.value, part)
    }
}

impl Float for PackedBF16 {
    #[inline(always)]
    fn values(&self, part: usize) -> float32x4_t {
        let rows: &[[u8; 2]; 4] = &self.value.as_chunks().0[part];
        // SAFETY: eight bytes; the load needs no alignment.
        let upper = unsafe { vld1_u16(rows.as_ptr().cast()) };
        vreinterpretq_f32_u32(vshll_n_u16::<16>(upper))
    }
}

/// [`Blocks::add`](super::Blocks::add) of all of them. Sums stay in registers from the first value to the last.
#[inline(always)]
fn add<M: Multiplier, P: Float, const N: usize, const R: usize>(
    _: M,
    w: &[P],
    x: Columns<'_, f32>,
    out: &mut Tile<'_>,
) {
    for part in (0..PARTS).step_by(R) {
        let mut total = [[vdupq_n_f32(0.0); N]; R];
        for r in 0..R {
            for n in 0..N {
                total[r][n] = load_floats(&out[n], part + r);
            }
        }
        for (w, x) in x.zip::<_, N>(w) {
            for r in 0..R {
                let values = w.values(part + r);
                for n in 0..N {
                    total[r][n] = vfmaq_n_f32(total[r][n], values, x[n]);
                }
            }
        }
        for r in 0..R {
            for n in 0..N {
                store_floats(&mut out[n], part + r, total[r][n]);
            }
        }
    }
}
