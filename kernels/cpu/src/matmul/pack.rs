//! From the blocks of a file to the packed blocks of a matrix. Nothing is rounded: every code and scale is moved.

use super::layout::*;
use crate::format::*;

/// A packed block that knows how to gather itself from one block of each of 16 rows.
pub(super) trait Gather: Packed {
    /// Fills `self`, which is zero.
    fn gather(&mut self, rows: &[&Self::Source; ROWS]);

    /// Gathers blocks side by side: `rows[r]` are those of row `r`. All lengths are equal.
    fn gather_all(out: &mut [Self], rows: &[&[Self::Source]; ROWS]) {
        for (b, out) in out.iter_mut().enumerate() {
            out.gather(&rows.map(|row| &row[b]));
        }
    }
}

/// Packs one group: `rows[r]` are the blocks of row `r`, `out` the packed group. Rows of different lengths are cut to
/// the shortest.
pub(super) fn pack_group<P: Gather>(rows: &[&[P::Source]; ROWS], out: &mut [P]) {
    let blocks = rows.iter().fold(out.len(), |n, row| n.min(row.len()));
    P::gather_all(&mut out[..blocks], &rows.map(|row| &row[..blocks]));
}

/// Plane `p` of `out` receives bytes `4 p ..` of every row's `field`.
#[inline]
fn planes<const BYTES: usize, const PLANES: usize>(out: &mut [Plane; PLANES], rows: [&[u8; BYTES]; ROWS]) {
    const { assert!(BYTES == 4 * PLANES) };
    for (p, plane) in out.iter_mut().enumerate() {
        for (out, row) in plane.iter_mut().zip(&rows) {
            *out = four(row, p);
        }
    }
}

/// Bytes `4 p .. 4 p + 4`.
#[inline]
fn four<const BYTES: usize>(bytes: &[u8; BYTES], p: usize) -> [u8; 4] {
    [bytes[4 * p], bytes[4 * p + 1], bytes[4 * p + 2], bytes[4 * p + 3]]
}

/// As [`four`], as a number whose byte `j` is byte `4 p + j`.
#[inline]
fn word<const BYTES: usize>(bytes: &[u8; BYTES], p: usize) -> u32 {
    u32::from_le_bytes(four(bytes, p))
}

/// `bits` in every byte of a word.
const fn every(bits: u8) -> u32 {
    u32::from_le_bytes([bits; 4])
}

/// Gathers blocks whose fields keep their order: scales first, then planes.
macro_rules! plain {
    ($($packed:ident: $($scale:ident),*; $($planes:ident),*;)*) => {$(
        impl Gather for $packed {
            fn gather(&mut self, rows: &[&Self::Source; ROWS]) {
                $(self.$scale = rows.map(|row| row.$scale);)*
                $(planes(&mut self.$planes, rows.map(|row| &row.$planes));)*
            }
        }
    )*};
}

plain! {
    PackedQ4_0: d; qs;
    PackedQ4_1: d, m; qs;
    PackedIQ4NL: d; qs;
    PackedQ4K: d, dmin; scales, qs;
}

/// Gathers plain values, a run of one row at a time: for blocks this small, going from row to row costs more than the
/// copy.
macro_rules! floats {
    ($($packed:ident),*) => {$(
        impl Gather for $packed {
            fn gather(&mut self, rows: &[&Self::Source; ROWS]) {
                self.value = rows.map(|row| row.bits);
            }

            fn gather_all(out: &mut [Self], rows: &[&[Self::Source]; ROWS]) {
                const RUN: usize = 64;
                for (run, out) in out.chunks_mut(RUN).enumerate() {
                    for (r, row) in rows.iter().enumerate() {
                        for (out, value) in out.iter_mut().zip(&row[RUN * run..]) {
                            out.value[r] = value.bits;
                        }
                    }
                }
            }
        }
    )*};
}

floats!(PackedF32, PackedF16, PackedBF16);

impl Gather for PackedMXFP4 {
    fn gather(&mut self, rows: &[&BlockMXFP4; ROWS]) {
        self.e = rows.map(|row| row.e[0]);
        planes(&mut self.qs, rows.map(|row| &row.qs));
    }
}

/// The fifth bits of a 32-block, moved from bit `i` of a word to bit `z` of byte `j` for value `i = 4 z + j`.
#[inline]
fn fifth_bits(qh: [u8; 4]) -> [u8; 4] {
    let bits = u32::from_le_bytes(qh);
    std::array::from_fn(|j| (0..8).fold(0, |byte, z| byte | ((bits >> (4 * z + j)) as u8 & 1) << z))
}

impl Gather for PackedQ5_0 {
    fn gather(&mut self, rows: &[&BlockQ5_0; ROWS]) {
        self.d = rows.map(|row| row.d);
        self.qh = rows.map(|row| fifth_bits(row.qh));
        planes(&mut self.qs, rows.map(|row| &row.qs));
    }
}

impl Gather for PackedQ5_1 {
    fn gather(&mut self, rows: &[&BlockQ5_1; ROWS]) {
        self.d = rows.map(|row| row.d);
        self.m = rows.map(|row| row.m);
        self.qh = rows.map(|row| fifth_bits(row.qh));
        planes(&mut self.qs, rows.map(|row| &row.qs));
    }
}

