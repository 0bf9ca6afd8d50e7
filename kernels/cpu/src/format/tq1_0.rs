//! TQ1_0: values -1, 0 and 1, five in a byte, one scale for 256.

use super::octets::{self, BIASED_ZERO, Octets};
use super::{Block, f16_to_f32};

/// 256 values, 54 bytes: `d * (digit - 1)`.
///
/// A byte holds five digits of base three as a fraction of 256, rounded up: digit `n` is what goes past the point where
/// the fraction, times `3^n` and without its whole part, is multiplied by three.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockTQ1_0 {
    /// Digit `n` of byte `j < 32` is value `32 n + j`; of byte `32 + j` value `160 + 16 n + j`.
    pub qs: [u8; 48],
    /// Digit `n < 4` of byte `j` is value `240 + 4 n + j`.
    pub qh: [u8; 4],
    /// Scale, f16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockTQ1_0>() == 54);

// SAFETY: byte arrays alone.
unsafe impl Block for BlockTQ1_0 {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        octets::dequantize(self, out);
    }
}

impl Octets for BlockTQ1_0 {
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
        let (first, rest) = out.as_flattened_mut().split_at_mut(160);
        let (second, third) = rest.split_at_mut(80);
        for (bytes, out) in [(&self.qs[..32], first), (&self.qs[32..], second), (&self.qh, third)] {
            for (out, power) in out.chunks_exact_mut(bytes.len()).zip([1, 3, 9, 27, 81]) {
                for (out, &byte) in out.iter_mut().zip(bytes) {
                    *out = digit(byte, power);
                }
            }
        }
    }
}

/// Digit `n` of a byte as a biased code, for `power` of `3^n`.
#[inline(always)]
fn digit(byte: u8, power: u8) -> u8 {
    ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8 + (BIASED_ZERO - 1)
}
