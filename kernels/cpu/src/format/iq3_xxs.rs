//! IQ3_XXS: four values by a point of a grid of 256, seven signs for eight, a 4-bit scale for 32, in super-blocks of 256.

use super::grids::IQ3_XXS_POINTS;
use super::octets::{self, Octets, negate_evenly, odd_scales};
use super::{Block, f16_to_f32};

/// 256 values, 98 bytes: `d * (2 n + 1) / 4 * point`, with signs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ3XXS {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Points of four values each.
    pub qs: [[u8; 2]; 32],
    /// Group `g` of 32 values as a u32: seven signs of eight values each from bit 0 up, and `n` in the four bits at the
    /// top. The eighth sign makes their number even.
    pub signs: [[u8; 4]; 8],
}

const _: () = assert!(size_of::<BlockIQ3XXS>() == 98);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ3XXS {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ3XXS {
    #[inline(always)]
    fn d(&self) -> f32 {
        f16_to_f32(self.d) * 0.25
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        odd_scales(|g| self.signs[g][3] >> 4)
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (g, (points, signs)) in self.qs.as_chunks::<4>().0.iter().zip(self.signs).enumerate() {
            let signs = u32::from_le_bytes(signs);
            for (l, pair) in points.iter().enumerate() {
                let [low, high] = pair.map(|point| u64::from(IQ3_XXS_POINTS[usize::from(point)]));
                out[4 * g + l] = negate_evenly(low | high << 32, signs >> (7 * l)).to_le_bytes();
            }
        }
    }
}
