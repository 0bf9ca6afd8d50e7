//! How codes, scales and minimums come out of the packed blocks.

use crate::neon::*;
use std::arch::aarch64::{float32x4_t, int8x16_t, int16x8_t, uint8x16_t, vld1_s8, vld1q_s16, vld1q_u8, vld1q_u32};

use super::large::{self, Large, Mins, Split, split};
use super::small::{self, Small};
use super::{Multiplier, bits, blocks, four, less, load, load_floats, load_halves, look_up, nibbles};
use crate::activation::{Q8x32, Q8x256};
use crate::format::{BIASED_ZERO, IQ4_VALUES, MXFP4_VALUES, Octets};
use crate::matmul::layout::*;
use crate::matmul::tile::{Columns, Tile};

use small::add as add_small;
blocks!(Q8x32, add_small: PackedQ4_0 PackedQ4_1 PackedQ5_0 PackedQ5_1 PackedQ8_0 PackedIQ4NL PackedMXFP4);

use large::add as add_large;
blocks!(Q8x256, add_large: PackedQ2K PackedQ3K PackedQ4K PackedQ5K PackedQ6K PackedIQ4XS);

/// Implements [`Small`]: `|self, part, i, UPPER| codes of step i of a half, d: scale, m: minimum`.
macro_rules! small {
    ($($packed:ident: |$self:ident, $part:ident, $i:ident, $upper:ident| $codes:expr, d: $d:expr $(, m: $m:ident)?;)*) => {$(
        impl Small for $packed {
            #[inline(always)]
            fn codes<const $upper: bool>(&$self, $part: usize) -> [int8x16_t; 4] {
                four(|$i| $codes)
            }

            #[inline(always)]
            fn d(&$self, $part: usize) -> float32x4_t {
                $d
            }

            $(#[inline(always)]
            fn m(&self, part: usize) -> Option<float32x4_t> {
                Some(load_halves(&self.$m, part))
            })?
        }
    )*};
}

small! {
    PackedQ4_0: |self, part, i, UPPER| less(nibbles::<UPPER>(load(&self.qs[i], part)), 8),
        d: load_halves(&self.d, part);
    PackedQ4_1: |self, part, i, UPPER| less(nibbles::<UPPER>(load(&self.qs[i], part)), 0),
        d: load_halves(&self.d, part), m: m;
    PackedQ5_0: |self, part, i, UPPER| less(five_bits::<UPPER>(&self.qs, &self.qh, part, i), 16),
        d: load_halves(&self.d, part);
    PackedQ5_1: |self, part, i, UPPER| less(five_bits::<UPPER>(&self.qs, &self.qh, part, i), 0),
        d: load_halves(&self.d, part), m: m;
    PackedQ8_0: |self, part, i, UPPER| less(load(&self.qs[4 * usize::from(UPPER) + i], part), 128),
        d: load_halves(&self.d, part);
    PackedIQ4NL: |self, part, i, UPPER| look_up(&IQ4_VALUES, nibbles::<UPPER>(load(&self.qs[i], part))),
        d: load_halves(&self.d, part);
    PackedMXFP4: |self, part, i, UPPER| look_up(&MXFP4_VALUES, nibbles::<UPPER>(load(&self.qs[i], part))),
        d: powers_of_two(self.e.as_chunks().0[part]);
}

/// The nibbles and fifth bits of step `i` of a half.
#[inline(always)]
fn five_bits<const UPPER: bool>(qs: &[Plane; 4], qh: &Plane, part: usize, i: usize) -> uint8x16_t {
    let fifth = bits(load(qh, part), 4 * usize::from(UPPER) + i, 4, 0x10);
    vorrq_u8(nibbles::<UPPER>(load(&qs[i], part)), fifth)
}

/// [`e8m0_half`](crate::format::e8m0_half) of four rows.
#[inline(always)]
fn powers_of_two(e: [u8; 4]) -> float32x4_t {
    let e = e.map(u32::from);
    // SAFETY: four words.
    let e = unsafe { vld1q_u32(e.as_ptr()) };
    let normal = vshlq_n_u32::<23>(vsubq_u32(e, vdupq_n_u32(1)));
    let subnormal = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(e));
    vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), subnormal, normal))
}

/// The step of a run that is step `i` of its first or second group.
const fn step(second: bool, i: usize) -> usize {
    4 * second as usize + i
}

