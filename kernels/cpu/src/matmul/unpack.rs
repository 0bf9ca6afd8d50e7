//! Packed blocks as plain signed codes and integer scales.
//!
//! For the scalar kernels, and for vector kernels that need no faster way: unpacking a block pays for itself over the
//! columns of a tile. Everything here is inlined into its caller, so that it is compiled for that caller's instruction
//! set.

use super::layout::*;
use crate::format::{BIASED_ZERO, IQ4_VALUES, MXFP4_VALUES, Octets, e8m0_half, f16_to_f32, scales_and_mins};

/// Signed codes of a step: four values of 16 rows.
pub(super) type Codes = [[i8; 4]; ROWS];

/// One integer of each of 16 rows.
pub(super) type Integers = [i16; ROWS];

/// A packed block of 256 values.
pub(super) trait Large: Packed {
    /// Codes in the order of the values, four values a step.
    fn codes(&self, out: &mut [Codes; 64]);
    /// Scales of groups of 16 values.
    fn scales(&self, out: &mut [Integers; 16]);
    /// Scales of the scales.
    fn d(&self) -> [f32; ROWS];
    /// Minimums of groups of 16 values and their scales, for formats that have them.
    #[inline(always)]
    fn mins(&self, _out: &mut [Integers; 16]) -> Option<&Halves> {
        None
    }
}

/// A packed block of 32 values.
pub(super) trait Small: Packed {
    /// Codes in the order of the values, four values a step.
    fn codes(&self, out: &mut [Codes; 8]);
    /// Scale of each row.
    fn d(&self) -> [f32; ROWS];
    /// Minimum of each row, for formats that have them.
    #[inline(always)]
    fn m(&self) -> Option<[f32; ROWS]> {
        None
    }
}

/// A packed value.
pub(super) trait Float: Packed {
    /// The value of row `r`.
    fn value(&self, r: usize) -> f32;
}

impl Float for PackedF32 {
    #[inline(always)]
    fn value(&self, r: usize) -> f32 {
        f32::from_le_bytes(self.value[r])
    }
}

impl Float for PackedF16 {
    #[inline(always)]
    fn value(&self, r: usize) -> f32 {
        f16_to_f32(self.value[r])
    }
}

impl Float for PackedBF16 {
    #[inline(always)]
    fn value(&self, r: usize) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(self.value[r])) << 16)
    }
}

/// Codes of a step from a function of the row and the byte.
#[inline(always)]
fn each(out: &mut Codes, code: impl Fn(usize, usize) -> i8) {
    for (r, out) in out.iter_mut().enumerate() {
        for (j, out) in out.iter_mut().enumerate() {
            *out = code(r, j);
        }
    }
}

/// Codes of a 32-block from its nibbles, with the step.
#[inline(always)]
fn nibbles(qs: &[Plane; 4], out: &mut [Codes; 8], code: impl Fn(u8, usize, usize, usize) -> i8) {
    for (p, plane) in qs.iter().enumerate() {
        each(&mut out[p], |r, j| code(plane[r][j] & 15, p, r, j));
        each(&mut out[p + 4], |r, j| code(plane[r][j] >> 4, p + 4, r, j));
    }
}

macro_rules! small {
    ($($packed:ident: $self:ident => |$nibble:ident, $z:ident, $r:ident, $j:ident| $code:expr $(, $m:ident)?;)*) => {$(
        impl Small for $packed {
            #[inline(always)]
            fn codes(&$self, out: &mut [Codes; 8]) {
                nibbles(&$self.qs, out, |$nibble, $z, $r, $j| { let _ = ($z, $r, $j); $code });
            }
            #[inline(always)]
            fn d(&self) -> [f32; ROWS] {
                self.d.map(f16_to_f32)
            }
            $(#[inline(always)]
            fn m(&self) -> Option<[f32; ROWS]> {
                Some(self.$m.map(f16_to_f32))
            })?
        }
    )*};
}

