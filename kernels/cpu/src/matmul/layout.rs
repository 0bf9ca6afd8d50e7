//! Packed blocks: one block of each of 16 rows, interleaved so that a 512-bit register holds four consecutive codes of
//! all 16 rows (a [`Plane`]).
//!
//! A product broadcasts four activations and multiplies them with a whole plane, so 16 results grow side by side with
//! no horizontal sum; AVX2 reads the same plane as two halves of eight rows, NEON as four parts of four. One layout serves one column (decode) and
//! many (prefill). Codes keep the width that they have in the file: nibbles stay nibbles, high bits get planes of
//! their own. The code of value `i` lies in byte `i % 4` of a row's part of its plane.
//!
//! Blocks of 32 have eight *steps* of four values: step `z` covers values `4 z ..`. Nibble plane `p` holds step `p` low
//! and step `p + 4` high.
//!
//! Blocks of 256 are four *chunks* of 64 values with eight nibble planes. Plane `i` of a chunk holds four values of the
//! chunk's *low* run in the low nibbles and four of its *high* run in the high nibbles; where the runs begin depends on
//! the format (see [`Runs`]).

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::words::{Transpose, Words};
use crate::format::*;

/// Rows of a group.
pub(super) const ROWS: usize = 16;

/// A cache line: what a 512-bit load wants to be aligned to.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Line([u8; 64]);

impl Line {
    pub(super) const ZERO: Line = Line([0; 64]);

    /// The bytes of lines.
    pub(super) fn bytes(lines: &[Line]) -> &[u8] {
        // SAFETY: lines are bytes without padding.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
    }

    /// The bytes of lines, to write.
    pub(super) fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
        // SAFETY: lines are bytes without padding, borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
    }
}

/// Four bytes of each of 16 rows.
pub(super) type Plane = [[u8; 4]; ROWS];

/// One f16 of each of 16 rows.
pub(super) type Halves = [[u8; 2]; ROWS];

/// Blocks of 16 rows.
///
/// # Safety
/// The type is `repr(C)` and made of byte arrays alone: alignment 1, no padding, every bit pattern valid.
pub(super) unsafe trait Packed: Copy + Send + Sync + 'static {
    /// The block of the file that 16 of are packed here.
    type Source: Block;

    /// Views the bytes of a row group as its packed blocks, in ascending order of values.
    fn cast(bytes: &[u8]) -> &[Self] {
        const { assert!(align_of::<Self>() == 1 && size_of::<Self>() > 0) };
        // SAFETY: the trait promises that any bytes are valid and need no alignment; the length is rounded down.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<Self>()) }
    }

    /// As [`cast`](Self::cast), to write.
    fn cast_mut(bytes: &mut [u8]) -> &mut [Self] {
        const { assert!(align_of::<Self>() == 1 && size_of::<Self>() > 0) };
        // SAFETY: as in `cast`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / size_of::<Self>()) }
    }
}

