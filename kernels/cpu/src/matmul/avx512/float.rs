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
    ($name:ident($packed:ty), |$w:ident| $value:expr) => {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, f32>, out: &mut Tile<'_>) {
            let mut total = resume::<N>(out);
            for ($w, x) in x.zip::<_, N>(w) {
                let value = $value;
                for n in 0..N {
                    total[n] = _mm512_fmadd_ps(value, _mm512_set1_ps(x[n]), total[n]);
                }
            }
            store(&total, out);
        }
    };
}

kernel!(float32(PackedF32), |w| _mm512_castsi512_ps(load(&w.value)));
kernel!(float16(PackedF16), |w| load_halves(&w.value));
kernel!(bfloat16(PackedBF16), |w| {
    // SAFETY: 32 bytes; the load needs no alignment.
    let upper = unsafe { _mm256_loadu_si256(w.value.as_ptr().cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(upper)))
});
