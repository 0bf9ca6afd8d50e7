//! Three ways to multiply codes with activations; all give the exact sums.

use crate::neon::*;
use std::arch::aarch64::{int8x16_t, int32x4_t};
use std::arch::asm;

use super::Blocks;
use crate::matmul::tile::{Columns, Tile};

/// A way to multiply. A value exists only where the processor has the instructions.
pub(in crate::matmul) trait Multiplier: Copy {
    /// Adds the product of a row group and `n` columns to `out`, in a function of the instruction set. At most
    /// [`tile_width`](crate::matmul::kernel::tile_width) columns.
    fn tile<B: Blocks>(self, w: &[B], x: Columns<'_, B::Activation>, n: usize, out: &mut Tile<'_>);

    /// Adds to the sums of four rows the products of eight values: the four of `codes[0]`, then those of `codes[1]`, with
    /// the lower half of a column's `x`, or the `UPPER` one.
    fn one<const UPPER: bool>(self, sums: int32x4_t, codes: [int8x16_t; 2], x: int8x16_t) -> int32x4_t;

    /// Sixteen values of two columns as [`two`](Self::two) wants them.
    #[inline(always)]
    fn pair(self, x: [int8x16_t; 2]) -> [int8x16_t; 2] {
        x
    }

    /// As [`one`](Self::one) for two columns. How their sums share the two registers says [`columns`](Self::columns).
    #[inline(always)]
    fn two<const UPPER: bool>(self, sums: [int32x4_t; 2], codes: [int8x16_t; 2], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        [self.one::<UPPER>(sums[0], codes, x[0]), self.one::<UPPER>(sums[1], codes, x[1])]
    }

    /// Factors of four rows, in the places that the sums of two columns have.
    #[inline(always)]
    fn factors(self, rows: int32x4_t) -> [int32x4_t; 2] {
        [rows; 2]
    }

    /// The sums of two columns, four rows each.
    #[inline(always)]
    fn columns(self, sums: [int32x4_t; 2]) -> [int32x4_t; 2] {
        sums
    }
}

