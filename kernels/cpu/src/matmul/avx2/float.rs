//! Plain floats.

use std::arch::x86_64::*;

use super::{Kernel, kernels, load, load_halves, resume, store};
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

kernels! {
    f32:
    PackedF32 => float32,
    PackedF16 => float16,
    PackedBF16 => bfloat16,
}

macro_rules! kernel {
    ($name:ident($packed:ty), |$w:ident, $half:ident| $value:expr) => {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, f32>, out: &mut Tile<'_>) {
            let mut total = resume::<N>(out);
            for ($w, x) in x.zip::<_, N>(w) {
                for $half in 0..2 {
                    let value = $value;
                    for n in 0..N {
                        total[$half][n] = _mm256_fmadd_ps(value, _mm256_set1_ps(x[n]), total[$half][n]);
                    }
                }
            }
            store(&total, out);
        }
    };
}

kernel!(float32(PackedF32), |w, half| _mm256_castsi256_ps(load(&w.value, half)));
kernel!(float16(PackedF16), |w, half| load_halves(&w.value, half));
kernel!(bfloat16(PackedBF16), |w, half| {
    let rows: &[[u8; 2]; 8] = &w.value.as_chunks().0[half];
    // SAFETY: 16 bytes; the load needs no alignment.
    let upper = unsafe { _mm_loadu_si128(rows.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(upper)))
});