/// Scales and minimums of Q4_K and Q5_K.
macro_rules! six_bits {
    () => {
        #[inline(always)]
        fn scales(&self, c: usize, part: usize) -> int8x16_t {
            let a = load(&self.scales[0], part);
            let words = if c < 2 {
                bits(a, 0, 0, 0x3f)
            } else {
                vorrq_u8(nibbles::<false>(load(&self.scales[2], part)), bits(a, 6, 4, 0x30))
            };
            let chunk = vdupq_n_s32(-16 * (c % 2) as i32);
            vreinterpretq_s8_u32(vshlq_u32(vreinterpretq_u32_u8(words), chunk))
        }

        #[inline(always)]
        fn d(&self, part: usize) -> float32x4_t {
            load_halves(&self.d, part)
        }

        #[inline(always)]
        fn mins(&self, part: usize) -> Option<Mins> {
            let (b, c) = (load(&self.scales[1], part), load(&self.scales[2], part));
            let first = less(bits(b, 0, 0, 0x3f), 0);
            let second = less(vorrq_u8(nibbles::<true>(c), bits(b, 6, 4, 0x30)), 0);
            Some(Mins { dmin: load_halves(&self.dmin, part), eights: [[first, second]; 2], count: 1 })
        }

        #[inline(always)]
        fn sums(x: &Q8x256) -> [Split; 2] {
            let [a, b] = load_sums(x);
            [split(vpaddq_s16(a, b)), vdupq_n_s8(0)]
        }
    };
}

impl Large for PackedQ4K {
    const RUNS: Runs = Runs::HALVES;
    const THIRTY_TWO: bool = true;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        four(|i| less(nibbles::<HIGH>(load(&self.qs[8 * c + step(SECOND, i)], part)), 0))
    }

    six_bits!();
}

impl Large for PackedQ5K {
    const RUNS: Runs = Runs::HALVES;
    const THIRTY_TWO: bool = true;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        let w = &self.chunks[c];
        let fifths = load(&w.qh[usize::from(SECOND)], part);
        four(|i| {
            let fifth = bits(fifths, 2 * i + usize::from(HIGH), 4, 0x10);
            less(vorrq_u8(nibbles::<HIGH>(load(&w.qs[step(SECOND, i)], part)), fifth), 0)
        })
    }

    six_bits!();
}

impl Large for PackedQ6K {
    const RUNS: Runs = Runs::FAR;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        let w = &self.chunks[c];
        four(|i| {
            let (i, from) = (step(SECOND, i), 2 * (i % 2) + 4 * usize::from(HIGH));
            let high = bits(load(&w.qh[i / 2], part), from, 4, 0x30);
            less(vorrq_u8(nibbles::<HIGH>(load(&w.qs[i], part)), high), 32)
        })
    }

    #[inline(always)]
    fn scales(&self, c: usize, part: usize) -> int8x16_t {
        less(load(&self.chunks[c].scales, part), 0)
    }

    #[inline(always)]
    fn d(&self, part: usize) -> float32x4_t {
        load_halves(&self.d, part)
    }
}

impl Large for PackedQ3K {
    const RUNS: Runs = Runs::HALVES;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        let w = &self.chunks[c];
        let thirds = load(&w.qh[usize::from(SECOND)], part);
        four(|i| {
            let two = two_bits::<HIGH>(&w.qs, part, step(SECOND, i));
            less(vorrq_u8(two, bits(thirds, 2 * i + usize::from(HIGH), 2, 4)), 4)
        })
    }

    #[inline(always)]
    fn scales(&self, c: usize, part: usize) -> int8x16_t {
        less(load(&self.chunks[c].scales, part), 0)
    }

    #[inline(always)]
    fn d(&self, part: usize) -> float32x4_t {
        load_halves(&self.d, part)
    }
}

