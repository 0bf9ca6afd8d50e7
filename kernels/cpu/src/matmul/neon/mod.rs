//! Products over packed blocks with NEON, the vectors of every 64-bit ARM.
//!
//! A register is four codes of four rows: a plane is read as four *parts*. `sdot` multiplies one with four of sixteen
//! activations in a register, so a load of activations serves four planes; `smmla` takes eight values of two rows and
//! two columns at a time; processors with neither multiply and add in 16 bits (see [`multiplier`]). Codes are brought to
//! their signed values on the way, once for all columns of a tile.
//!
//! One kernel serves all formats of a block size, and every way to multiply: a format says how its codes, scales and
//! minimums come out of a packed block. The wider the tile, the fewer rows go side by side, so that sums stay in
//! registers.

mod columns;
mod float;
mod formats;
mod large;
mod multiplier;
mod small;
mod transpose;

pub(super) use multiplier::{Dot, I8mm, Multiplier, Plain};
pub(super) use transpose::Neon;

use crate::neon::*;
use std::arch::aarch64::{float32x4_t, int8x16_t, uint8x16_t, vld1_u16, vld1q_f32, vld1q_s8, vld1q_u8, vst1q_f32};

use super::layout::*;
use super::tile::{Columns, Tile};

/// A packed block with a NEON kernel.
pub(super) trait Kernel: Packed {
    /// Block of the activations.
    type Activation;

    /// As [`Multiplier::tile`].
    fn tile<M: Multiplier>(m: M, w: &[Self], x: Columns<'_, Self::Activation>, n: usize, out: &mut Tile<'_>);
}

/// Blocks that are multiplied as they are.
pub(super) trait Blocks: Sized {
    /// Block of the activations.
    type Activation;

    /// Adds the product of a row group and `N` columns to `out`, `R` parts of the rows side by side. Inlined into
    /// functions of the multiplier's instruction set.
    fn add<M: Multiplier, const N: usize, const R: usize>(
        m: M,
        w: &[Self],
        x: Columns<'_, Self::Activation>,
        out: &mut Tile<'_>,
    );
}

/// Names the packed blocks whose kernel is `$add`, a function of their [`Blocks::add`].
macro_rules! blocks {
    ($activation:ty, $add:ident: $($packed:ident)*) => {$(
        impl $crate::matmul::neon::Blocks for $packed {
            type Activation = $activation;

            #[inline(always)]
            fn add<M: Multiplier, const N: usize, const R: usize>(
                m: M,
                w: &[Self],
                x: Columns<'_, $activation>,
                out: &mut Tile<'_>,
            ) {
                $add::<M, $packed, N, R>(m, w, x, out);
            }
        }

        impl $crate::matmul::neon::Kernel for $packed {
            type Activation = $activation;

            fn tile<M: Multiplier>(m: M, w: &[Self], x: Columns<'_, $activation>, n: usize, out: &mut Tile<'_>) {
                m.tile(w, x, n, out);
            }
        }
    )*};
}
use blocks;

/// Parts of a plane: registers of four rows.
const PARTS: usize = ROWS / 4;

/// Four rows of a plane.
#[inline(always)]
fn load(plane: &Plane, part: usize) -> uint8x16_t {
    let rows: &[[u8; 4]; 4] = &plane.as_chunks().0[part];
    // SAFETY: 16 bytes; the load needs no alignment.
    unsafe { vld1q_u8(rows.as_ptr().cast()) }
}

/// The f16 of four rows.
#[inline(always)]
fn load_halves(halves: &Halves, part: usize) -> float32x4_t {
    let rows: &[[u8; 2]; 4] = &halves.as_chunks().0[part];
    // SAFETY: 8 bytes; the load needs no alignment.
    widen(unsafe { vld1_u16(rows.as_ptr().cast()) })
}

/// Four floats.
#[inline(always)]
fn load_floats(floats: &[f32; ROWS], part: usize) -> float32x4_t {
    let rows: &[f32; 4] = &floats.as_chunks().0[part];
    // SAFETY: four floats.
    unsafe { vld1q_f32(rows.as_ptr()) }
}

/// Four results.
#[inline(always)]
fn store_floats(floats: &mut [f32; ROWS], part: usize, v: float32x4_t) {
    let rows: &mut [f32; 4] = &mut floats.as_chunks_mut().0[part];
    // SAFETY: four floats.
    unsafe { vst1q_f32(rows.as_mut_ptr(), v) };
}

/// Sixteen activations.
#[inline(always)]
fn load_codes(qs: &[i8; 16]) -> int8x16_t {
    // SAFETY: 16 bytes.
    unsafe { vld1q_s8(qs.as_ptr()) }
}

/// Four of them. The library's way is far more code to compile.
#[inline(always)]
fn four<T>(of: impl Fn(usize) -> T) -> [T; 4] {
    [of(0), of(1), of(2), of(3)]
}

/// The low nibbles of every byte, or the high ones.
#[inline(always)]
fn nibbles<const HIGH: bool>(bytes: uint8x16_t) -> uint8x16_t {
    if HIGH { vshrq_n_u8::<4>(bytes) } else { vandq_u8(bytes, vdupq_n_u8(15)) }
}

/// `mask` bits of every byte, after bit `from` was brought to bit `to`. All three are constants when inlined.
#[inline(always)]
fn bits(bytes: uint8x16_t, from: usize, to: usize, mask: u8) -> uint8x16_t {
    vandq_u8(vshlq_u8(bytes, vdupq_n_s8(to as i8 - from as i8)), vdupq_n_u8(mask))
}

/// Bytes less `zero`: signed codes.
#[inline(always)]
fn less(bytes: uint8x16_t, zero: u8) -> int8x16_t {
    vreinterpretq_s8_u8(vsubq_u8(bytes, vdupq_n_u8(zero)))
}

/// Replaces nibbles by what they stand for.
#[inline(always)]
fn look_up(values: &'static [i8; 16], nibbles: uint8x16_t) -> int8x16_t {
    vqtbl1q_s8(load_codes(values), nibbles)
}
