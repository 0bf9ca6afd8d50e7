//! Blocks of 256 values.

use std::arch::x86_64::*;

use super::{Kernel, bits, four, kernels, load, load_halves, look_up, nibbles, products, resume, store, unroll};
use crate::activation::Q8x256;
use crate::format::IQ4_VALUES;
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

/// Multiplies one run of a chunk: for the steps of `$steps`, sums of `$span` steps in 16 bits, then times the scale.
macro_rules! run {
    ($x:ident, $integer:ident, $base:expr, $runs:expr, $signed:expr, $span:literal, $scale:expr, [$($step:literal)*], $codes:expr) => {{
        let scale = $scale;
        let mut sum = [_mm256_setzero_si256(); N];
        unroll!(I: usize in [$($step)*] {
            const AT: usize = if HIGH { $runs.high(0, I) } else { $runs.low(0, I) };
            let codes = $codes;
            for n in 0..N {
                let step = products::<{ $signed }>(codes, four(&$x[n].qs, $base + AT));
                sum[n] = if I.is_multiple_of($span) { step } else { _mm256_add_epi16(sum[n], step) };
                if (I + 1).is_multiple_of($span) {
                    $integer[n] = _mm256_add_epi32($integer[n], _mm256_madd_epi16(sum[n], scale));
                }
            }
        });
    }};
}

/// Defines a kernel of a format with a 6-bit scale and minimum for 32 values. `span` is how many steps fit in 16 bits;
/// `codes` gives those of step `I` of a chunk, of the high run if `HIGH`.
macro_rules! thirty_twos {
    ($name:ident($packed:ty), span: $span:literal, codes: |$w:ident, $c:ident, $half:ident| $codes:expr) => {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, Q8x256>, out: &mut Tile<'_>) {
            const RUNS: Runs = Runs::HALVES;
            let mut total = resume::<N>(out);
            for ($w, x) in x.zip::<_, N>(w) {
                for $half in 0..2 {
                    let scales = scales(&$w.scales, $half);
                    let mut integer = [_mm256_setzero_si256(); N];
                    for $c in 0..4 {
                        let two = _mm256_srl_epi32(scales[$c / 2], _mm_cvtsi64_si128(16 * ($c % 2) as i64));
                        unroll!(HIGH: bool in [false true] {
                            let byte = _mm256_set1_epi32(0xff);
                            let scale = if HIGH { _mm256_srli_epi32::<8>(two) } else { two };
                            let scale = _mm256_and_si256(scale, byte);
                            let scale = _mm256_or_si256(scale, _mm256_slli_epi32::<16>(scale));
                            run!(x, integer, 64 * $c, RUNS, false, $span, scale, [0 1 2 3 4 5 6 7], $codes);
                        });
                    }
                    let (d, dmin) = (load_halves(&$w.d, $half), load_halves(&$w.dmin, $half));
                    let mins = mins(&$w.scales, $half);
                    for n in 0..N {
                        let mut minimum = _mm256_setzero_si256();
                        for p in 0..4 {
                            let sums = pair(x[n].pairs[p]);
                            minimum = _mm256_add_epi32(minimum, _mm256_madd_epi16(mins[p], sums));
                        }
                        let product = _mm256_mul_ps(d, _mm256_cvtepi32_ps(integer[n]));
                        let value = _mm256_fnmadd_ps(dmin, _mm256_cvtepi32_ps(minimum), product);
                        total[$half][n] = _mm256_fmadd_ps(_mm256_set1_ps(x[n].d), value, total[$half][n]);
                    }
                }
            }
            store(&total, out);
        }
    };
}

thirty_twos!(q4_k(PackedQ4K), span: 8, codes: |w, c, half| nibbles::<HIGH>(load(&w.qs[8 * c + I], half)));

thirty_twos!(q5_k(PackedQ5K), span: 4, codes: |w, c, half| {
    let fifth = bits::<{ 2 * (I % 4) + HIGH as usize }, 4, 0x10>(load(&w.chunks[c].qh[I / 4], half));
    _mm256_or_si256(nibbles::<HIGH>(load(&w.chunks[c].qs[I], half)), fifth)
});

