//! Products over packed blocks with AVX-512 and VNNI.
//!
//! A plane is one register: 16 rows by four codes. `vpdpbusd` multiplies it with four activations that are broadcast
//! from memory by the same instruction, so a tile of eight columns loads and unpacks a plane once and then issues eight
//! multiplications. Codes stay unsigned as that instruction wants them; a format whose codes have a bias starts its sums
//! at `-bias·Σ q` instead of zero.
//!
//! Measured (rustc 1.95, Zen 4): the steps of a chunk must be unrolled and the loop over chunks must not; helpers that
//! take arrays of accumulators are not inlined, hence the macros.

mod float;
mod large;
mod octets;
mod small;
mod transpose;

pub(super) use transpose::gather;

use std::arch::x86_64::*;

use super::layout::*;
use super::tile::{Columns, Tile};

/// Repeats a block with a constant that immediates can use.
macro_rules! unroll {
    ($i:ident in [$($value:literal)*] $body:block) => {
        $({
            const $i: usize = $value;
            $body
        })*
    };
}
use unroll;

/// A packed block with an AVX-512 kernel.
pub(super) trait Kernel: Packed {
    /// Block of the activations.
    type Activation;

    /// Adds the product of a row group and `n` columns to `out`; at most eight.
    ///
    /// # Safety
    /// The processor has the features of [`Level::Avx512`](crate::Level::Avx512).
    unsafe fn tile(w: &[Self], x: Columns<'_, Self::Activation>, n: usize, out: &mut Tile<'_>);
}

/// Names the kernels of packed blocks.
macro_rules! kernels {
    ($activation:ty: $($packed:ident => $kernel:ident,)*) => {$(
        impl Kernel for $packed {
            type Activation = $activation;

            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
            unsafe fn tile(w: &[Self], x: Columns<'_, $activation>, n: usize, out: &mut Tile<'_>) {
                match n {
                    1 => $kernel::<1>(w, x, out),
                    2 => $kernel::<2>(w, x, out),
                    3 => $kernel::<3>(w, x, out),
                    4 => $kernel::<4>(w, x, out),
                    5 => $kernel::<5>(w, x, out),
                    6 => $kernel::<6>(w, x, out),
                    7 => $kernel::<7>(w, x, out),
                    _ => $kernel::<8>(w, x, out),
                }
            }
        }
    )*};
}
use kernels;

/// A plane as a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(plane: &Plane) -> __m512i {
    // SAFETY: a plane is 64 bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(plane.as_ptr().cast()) }
}

/// The f16 of 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_halves(halves: &Halves) -> __m512 {
    // SAFETY: 32 bytes; the load needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) })
}

/// The results so far of `N` columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn resume<const N: usize>(out: &Tile<'_>) -> [__m512; N] {
    let mut total = [_mm512_setzero_ps(); N];
    if out.begun() {
        for n in 0..N {
            // SAFETY: 16 floats; the load needs no alignment.
            total[n] = unsafe { _mm512_loadu_ps(out[n].as_ptr()) };
        }
    }
    total
}

/// Writes the results of `N` columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn store<const N: usize>(total: &[__m512; N], out: &mut Tile<'_>) {
    for n in 0..N {
        // SAFETY: 16 floats; the store needs no alignment.
        unsafe { _mm512_storeu_ps(out[n].as_mut_ptr(), total[n]) };
    }
    out.begin();
}

/// Activations `at .. at + 4`, as `vpdpbusd` broadcasts them.
#[inline]
#[target_feature(enable = "avx512f")]
fn four<const LEN: usize>(qs: &[i8; LEN], at: usize) -> __m512i {
    let [a, b, c, d] = [qs[at], qs[at + 1], qs[at + 2], qs[at + 3]];
    _mm512_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]))
}

/// The low nibble of every byte.
#[inline]
#[target_feature(enable = "avx512f")]
fn low_nibbles(bytes: __m512i) -> __m512i {
    _mm512_and_si512(bytes, _mm512_set1_epi32(0x0f0f_0f0f))
}

/// The high nibble of every byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn high_nibbles(bytes: __m512i) -> __m512i {
    low_nibbles(_mm512_srli_epi16::<4>(bytes))
}

/// `low | (bits & mask)`.
#[inline]
#[target_feature(enable = "avx512f")]
fn merge(low: __m512i, bits: __m512i, mask: u8) -> __m512i {
    let mask = _mm512_set1_epi32(i32::from_le_bytes([mask; 4]));
    _mm512_ternarylogic_epi32::<{ 0xf0 | (0xcc & 0xaa) }>(low, bits, mask)
}

/// Brings bit `FROM` of every byte, and the bits beside it, to bit `TO`; other bits are garbage. Not a rotation: that
/// would keep the multiplier of Zen 4 busy.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shift<const FROM: usize, const TO: usize>(bytes: __m512i) -> __m512i {
    if FROM > TO {
        _mm512_srl_epi16(bytes, _mm_cvtsi64_si128((FROM - TO) as i64))
    } else {
        _mm512_sll_epi16(bytes, _mm_cvtsi64_si128((TO - FROM) as i64))
    }
}

/// Asks for part `part` of `parts` of what lies `ahead` bytes after `now`: weights a few blocks later, activations one
/// block later. The processor's own prefetcher keeps up with narrow tiles and loses the thread in wide ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn prefetch<T, const N: usize>(now: &T, ahead: usize, part: usize, parts: usize) {
    if N >= 4 {
        let size = size_of::<T>() / parts;
        let begin = std::ptr::from_ref(now).cast::<u8>().wrapping_add(ahead + part * size);
        for line in 0..size.div_ceil(64) {
            _mm_prefetch::<_MM_HINT_T0>(begin.wrapping_add(64 * line).cast());
        }
    }
}
