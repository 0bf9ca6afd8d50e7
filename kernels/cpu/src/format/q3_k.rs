//! Q3_K: 3-bit codes around 4, a 6-bit scale for 16 values, in super-blocks of 256.

use super::{Block, f16_to_f32};

/// 256 values, 110 bytes: `d * scale * code`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BlockQ3K {
    /// Third bits: bit `4 n + t` of byte `l` belongs to value `128 n + 32 t + l`. A bit of 0 subtracts 4.
    pub hmask: [u8; 32],
    /// Low two bits: bits `2 t ..` of byte `32 n + l` are value `128 n + 32 t + l`.
    pub qs: [u8; 64],
    /// Sixteen 6-bit scales, biased by 32; see [`scales`](Self::scales).
    pub scales: [u8; 12],
    /// Scale of the scales, f16.
    pub d: [u8; 2],
}

const _: () = assert!(size_of::<BlockQ3K>() == 110);

impl BlockQ3K {
    /// Code of value `i`, -4..=3.
    #[inline]
    pub fn code(&self, i: usize) -> i8 {
        let (n, t, l) = (i / 128, i % 128 / 32, i % 32);
        let low = (self.qs[32 * n + l] >> (2 * t)) & 3;
        let high = (self.hmask[l] >> (4 * n + t)) & 1;
        (low | high << 2) as i8 - 4
    }

    /// The scales of the 16 groups, -32..=31. The low four bits of scale `k` lie in byte `k % 8` (low nibble for
    /// `k < 8`), the high two in bits `2 (k / 4) ..` of byte `8 + k % 4`.
    #[inline]
    pub fn scales(&self) -> [i8; 16] {
        std::array::from_fn(|k| {
            let low = (self.scales[k % 8] >> (4 * (k / 8))) & 15;
            let high = (self.scales[8 + k % 4] >> (2 * (k / 4))) & 3;
            (low | high << 4) as i8 - 32
        })
    }
}

// SAFETY: byte arrays alone.
unsafe impl Block for BlockQ3K {
    const LEN: usize = 256;

    fn dequantize(&self, out: &mut [f32]) {
        let d = f16_to_f32(self.d);
        for (k, (out, scale)) in out.chunks_exact_mut(16).zip(self.scales()).enumerate() {
            let scale = d * f32::from(scale);
            for (j, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(self.code(16 * k + j));
            }
        }
    }
}
