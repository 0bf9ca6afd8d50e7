//! Q5_K: 5-bit codes, a 6-bit scale and a 6-bit minimum for 32 values, in super-blocks of 256.

use super::{Block, f16_to_f32, scales_and_mins};

/// 256 values, 176 bytes: `d * scale * q - dmin * min`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ5K {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Scale of the minimums, f16.
    pub dmin: [u8; 2],
    /// Eight 6-bit scales and eight 6-bit minimums; see [`scales_and_mins`].
    pub scales: [u8; 12],
    /// Fifth bits: bit `s` of byte `l` belongs to value `32 s + l`.
    pub qh: [u8; 32],
    /// Low four bits: the low nibble of byte `32 c + l` is value `64 c + l`, the high nibble value `64 c + 32 + l`.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockQ5K>() == 176);

impl BlockQ5K {
    /// Code of value `i`, 0..=31.
    #[inline]
    pub fn code(&self, i: usize) -> u8 {
        let (c, s, l) = (i / 64, i / 32, i % 32);
        let low = (self.qs[32 * c + l] >> (4 * (s % 2))) & 15;
        low | ((self.qh[l] >> s) & 1) << 4
    }
}

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ5K {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, dmin) = (f16_to_f32(self.d), f16_to_f32(self.dmin));
        let (scales, mins) = scales_and_mins(&self.scales);
        for (s, out) in out.chunks_exact_mut(32).enumerate() {
            let (scale, min) = (d * f32::from(scales[s]), dmin * f32::from(mins[s]));
            for (l, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.code(32 * s + l)) - min;
            }
        }
    }
}
