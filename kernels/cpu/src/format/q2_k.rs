//! Q2_K: 2-bit codes, a 4-bit scale and a 4-bit minimum for 16 values, in super-blocks of 256.

use super::{Block, f16_to_f32};

/// 256 values, 84 bytes: `d * scale * q - dmin * min`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ2K {
    /// Byte `k` belongs to values `16 k ..`: the scale is its low nibble, the minimum its high nibble.
    pub scales: [u8; 16],
    /// Codes: bits `2 t ..` of byte `32 n + l` are value `128 n + 32 t + l`.
    pub qs: [u8; 64],
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Scale of the minimums, f16.
    pub dmin: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ2K>() == 84);

impl BlockQ2K {
    /// Code of value `i`, 0..=3.
    #[inline]
    pub fn code(&self, i: usize) -> u8 {
        let (n, t, l) = (i / 128, i % 128 / 32, i % 32);
        (self.qs[32 * n + l] >> (2 * t)) & 3
    }
}

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ2K {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, dmin) = (f16_to_f32(self.d), f16_to_f32(self.dmin));
        for (k, (out, &packed)) in out.chunks_exact_mut(16).zip(&self.scales).enumerate() {
            let (scale, min) = (d * f32::from(packed & 15), dmin * f32::from(packed >> 4));
            for (j, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.code(16 * k + j)) - min;
            }
        }
    }
}