impl Gather for PackedQ8_0 {
    fn gather(&mut self, rows: &[&BlockQ8_0; ROWS]) {
        self.d = rows.map(|row| row.d);
        for (z, plane) in self.qs.iter_mut().enumerate() {
            for (out, row) in plane.iter_mut().zip(rows) {
                *out = std::array::from_fn(|j| row.qs[4 * z + j] as u8 ^ 0x80);
            }
        }
    }
}

/// The two-bit codes of one chunk: see [`ChunkQ2K::qs`].
#[inline]
fn two_bits(qs: &[u8; 64], c: usize) -> [[u8; 4]; 4] {
    let shift = 4 * (c % 2);
    let step = |i| (word(qs, 8 * (c / 2) + i) >> shift) & every(0x0f);
    std::array::from_fn(|p| (step(2 * p) | step(2 * p + 1) << 4).to_le_bytes())
}

/// One more bit for the codes of one chunk, bit `2 c` and the one above of each byte: see [`ChunkQ3K::qh`].
#[inline]
fn one_bit(qh: &[u8; 32], c: usize) -> [[u8; 4]; 2] {
    std::array::from_fn(|p| {
        (0..4).fold(0, |bits, i| bits | ((word(qh, 4 * p + i) >> (2 * c)) & every(3)) << (2 * i)).to_le_bytes()
    })
}

/// The scales of one chunk's groups of 16, in the order of [`ChunkQ2K::scales`]; `low` and `high` are the first groups
/// of the two runs.
#[inline]
fn by_run<T: Copy>(scales: &[T; 16], low: usize, high: usize) -> [T; 4] {
    [scales[low], scales[high], scales[low + 1], scales[high + 1]]
}

impl Gather for PackedQ2K {
    fn gather(&mut self, rows: &[&BlockQ2K; ROWS]) {
        self.d = rows.map(|row| row.d);
        self.dmin = rows.map(|row| row.dmin);
        for (c, chunk) in self.chunks.iter_mut().enumerate() {
            for (r, row) in rows.iter().enumerate() {
                chunk.scales[r] = by_run(&row.scales, 4 * c, 4 * c + 2);
                for (plane, four) in chunk.qs.iter_mut().zip(two_bits(&row.qs, c)) {
                    plane[r] = four;
                }
            }
        }
    }
}

impl Gather for PackedQ3K {
    fn gather(&mut self, rows: &[&BlockQ3K; ROWS]) {
        self.d = rows.map(|row| row.d);
        for (r, row) in rows.iter().enumerate() {
            let scales = row.scales().map(|scale| scale as u8);
            for (c, chunk) in self.chunks.iter_mut().enumerate() {
                chunk.scales[r] = by_run(&scales, 4 * c, 4 * c + 2);
                for (plane, four) in chunk.qs.iter_mut().zip(two_bits(&row.qs, c)) {
                    plane[r] = four;
                }
                for (plane, four) in chunk.qh.iter_mut().zip(one_bit(&row.hmask, c)) {
                    plane[r] = four;
                }
            }
        }
    }
}

impl Gather for PackedQ5K {
    fn gather(&mut self, rows: &[&BlockQ5K; ROWS]) {
        self.d = rows.map(|row| row.d);
        self.dmin = rows.map(|row| row.dmin);
        planes(&mut self.scales, rows.map(|row| &row.scales));
        for (c, chunk) in self.chunks.iter_mut().enumerate() {
            for (r, row) in rows.iter().enumerate() {
                for (plane, four) in chunk.qh.iter_mut().zip(one_bit(&row.qh, c)) {
                    plane[r] = four;
                }
                for (i, plane) in chunk.qs.iter_mut().enumerate() {
                    plane[r] = four(&row.qs, 8 * c + i);
                }
            }
        }
    }
}

impl Gather for PackedQ6K {
    fn gather(&mut self, rows: &[&BlockQ6K; ROWS]) {
        self.d = rows.map(|row| row.d);
        for (c, chunk) in self.chunks.iter_mut().enumerate() {
            let (n, t) = (c / 2, c % 2);
            for (r, row) in rows.iter().enumerate() {
                chunk.scales[r] = by_run(&row.scales, 8 * n + 2 * t, 8 * n + 2 * t + 4).map(|scale| scale as u8);
                for (p, plane) in chunk.qh.iter_mut().enumerate() {
                    // Fields t and t + 2 of a byte are this chunk's low and high run.
                    let step = |i| (word(&row.qh, 8 * n + i) >> (2 * t)) & every(0x33);
                    plane[r] = (step(2 * p) | step(2 * p + 1) << 2).to_le_bytes();
                }
                for (i, plane) in chunk.qs.iter_mut().enumerate() {
                    plane[r] = four(&row.ql, 8 * c + i);
                }
            }
        }
    }
}

impl Gather for PackedIQ4XS {
    fn gather(&mut self, rows: &[&BlockIQ4XS; ROWS]) {
        self.d = rows.map(|row| row.d);
        for (r, row) in rows.iter().enumerate() {
            let scales = row.scales();
            for (c, chunk) in self.chunks.iter_mut().enumerate() {
                chunk.scales[r] = [scales[2 * c] as u8, scales[2 * c + 1] as u8];
                for (i, plane) in chunk.qs.iter_mut().enumerate() {
                    plane[r] = four(&row.qs, 8 * c + i);
                }
            }
        }
    }
}
