//! From the blocks of a file to the packed blocks of a matrix. Nothing is rounded: every code and scale is moved.
//!
//! Bytes go from rows to words of all 16 rows by [`Transpose`]; bits that then change places do so in all rows at once.

use std::mem::offset_of;

use super::layout::*;
use super::strip::{Column, Strip};
use super::words::{Plain, Transpose, Words};
use crate::format::*;
use crate::isa::{Isa, Level};

/// A packed block that knows how to gather itself from one block of each of 16 rows.
pub(super) trait Gather: Packed {
    /// Writes all of `out` from the strip, block for block.
    fn gather<T: Transpose>(t: T, strip: &Strip<'_, Self::Source>, out: &mut [Self]);
}

/// Packs the blocks of a strip into `out`, which has as many.
///
/// # Panics
/// Where the numbers differ.
pub(super) fn gather<P: Gather>(isa: Isa, strip: &Strip<'_, P::Source>, out: &mut [P]) {
    assert_eq!(strip.blocks(), out.len(), "blocks of a strip");
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` proves that the processor has the features.
        Level::Avx512 => unsafe { super::avx512::gather(strip, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` proves that the processor has the features.
        Level::Avx2 => unsafe { super::avx2::gather(strip, out) },
        #[cfg(target_arch = "aarch64")]
        Level::Neon | Level::NeonDot | Level::NeonI8mm => P::gather(super::neon::Neon, strip, out),
        _ => P::gather(Plain, strip, out),
    }
}

/// Writes each packed block from one column of file blocks: `$out` from `$column`.
macro_rules! each_block {
    ($($packed:ident => |$t:ident, $column:ident, $out:ident| $body:block)*) => {$(
        impl Gather for $packed {
            #[inline(always)]
            fn gather<T: Transpose>($t: T, strip: &Strip<'_, Self::Source>, out: &mut [Self]) {
                for (b, $out) in out.iter_mut().enumerate() {
                    let $column = strip.column(b);
                    $body
                }
            }
        }
    )*};
}

/// Where a field of a file's block begins.
macro_rules! at {
    ($block:ident, $field:ident) => {
        offset_of!($block, $field)
    };
}

