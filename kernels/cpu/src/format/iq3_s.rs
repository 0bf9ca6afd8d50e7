//! IQ3_S: four values by a point of a grid of 512, signs, a 4-bit scale for 32 values, in super-blocks of 256.

use super::grids::IQ3_S_POINTS;
use super::octets::{self, Octets, negate, nibble, odd_scales};
use super::{Block, f16_to_f32};

/// 256 values, 110 bytes: `d * (2 n + 1) * point`, with signs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ3S {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Low eight bits of the points of four values each.
    pub qs: [[u8; 2]; 32],
    /// Ninth bits: bit `k` of byte `g` is that of point `8 g + k`.
    pub qh: [u8; 8],
    /// Signs of eight values each.
    pub signs: [u8; 32],
    /// `n` of groups of 32 values, the low nibble first.
    pub scales: [u8; 4],
}

const _: () = assert!(size_of::<BlockIQ3S>() == 110);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ3S {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ3S {
    #[inline(always)]
    fn d(&self) -> f32 {
        f16_to_f32(self.d)
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        odd_scales(|g| nibble(&self.scales, g))
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (o, (&[low, high], signs)) in self.qs.iter().zip(self.signs).enumerate() {
            let ninth = usize::from(self.qh[o / 4]) >> (2 * (o % 4));
            let low = IQ3_S_POINTS[usize::from(low) | (ninth & 1) << 8];
            let high = IQ3_S_POINTS[usize::from(high) | (ninth & 2) << 7];
            out[o] = negate(u64::from(low) | u64::from(high) << 32, signs).to_le_bytes();
        }
    }
}