/// Declares a function for `N` columns and `R` parts in the instruction set of a multiplier.
macro_rules! tile {
    ($($feature:literal)?, $($n:literal: $r:literal)*) => {
        fn tile<B: Blocks>(self, w: &[B], x: Columns<'_, B::Activation>, n: usize, out: &mut Tile<'_>) {
            #[inline(never)]
            $(#[target_feature(enable = $feature)])?
            unsafe fn add<B: Blocks, M: Multiplier, const N: usize, const R: usize>(
                m: M,
                w: &[B],
                x: Columns<'_, B::Activation>,
                out: &mut Tile<'_>,
            ) {
                B::add::<M, N, R>(m, w, x, out);
            }
            // SAFETY: `self` exists only where the processor has the features.
            unsafe {
                match n {
                    $($n => add::<B, Self, $n, $r>(self, w, x, out),)*
                    _ => unreachable!("a tile of {n} columns"),
                }
            }
        }
    };
}

/// Multiplications to 16 bits, where two products of bytes fit.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct Plain;

impl Multiplier for Plain {
    tile!(, 1: 4 2: 2 3: 1 4: 1);

    #[inline(always)]
    fn one<const UPPER: bool>(self, sums: int32x4_t, codes: [int8x16_t; 2], x: int8x16_t) -> int32x4_t {
        let x = vreinterpretq_s32_s8(x);
        let (a, b) = if UPPER {
            (vdupq_laneq_s32::<2>(x), vdupq_laneq_s32::<3>(x))
        } else {
            (vdupq_laneq_s32::<0>(x), vdupq_laneq_s32::<1>(x))
        };
        let (a, b) = (vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
        let low = vmlal_s8(vmull_s8(vget_low_s8(codes[0]), vget_low_s8(a)), vget_low_s8(codes[1]), vget_low_s8(b));
        let high = vmlal_high_s8(vmull_high_s8(codes[0], a), codes[1], b);
        vaddq_s32(sums, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))
    }
}

/// Dot products of four bytes: ARMv8.2 and later with `dotprod`.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct Dot(());

impl Dot {
    /// # Safety
    /// The processor has `dotprod`.
    pub(in crate::matmul) unsafe fn new() -> Dot {
        Dot(())
    }
}

impl Multiplier for Dot {
    tile!("dotprod", 1: 4 2: 4 3: 2 4: 2 5: 1 6: 1 7: 1 8: 1);

    #[inline(always)]
    fn one<const UPPER: bool>(self, sums: int32x4_t, codes: [int8x16_t; 2], x: int8x16_t) -> int32x4_t {
        // SAFETY: `self` exists only where the processor has `dotprod`.
        unsafe {
            if UPPER {
                sdot::<3>(sdot::<2>(sums, codes[0], x), codes[1], x)
            } else {
                sdot::<1>(sdot::<0>(sums, codes[0], x), codes[1], x)
            }
        }
    }
}

/// Products of matrices of bytes: ARMv8.6 and later, `i8mm` besides `dotprod`.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct I8mm(());

impl I8mm {
    /// # Safety
    /// The processor has `dotprod` and `i8mm`.
    pub(in crate::matmul) unsafe fn new() -> I8mm {
        I8mm(())
    }
}

impl Multiplier for I8mm {
    tile!("dotprod,i8mm", 2: 4 3: 2 4: 2 5: 1 6: 1 7: 1 8: 1);

    #[inline(always)]
    fn one<const UPPER: bool>(self, sums: int32x4_t, codes: [int8x16_t; 2], x: int8x16_t) -> int32x4_t {
        Dot(()).one::<UPPER>(sums, codes, x)
    }

    /// The first register has the lower halves, the second the upper ones.
    #[inline(always)]
    fn pair(self, x: [int8x16_t; 2]) -> [int8x16_t; 2] {
        let x = x.map(|x| vreinterpretq_s64_s8(x));
        [vreinterpretq_s8_s64(vzip1q_s64(x[0], x[1])), vreinterpretq_s8_s64(vzip2q_s64(x[0], x[1]))]
    }

    /// The first register has rows 0 and 1, each with both columns, the second rows 2 and 3.
    #[inline(always)]
    fn two<const UPPER: bool>(self, sums: [int32x4_t; 2], codes: [int8x16_t; 2], x: [int8x16_t; 2]) -> [int32x4_t; 2] {
        let codes = codes.map(|codes| vreinterpretq_s32_s8(codes));
        let rows = [vzip1q_s32(codes[0], codes[1]), vzip2q_s32(codes[0], codes[1])];
        let x = x[usize::from(UPPER)];
        // SAFETY: `self` exists only where the processor has `i8mm`.
        unsafe { [smmla(sums[0], vreinterpretq_s8_s32(rows[0]), x), smmla(sums[1], vreinterpretq_s8_s32(rows[1]), x)] }
    }

    #[inline(always)]
    fn factors(self, rows: int32x4_t) -> [int32x4_t; 2] {
        [vzip1q_s32(rows, rows), vzip2q_s32(rows, rows)]
    }

    #[inline(always)]
    fn columns(self, sums: [int32x4_t; 2]) -> [int32x4_t; 2] {
        [vuzp1q_s32(sums[0], sums[1]), vuzp2q_s32(sums[0], sums[1])]
    }
}

/// Adds to word `i` the products of the four bytes of word `i` of `a` and word `LANE` of `b`. The intrinsic is not in all
/// versions of Rust that this crate builds with.
#[inline]
#[target_feature(enable = "dotprod")]
fn sdot<const LANE: usize>(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: arithmetic on registers that this function's features have.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Adds to word `2 i + j` the products of the eight bytes of half `i` of `a` and half `j` of `b`. There is no stable
/// intrinsic.
#[inline]
#[target_feature(enable = "i8mm")]
fn smmla(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: arithmetic on registers that this function's features have.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