each_block! {
    PackedQ4_0 => |t, column, out| {
        column.halves(t, at!(BlockQ4_0, d), &mut out.d);
        column.planes(t, at!(BlockQ4_0, qs), &mut out.qs);
    }
    PackedQ4_1 => |t, column, out| {
        column.halves(t, at!(BlockQ4_1, d), &mut out.d);
        column.halves(t, at!(BlockQ4_1, m), &mut out.m);
        column.planes(t, at!(BlockQ4_1, qs), &mut out.qs);
    }
    PackedQ5_0 => |t, column, out| {
        column.halves(t, at!(BlockQ5_0, d), &mut out.d);
        fifth_bits(t.words(&column.map(|block| block.qh))).store(&mut out.qh);
        column.planes(t, at!(BlockQ5_0, qs), &mut out.qs);
    }
    PackedQ5_1 => |t, column, out| {
        column.halves(t, at!(BlockQ5_1, d), &mut out.d);
        column.halves(t, at!(BlockQ5_1, m), &mut out.m);
        fifth_bits(t.words(&column.map(|block| block.qh))).store(&mut out.qh);
        column.planes(t, at!(BlockQ5_1, qs), &mut out.qs);
    }
    PackedQ8_0 => |t, column, out| {
        column.halves(t, at!(BlockQ8_0, d), &mut out.d);
        for (q, out) in out.qs.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let words = column.quad(t, at!(BlockQ8_0, qs) + 16 * q);
            for p in 0..4 {
                (words[p] ^ every(0x80)).store(&mut out[p]);
            }
        }
    }
    PackedIQ4NL => |t, column, out| {
        column.halves(t, at!(BlockIQ4NL, d), &mut out.d);
        column.planes(t, at!(BlockIQ4NL, qs), &mut out.qs);
    }
    PackedMXFP4 => |t, column, out| {
        out.e = column.map(|block| block.e[0]);
        column.planes(t, at!(BlockMXFP4, qs), &mut out.qs);
    }
    PackedQ2K => |t, column, out| {
        let (scales, qs) = (column.quad(t, at!(BlockQ2K, scales)), four_quads(t, column, at!(BlockQ2K, qs)));
        // The last four bytes are both scales of the scales.
        let [_, _, _, tail] = column.quad(t, size_of::<BlockQ2K>() - 16);
        tail.store_halves(&mut out.d);
        (tail >> 16).store_halves(&mut out.dmin);
        for (c, chunk) in out.chunks.iter_mut().enumerate() {
            in_turn(scales[c], scales[c] >> 16).store(&mut chunk.scales);
            two_bits(&qs, c, &mut chunk.qs);
        }
    }
    PackedQ3K => |t, column, out| {
        let (low, high) = (column.quad(t, at!(BlockQ3K, hmask)), column.quad(t, at!(BlockQ3K, hmask) + 16));
        let qs = four_quads(t, column, at!(BlockQ3K, qs));
        // The last 14 bytes are the scales and their scale.
        let [a, b, c, d] = column.quad(t, size_of::<BlockQ3K>() - 16);
        let packed = [a >> 16 | b << 16, b >> 16 | c << 16, c >> 16 | d << 16];
        (d >> 16).store_halves(&mut out.d);
        for (c, chunk) in out.chunks.iter_mut().enumerate() {
            // Scales 4 c .. 4 c + 4: low four bits in the nibbles of word c % 2, high two bits in word 2.
            let low_bits = (packed[c % 2] >> (4 * (c / 2) as u32)) & every(0x0f);
            let high_bits = (packed[2] >> (2 * c as u32)) & every(0x03);
            let scales = signed_six_bits(low_bits | high_bits << 4);
            in_turn(scales, scales >> 16).store(&mut chunk.scales);
            two_bits(&qs, c, &mut chunk.qs);
            one_bit(&low, &high, c, &mut chunk.qh);
        }
    }
    PackedQ4K => |t, column, out| {
        six_bit_head(t, column, &mut out.d, &mut out.dmin, &mut out.scales);
        column.planes(t, at!(BlockQ4K, qs), &mut out.qs);
    }
    PackedQ5K => |t, column, out| {
        six_bit_head(t, column, &mut out.d, &mut out.dmin, &mut out.scales);
        let (low, high) = (column.quad(t, at!(BlockQ5K, qh)), column.quad(t, at!(BlockQ5K, qh) + 16));
        for (c, chunk) in out.chunks.iter_mut().enumerate() {
            one_bit(&low, &high, c, &mut chunk.qh);
            column.planes(t, at!(BlockQ5K, qs) + 32 * c, &mut chunk.qs);
        }
    }
    PackedQ6K => |t, column, out| {
        column.halves(t, at!(BlockQ6K, d), &mut out.d);
        let (scales, qh) = (column.quad(t, at!(BlockQ6K, scales)), four_quads(t, column, at!(BlockQ6K, qh)));
        for (c, chunk) in out.chunks.iter_mut().enumerate() {
            let (n, field) = (c / 2, 2 * (c % 2) as u32);
            // Groups 8 n + 2 t and the next are the low run's, the fourth and fifth after them the high run's.
            in_turn(scales[2 * n] >> (8 * field), scales[2 * n + 1] >> (8 * field)).store(&mut chunk.scales);
            // Fields t and t + 2 of a byte are this chunk's low and high run.
            for (p, out) in chunk.qh.iter_mut().enumerate() {
                let [even, odd] = [2 * p, 2 * p + 1].map(|i| (qh[8 * n + i] >> field) & every(0x33));
                (even | odd << 2).store(out);
            }
            column.planes(t, at!(BlockQ6K, ql) + 32 * c, &mut chunk.qs);
        }
    }
    PackedIQ4XS => |t, column, out| {
        let [head, low, ..] = column.quad(t, 0);
        head.store_halves(&mut out.d);
        let high = head >> 16;
        for (c, chunk) in out.chunks.iter_mut().enumerate() {
            let (low, high) = (low >> (8 * c as u32), high >> (4 * c as u32));
            let scales = (low & 0x0f) | (low & 0xf0) << 4 | (high & 0x03) << 4 | (high & 0x0c) << 10;
            signed_six_bits(scales).store_halves(&mut chunk.scales);
            column.planes(t, at!(BlockIQ4XS, qs) + 32 * c, &mut chunk.qs);
        }
    }
}

impl<B: Block> Gather for Stacked<B> {
    #[inline(always)]
    fn gather<T: Transpose>(_: T, strip: &Strip<'_, B>, out: &mut [Self]) {
        for (b, out) in out.iter_mut().enumerate() {
            out.rows = strip.column(b).map(|block| *block);
        }
    }
}

/// `bits` in every byte of a word.
const fn every(bits: u8) -> u32 {
    u32::from_le_bytes([bits; 4])
}

