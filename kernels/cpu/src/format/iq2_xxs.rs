//! IQ2_XXS: eight values by a point of a grid of 256 and seven signs, a 4-bit scale for 32 values, in super-blocks of 256.

use super::grids::IQ2_XXS_POINTS;
use super::octets::{self, Octets, negate_evenly, odd_scales};
use super::{Block, f16_to_f32};

/// 256 values, 66 bytes: `d * (2 n + 1) / 8 * point`, with signs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ2XXS {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Group `g` of 32 values: four bytes that name the points of eight values each, then a u32 with the seven signs of
    /// each point from bit 0 up and `n` in the four bits at the top. The eighth sign makes their number even.
    pub qs: [[u8; 8]; 8],
}

const _: () = assert!(size_of::<BlockIQ2XXS>() == 66);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ2XXS {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ2XXS {
    #[inline(always)]
    fn d(&self) -> f32 {
        f16_to_f32(self.d) * 0.125
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        odd_scales(|g| self.qs[g][7] >> 4)
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (g, &[a, b, c, d, ref signs @ ..]) in self.qs.iter().enumerate() {
            let signs = u32::from_le_bytes(*signs);
            for (l, point) in [a, b, c, d].into_iter().enumerate() {
                out[4 * g + l] = negate_evenly(IQ2_XXS_POINTS[usize::from(point)], signs >> (7 * l)).to_le_bytes();
            }
        }
    }
}
