//! Blocks of 32 values.

use std::arch::x86_64::*;

use super::{Kernel, bits, four, kernels, load, load_halves, look_up, nibbles, pin, products, resume, store, unroll};
use crate::activation::Q8x32;
use crate::format::IQ4_VALUES;
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

/// Defines a kernel. `span` is how many steps fit in 16 bits; `bias` the power of two that unsigned codes are too large
/// by, as an exponent; `codes` gives the codes of step `I` for one half of the rows; `m` are the minimums.
///
/// Both halves of the rows go side by side, so that they share the broadcast of the activations: what limits these
/// kernels is the number of instructions.
macro_rules! kernel {
    (
        $name:ident($packed:ty), span: $span:literal $(, bias: $bias:literal)? $(, signed: $signed:literal)?,
        d: |$dw:ident, $dh:ident| $d:expr, codes: |$w:ident, $half:ident| $codes:expr
        $(, m: |$mw:ident, $mh:ident| $m:expr)?
    ) => {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, Q8x32>, out: &mut Tile<'_>) {
            const SIGNED: bool = false $(|| $signed)?;
            let ones = _mm256_set1_epi16(1);
            let mut total = resume::<N>(out);
            for ($w, x) in x.zip::<_, N>(w) {
                let mut dot = [[_mm256_setzero_si256(); N]; 2];
                let mut sum = [[_mm256_setzero_si256(); N]; 2];
                unroll!(I: usize in [0 1 2 3 4 5 6 7] {
                    let codes = [{ let $half = 0; $codes }, { let $half = 1; $codes }];
                    for n in 0..N {
                        let x = four(&x[n].qs, 4 * I);
                        for half in 0..2 {
                            let step = products::<SIGNED>(codes[half], x);
                            let before = sum[half][n];
                            let after = if I.is_multiple_of($span) { step } else { _mm256_add_epi16(before, step) };
                            sum[half][n] = if $span > 1 { pin(after) } else { after };
                            if (I + 1).is_multiple_of($span) {
                                let wide = _mm256_madd_epi16(after, ones);
                                let first = I < $span;
                                let dots = if first { wide } else { _mm256_add_epi32(dot[half][n], wide) };
                                dot[half][n] = pin(dots);
                            }
                        }
                    }
                });
                let d = [{ let ($dw, $dh) = ($w, 0); $d }, { let ($dw, $dh) = ($w, 1); $d }];
                $(let m = [{ let ($mw, $mh) = ($w, 0); $m }, { let ($mw, $mh) = ($w, 1); $m }];)?
                for n in 0..N {
                    let dx = _mm256_set1_ps(x[n].d);
                    $(let bias = _mm256_slli_epi32::<$bias>(_mm256_set1_epi32(x[n].sum));)?
                    $(
                        const _: &str = stringify!($mw);
                        let minimum = _mm256_set1_ps(x[n].d * x[n].sum as f32);
                    )?
                    for half in 0..2 {
                        let dot = dot[half][n];
                        $(
                            const _: u32 = $bias;
                            let dot = _mm256_sub_epi32(dot, bias);
                        )?
                        let mut sum = total[half][n];
                        sum = _mm256_fmadd_ps(_mm256_mul_ps(d[half], dx), _mm256_cvtepi32_ps(dot), sum);
                        $(
                            const _: &str = stringify!($mw);
                            sum = _mm256_fmadd_ps(m[half], minimum, sum);
                        )?
                        total[half][n] = sum;
                    }
                }
            }
            store(&total, out);
        }
    };
}

/// The nibbles of step `I`.
macro_rules! step {
    ($w:ident, $half:ident) => {
        nibbles::<{ I >= 4 }>(load(&$w.qs[I % 4], $half))
    };
}

/// The nibbles and fifth bits of step `I`.
macro_rules! five_bits {
    ($w:ident, $half:ident) => {
        _mm256_or_si256(step!($w, $half), bits::<I, 4, 0x10>(load(&$w.qh, $half)))
    };
}

kernel!(
    q4_0(PackedQ4_0), span: 8, bias: 3,
    d: |w, half| load_halves(&w.d, half), codes: |w, half| step!(w, half)
);
kernel!(
    q4_1(PackedQ4_1), span: 8,
    d: |w, half| load_halves(&w.d, half), codes: |w, half| step!(w, half), m: |w, half| load_halves(&w.m, half)
);
kernel!(
    q5_0(PackedQ5_0), span: 4, bias: 4,
    d: |w, half| load_halves(&w.d, half), codes: |w, half| five_bits!(w, half)
);
kernel!(
    q5_1(PackedQ5_1), span: 4,
    d: |w, half| load_halves(&w.d, half), codes: |w, half| five_bits!(w, half), m: |w, half| load_halves(&w.m, half)
);
kernel!(
    q8_0(PackedQ8_0), span: 1, signed: true,
    d: |w, half| load_halves(&w.d, half),
    codes: |w, half| _mm256_xor_si256(load(&w.qs[I], half), _mm256_set1_epi8(-128))
);
kernel!(
    iq4_nl(PackedIQ4NL), span: 1, signed: true,
    d: |w, half| load_halves(&w.d, half), codes: |w, half| look_up(&IQ4_VALUES, step!(w, half))
);
kernel!(
    mxfp4(PackedMXFP4), span: 4, bias: 4,
    d: |w, half| powers_of_two(&w.e, half), codes: |w, half| look_up(&MXFP4_STEPS, step!(w, half))
);

/// [`e8m0_half`](crate::format::e8m0_half) of eight rows.
#[inline]
#[target_feature(enable = "avx2")]
fn powers_of_two(e: &[u8; ROWS], half: usize) -> __m256 {
    let rows: &[u8; 8] = &e.as_chunks().0[half];
    let e = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*rows)));
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
    let small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small))
}
