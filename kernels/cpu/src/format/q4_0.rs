//! Q4_0: 4-bit codes around 8, one scale for 32 values.

use super::{Block, f16_to_f32};

/// 32 values, 18 bytes: `d * (q - 8)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ4_0 {
    /// Scale, f16.
    pub d: [u8; 2],
    /// Codes: the low nibble of byte `j` is value `j`, the high nibble value `j + 16`.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ4_0>() == 18);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ4_0 {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (j, &byte) in self.qs.iter().enumerate() {
            out[j] = d * (f32::from(byte & 15) - 8.0);
            out[j + 16] = d * (f32::from(byte >> 4) - 8.0);
        }
    }
}
