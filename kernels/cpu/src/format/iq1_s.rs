//! IQ1_S: eight values by a point of a grid of 2048, a shift and a 3-bit scale for 32 values, in super-blocks of 256.

use super::grids::IQ1_S_POINTS;
use super::octets::{self, ONES, Octets, odd_scales};
use super::{Block, f16_to_f32};

/// 256 values, 50 bytes: `d * (2 n + 1) * (point ± 1/8)`, with coordinates -1, 0 and 1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ1S {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Low eight bits of the points of eight values each.
    pub qs: [u8; 32],
    /// Group `g` of 32 values as a u16: high three bits of its four points from bit 0 up, `n`, and at the top whether 1/8
    /// is subtracted.
    pub qh: [[u8; 2]; 8],
}

const _: () = assert!(size_of::<BlockIQ1S>() == 50);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ1S {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ1S {
    #[inline(always)]
    fn d(&self) -> f32 {
        f16_to_f32(self.d) * 0.125
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        odd_scales(|g| (self.qh[g][1] >> 4) & 7)
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (g, (points, &high)) in self.qs.as_chunks::<4>().0.iter().zip(&self.qh).enumerate() {
            let high = u16::from_le_bytes(high);
            for (l, &low) in points.iter().enumerate() {
                let high_bits = high >> (3 * l) & 7;
                out[4 * g + l] = shifted(u16::from(low) | high_bits << 8, high >> 15 == 1).to_le_bytes();
            }
        }
    }
}

/// The codes of a point, eighths: plus one, or `less` one.
#[inline(always)]
pub(super) fn shifted(point: u16, less: bool) -> u64 {
    IQ1_S_POINTS[usize::from(point)] + ONES - u64::from(less) * (2 * ONES)
}
