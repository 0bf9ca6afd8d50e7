//! Sixteen lanes in NEON, the vectors of every 64-bit ARM.

use std::arch::aarch64::{float32x4_t, vld1_u16, vld1q_f32, vld1q_s8, vst1_u16, vst1q_f32, vst1q_s8};
use std::arch::asm;

use super::lanes::{Lanes, Math};
use crate::neon::*;

/// Four registers of four lanes.
#[derive(Clone, Copy)]
pub(super) struct Neon;

/// A primitive: the same expression for every register.
macro_rules! neon {
    ($name:ident($($arg:ident),*) => $result:expr) => {
        #[inline(always)]
        fn $name(self, $($arg: [float32x4_t; 4]),*) -> [float32x4_t; 4] {
            macro_rules! register {
                ($i:literal) => {{
                    let ($($arg,)*) = ($($arg[$i],)*);
                    $result
                }};
            }
            [register!(0), register!(1), register!(2), register!(3)]
        }
    };
}

impl Math for Neon {
    type V = [float32x4_t; 4];

    #[inline(always)]
    fn splat(self, x: f32) -> [float32x4_t; 4] {
        [vdupq_n_f32(x); 4]
    }

    neon!(add(a, b) => vaddq_f32(a, b));
    neon!(sub(a, b) => vsubq_f32(a, b));
    neon!(mul(a, b) => vmulq_f32(a, b));
    neon!(div(a, b) => vdivq_f32(a, b));
    neon!(fma(a, b, c) => vfmaq_f32(c, a, b));
    // Not `vmaxq_f32`, which keeps NaNs.
    neon!(max(a, b) => vbslq_f32(vcgtq_f32(a, b), a, b));
    neon!(select_le(a, b, yes, no) => vbslq_f32(vcleq_f32(a, b), yes, no));
    neon!(add_exponent(p, t) => {
        let n = vshlq_n_u32::<23>(vreinterpretq_u32_f32(t));
        vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), n))
    });
}

impl Lanes for Neon {
    // Four registers each, of 32.
    const VECTORS: usize = 7;

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [float32x4_t; 4] {
        let from = from.as_ptr();
        // SAFETY: all four reads lie inside the array.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
    }

    #[inline(always)]
    fn store(self, v: [float32x4_t; 4], to: &mut [f32; 16]) {
        for (to, v) in to.as_chunks_mut::<4>().0.iter_mut().zip(v) {
            // SAFETY: four floats.
            unsafe { vst1q_f32(to.as_mut_ptr(), v) };
        }
    }

    #[inline(always)]
    fn load_f16(self, from: &[u16; 16]) -> [float32x4_t; 4] {
        let from = from.as_ptr();
        // SAFETY: all four reads lie inside the array.
        let parts = unsafe { [vld1_u16(from), vld1_u16(from.add(4)), vld1_u16(from.add(8)), vld1_u16(from.add(12))] };
        [widen(parts[0]), widen(parts[1]), widen(parts[2]), widen(parts[3])]
    }

    #[inline(always)]
    fn store_f16(self, v: [float32x4_t; 4], to: &mut [u16; 16]) {
        for (to, v) in to.as_chunks_mut::<4>().0.iter_mut().zip(v) {
            // SAFETY: four halves.
            unsafe { vst1_u16(to.as_mut_ptr(), narrow(v)) };
        }
    }

    #[inline(always)]
    fn splat_f16(self, bits: u16) -> [float32x4_t; 4] {
        [widen(vdup_n_u16(bits)); 4]
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; 16]) -> [float32x4_t; 4] {
        // SAFETY: the read is the whole array.
        let bytes = unsafe { vld1q_s8(from.as_ptr()) };
        let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
        [
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
            vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
            vcvtq_f32_s32(vmovl_high_s16(high)),
        ]
    }

    #[inline(always)]
    fn store_i8(self, v: [float32x4_t; 4], to: &mut [i8; 16]) {
        let low = vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(v[0])), vcvtnq_s32_f32(v[1]));
        let high = vmovn_high_s32(vmovn_s32(vcvtnq_s32_f32(v[2])), vcvtnq_s32_f32(v[3]));
        // SAFETY: the write is the whole array.
        unsafe { vst1q_s8(to.as_mut_ptr(), vmovn_high_s16(vmovn_s16(low), high)) };
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(readonly, nostack, preserves_flags)) };
    }
}
