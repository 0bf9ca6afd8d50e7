//! Products over packed blocks with AVX2, FMA and F16C.
//!
//! The planes are those of AVX-512, read as two halves of eight rows. There is no exact product of unsigned and signed
//! bytes in 32 bits: `vpmaddubsw` adds two products in 16 bits and saturates. Codes up to 15 leave room for eight such
//! sums, up to 31 for four, up to 63 for two; signed 8-bit codes go in as magnitudes, with their signs on the
//! activations, one sum at a time (2·128·127 fits). A multiplication with the scale then widens to 32 bits.

mod float;
mod large;
mod octets;
mod small;
mod transpose;

pub(super) use transpose::{gather, spread};

use std::arch::x86_64::*;

use super::layout::*;
use super::tile::{Columns, Tile};

/// Repeats a block with a constant that immediates can use.
macro_rules! unroll {
    ($i:ident: $t:ident in [$($value:literal)*] $body:block) => {
        $({
            const $i: $t = $value;
            $body
        })*
    };
}
use unroll;

/// A packed block with an AVX2 kernel.
pub(super) trait Kernel: Packed {
    /// Block of the activations.
    type Activation;

    /// Adds the product of a row group and `n` columns to `out`; at most four.
    ///
    /// # Safety
    /// The processor has the features of [`Level::Avx2`](crate::Level::Avx2).
    unsafe fn tile(w: &[Self], x: Columns<'_, Self::Activation>, n: usize, out: &mut Tile<'_>);
}

/// Names the kernels of packed blocks.
macro_rules! kernels {
    ($activation:ty: $($packed:ident => $kernel:ident,)*) => {$(
        impl Kernel for $packed {
            type Activation = $activation;

            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn tile(w: &[Self], x: Columns<'_, $activation>, n: usize, out: &mut Tile<'_>) {
                match n {
                    1 => $kernel::<1>(w, x, out),
                    2 => $kernel::<2>(w, x, out),
                    3 => $kernel::<3>(w, x, out),
                    _ => $kernel::<4>(w, x, out),
                }
            }
        }
    )*};
}
use kernels;

/// Eight rows of a plane.
#[inline]
#[target_feature(enable = "avx")]
fn load(plane: &Plane, half: usize) -> __m256i {
    let rows: &[[u8; 4]; 8] = &plane.as_chunks().0[half];
    // SAFETY: 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(rows.as_ptr().cast()) }
}

/// The f16 of eight rows.
#[inline]
#[target_feature(enable = "avx,f16c")]
fn load_halves(halves: &Halves, half: usize) -> __m256 {
    let rows: &[[u8; 2]; 8] = &halves.as_chunks().0[half];
    // SAFETY: 16 bytes; the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(rows.as_ptr().cast()) })
}

/// The results so far of `N` columns.
#[inline]
#[target_feature(enable = "avx")]
fn resume<const N: usize>(out: &Tile<'_>) -> [[__m256; N]; 2] {
    let mut total = [[_mm256_setzero_ps(); N]; 2];
    if out.begun() {
        for (half, total) in total.iter_mut().enumerate() {
            for n in 0..N {
                let rows: &[f32; 8] = &out[n].as_chunks().0[half];
                // SAFETY: 8 floats; the load needs no alignment.
                total[n] = unsafe { _mm256_loadu_ps(rows.as_ptr()) };
            }
        }
    }
    total
}

/// Writes the results of `N` columns.
#[inline]
#[target_feature(enable = "avx")]
fn store<const N: usize>(total: &[[__m256; N]; 2], out: &mut Tile<'_>) {
    for (half, total) in total.iter().enumerate() {
        for n in 0..N {
            let rows: &mut [f32; 8] = &mut out[n].as_chunks_mut().0[half];
            // SAFETY: 8 floats; the store needs no alignment.
            unsafe { _mm256_storeu_ps(rows.as_mut_ptr(), total[n]) };
        }
    }
    out.begin();
}

/// Activations `at .. at + 4`, broadcast.
#[inline]
#[target_feature(enable = "avx2")]
fn four<const LEN: usize>(qs: &[i8; LEN], at: usize) -> __m256i {
    let [a, b, c, d] = [qs[at], qs[at + 1], qs[at + 2], qs[at + 3]];
    _mm256_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]))
}

/// Sums of two products each of codes and activations. `SIGNED` codes may be any i8, others are unsigned.
#[inline]
#[target_feature(enable = "avx2")]
fn products<const SIGNED: bool>(codes: __m256i, x: __m256i) -> __m256i {
    if SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
    } else {
        _mm256_maddubs_epi16(codes, x)
    }
}

/// Has a sum computed here and now. Left alone, the compiler finishes one column before the next and keeps the unpacked
/// codes of a whole block on the stack meanwhile: twice the instructions.
#[inline]
#[target_feature(enable = "avx2")]
fn pin(mut sum: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) sum, options(nomem, nostack, preserves_flags)) };
    sum
}

/// The low nibbles of every byte, or the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles<const HIGH: bool>(bytes: __m256i) -> __m256i {
    let bytes = if HIGH { _mm256_srli_epi16::<4>(bytes) } else { bytes };
    _mm256_and_si256(bytes, _mm256_set1_epi8(15))
}

/// `MASK` bits of every byte, after bit `FROM` was brought to bit `TO`.
#[inline]
#[target_feature(enable = "avx2")]
fn bits<const FROM: usize, const TO: usize, const MASK: i8>(bytes: __m256i) -> __m256i {
    let shifted = if FROM > TO {
        _mm256_srl_epi16(bytes, _mm_cvtsi64_si128((FROM - TO) as i64))
    } else {
        _mm256_sll_epi16(bytes, _mm_cvtsi64_si128((TO - FROM) as i64))
    };
    _mm256_and_si256(shifted, _mm256_set1_epi8(MASK))
}

/// Replaces nibbles by what they stand for.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up<T>(steps: &'static [T; 16], nibbles: __m256i) -> __m256i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: 16 bytes; the load needs no alignment.
    let steps = unsafe { _mm_loadu_si128(steps.as_ptr().cast()) };
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(steps), nibbles)
}
