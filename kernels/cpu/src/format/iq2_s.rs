//! IQ2_S: eight values by a point of a grid of 1024, signs, a 4-bit scale for 16 values, in super-blocks of 256.

use super::grids::IQ2_S_POINTS;
use super::octets::{self, Octets, negate, nibble};
use super::{Block, f16_to_f32};

/// 256 values, 82 bytes: `d * (2 n + 1) / 8 * point`, with signs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ2S {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Low eight bits of the points of eight values each.
    pub qs: [u8; 32],
    /// Signs of eight values each.
    pub signs: [u8; 32],
    /// High two bits of the points: bits `2 l ..` of byte `g` belong to point `4 g + l`.
    pub qh: [u8; 8],
    /// `n` of groups of 16 values, the low nibble first.
    pub scales: [u8; 8],
}

const _: () = assert!(size_of::<BlockIQ2S>() == 82);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ2S {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ2S {
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
        for (o, (&low, &signs)) in self.qs.iter().zip(&self.signs).enumerate() {
            let high = usize::from(self.qh[o / 4]) >> (2 * (o % 4)) & 3;
            out[o] = negate(IQ2_S_POINTS[usize::from(low) | high << 8], signs).to_le_bytes();
        }
    }
}
