//! Q5_1: 5-bit codes, one scale and one minimum for 32 values.

use super::q5_0::codes;
use super::{Block, f16_to_f32};

/// 32 values, 24 bytes: `d * q + m`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ5_1 {
    /// Scale, f16.
    pub d: [u8; 2],
    /// Minimum, f16.
    pub m: [u8; 2],
    /// The fifth bits as a u32: bit `i` belongs to value `i`.
    pub qh: [u8; 4],
    /// Low four bits: the low nibble of byte `j` is value `j`, the high nibble value `j + 16`.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ5_1>() == 24);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ5_1 {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let (d, m) = (f16_to_f32(self.d), f16_to_f32(self.m));
        for (out, code) in out.iter_mut().zip(codes(self.qh, &self.qs)) {
            *out = d * f32::from(code) + m;
        }
    }
}
