//! Q6_K: 6-bit codes around 32, an 8-bit scale for 16 values, in super-blocks of 256.

use super::{Block, f16_to_f32};

/// 256 values, 210 bytes: `d * scale * code`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ6K {
    /// Low four bits. With `n = i / 128`, `t = i % 128 / 32`, `l = i % 32`, value `i` has its in byte
    /// `64 n + 32 (t % 2) + l`: the low nibble for `t < 2`, the high nibble for the others.
    pub ql: [u8; 128],
    /// High two bits: bits `2 t ..` of byte `32 n + l`.
    pub qh: [u8; 64],
    /// Scale of values `16 k ..`.
    pub scales: [i8; 16],
    /// Scale of the scales, f16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ6K>() == 210);

impl BlockQ6K {
    /// Code of value `i`, -32..=31.
    #[inline]
    pub fn code(&self, i: usize) -> i8 {
        let (n, t, l) = (i / 128, i % 128 / 32, i % 32);
        let low = (self.ql[64 * n + 32 * (t % 2) + l] >> (4 * (t / 2))) & 15;
        let high = (self.qh[32 * n + l] >> (2 * t)) & 3;
        (low | high << 4) as i8 - 32
    }
}

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ6K {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (k, (out, &scale)) in out.chunks_exact_mut(16).zip(&self.scales).enumerate() {
            let scale = d * f32::from(scale);
            for (j, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.code(16 * k + j));
            }
        }
    }
}
