//! Q8_0: 8-bit codes, one scale for 32 values.

use super::{Block, f16_to_f32};

/// 32 values, 34 bytes: `d * q`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ8_0 {
    /// Scale, f16.
    pub d: [u8; 2],
    /// Codes in the order of the values.
    pub qs: [i8; 32],
}

const _: () = assert!(size_of::<BlockQ8_0>() == 34);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ8_0 {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (out, &q) in out.iter_mut().zip(&self.qs) {
            *out = d * f32::from(q);
        }
    }
}