/// Adds the sums of a chunk's groups of activations, times one factor for each group.
macro_rules! add_sums {
    ($extra:ident, $factors:ident, $x:ident, $base:ident, $runs:expr) => {
        for n in 0..N {
            for (factor, first) in $factors.into_iter().zip([$runs.low(0, 0), $runs.high(0, 0)]) {
                let k = ($base + first) / 16;
                let sums = pair([$x[n].sums[k], $x[n].sums[k + 1]]);
                $extra[n] = _mm256_add_epi32($extra[n], _mm256_madd_epi16(factor, sums));
            }
        }
    };
}

/// Defines a kernel of a format with a scale for 16 values. `bias`, where there is one, is what unsigned codes are too
/// large by; `scales` the bytes with the signed scales of a chunk's four groups; `mins` those with its minimums; the
/// rest as for `thirty_twos`.
macro_rules! sixteens {
    (
        $name:ident($packed:ty, $runs:expr), span: $span:literal $(, bias: $bias:literal)? $(, signed: $signed:literal)?,
        codes: |$w:ident, $half:ident| $codes:expr, scales: $scales:expr $(, mins: $mins:expr, $dmin:ident)?
    ) => {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name<const N: usize>(w: &[$packed], x: Columns<'_, Q8x256>, out: &mut Tile<'_>) {
            const RUNS: Runs = $runs;
            const SIGNED: bool = false $(|| $signed)?;
            let mut total = resume::<N>(out);
            for (block, x) in x.zip::<_, N>(w) {
                for $half in 0..2 {
                    let mut integer = [_mm256_setzero_si256(); N];
                    $(
                        const BIAS: i32 = $bias;
                        let mut excess = [_mm256_setzero_si256(); N];
                    )?
                    $(
                        let dmin = load_halves(&block.$dmin, $half);
                        let mut minimum = [_mm256_setzero_si256(); N];
                    )?
                    for c in 0..4 {
                        let $w = &block.chunks[c];
                        let base = RUNS.low(c, 0);
                        // Scales of the low run and of the high run, each with its two groups as a pair of i16.
                        let scales = signed_pairs($scales);
                        $(
                            const _: i32 = $bias;
                            add_sums!(excess, scales, x, base, RUNS);
                        )?
                        $(
                            let mins = signed_pairs($mins);
                            add_sums!(minimum, mins, x, base, RUNS);
                        )?
                        unroll!(HIGH: bool in [false true] {
                            let pair = scales[HIGH as usize];
                            run!(x, integer, base, RUNS, SIGNED, $span, twice(pair, 0), [0 1 2 3], $codes);
                            run!(x, integer, base, RUNS, SIGNED, $span, twice(pair, 2), [4 5 6 7], $codes);
                        });
                    }
                    let d = load_halves(&block.d, $half);
                    for n in 0..N {
                        let integer = integer[n];
                        $(
                            const _: i32 = $bias;
                            let excess = _mm256_mullo_epi32(excess[n], _mm256_set1_epi32(BIAS));
                            let integer = _mm256_sub_epi32(integer, excess);
                        )?
                        let value = _mm256_mul_ps(d, _mm256_cvtepi32_ps(integer));
                        $(
                            const _: &str = stringify!($dmin);
                            let value = _mm256_fnmadd_ps(dmin, _mm256_cvtepi32_ps(minimum[n]), value);
                        )?
                        total[$half][n] = _mm256_fmadd_ps(_mm256_set1_ps(x[n].d), value, total[$half][n]);
                    }
                }
            }
            store(&total, out);
        }
    };
}

sixteens!(
    q6_k(PackedQ6K, Runs::FAR), span: 2, bias: 32,
    codes: |w, half| {
        let high = bits::<{ 2 * (I % 2) + 4 * HIGH as usize }, 4, 0x30>(load(&w.qh[I / 2], half));
        _mm256_or_si256(nibbles::<HIGH>(load(&w.qs[I], half)), high)
    },
    scales: load(&w.scales, half)
);

