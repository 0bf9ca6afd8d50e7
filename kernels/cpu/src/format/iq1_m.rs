//! IQ1_M: eight values by a point of a grid of 2048 and a shift, a 3-bit scale for 16 values, in super-blocks of 256.

use super::iq1_s::shifted;
use super::octets::{self, Octets, nibble};
use super::{Block, f16_to_f32};

/// 256 values, 56 bytes: `d * (2 n + 1) * (point ± 1/8)`, with the grid of IQ1_S.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ1M {
    /// Low eight bits of the points of eight values each.
    pub qs: [u8; 32],
    /// A nibble for each point, the low one of a byte first: its high three bits, and above whether 1/8 is subtracted.
    pub qh: [u8; 16],
    /// Four u16, each with `n` of four groups of 16 values from bit 0 up. The four bits at the top, those of the first
    /// u16 lowest, are the scale of the scales, f16.
    pub scales: [[u8; 2]; 4],
}

const _: () = assert!(size_of::<BlockIQ1M>() == 56);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ1M {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockIQ1M {
    #[inline(always)]
    fn d(&self) -> f32 {
        let [a, b, c, d] = self.scales.map(|[_, high]| high >> 4);
        f16_to_f32([a | b << 4, c | d << 4]) * 0.125
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        std::array::from_fn(|group| {
            let n = u16::from_le_bytes(self.scales[group / 4]) >> (3 * (group % 4)) & 7;
            2 * n as u8 + 1
        })
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (o, &low) in self.qs.iter().enumerate() {
            let high = u16::from(nibble(&self.qh, o));
            out[o] = shifted(u16::from(low) | (high & 7) << 8, high & 8 != 0).to_le_bytes();
        }
    }
}