/// Declares packed blocks with the block of the file that they come from.
macro_rules! packed {
    ($($(#[$meta:meta])* $name:ident($source:ty) { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(super) struct $name {
            $($(#[$field_meta])* pub(super) $field: $type,)*
        }
        // SAFETY: byte arrays alone.
        unsafe impl Packed for $name { type Source = $source; }
    )*};
}

packed! {
    /// One value of each of 16 rows.
    PackedF32(BlockF32) { value: Plane, }
    /// One value of each of 16 rows.
    PackedF16(BlockF16) { value: Halves, }
    /// One value of each of 16 rows.
    PackedBF16(BlockBF16) { value: Halves, }
    /// As the file: the nibble order of 32-blocks is the packed order already.
    PackedQ4_0(BlockQ4_0) { d: Halves, qs: [Plane; 4], }
    /// As [`PackedQ4_0`], with minimums.
    PackedQ4_1(BlockQ4_1) { d: Halves, m: Halves, qs: [Plane; 4], }
    /// As [`PackedQ4_0`]; bit `z` of a byte of `qh` is the fifth bit of that byte's code in step `z`.
    PackedQ5_0(BlockQ5_0) { d: Halves, qh: Plane, qs: [Plane; 4], }
    /// As [`PackedQ5_0`], with minimums.
    PackedQ5_1(BlockQ5_1) { d: Halves, m: Halves, qh: Plane, qs: [Plane; 4], }
    /// Codes plus 128, so that they multiply as unsigned bytes; plane `z` is step `z`.
    PackedQ8_0(BlockQ8_0) { d: Halves, qs: [Plane; 8], }
    /// As [`PackedQ4_0`], nibbles being table indices.
    PackedIQ4NL(BlockIQ4NL) { d: Halves, qs: [Plane; 4], }
    /// As [`PackedIQ4NL`] with an exponent for a scale.
    PackedMXFP4(BlockMXFP4) { e: [u8; ROWS], qs: [Plane; 4], }
    /// Runs [`Runs::HALVES`].
    PackedQ2K(BlockQ2K) { d: Halves, dmin: Halves, chunks: [ChunkQ2K; 4], }
    /// Runs [`Runs::HALVES`].
    PackedQ3K(BlockQ3K) { d: Halves, chunks: [ChunkQ3K; 4], }
    /// Runs [`Runs::HALVES`]; scales and minimums stay in their 12 bytes, nibble plane `8 c + i` is plane `i` of
    /// chunk `c`.
    PackedQ4K(BlockQ4K) { d: Halves, dmin: Halves, scales: [Plane; 3], qs: [Plane; 32], }
    /// Runs [`Runs::HALVES`].
    PackedQ5K(BlockQ5K) { d: Halves, dmin: Halves, scales: [Plane; 3], chunks: [ChunkQ5K; 4], }
    /// Runs [`Runs::FAR`]. Padded so that planes do not straddle cache lines, which costs more than the 1 % of memory.
    PackedQ6K(BlockQ6K) { d: Halves, padding: Halves, chunks: [ChunkQ6K; 4], }
    /// Runs [`Runs::SIXTEENS`].
    PackedIQ4XS(BlockIQ4XS) { d: Halves, chunks: [ChunkIQ4XS; 4], }
}

/// One block of each of 16 rows as in the file, for formats whose codes must be looked up: kernels [spread](Spread) it on
/// their way.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Stacked<B> {
    pub(super) rows: [B; ROWS],
}

// SAFETY: `B` is made of byte arrays alone.
unsafe impl<B: Block> Packed for Stacked<B> {
    type Source = B;
}

/// A [`Stacked`] block for the time of its products: a byte for every code.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[repr(C, align(64))]
pub(super) struct Spread {
    /// Plane `z` has values `4 z ..`, codes plus [`BIASED_ZERO`].
    pub(super) codes: [Plane; 64],
    /// Plane `c` has the scales of four groups of 16 values, from value `64 c` on.
    pub(super) scales: [Plane; 4],
    /// Scales of the scales.
    pub(super) d: [f32; ROWS],
    /// The codes row by row: where they are looked up.
    rows: [[[u8; 8]; 32]; ROWS],
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Spread {
    pub(super) const ZERO: Spread =
        Spread { codes: [[[0; 4]; ROWS]; 64], scales: [[[0; 4]; ROWS]; 4], d: [0.0; ROWS], rows: [[[0; 8]; 32]; ROWS] };

    /// Takes the values of `block`.
    #[inline(always)]
    pub(super) fn set<B: Octets>(&mut self, t: impl Transpose, block: &Stacked<B>) {
        for (r, row) in block.rows.iter().enumerate() {
            self.d[r] = row.d();
            for (plane, four) in self.scales.iter_mut().zip(row.scales().as_chunks().0) {
                plane[r] = *four;
            }
            row.octets(&mut self.rows[r]);
        }
        let first = self.rows.as_ptr().cast::<u8>();
        let offsets = std::array::from_fn(|r| 256 * r);
        for (q, planes) in self.codes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // SAFETY: a row is 256 bytes, and there are 16 quads.
            let words = unsafe { t.quad(first.add(16 * q), &offsets) };
            for p in 0..4 {
                words[p].store(&mut planes[p]);
            }
        }
    }
}

/// 64 values of 16 rows, Q2_K.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ChunkQ2K {
    /// Scale (low nibble) and minimum (high nibble) of four groups of 16 values: the low run's first, the high run's
    /// first, the low run's second, the high run's second.
    pub(super) scales: Plane,
    /// Nibble `i % 2` of plane `i / 2` holds step `i`: two bits of the low run below two of the high run.
    pub(super) qs: [Plane; 4],
}

/// 64 values of 16 rows, Q3_K.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ChunkQ3K {
    /// Signed scales in the order of [`ChunkQ2K::scales`].
    pub(super) scales: Plane,
    /// Low two bits, as [`ChunkQ2K::qs`].
    pub(super) qs: [Plane; 4],
    /// Third bits: bit `2 (i % 4)` of plane `i / 4` is step `i` of the low run, the bit above it of the high run.
    pub(super) qh: [Plane; 2],
}

/// 64 values of 16 rows, Q5_K.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ChunkQ5K {
    /// Fifth bits, in the order of [`ChunkQ3K::qh`].
    pub(super) qh: [Plane; 2],
    /// Low four bits.
    pub(super) qs: [Plane; 8],
}

/// 64 values of 16 rows, Q6_K.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ChunkQ6K {
    /// Signed scales in the order of [`ChunkQ2K::scales`].
    pub(super) scales: Plane,
    /// High two bits: plane `i / 2` holds, from bit 0 up, the low run of step `i` even, the low run of `i` odd, the
    /// high run of `i` even, the high run of `i` odd.
    pub(super) qh: [Plane; 4],
    /// Low four bits.
    pub(super) qs: [Plane; 8],
}

/// 64 values of 16 rows, IQ4_XS.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ChunkIQ4XS {
    /// Signed scales of the chunk's two groups of 32.
    pub(super) scales: [[u8; 2]; ROWS],
    /// Table indices. Planes 0..4 are the first group, planes 4..8 the second.
    pub(super) qs: [Plane; 8],
}

