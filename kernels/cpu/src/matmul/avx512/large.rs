//! Blocks of 256 values.

use std::arch::asm;
use std::arch::x86_64::*;

use super::small::look_up;
use super::{
    Kernel, four, high_nibbles, kernels, load, load_halves, low_nibbles, merge, prefetch, resume, shift, store, unroll,
};
use crate::activation::Q8x256;
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

kernels! {
    Q8x256:
    PackedQ2K => q2_k,
    PackedQ3K => q3_k,
    PackedQ4K => q4_k,
    PackedQ5K => q5_k,
    PackedQ6K => q6_k,
    PackedIQ4XS => iq4_xs,
}

/// Adds the products of step `I`, counted from value `$base`, to the sums of the low and the high run.
macro_rules! dots {
    ($x:ident, $low:ident, $high:ident, $base:expr, $runs:expr, $codes:expr) => {{
        const LOW: usize = $runs.low(0, I);
        const HIGH: usize = $runs.high(0, I);
        let (low, high) = $codes;
        for n in 0..N {
            $low[n] = _mm512_dpbusd_epi32($low[n], low, four(&$x[n].qs, $base + LOW));
        }
        for n in 0..N {
            $high[n] = _mm512_dpbusd_epi32($high[n], high, four(&$x[n].qs, $base + HIGH));
        }
    }};
}

/// Defines a kernel of a format with a scale for 32 values and minimums; `codes` gives those of step `I` of a chunk,
/// where the high run's are `2^high` times too large.
macro_rules! thirty_twos {
    ($name:ident($packed:ty), high: $high:literal, codes: |$w:ident, $c:ident| $codes:expr) => {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, Q8x256>, out: &mut Tile<'_>) {
            const RUNS: Runs = Runs::HALVES;
            let next = x.block_distance();
            let mut total = resume::<N>(out);
            for ($w, x) in x.zip::<_, N>(w) {
                let scales = scales(&$w.scales);
                let mut integer = [_mm512_setzero_si512(); N];
                for $c in 0..4 {
                    prefetch::<_, N>($w, 2 * size_of::<$packed>(), $c, 4);
                    prefetch::<_, N>(x, next, $c, 4);
                    let mut low = [_mm512_setzero_si512(); N];
                    let mut high = [_mm512_setzero_si512(); N];
                    unroll!(I in [0 1 2 3 4 5 6 7] { dots!(x, low, high, 64 * $c, RUNS, $codes) });
                    let (scale_low, scale_high) = two_scales::<$high>(&scales, $c);
                    for n in 0..N {
                        let low = _mm512_mullo_epi32(low[n], scale_low);
                        let high = _mm512_mullo_epi32(high[n], scale_high);
                        integer[n] = _mm512_add_epi32(integer[n], _mm512_add_epi32(low, high));
                    }
                }
                // Dividing by 2^high is exact: an f16 is far from the smallest f32.
                let d = _mm512_mul_ps(load_halves(&$w.d), _mm512_set1_ps(1.0 / (1 << $high) as f32));
                let dmin = load_halves(&$w.dmin);
                // After the chunks, where registers are free again.
                let mins = mins(&$w.scales);
                for n in 0..N {
                    let mut minimum = _mm512_setzero_si512();
                    for p in 0..4 {
                        minimum = add_pairs(minimum, mins[p], &x[n].pairs[p]);
                    }
                    let product = _mm512_mul_ps(d, _mm512_cvtepi32_ps(integer[n]));
                    let value = _mm512_fnmadd_ps(dmin, _mm512_cvtepi32_ps(minimum), product);
                    total[n] = _mm512_fmadd_ps(_mm512_set1_ps(x[n].d), value, total[n]);
                }
            }
            store(&total, out);
        }
    };
}

thirty_twos!(q4_k(PackedQ4K), high: 4, codes: |w, c| {
    let nibbles = load(&w.qs[8 * c + I]);
    (low_nibbles(nibbles), _mm512_and_si512(nibbles, _mm512_set1_epi32(0xf0f0_f0f0u32 as i32)))
});

thirty_twos!(q5_k(PackedQ5K), high: 0, codes: |w, c| {
    let (nibbles, fifth) = (load(&w.chunks[c].qs[I]), load(&w.chunks[c].qh[I / 4]));
    let low = shift::<{ 2 * (I % 4) }, 4>(fifth);
    let high = shift::<{ 2 * (I % 4) + 1 }, 4>(fifth);
    (merge(low_nibbles(nibbles), low, 0x10), merge(high_nibbles(nibbles), high, 0x10))
});