small! {
    PackedQ4_0: self => |nibble, z, r, j| nibble as i8 - 8;
    PackedQ4_1: self => |nibble, z, r, j| nibble as i8, m;
    PackedQ5_0: self => |nibble, z, r, j| (nibble | ((self.qh[r][j] >> z) & 1) << 4) as i8 - 16;
    PackedQ5_1: self => |nibble, z, r, j| (nibble | ((self.qh[r][j] >> z) & 1) << 4) as i8, m;
    PackedIQ4NL: self => |nibble, z, r, j| IQ4_VALUES[usize::from(nibble)];
}

impl Small for PackedQ8_0 {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 8]) {
        for (plane, out) in self.qs.iter().zip(out) {
            each(out, |r, j| (plane[r][j] ^ 0x80) as i8);
        }
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

impl Small for PackedMXFP4 {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 8]) {
        nibbles(&self.qs, out, |nibble, _, _, _| MXFP4_VALUES[usize::from(nibble)]);
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.e.map(e8m0_half)
    }
}

/// Puts the codes of step `i` of chunk `c` in their places; `low` and `high` are functions of the row and the byte.
#[inline(always)]
fn place(
    out: &mut [Codes; 64],
    runs: Runs,
    (c, i): (usize, usize),
    low: impl Fn(usize, usize) -> i8,
    high: impl Fn(usize, usize) -> i8,
) {
    each(&mut out[runs.low(c, i) / 4], low);
    each(&mut out[runs.high(c, i) / 4], high);
}

/// Puts the scales of a chunk in their places; see [`ChunkQ2K::scales`].
#[inline(always)]
fn place_scales(out: &mut [Integers; 16], runs: Runs, c: usize, scale: impl Fn(usize, usize) -> i16) {
    let groups = [runs.low(c, 0), runs.high(c, 0), runs.low(c, 4), runs.high(c, 4)];
    for (g, first) in groups.into_iter().enumerate() {
        for (r, out) in out[first / 16].iter_mut().enumerate() {
            *out = scale(r, g);
        }
    }
}

