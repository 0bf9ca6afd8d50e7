//! MXFP4: 4-bit floats (E2M1) under a power of two for 32 values (OCP Microscaling Formats 1.0).

use super::Block;

/// The E2M1 values, doubled so that they are integers; [`e8m0_half`] halves the scale in turn.
pub const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 values, 17 bytes: `e8m0_half(e) * MXFP4_VALUES[q]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockMXFP4 {
    /// Exponent of the scale, biased by 127.
    pub e: [u8; 1],
    /// Indices: the low nibble of byte `j` is value `j`, the high nibble value `j + 16`.
    pub qs: [u8; 16],
}

const _: () = assert!(size_of::<BlockMXFP4>() == 17);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockMXFP4 {
    const LEN: usize = 32;

    fn dequantize(&self, out: &mut [f32]) {
        let d = e8m0_half(self.e[0]);
        for (j, &byte) in self.qs.iter().enumerate() {
            out[j] = d * f32::from(MXFP4_VALUES[usize::from(byte & 15)]);
            out[j + 16] = d * f32::from(MXFP4_VALUES[usize::from(byte >> 4)]);
        }
    }
}

/// `2^(e - 128)`: half of the scale that `e` stands for. Exact for every `e`, 0 and 1 being f32 subnormals.
#[inline]
pub fn e8m0_half(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
}