/// Defines a kernel of a format with a scale for 16 values. `bias`, where there is one, is the power of two that the
/// unsigned codes are too large by, as an exponent. A chunk has two halves `h`: `codes` gives those of step `I` of a half,
/// 0 to 3; `scales` the bytes with the signed scales of the chunk's four groups; `mins` those with its minimums.
macro_rules! sixteens {
    (
        $name:ident($packed:ty, $runs:expr) $(, bias: $bias:literal)?, codes: |$w:ident, $h:ident| $codes:expr,
        scales: $scales:expr $(, mins: $mins:expr, $dmin:ident)?
    ) => {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, Q8x256>, out: &mut Tile<'_>) {
            const RUNS: Runs = $runs;
            let next = x.block_distance();
            let mut total = resume::<N>(out);
            for (block, x) in x.zip::<_, N>(w) {
                $(let starts = starts::<$bias, N>(x);)?
                $(
                    stringify!($dmin);
                    let mut minimum = [_mm512_setzero_si512(); N];
                )?
                let mut integer = [_mm512_setzero_si512(); N];
                // A loop over halves, not over chunks of two: the starts of both would be in registers at once.
                for half in 0..8 {
                    prefetch::<_, N>(block, 2 * size_of::<$packed>(), half, 8);
                    prefetch::<_, N>(x, next, half, 8);
                    let (c, $h) = (half / 2, half % 2);
                    let $w = &block.chunks[c];
                    let base = RUNS.low(c, 4 * $h);
                    // Of the half's low run and high run in the lowest two bytes.
                    let scales = _mm512_srlv_epi32($scales, _mm512_set1_epi32(16 * $h as i32));
                    $(
                        let mins = _mm512_srlv_epi32($mins, _mm512_set1_epi32(8 * $h as i32));
                        let mins = _mm512_and_si512(mins, _mm512_set1_epi32(0x00ff_00ff));
                        let pair = RUNS.low(c, 0) / 32 + $h;
                        for n in 0..N {
                            minimum[n] = add_pairs(minimum[n], mins, &x[n].sums.as_chunks().0[pair]);
                        }
                    )?
                    let mut low = [_mm512_setzero_si512(); N];
                    let mut high = [_mm512_setzero_si512(); N];
                    $(
                        const _: u32 = $bias;
                        for n in 0..N {
                            low[n] = _mm512_set1_epi32(starts[n][base / 16]);
                            high[n] = _mm512_set1_epi32(starts[n][base / 16 + RUNS.high(0, 0) / 16]);
                        }
                    )?
                    unroll!(I in [0 1 2 3] { dots!(x, low, high, base, RUNS, $codes) });
                    let (scale_low, scale_high) = (signed_byte::<24>(scales), signed_byte::<16>(scales));
                    for n in 0..N {
                        let low = _mm512_mullo_epi32(low[n], scale_low);
                        let high = _mm512_mullo_epi32(high[n], scale_high);
                        integer[n] = _mm512_add_epi32(integer[n], _mm512_add_epi32(low, high));
                    }
                }
                let d = load_halves(&block.d);
                for n in 0..N {
                    let value = _mm512_mul_ps(d, _mm512_cvtepi32_ps(integer[n]));
                    $(let value = _mm512_fnmadd_ps(load_halves(&block.$dmin), _mm512_cvtepi32_ps(minimum[n]), value);)?
                    total[n] = _mm512_fmadd_ps(_mm512_set1_ps(x[n].d), value, total[n]);
                }
            }
            store(&total, out);
        }
    };
}

sixteens!(
    q6_k(PackedQ6K, Runs::FAR), bias: 5,
    codes: |w, h| {
        let (nibbles, bits) = (load(&w.qs[4 * h + I]), load(&w.qh[2 * h + I / 2]));
        let low = shift::<{ 2 * (I % 2) }, 4>(bits);
        let high = shift::<{ 2 * (I % 2) + 4 }, 4>(bits);
        (merge(low_nibbles(nibbles), low, 0x30), merge(high_nibbles(nibbles), high, 0x30))
    },
    scales: load(&w.scales)
);

sixteens!(
    q3_k(PackedQ3K, Runs::HALVES), bias: 2,
    codes: |w, h| {
        let (two, third) = (load(&w.qs[2 * h + I / 2]), load(&w.qh[h]));
        let third_low = shift::<{ 2 * I }, 2>(third);
        let third_high = shift::<{ 2 * I + 1 }, 2>(third);
        (merge(crumbs::<{ 4 * (I % 2) as u32 }>(two), third_low, 4),
            merge(crumbs::<{ 4 * (I % 2) as u32 + 2 }>(two), third_high, 4))
    },
    scales: load(&w.scales)
);

sixteens!(
    q2_k(PackedQ2K, Runs::HALVES),
    codes: |w, h| {
        let two = load(&w.qs[2 * h + I / 2]);
        (crumbs::<{ 4 * (I % 2) as u32 }>(two), crumbs::<{ 4 * (I % 2) as u32 + 2 }>(two))
    },
    scales: low_nibbles(load(&w.scales)), mins: high_nibbles(load(&w.scales)), dmin
);

