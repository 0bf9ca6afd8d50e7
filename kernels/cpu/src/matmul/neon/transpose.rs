//! From rows to planes.

use crate::neon::*;
use std::arch::aarch64::{uint32x4_t, vld1q_u8, vst1_u8, vst1q_u8};

use super::four;
use crate::matmul::layout::{Halves, Plane, ROWS};
use crate::matmul::words::{Transpose, Words, operators};

/// NEON, which every 64-bit ARM has.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct Neon;

/// Words of rows 0..4, 4..8, 8..12 and 12..16.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct Registers([uint32x4_t; 4]);

impl Transpose for Neon {
    type Words = Registers;

    #[inline(always)]
    unsafe fn quad(self, first: *const u8, offsets: &[usize; ROWS]) -> [Registers; 4] {
        let mut words = [Registers([vdupq_n_u32(0); 4]); 4];
        for part in 0..4 {
            // SAFETY: the caller promises 16 readable bytes for each row; the loads need no alignment.
            let row = |r: usize| unsafe { vreinterpretq_u32_u8(vld1q_u8(first.add(offsets[4 * part + r]))) };
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let wide = |low, high| (vreinterpretq_u64_u32(low), vreinterpretq_u64_u32(high));
            let (ab_even, cd_even) = wide(vtrn1q_u32(a, b), vtrn1q_u32(c, d));
            let (ab_odd, cd_odd) = wide(vtrn2q_u32(a, b), vtrn2q_u32(c, d));
            words[0].0[part] = vreinterpretq_u32_u64(vtrn1q_u64(ab_even, cd_even));
            words[1].0[part] = vreinterpretq_u32_u64(vtrn1q_u64(ab_odd, cd_odd));
            words[2].0[part] = vreinterpretq_u32_u64(vtrn2q_u64(ab_even, cd_even));
            words[3].0[part] = vreinterpretq_u32_u64(vtrn2q_u64(ab_odd, cd_odd));
        }
        words
    }

    #[inline(always)]
    unsafe fn halves(self, first: *const u8, offsets: &[usize; ROWS], out: &mut Halves) {
        // SAFETY: the caller promises that 2 bytes can be read; an array of bytes needs no alignment.
        *out = offsets.map(|offset| unsafe { first.add(offset).cast::<[u8; 2]>().read() });
    }

    #[inline(always)]
    fn words(self, words: &Plane) -> Registers {
        // SAFETY: a quarter of a plane is 16 bytes; the load needs no alignment.
        let load = |part: &[[u8; 4]; 4]| unsafe { vreinterpretq_u32_u8(vld1q_u8(part.as_ptr().cast())) };
        let parts = words.as_chunks::<4>().0;
        Registers([load(&parts[0]), load(&parts[1]), load(&parts[2]), load(&parts[3])])
    }
}

impl Words for Registers {
    #[inline(always)]
    fn store(self, out: &mut Plane) {
        for (out, words) in out.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            // SAFETY: a quarter of a plane is 16 bytes; the store needs no alignment.
            unsafe { vst1q_u8(out.as_mut_ptr().cast(), vreinterpretq_u8_u32(words)) };
        }
    }

    #[inline(always)]
    fn store_halves(self, out: &mut Halves) {
        for (out, words) in out.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            // SAFETY: the halves of four rows are 8 bytes; the store needs no alignment.
            unsafe { vst1_u8(out.as_mut_ptr().cast(), vreinterpret_u8_u16(vmovn_u32(words))) };
        }
    }
}

operators! {
    Registers:
    BitAnd::bitand(u32) => |a, mask| Registers(four(|i| vandq_u32(a.0[i], vdupq_n_u32(mask))));
    BitOr::bitor(Registers) => |a, b| Registers(four(|i| vorrq_u32(a.0[i], b.0[i])));
    BitXor::bitxor(Registers) => |a, b| Registers(four(|i| veorq_u32(a.0[i], b.0[i])));
    BitXor::bitxor(u32) => |a, bits| Registers(four(|i| veorq_u32(a.0[i], vdupq_n_u32(bits))));
    Shl::shl(u32) => |a, by| Registers(four(|i| vshlq_u32(a.0[i], vdupq_n_s32(by as i32))));
    Shr::shr(u32) => |a, by| Registers(four(|i| vshlq_u32(a.0[i], vdupq_n_s32(-(by as i32)))));
}
