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
    fn octets(&self, mut put: impl FnMut(usize, u64)) {
        for (i, bytes) in self.qs.as_chunks().0.iter().enumerate() {
            for (n, power) in [1, 3, 9, 27, 81].into_iter().enumerate() {
                let o = if i < 4 { 4 * n + i } else { 20 + 2 * n + (i - 4) };
                put(o, u64::from_le_bytes(bytes.map(|byte| digit(byte, power))));
            }
        }
        for (o, powers) in [(30, [1, 3]), (31, [9, 27])] {
            let codes: [u8; 8] = std::array::from_fn(|j| digit(self.qh[j % 4], powers[j / 4]));
            put(o, u64::from_le_bytes(codes));
        }
    }
}

/// Digit `n` of a byte as a biased code, for `power` of `3^n`.
#[inline(always)]
fn digit(byte: u8, power: u8) -> u8 {
    ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as u8 + (BIASED_ZERO - 1)
}
