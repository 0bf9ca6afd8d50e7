//! Q4_K: 4-bit codes, a 6-bit scale and a 6-bit minimum for 32 values, in super-blocks of 256.

use super::{Block, f16_to_f32};

/// 256 values, 144 bytes: `d * scale * q - dmin * min`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ4K {
    /// Scale of the scales, f16.
    pub d: [u8; 2],
    /// Scale of the minimums, f16.
    pub dmin: [u8; 2],
    /// Eight 6-bit scales and eight 6-bit minimums; see [`scales_and_mins`].
    pub scales: [u8; 12],
    /// Codes: the low nibble of byte `32 c + l` is value `64 c + l`, the high nibble value `64 c + 32 + l`.
    pub qs: [u8; 128],
}

const _: () = assert!(size_of::<BlockQ4K>() == 144);

impl BlockQ4K {
    /// Code of value `i`, 0..=15.
    #[inline]
    pub fn code(&self, i: usize) -> u8 {
        let (c, high, l) = (i / 64, i % 64 / 32, i % 32);
        (self.qs[32 * c + l] >> (4 * high)) & 15
    }
}

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ4K {
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

/// The eight scales and eight minimums of a Q4_K or Q5_K block, 0..=63 each.
///
/// The first four of each are the low six bits of bytes 0-3 and 4-7. The others have their low four bits in the
/// nibbles of bytes 8-11 (scale low, minimum high) and their high two bits on top of bytes 0-3 and 4-7.
#[inline]
pub fn scales_and_mins(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for j in 0..4 {
        let (a, b, c) = (packed[j], packed[j + 4], packed[j + 8]);
        scales[j] = a & 63;
        mins[j] = b & 63;
        scales[j + 4] = (c & 15) | (a >> 6) << 4;
        mins[j + 4] = (c >> 4) | (b >> 6) << 4;
    }
    (scales, mins)
}