impl Large for PackedQ2K {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            for i in 0..8 {
                let bits = |r: usize, j: usize| chunk.qs[i / 2][r][j] >> (4 * (i % 2));
                place(out, Runs::HALVES, (c, i), |r, j| (bits(r, j) & 3) as i8, |r, j| ((bits(r, j) >> 2) & 3) as i8);
            }
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            place_scales(out, Runs::HALVES, c, |r, g| i16::from(chunk.scales[r][g] & 15));
        }
    }

    #[inline(always)]
    fn mins(&self, out: &mut [Integers; 16]) -> Option<&Halves> {
        for (c, chunk) in self.chunks.iter().enumerate() {
            place_scales(out, Runs::HALVES, c, |r, g| i16::from(chunk.scales[r][g] >> 4));
        }
        Some(&self.dmin)
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

impl Large for PackedQ3K {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            for i in 0..8 {
                let low = |r: usize, j: usize| chunk.qs[i / 2][r][j] >> (4 * (i % 2));
                let third = |r: usize, j: usize| chunk.qh[i / 4][r][j] >> (2 * (i % 4));
                place(
                    out,
                    Runs::HALVES,
                    (c, i),
                    |r, j| ((low(r, j) & 3) | (third(r, j) & 1) << 2) as i8 - 4,
                    |r, j| (((low(r, j) >> 2) & 3) | ((third(r, j) >> 1) & 1) << 2) as i8 - 4,
                );
            }
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            place_scales(out, Runs::HALVES, c, |r, g| i16::from(chunk.scales[r][g] as i8));
        }
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

/// The scales (`false`) or minimums (`true`) of a Q4_K or Q5_K block.
#[inline(always)]
fn six_bits(packed: &[Plane; 3], out: &mut [Integers; 16], mins: bool) {
    for r in 0..ROWS {
        let mut bytes = [0; 12];
        for (plane, bytes) in packed.iter().zip(bytes.as_chunks_mut::<4>().0) {
            *bytes = plane[r];
        }
        let (scales, minimums) = scales_and_mins(&bytes);
        let of_row = if mins { minimums } else { scales };
        for (group, out) in out.iter_mut().enumerate() {
            out[r] = i16::from(of_row[group / 2]);
        }
    }
}

impl Large for PackedQ4K {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        for (p, plane) in self.qs.iter().enumerate() {
            place(out, Runs::HALVES, (p / 8, p % 8), |r, j| (plane[r][j] & 15) as i8, |r, j| (plane[r][j] >> 4) as i8);
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        six_bits(&self.scales, out, false);
    }

    #[inline(always)]
    fn mins(&self, out: &mut [Integers; 16]) -> Option<&Halves> {
        six_bits(&self.scales, out, true);
        Some(&self.dmin)
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

impl Large for PackedQ5K {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            for (i, plane) in chunk.qs.iter().enumerate() {
                let fifth = |r: usize, j: usize| chunk.qh[i / 4][r][j] >> (2 * (i % 4));
                place(
                    out,
                    Runs::HALVES,
                    (c, i),
                    |r, j| ((plane[r][j] & 15) | (fifth(r, j) & 1) << 4) as i8,
                    |r, j| ((plane[r][j] >> 4) | ((fifth(r, j) >> 1) & 1) << 4) as i8,
                );
            }
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        six_bits(&self.scales, out, false);
    }

    #[inline(always)]
    fn mins(&self, out: &mut [Integers; 16]) -> Option<&Halves> {
        six_bits(&self.scales, out, true);
        Some(&self.dmin)
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

impl Large for PackedQ6K {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            for (i, plane) in chunk.qs.iter().enumerate() {
                let high = |r: usize, j: usize| chunk.qh[i / 2][r][j] >> (2 * (i % 2));
                place(
                    out,
                    Runs::FAR,
                    (c, i),
                    |r, j| ((plane[r][j] & 15) | (high(r, j) & 3) << 4) as i8 - 32,
                    |r, j| ((plane[r][j] >> 4) | ((high(r, j) >> 4) & 3) << 4) as i8 - 32,
                );
            }
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            place_scales(out, Runs::FAR, c, |r, g| i16::from(chunk.scales[r][g] as i8));
        }
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

impl Large for PackedIQ4XS {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            for (i, plane) in chunk.qs.iter().enumerate() {
                place(
                    out,
                    Runs::SIXTEENS,
                    (c, i),
                    |r, j| IQ4_VALUES[usize::from(plane[r][j] & 15)],
                    |r, j| IQ4_VALUES[usize::from(plane[r][j] >> 4)],
                );
            }
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        for (c, chunk) in self.chunks.iter().enumerate() {
            // Groups of a chunk in the order of `place_scales`: low and high run of the first 32, then of the second.
            place_scales(out, Runs::SIXTEENS, c, |r, g| i16::from(chunk.scales[r][g / 2] as i8));
        }
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        self.d.map(f16_to_f32)
    }
}

impl<B: Octets> Large for Stacked<B> {
    #[inline(always)]
    fn codes(&self, out: &mut [Codes; 64]) {
        let mut codes = [[0; 8]; 32];
        for (r, row) in self.rows.iter().enumerate() {
            row.octets(&mut codes);
            for (out, &four) in out.iter_mut().zip(codes.as_flattened().as_chunks().0) {
                out[r] = four.map(|code: u8| code as i8 - BIASED_ZERO as i8);
            }
        }
    }

    #[inline(always)]
    fn scales(&self, out: &mut [Integers; 16]) {
        for (r, row) in self.rows.iter().enumerate() {
            for (out, scale) in out.iter_mut().zip(row.scales()) {
                out[r] = i16::from(scale);
            }
        }
    }

    #[inline(always)]
    fn d(&self) -> [f32; ROWS] {
        std::array::from_fn(|r| self.rows[r].d())
    }
}
