//! IQ4_XS: the steps of IQ4_NL, a 6-bit scale for 32 values, in super-blocks of 256.

use super::{Block, IQ4_VALUES, f16_to_f32};

/// 256 values, 136 bytes: `d * scale * IQ4_VALUES[q]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ4XS {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// High two bits of the scales as a u16: bits `2 s ..` belong to values `32 s ..`.
    pub scales_h: [u8; 2],
    /// Low four bits of the scales: nibble `s % 2` of byte `s / 2`, the low nibble first.
    pub scales_l: [u8; 4],
    /// Indices: the low nibble of byte `16 s + j` is value `32 s + j`, the high nibble value `32 s + 16 + j`.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockIQ4XS>() == 136);

impl BlockIQ4XS {
    /// Table index of value `i`, 0..=15.
    #[inline]
    pub fn code(&self, i: usize) -> u8 {
        let (s, high, j) = (i / 32, i % 32 / 16, i % 16);
        (self.qs[16 * s + j] >> (4 * high)) & 15
    }

    /// The scales of the eight groups, -32..=31.
    #[inline]
    pub fn scales(&self) -> [i8; 8] {
        let high = u16::from_le_bytes(self.scales_h);
        std::array::from_fn(|s| {
            let low = (self.scales_l[s / 2] >> (4 * (s % 2))) & 15;
            (low | ((high >> (2 * s)) as u8 & 3) << 4) as i8 - 32
        })
    }
}

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ4XS {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (s, (out, scale)) in out.chunks_exact_mut(32).zip(self.scales()).enumerate() {
            let scale = d * f32::from(scale);
            for (l, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(IQ4_VALUES[usize::from(self.code(32 * s + l))]);
            }
        }
    }
}
