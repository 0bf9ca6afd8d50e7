//! Quantisation with AVX-512.

use super::avx2::pairs;
use super::{MAGNITUDE, Q8x32, Q8x256, Step, step};
use std::arch::x86_64::*;

/// As [`Q8x32::quantize`], for every pair.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub(super) fn q8x32<'a>(blocks: impl Iterator<Item = (&'a [f32; 32], &'a mut Q8x32)>) {
    for (x, out) in blocks {
        let x = x.as_chunks().0;
        let amax_bits = _mm512_reduce_max_epu32(_mm512_max_epu32(magnitudes(&x[0]), magnitudes(&x[1])));
        match step(amax_bits) {
            Step::Special(d) => *out = Q8x32::special(d),
            Step::Inverse(inverse) => {
                let [a, b] = std::array::from_fn(|i| rounded(&x[i], _mm512_set1_ps(inverse)));
                // SAFETY: 32 bytes, the destination of two unaligned 16-byte stores.
                unsafe {
                    let qs = out.qs.as_mut_ptr().cast::<__m128i>();
                    _mm_storeu_si128(qs, _mm512_cvtsepi32_epi8(a));
                    _mm_storeu_si128(qs.add(1), _mm512_cvtsepi32_epi8(b));
                }
                out.d = f32::from_bits(amax_bits) / 127.0;
                out.sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
            }
        }
    }
}

/// As [`Q8x256::quantize`], for every pair.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub(super) fn q8x256<'a>(blocks: impl Iterator<Item = (&'a [f32; 256], &'a mut Q8x256)>) {
    for (x, out) in blocks {
        let parts = x.as_chunks::<64>().0;
        let mut max = _mm512_setzero_si512();
        for part in parts {
            let part = part.as_chunks().0;
            let low = _mm512_max_epu32(magnitudes(&part[0]), magnitudes(&part[1]));
            let high = _mm512_max_epu32(magnitudes(&part[2]), magnitudes(&part[3]));
            max = _mm512_max_epu32(max, _mm512_max_epu32(low, high));
        }
        let amax_bits = _mm512_reduce_max_epu32(max);
        match step(amax_bits) {
            Step::Special(d) => *out = Q8x256::special(d),
            Step::Inverse(inverse) => {
                let scale = if first_is_positive(x, amax_bits) { -inverse } else { inverse };
                // Sums of 8 codes fit 16 bits: lay those of the four parts beside each other in 64-bit lanes.
                let mut sums = _mm512_setzero_si512();
                for (x, out) in parts.iter().zip(out.qs.as_chunks_mut::<64>().0).rev() {
                    let qs = codes(x, _mm512_set1_ps(scale));
                    // SAFETY: 64 bytes, stored without alignment.
                    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), qs) };
                    sums = _mm512_or_si512(_mm512_slli_epi64::<16>(sums), sums_of_8(qs));
                }
                // Group `4 a + j` is now word `a` of 128-bit lane `j`.
                let sums = _mm512_add_epi16(sums, _mm512_unpackhi_epi64(sums, sums));
                let order = _mm256_setr_epi16(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
                let sums = _mm512_permutexvar_epi16(_mm512_castsi256_si512(order), sums);
                let sums = _mm256_sub_epi16(_mm512_castsi512_si256(sums), _mm256_set1_epi16(128 * 16));
                // SAFETY: `sums` is 32 bytes, stored without alignment.
                unsafe { _mm256_storeu_si256(out.sums.as_mut_ptr().cast(), sums) };
                out.pairs = pairs(&out.sums);
                out.d = 1.0 / scale;
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: sixteen floats, loaded without alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn magnitudes(x: &[f32; 16]) -> __m512i {
    _mm512_and_si512(_mm512_castps_si512(load(x)), _mm512_set1_epi32(MAGNITUDE as i32))
}

/// Whether the first value with these magnitude bits is positive.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn first_is_positive(x: &[f32; 256], amax_bits: u32) -> bool {
    for x in x.as_chunks().0 {
        let equal = _mm512_cmpeq_epi32_mask(magnitudes(x), _mm512_set1_epi32(amax_bits as i32));
        if equal != 0 {
            let negative = _mm512_movepi32_mask(_mm512_castps_si512(load(x)));
            return (negative >> equal.trailing_zeros()) & 1 == 0;
        }
    }
    false
}

/// `x * scale` as integers, half to even.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn rounded(x: &[f32; 16], scale: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_mul_ps(load(x), scale))
}

/// The 64 codes in order. Nothing saturates, since no code exceeds 127.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn codes(x: &[f32; 64], scale: __m512) -> __m512i {
    let x = x.as_chunks::<16>().0;
    let [a, b, c, d] = std::array::from_fn(|i| rounded(&x[i], scale));
    let packed = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    // Packing works within 128-bit lanes; this puts the dwords back in order.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, packed)
}

/// The sums of 8 consecutive codes, each with 1024 added (128 a code), as eight u64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn sums_of_8(qs: __m512i) -> __m512i {
    _mm512_sad_epu8(_mm512_xor_si512(qs, _mm512_set1_epi8(-128)), _mm512_setzero_si512())
}