/// Where the values of a chunk of 64 lie in a block of 256: step `i` (0..8) of chunk `c` covers four values from
/// `low(c, i)` in the low run and four from `high(c, i)` in the high run.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    /// Distance of two chunks, for even and odd chunks: chunk `c` begins at `(c / 2) * 128 + (c % 2) * odd`.
    odd: usize,
    /// Distance of steps 4.. from steps 0..
    second: usize,
    /// Distance of the high run from the low run.
    high: usize,
}

impl Runs {
    /// Low run `64 c .. 64 c + 32`, high run the 32 values after it.
    pub(super) const HALVES: Runs = Runs { odd: 64, second: 16, high: 32 };
    /// Low run `128 n + 32 t ..` with `n = c / 2`, `t = c % 2`; high run 64 values after it.
    pub(super) const FAR: Runs = Runs { odd: 32, second: 16, high: 64 };
    /// Two groups of 32 values, each 16 low and 16 high.
    pub(super) const SIXTEENS: Runs = Runs { odd: 64, second: 32, high: 16 };

    /// First of the four values of step `i` in the low run of chunk `c`.
    #[inline]
    pub(super) const fn low(self, c: usize, i: usize) -> usize {
        128 * (c / 2) + self.odd * (c % 2) + self.second * (i / 4) + 4 * (i % 4)
    }

    /// First of the four values of step `i` in the high run of chunk `c`.
    #[inline]
    pub(super) const fn high(self, c: usize, i: usize) -> usize {
        self.low(c, i) + self.high
    }
}

/// The steps of IQ4_NL and IQ4_XS plus 128: unsigned codes.
#[cfg(target_arch = "x86_64")]
pub(super) const IQ4_STEPS: [u8; 16] = biased(&IQ4_VALUES, 128);

/// The steps of MXFP4 plus 16: unsigned codes.
#[cfg(target_arch = "x86_64")]
pub(super) const MXFP4_STEPS: [u8; 16] = biased(&MXFP4_VALUES, 16);

#[cfg(target_arch = "x86_64")]
const fn biased(values: &[i8; 16], bias: u8) -> [u8; 16] {
    let mut steps = [0; 16];
    let mut i = 0;
    while i < 16 {
        steps[i] = (values[i] as u8).wrapping_add(bias);
        i += 1;
    }
    steps
}

/// Evaluates an expression with `P` as the packed type of a format: `with_packed!(format, P => expression)`.
#[rustfmt::skip]
macro_rules! with_packed {
    ($format:expr, $p:ident => $work:expr) => {{
        use $crate::matmul::layout::*;
        match $format {
            Format::F32 => {
                type $p = PackedF32;
                $work
            }
            Format::F16 => {
                type $p = PackedF16;
                $work
            }
            Format::BF16 => {
                type $p = PackedBF16;
                $work
            }
            Format::Q4_0 => {
                type $p = PackedQ4_0;
                $work
            }
            Format::Q4_1 => {
                type $p = PackedQ4_1;
                $work
            }
            Format::Q5_0 => {
                type $p = PackedQ5_0;
                $work
            }
            Format::Q5_1 => {
                type $p = PackedQ5_1;
                $work
            }
            Format::Q8_0 => {
                type $p = PackedQ8_0;
                $work
            }
            Format::Q2_K => {
                type $p = PackedQ2K;
                $work
            }
            Format::Q3_K => {
                type $p = PackedQ3K;
                $work
            }
            Format::Q4_K => {
                type $p = PackedQ4K;
                $work
            }
            Format::Q5_K => {
                type $p = PackedQ5K;
                $work
            }
            Format::Q6_K => {
                type $p = PackedQ6K;
                $work
            }
            Format::IQ4_NL => {
                type $p = PackedIQ4NL;
                $work
            }
            Format::IQ4_XS => {
                type $p = PackedIQ4XS;
                $work
            }
            Format::MXFP4 => {
                type $p = PackedMXFP4;
                $work
            }
            Format::IQ1_S => {
                type $p = Stacked<$crate::format::BlockIQ1S>;
                $work
            }
            Format::IQ1_M => {
                type $p = Stacked<$crate::format::BlockIQ1M>;
                $work
            }
            Format::IQ2_XXS => {
                type $p = Stacked<$crate::format::BlockIQ2XXS>;
                $work
            }
            Format::IQ2_XS => {
                type $p = Stacked<$crate::format::BlockIQ2XS>;
                $work
            }
            Format::IQ2_S => {
                type $p = Stacked<$crate::format::BlockIQ2S>;
                $work
            }
            Format::IQ3_XXS => {
                type $p = Stacked<$crate::format::BlockIQ3XXS>;
                $work
            }
            Format::IQ3_S => {
                type $p = Stacked<$crate::format::BlockIQ3S>;
                $work
            }
            Format::TQ1_0 => {
                type $p = Stacked<$crate::format::BlockTQ1_0>;
                $work
            }
            Format::TQ2_0 => {
                type $p = Stacked<$crate::format::BlockTQ2_0>;
                $work
            }
        }
    }};
}
pub(super) use with_packed;
