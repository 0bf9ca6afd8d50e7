//! IQ4_NL: 4-bit indices into a table of 16 uneven steps, one scale for 32 values.

use super::{Block, f16_to_f32};

/// The 16 steps that IQ4_NL and IQ4_XS choose from (ggml's `kvalues_iq4nl`).
pub const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 values, 18 bytes: `d * IQ4_VALUES[q]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockIQ4NL {
    /// Scale, f16.
    pub d: [u8; 2],
    /// Indices: the low nibble of byte `j` is value `j`, the high nibble value `j + 16`.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockIQ4NL>() == 18);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockIQ4NL {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (j, &byte) in self.qs.iter().enumerate() {
            out[j] = d * f32::from(IQ4_VALUES[usize::from(byte & 15)]);
            out[j + 16] = d * f32::from(IQ4_VALUES[usize::from(byte >> 4)]);
        }
    }
}
