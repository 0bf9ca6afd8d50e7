//! Blocks of 32 values.

use std::arch::x86_64::*;

use super::{
    Kernel, four, high_nibbles, kernels, load, load_halves, low_nibbles, merge, prefetch, resume, shift, store, unroll,
};
use crate::activation::Q8x32;
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

kernels! {
    Q8x32:
    PackedQ4_0 => q4_0,
    PackedQ4_1 => q4_1,
    PackedQ5_0 => q5_0,
    PackedQ5_1 => q5_1,
    PackedQ8_0 => q8_0,
    PackedIQ4NL => iq4_nl,
    PackedMXFP4 => mxfp4,
}

/// Defines a kernel. `bias` is the power of two that the unsigned codes are too large by, as an exponent; `codes` gives
/// the codes of step `I`; `m` are the minimums.
macro_rules! kernel {
    (
        $name:ident($packed:ty) $(, bias: $bias:literal)?,
        d: |$dw:ident| $d:expr, codes: |$w:ident| $codes:expr $(, m: |$mw:ident| $m:expr)?
    ) => {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, Q8x32>, out: &mut Tile<'_>) {
            let mut total = resume::<N>(out);
            for ($w, x) in x.zip::<_, N>(w) {
                prefetch::<_, N>($w, 8 * size_of::<$packed>(), 0, 1);
                let mut dot = [_mm512_setzero_si512(); N];
                $(for n in 0..N {
                    let bias = _mm512_slli_epi32::<$bias>(_mm512_set1_epi32(x[n].sum));
                    dot[n] = _mm512_sub_epi32(dot[n], bias);
                })?
                unroll!(I in [0 1 2 3 4 5 6 7] {
                    let codes = $codes;
                    for n in 0..N {
                        dot[n] = _mm512_dpbusd_epi32(dot[n], codes, four(&x[n].qs, 4 * I));
                    }
                });
                let d = { let $dw = $w; $d };
                for n in 0..N {
                    let scale = _mm512_mul_ps(d, _mm512_set1_ps(x[n].d));
                    total[n] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot[n]), total[n]);
                }
                $(
                    let m = { let $mw = $w; $m };
                    for n in 0..N {
                        total[n] = _mm512_fmadd_ps(m, _mm512_set1_ps(x[n].d * x[n].sum as f32), total[n]);
                    }
                )?
            }
            store(&total, out);
        }
    };
}

/// The nibbles of step `I`.
macro_rules! nibbles {
    ($w:ident) => {
        if I < 4 { low_nibbles(load(&$w.qs[I % 4])) } else { high_nibbles(load(&$w.qs[I % 4])) }
    };
}

/// The nibbles and fifth bits of step `I`.
macro_rules! five_bits {
    ($w:ident) => {
        merge(nibbles!($w), shift::<I, 4>(load(&$w.qh)), 0x10)
    };
}

kernel!(q4_0(PackedQ4_0), bias: 3, d: |w| load_halves(&w.d), codes: |w| nibbles!(w));
kernel!(q4_1(PackedQ4_1), d: |w| load_halves(&w.d), codes: |w| nibbles!(w), m: |w| load_halves(&w.m));
kernel!(q5_0(PackedQ5_0), bias: 4, d: |w| load_halves(&w.d), codes: |w| five_bits!(w));
kernel!(q5_1(PackedQ5_1), d: |w| load_halves(&w.d), codes: |w| five_bits!(w), m: |w| load_halves(&w.m));
kernel!(q8_0(PackedQ8_0), bias: 7, d: |w| load_halves(&w.d), codes: |w| load(&w.qs[I]));
kernel!(
    iq4_nl(PackedIQ4NL), bias: 7, d: |w| load_halves(&w.d),
    codes: |w| look_up(&IQ4_STEPS, nibbles!(w))
);
kernel!(
    mxfp4(PackedMXFP4), bias: 4, d: |w| powers_of_two(&w.e),
    codes: |w| look_up(&MXFP4_STEPS, nibbles!(w))
);

/// Replaces nibbles by what they stand for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn look_up(steps: &'static [u8; 16], nibbles: __m512i) -> __m512i {
    // SAFETY: 16 bytes; the load needs no alignment.
    let steps = unsafe { _mm_loadu_si128(steps.as_ptr().cast()) };
    _mm512_shuffle_epi8(_mm512_broadcast_i32x4(steps), nibbles)
}

/// [`e8m0_half`](crate::format::e8m0_half) of 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn powers_of_two(e: &[u8; ROWS]) -> __m512 {
    // SAFETY: 16 bytes; the load needs no alignment.
    let e = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(e.as_ptr().cast()) });
    let normal = _mm512_slli_epi32::<23>(_mm512_sub_epi32(e, _mm512_set1_epi32(1)));
    let subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x0020_0000), e);
    let small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, subnormal))
}
