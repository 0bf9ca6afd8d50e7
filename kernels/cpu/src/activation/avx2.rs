//! Quantisation with AVX2.

use super::{MAGNITUDE, Q8x32, Q8x256, Step, step};
use std::arch::x86_64::*;

/// As [`Q8x32::quantize`], for every pair.
#[target_feature(enable = "avx2")]
pub(super) fn q8x32<'a>(blocks: impl Iterator<Item = (&'a [f32; 32], &'a mut Q8x32)>) {
    for (x, out) in blocks {
        let amax_bits = largest(max_bits(x, _mm256_setzero_si256()));
        match step(amax_bits) {
            Step::Special(d) => *out = Q8x32::special(d),
            Step::Inverse(inverse) => {
                let qs = codes(x, _mm256_set1_ps(inverse));
                store(&mut out.qs, qs);
                out.d = f32::from_bits(amax_bits) / 127.0;
                let sums = sums_of_8(qs);
                let halves = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
                out.sum = _mm_cvtsi128_si32(_mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves))) - 128 * 32;
            }
        }
    }
}

/// As [`Q8x256::quantize`], for every pair.
#[target_feature(enable = "avx2")]
pub(super) fn q8x256<'a>(blocks: impl Iterator<Item = (&'a [f32; 256], &'a mut Q8x256)>) {
    for (x, out) in blocks {
        let parts = x.as_chunks::<32>().0;
        let mut max = _mm256_setzero_si256();
        for part in parts {
            max = max_bits(part, max);
        }
        let amax_bits = largest(max);
        match step(amax_bits) {
            Step::Special(d) => *out = Q8x256::special(d),
            Step::Inverse(inverse) => {
                let scale = if first_is_positive(x, amax_bits) { -inverse } else { inverse };
                let halves = out.qs.as_chunks_mut::<128>().0.iter_mut().zip(out.sums.as_chunks_mut::<8>().0);
                for (x, (out, out_sums)) in x.as_chunks::<128>().0.iter().zip(halves) {
                    // The four sums fit 16 bits: lay those of a quarter beside each other in a 64-bit lane.
                    let mut sums = _mm256_setzero_si256();
                    let quarters = x.as_chunks().0.iter().zip(out.as_chunks_mut().0);
                    for (x, out) in quarters.rev() {
                        let qs = codes(x, _mm256_set1_ps(scale));
                        store(out, qs);
                        sums = _mm256_or_si256(_mm256_slli_epi64::<16>(sums), sums_of_8(qs));
                    }
                    // Even groups are now words 0-3 of the lower 128-bit lane, odd groups of the upper.
                    let sums = _mm256_add_epi16(sums, _mm256_unpackhi_epi64(sums, sums));
                    let odd = _mm256_extracti128_si256::<1>(sums);
                    let sums = _mm_unpacklo_epi16(_mm256_castsi256_si128(sums), odd);
                    let sums = _mm_sub_epi16(sums, _mm_set1_epi16(128 * 16));
                    // SAFETY: eight words, stored without alignment.
                    unsafe { _mm_storeu_si128(out_sums.as_mut_ptr().cast(), sums) };
                }
                out.pairs = pairs(&out.sums);
                out.d = 1.0 / scale;
            }
        }
    }
}

/// As [`super::pairs`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pairs(sums: &[i16; 16]) -> [[i16; 2]; 4] {
    // SAFETY: 32 bytes; the load needs no alignment.
    let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
    let sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 4, 5, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1));
    let pairs = _mm256_permute4x64_epi64::<0b10_00>(_mm256_shuffle_epi8(sums, order));
    let mut out = [[0; 2]; 4];
    // SAFETY: 16 bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm256_castsi256_si128(pairs)) };
    out
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(x: &[f32; 8]) -> __m256 {
    // SAFETY: eight floats, loaded without alignment.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(out: &mut [i8; 32], qs: __m256i) {
    // SAFETY: 32 bytes, stored without alignment.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), qs) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn magnitudes(x: &[f32; 8]) -> __m256i {
    _mm256_and_si256(_mm256_castps_si256(load(x)), _mm256_set1_epi32(MAGNITUDE as i32))
}

/// The larger of `max` and the magnitudes' bits, lane by lane.
#[inline]
#[target_feature(enable = "avx2")]
fn max_bits(x: &[f32; 32], max: __m256i) -> __m256i {
    let x = x.as_chunks::<8>().0;
    let low = _mm256_max_epi32(magnitudes(&x[0]), magnitudes(&x[1]));
    let high = _mm256_max_epi32(magnitudes(&x[2]), magnitudes(&x[3]));
    _mm256_max_epi32(max, _mm256_max_epi32(low, high))
}

/// The largest lane.
#[inline]
#[target_feature(enable = "avx2")]
fn largest(x: __m256i) -> u32 {
    let x = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let x = _mm_max_epi32(x, _mm_shuffle_epi32::<0b01_00_11_10>(x));
    let x = _mm_max_epi32(x, _mm_shuffle_epi32::<0b10_11_00_01>(x));
    _mm_cvtsi128_si32(x) as u32
}

/// Whether the first value with these magnitude bits is positive.
#[inline]
#[target_feature(enable = "avx2")]
fn first_is_positive(x: &[f32; 256], amax_bits: u32) -> bool {
    for x in x.as_chunks().0 {
        let equal = _mm256_cmpeq_epi32(magnitudes(x), _mm256_set1_epi32(amax_bits as i32));
        let equal = _mm256_movemask_ps(_mm256_castsi256_ps(equal));
        if equal != 0 {
            let negative = _mm256_movemask_ps(load(x));
            return (negative >> equal.trailing_zeros()) & 1 == 0;
        }
    }
    false
}

/// The 32 codes in order. The conversion rounds half to even; nothing saturates, since no code exceeds 127.
#[inline]
#[target_feature(enable = "avx2")]
fn codes(x: &[f32; 32], scale: __m256) -> __m256i {
    let x = x.as_chunks::<8>().0;
    let [a, b, c, d] = std::array::from_fn(|i| _mm256_cvtps_epi32(_mm256_mul_ps(load(&x[i]), scale)));
    let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    // Packing works within 128-bit lanes; this puts the dwords back in order.
    _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// The sums of 8 consecutive codes, each with 1024 added (128 a code), as four u64.
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of_8(qs: __m256i) -> __m256i {
    _mm256_sad_epu8(_mm256_xor_si256(qs, _mm256_set1_epi8(-128)), _mm256_setzero_si256())
}