impl Large for PackedQ2K {
    const RUNS: Runs = Runs::HALVES;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        four(|i| less(two_bits::<HIGH>(&self.chunks[c].qs, part, step(SECOND, i)), 0))
    }

    #[inline(always)]
    fn scales(&self, c: usize, part: usize) -> int8x16_t {
        less(nibbles::<false>(load(&self.chunks[c].scales, part)), 0)
    }

    #[inline(always)]
    fn d(&self, part: usize) -> float32x4_t {
        load_halves(&self.d, part)
    }

    #[inline(always)]
    fn mins(&self, part: usize) -> Option<Mins> {
        let mins = |c: usize| less(nibbles::<true>(load(&self.chunks[c].scales, part)), 0);
        let eights = [[mins(0), mins(1)], [mins(2), mins(3)]];
        Some(Mins { dmin: load_halves(&self.dmin, part), eights, count: 2 })
    }

    /// In the order of a chunk's groups: the second and the third of four change places.
    #[inline(always)]
    fn sums(x: &Q8x256) -> [Split; 2] {
        const ORDER: [u8; 16] = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
        // SAFETY: 16 bytes.
        let order = unsafe { vld1q_u8(ORDER.as_ptr()) };
        load_sums(x).map(|sums| split(vreinterpretq_s16_s8(vqtbl1q_s8(vreinterpretq_s8_s16(sums), order))))
    }
}

/// The two bits of step `i` of a run.
#[inline(always)]
fn two_bits<const HIGH: bool>(qs: &[Plane; 4], part: usize, i: usize) -> uint8x16_t {
    bits(load(&qs[i / 2], part), 4 * (i % 2) + 2 * usize::from(HIGH), 0, 3)
}

/// The sums of sixteen groups of activations.
#[inline(always)]
fn load_sums(x: &Q8x256) -> [int16x8_t; 2] {
    let halves = x.sums.as_chunks::<8>().0;
    // SAFETY: eight words each.
    unsafe { [vld1q_s16(halves[0].as_ptr()), vld1q_s16(halves[1].as_ptr())] }
}

impl Large for PackedIQ4XS {
    const RUNS: Runs = Runs::SIXTEENS;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        let qs = &self.chunks[c].qs;
        four(|i| look_up(&IQ4_VALUES, nibbles::<HIGH>(load(&qs[step(SECOND, i)], part))))
    }

    /// Both runs of 32 values have one scale.
    #[inline(always)]
    fn scales(&self, c: usize, part: usize) -> int8x16_t {
        let rows: &[[u8; 2]; 4] = &self.chunks[c].scales.as_chunks().0[part];
        // SAFETY: eight bytes; the load needs no alignment.
        let scales = unsafe { vld1_s8(rows.as_ptr().cast()) };
        vcombine_s8(vzip1_s8(scales, scales), vzip2_s8(scales, scales))
    }

    #[inline(always)]
    fn d(&self, part: usize) -> float32x4_t {
        load_halves(&self.d, part)
    }
}

/// Codes that were looked up lie in the order of the values, as do the groups of [`Runs::SIXTEENS`].
impl Large for Spread {
    const RUNS: Runs = Runs::SIXTEENS;

    #[inline(always)]
    fn codes<const HIGH: bool, const SECOND: bool>(&self, c: usize, part: usize) -> [int8x16_t; 4] {
        let first = 16 * c + 4 * (2 * usize::from(SECOND) + usize::from(HIGH));
        four(|i| less(load(&self.codes[first + i], part), BIASED_ZERO))
    }

    #[inline(always)]
    fn scales(&self, c: usize, part: usize) -> int8x16_t {
        less(load(&self.scales[c], part), 0)
    }

    #[inline(always)]
    fn d(&self, part: usize) -> float32x4_t {
        load_floats(&self.d, part)
    }
}

impl super::Blocks for Spread {
    type Activation = Q8x256;

    #[inline(always)]
    fn add<M: Multiplier, const N: usize, const R: usize>(
        m: M,
        w: &[Self],
        x: Columns<'_, Q8x256>,
        out: &mut Tile<'_>,
    ) {
        add_large::<M, Spread, N, R>(m, w, x, out);
    }
}

/// Codes that are looked up are spread out once for all columns of a tile.
impl<B: Octets> super::Kernel for Stacked<B> {
    type Activation = Q8x256;

    fn tile<M: Multiplier>(m: M, w: &[Self], x: Columns<'_, Q8x256>, n: usize, out: &mut Tile<'_>) {
        let mut block = Spread::ZERO;
        for (w, x) in x.zip_n(n, w) {
            block.set(super::Neon, w);
            m.tile(std::slice::from_ref(&block), Columns::new(x, n, 0), n, out);
        }
    }
}
