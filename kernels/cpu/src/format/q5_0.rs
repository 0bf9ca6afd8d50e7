//! Q5_0: 5-bit codes around 16, one scale for 32 values.

use super::{Block, f16_to_f32};

/// 32 values, 22 bytes: `d * (q - 16)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ5_0 {
    /// Scale, f16.
    pub d: [u8; 2],
    /// The fifth bits as a u32: bit `i` belongs to value `i`.
    pub qh: [u8; 4],
    /// Low four bits: the low nibble of byte `j` is value `j`, the high nibble value `j + 16`.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockQ5_0>() == 22);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ5_0 {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (out, code) in out.iter_mut().zip(codes(self.qh, &self.qs)) {
            *out = d * (f32::from(code) - 16.0);
        }
    }
}

/// The 32 five-bit codes of a Q5_0 or Q5_1 block, in the order of the values.
#[inline]
pub(super) fn codes(qh: [u8; 4], qs: &[u8; 16]) -> [u8; 32] {
    let qh = u32::from_le_bytes(qh);
    std::array::from_fn(|i| {
        let low = if i < 16 { qs[i] & 15 } else { qs[i - 16] >> 4 };
        low | ((qh >> i) as u8 & 1) << 4
    })
}