sixteens!(
    q3_k(PackedQ3K, Runs::HALVES), span: 4, bias: 4,
    codes: |w, half| {
        let two = bits::<{ 4 * (I % 2) + 2 * HIGH as usize }, 0, 3>(load(&w.qs[I / 2], half));
        let third = bits::<{ 2 * (I % 4) + HIGH as usize }, 2, 4>(load(&w.qh[I / 4], half));
        _mm256_or_si256(two, third)
    },
    scales: load(&w.scales, half)
);

sixteens!(
    q2_k(PackedQ2K, Runs::HALVES), span: 4,
    codes: |w, half| bits::<{ 4 * (I % 2) + 2 * HIGH as usize }, 0, 3>(load(&w.qs[I / 2], half)),
    scales: nibbles::<false>(load(&w.scales, half)), mins: nibbles::<true>(load(&w.scales, half)), dmin
);

sixteens!(
    iq4_xs(PackedIQ4XS, Runs::SIXTEENS), span: 1, signed: true,
    codes: |w, half| look_up(&IQ4_VALUES, nibbles::<HIGH>(load(&w.qs[I], half))),
    scales: {
        // Both runs of a group of 32 have one scale.
        let rows: &[[u8; 2]; 8] = &w.scales.as_chunks().0[half];
        // SAFETY: 16 bytes; the load needs no alignment.
        let pairs = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(rows.as_ptr().cast()) });
        _mm256_shuffle_epi8(pairs, every_word(0, 0, 1, 1))
    }
);

/// A shuffle that gives every word bytes `a`, `b`, `c` and `d` of itself.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn every_word(a: i8, b: i8, c: i8, d: i8) -> __m256i {
    let first = _mm256_set1_epi32(i32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]));
    _mm256_add_epi8(first, _mm256_broadcastsi128_si256(_mm_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c)))
}

/// Bytes 0 and 2 of every word as two i16, and bytes 1 and 3; signed.
#[inline]
#[target_feature(enable = "avx2")]
fn signed_pairs(words: __m256i) -> [__m256i; 2] {
    [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words)), _mm256_srai_epi16::<8>(words)]
}

/// One i16 of every pair, which begins at byte `at`, twice.
#[inline]
#[target_feature(enable = "avx2")]
fn twice(pairs: __m256i, at: i8) -> __m256i {
    _mm256_shuffle_epi8(pairs, every_word(at, at + 1, at, at + 1))
}

/// A pair of sums, broadcast.
#[inline]
#[target_feature(enable = "avx2")]
fn pair([first, second]: [i16; 2]) -> __m256i {
    _mm256_set1_epi32(i32::from(first as u16) | i32::from(second) << 16)
}

/// The scales of Q4_K and Q5_K, a byte each, groups 0..4 and 4..8; see
/// [`scales_and_mins`](crate::format::scales_and_mins).
#[inline]
#[target_feature(enable = "avx2")]
fn scales(packed: &[Plane; 3], half: usize) -> [__m256i; 2] {
    let (a, c) = (load(&packed[0], half), load(&packed[2], half));
    [bits::<0, 0, 0x3f>(a), _mm256_or_si256(nibbles::<false>(c), bits::<6, 4, 0x30>(a))]
}

/// The minimums of Q4_K and Q5_K as pairs of i16, in the order of [`Q8x256::pairs`].
#[inline]
#[target_feature(enable = "avx2")]
fn mins(packed: &[Plane; 3], half: usize) -> [__m256i; 4] {
    let (b, c) = (load(&packed[1], half), load(&packed[2], half));
    let [m02, m13] = signed_pairs(bits::<0, 0, 0x3f>(b));
    let [m46, m57] = signed_pairs(_mm256_or_si256(nibbles::<true>(c), bits::<6, 4, 0x30>(b)));
    [m02, m13, m46, m57]
}