/// 64 bytes of a field.
#[inline(always)]
fn four_quads<T: Transpose, B: Block>(t: T, column: Column<'_, B>, at: usize) -> [T::Words; 16] {
    let [a, b, c, d] = column.quad(t, at);
    let [e, f, g, h] = column.quad(t, at + 16);
    let [i, j, k, l] = column.quad(t, at + 32);
    let [m, n, o, p] = column.quad(t, at + 48);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// The first 16 bytes of a Q4_K or Q5_K block: both scales of the scales, then the 12 bytes of scales and minimums.
#[inline(always)]
fn six_bit_head<B: Block>(
    t: impl Transpose,
    column: Column<'_, B>,
    d: &mut Halves,
    dmin: &mut Halves,
    scales: &mut [Plane; 3],
) {
    const {
        assert!(at!(BlockQ4K, d) == 0 && at!(BlockQ4K, dmin) == 2 && at!(BlockQ4K, scales) == 4);
        assert!(at!(BlockQ5K, d) == 0 && at!(BlockQ5K, dmin) == 2 && at!(BlockQ5K, scales) == 4);
    };
    let [head, first, second, third] = column.quad(t, 0);
    head.store_halves(d);
    (head >> 16).store_halves(dmin);
    first.store(&mut scales[0]);
    second.store(&mut scales[1]);
    third.store(&mut scales[2]);
}

/// Bytes that are 0..64 less 32, as signed bytes: bit 5 turned over and copied to the bits above.
#[inline(always)]
fn signed_six_bits<W: Words>(biased: W) -> W {
    let signed = biased ^ every(0x20);
    signed | (signed & every(0x20)) << 1 | (signed & every(0x20)) << 2
}

/// The fifth bits of 32-blocks, moved from bit `i` of a word to bit `z` of byte `j` for value `i = 4 z + j`: the digits
/// of a bit's number, `z z z j j`, become `j j z z z` by four exchanges.
#[inline(always)]
fn fifth_bits<W: Words>(bits: W) -> W {
    let bits = exchange(bits, 16 - 2, 0x0000_cccc);
    let bits = exchange(bits, 8 - 1, 0x00aa_00aa);
    let bits = exchange(bits, 4 - 2, 0x0c0c_0c0c);
    exchange(bits, 2 - 1, 0x2222_2222)
}

/// Exchanges the bits under `mask` with those `by` above.
#[inline(always)]
fn exchange<W: Words>(bits: W, by: u32, mask: u32) -> W {
    let differ = (bits ^ (bits >> by)) & mask;
    bits ^ differ ^ (differ << by)
}

/// The two-bit codes of chunk `c`: see [`ChunkQ2K::qs`].
#[inline(always)]
fn two_bits<W: Words>(qs: &[W; 16], c: usize, out: &mut [Plane; 4]) {
    for (p, out) in out.iter_mut().enumerate() {
        let [even, odd] = [2 * p, 2 * p + 1].map(|i| (qs[8 * (c / 2) + i] >> (4 * (c % 2) as u32)) & every(0x0f));
        (even | odd << 4).store(out);
    }
}

/// One more bit for the codes of chunk `c`, bit `2 c` and the one above of each byte: see [`ChunkQ3K::qh`].
#[inline(always)]
fn one_bit<W: Words>(low: &[W; 4], high: &[W; 4], c: usize, out: &mut [Plane; 2]) {
    for (qh, out) in [low, high].into_iter().zip(out) {
        let [a, b, d, e] = qh.map(|bits| (bits >> (2 * c as u32)) & every(3));
        (a | b << 2 | d << 4 | e << 6).store(out);
    }
}

/// Two scales of the low run and two of the high run, in the order of [`ChunkQ2K::scales`]. Bits above are ignored.
#[inline(always)]
fn in_turn<W: Words>(low: W, high: W) -> W {
    (low & 0xff) | (high & 0xff) << 8 | (low & 0xff00) << 8 | (high & 0xff00) << 16
}

/// Floats come by 16 bytes of a row, which hold several values: a file's block of one value is too little to move.
macro_rules! floats {
    ($($packed:ident, $values:literal: |$words:ident, $out:ident| $split:expr;)*) => {$(
        impl Gather for $packed {
            #[inline(always)]
            fn gather<T: Transpose>(t: T, strip: &Strip<'_, Self::Source>, out: &mut [Self]) {
                let (runs, rest) = out.as_chunks_mut::<$values>();
                let done = $values * runs.len();
                for (run, $out) in runs.iter_mut().enumerate() {
                    let $words = strip.quad(t, $values * run);
                    $split;
                }
                for (b, out) in rest.iter_mut().enumerate() {
                    out.value = strip.column(done + b).map(|block| block.bits);
                }
            }
        }
    )*};
}

/// Both values of every word.
macro_rules! two_values {
    ($words:ident, $out:ident) => {
        for p in 0..4 {
            $words[p].store_halves(&mut $out[2 * p].value);
            ($words[p] >> 16).store_halves(&mut $out[2 * p + 1].value);
        }
    };
}

floats! {
    PackedF32, 4: |words, out| for p in 0..4 { words[p].store(&mut out[p].value) };
    PackedF16, 8: |words, out| two_values!(words, out);
    PackedBF16, 8: |words, out| two_values!(words, out);
}
