//! F32, F16 and BF16: plain floats, as blocks of one value.

use super::{Block, f16_to_f32};

/// One IEEE single-precision value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockF32 {
    /// IEEE f32.
    pub bits: [u8; 4],
}

/// One IEEE half-precision value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockF16 {
    /// IEEE f16.
    pub bits: [u8; 2],
}

/// One bfloat16 value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockBF16 {
    /// The upper 16 bits of an f32; the lower 16 are zero.
    pub bits: [u8; 2],
}

const _: () = assert!(size_of::<BlockF32>() == 4 && size_of::<BlockF16>() == 2 && size_of::<BlockBF16>() == 2);

// SAFETY: a byte array alone.
unsafe impl Block for BlockF32 {
    const LEN: usize = 1;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        out[0] = f32::from_le_bytes(self.bits);
    }
}

// SAFETY: a byte array alone.
unsafe impl Block for BlockF16 {
    const LEN: usize = 1;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        out[0] = f16_to_f32(self.bits);
    }
}

// SAFETY: a byte array alone.
unsafe impl Block for BlockBF16 {
    const LEN: usize = 1;

    #[inline]
    fn dequantize(&self, out: &mut [f32]) {
        out[0] = f32::from_bits(u32::from(u16::from_le_bytes(self.bits)) << 16);
    }
}