sixteens!(
    iq4_xs(PackedIQ4XS, Runs::SIXTEENS), bias: 7,
    codes: |w, h| {
        let nibbles = load(&w.qs[4 * h + I]);
        (look_up(&IQ4_STEPS, low_nibbles(nibbles)), look_up(&IQ4_STEPS, high_nibbles(nibbles)))
    },
    scales: {
        // Both runs of a group of 32 have one scale.
        // SAFETY: 32 bytes; the load needs no alignment.
        let pairs = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(w.scales.as_ptr().cast()) });
        let second = _mm512_andnot_si512(_mm512_set1_epi32(0xff), pairs);
        let apart = _mm512_add_epi32(pairs, _mm512_sub_epi32(_mm512_slli_epi32::<8>(second), second));
        _mm512_or_si512(apart, _mm512_slli_epi32::<8>(apart))
    }
);

/// Two bits of every byte, from bit `FROM` up.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn crumbs<const FROM: u32>(bytes: __m512i) -> __m512i {
    _mm512_and_si512(_mm512_srli_epi16::<FROM>(bytes), _mm512_set1_epi32(0x0303_0303))
}

/// The signed byte that `LEFT` more bits lie above.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn signed_byte<const LEFT: u32>(words: __m512i) -> __m512i {
    _mm512_srai_epi32::<24>(_mm512_slli_epi32::<LEFT>(words))
}

/// Bytes 0 and 2 of every word as two i16, and bytes 1 and 3.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn byte_pairs(words: __m512i) -> [__m512i; 2] {
    let mask = _mm512_set1_epi32(0x00ff_00ff);
    [_mm512_and_si512(words, mask), _mm512_and_si512(_mm512_srli_epi16::<8>(words), mask)]
}

/// `-(Σ q << BIAS)` of each group of 16 activations: what sums of biased codes start at.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn starts<const BIAS: u32, const N: usize>(x: &[Q8x256; N]) -> [[i32; 16]; N] {
    let mut starts = [[0; 16]; N];
    for n in 0..N {
        // SAFETY: 32 bytes; the load needs no alignment.
        let sums = _mm512_cvtepi16_epi32(unsafe { _mm256_loadu_si256(x[n].sums.as_ptr().cast()) });
        let start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32::<BIAS>(sums));
        // SAFETY: 64 bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(starts[n].as_mut_ptr().cast(), start) };
    }
    starts
}

/// Adds the products of pairs with one pair of sums. Where it may choose, the compiler takes three instructions for it.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_pairs(mut sum: __m512i, mins: __m512i, sums: &[i16; 2]) -> __m512i {
    // SAFETY: reads the four bytes of `sums`; the caller's features include the instruction.
    unsafe {
        asm!(
            "vpdpwssd {sum}, {mins}, dword ptr [{sums}]{{1to16}}",
            sum = inout(zmm_reg) sum, mins = in(zmm_reg) mins, sums = in(reg) sums,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    sum
}

/// The scales of Q4_K and Q5_K, a byte each, groups 0..4 and 4..8; see
/// [`scales_and_mins`](crate::format::scales_and_mins).
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scales(packed: &[Plane; 3]) -> [__m512i; 2] {
    let (a, c) = (load(&packed[0]), load(&packed[2]));
    [_mm512_and_si512(a, _mm512_set1_epi32(0x3f3f_3f3f)), merge(low_nibbles(c), _mm512_srli_epi16::<2>(a), 0x30)]
}

/// The minimums of Q4_K and Q5_K as pairs of i16, in the order of [`Q8x256::pairs`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn mins(packed: &[Plane; 3]) -> [__m512i; 4] {
    let (b, c) = (load(&packed[1]), load(&packed[2]));
    let [m02, m13] = byte_pairs(_mm512_and_si512(b, _mm512_set1_epi32(0x3f3f_3f3f)));
    let [m46, m57] = byte_pairs(merge(high_nibbles(c), _mm512_srli_epi16::<2>(b), 0x30));
    [m02, m13, m46, m57]
}

/// The scales of chunk `c`: of its low run times `2^HIGH`, and of its high run.
#[inline]
#[target_feature(enable = "avx512f")]
fn two_scales<const HIGH: u32>(scales: &[__m512i; 2], c: usize) -> (__m512i, __m512i) {
    let two = _mm512_srlv_epi32(scales[c / 2], _mm512_set1_epi32(16 * (c % 2) as i32));
    let byte = _mm512_set1_epi32(0xff);
    let low = _mm512_slli_epi32::<HIGH>(_mm512_and_si512(two, byte));
    (low, _mm512_and_si512(_mm512_srli_epi32::<8>(two), byte))
}
