//! Q4_1: 4-bit codes, one scale and one minimum for 32 values.

use super::{Block, f16_to_f32};

/// 32 values, 20 bytes: `d * q + m`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ4_1 {
    /// Scale, f16.
    pub d: [u8; 2],
    /// Minimum, f16.
    pub m: [u8; 2],
    /// Codes: the low nibble of byte `j` is value `j`, the high nibble value `j + 16`.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ4_1>() == 20);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ4_1 {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, m) = (f16_to_f32(self.d), f16_to_f32(self.m));
        for (j, &byte) in self.qs.iter().enumerate() {
            out[j] = d * f32::from(byte & 15) + m;
            out[j + 16] = d * f32::from(byte >> 4) + m;
        }
    }
}
