//! TQ2_0: values -1, 0 and 1 in two bits each, one scale for 256.

use super::octets::{self, BIASED_ZERO, ONES, Octets};
use super::{Block, f16_to_f32};

/// 256 values, 66 bytes: `d * (q - 1)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockTQ2_0 {
    /// Codes: bits `2 t ..` of byte `32 n + l` are value `128 n + 32 t + l`.
    pub qs: [u8; 64],
    /// Scale, f16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockTQ2_0>() == 66);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockTQ2_0 {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockTQ2_0 {
    #[inline(always)]
    fn d(&self) -> f32 {
        f16_to_f32(self.d)
    }

    #[inline(always)]
    fn scales(&self) -> [u8; 16] {
        [1; 16]
    }

    #[inline(always)]
    fn octets(&self, out: &mut [[u8; 8]; 32]) {
        for (byte, &eight) in self.qs.as_chunks().0.iter().enumerate() {
            let eight = u64::from_le_bytes(eight);
            for t in 0..4 {
                let codes = (eight >> (2 * t)) & (3 * ONES);
                out[16 * (byte / 4) + 4 * t + byte % 4] = (codes + u64::from(BIASED_ZERO - 1) * ONES).to_le_bytes();
            }
        }
    }
}
