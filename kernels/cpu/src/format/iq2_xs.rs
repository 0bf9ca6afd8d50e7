//! IQ2_XS: eight values by a point of a grid of 512 and seven signs, a 4-bit scale for 16 values, in super-blocks of 256.

use super::grids::IQ2_XS_POINTS;
use super::octets::{self, Octets, negate_evenly, nibble};
use super::{Block, f16_to_f32};

/// 256 values, 74 bytes: `d * (2 n + 1) / 8 * point`, with signs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ2XS {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Eight values each, as a u16: the point in the low nine bits, seven signs above. The eighth sign makes their number
    /// even.
    pub qs: [[u8; 2]; 32],
    /// `n` of groups of 16 values, the low nibble first.
    pub scales: [u8; 8],
}

const _: () = assert!(size_of::<BlockIQ2XS>() == 74);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ2XS {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ2XS {
    #[inline(always)]
    fn d(&self) -> f32 {
        f16_to_f32(self.d) * 0.125
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        std::array::from_fn(|group| 2 * nibble(&self.scales, group) + 1)
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (o, &q) in self.qs.iter().enumerate() {
            let q = u16::from_le_bytes(q);
            out[o] = negate_evenly(IQ2_XS_POINTS[usize::from(q & 511)], u32::from(q >> 9)).to_le_bytes();
        }
    }
}
