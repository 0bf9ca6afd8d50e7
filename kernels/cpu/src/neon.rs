//! NEON without `unsafe`, and what stable Rust has no name for.
//!
//! Rust lets the intrinsics be called safely only from functions that enable NEON by name, and those can neither be
//! methods of a trait nor be inlined for certain. So here are the ones that this crate uses on registers, under their own
//! names. What reads or writes memory stays `unsafe`.

use std::arch::aarch64::{self, *};
use std::arch::asm;

// The fact behind every `unsafe` in this file.
const _: () = assert!(cfg!(target_feature = "neon"), "NEON is part of 64-bit ARM");

/// Declares safe intrinsics, those of one signature in a line.
macro_rules! registers {
    ($($sig:tt -> $result:ty: $($name:ident)*;)*) => { $($(one! { $name $sig -> $result })*)* };
}
macro_rules! one {
    ($name:ident<$n:ident>($($arg:ident: $type:ty),*) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name<const $n: i32>($($arg: $type),*) -> $result {
            // SAFETY: arithmetic on registers; NEON is there, see above.
            unsafe { aarch64::$name::<$n>($($arg),*) }
        }
    };
    ($name:ident($($arg:ident: $type:ty),*) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name($($arg: $type),*) -> $result {
            // SAFETY: arithmetic on registers; NEON is there, see above.
            unsafe { aarch64::$name($($arg),*) }
        }
    };
}

registers! {
    (x: f32) -> float32x4_t: vdupq_n_f32;
    (a: float32x4_t, b: float32x4_t) -> float32x4_t: vaddq_f32 vsubq_f32 vmulq_f32 vdivq_f32;
    (a: float32x4_t, b: f32) -> float32x4_t: vmulq_n_f32;
    (sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t: vfmaq_f32 vfmsq_f32;
    (sum: float32x4_t, a: float32x4_t, b: f32) -> float32x4_t: vfmaq_n_f32;
    (a: float32x4_t, b: float32x4_t) -> uint32x4_t: vcgtq_f32 vcleq_f32;
    (mask: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t: vbslq_f32;
    (x: float32x4_t) -> int32x4_t: vcvtnq_s32_f32;
    (x: int32x4_t) -> float32x4_t: vcvtq_f32_s32;

    (x: u32) -> uint32x4_t: vdupq_n_u32;
    (a: uint32x4_t, b: uint32x4_t) -> uint32x4_t: vaddq_u32 vsubq_u32 vandq_u32 vorrq_u32 veorq_u32 vmaxq_u32
        vceqq_u32 vcltq_u32 vtrn1q_u32 vtrn2q_u32;
    (a: uint32x4_t, by: int32x4_t) -> uint32x4_t: vshlq_u32;
    (mask: uint32x4_t, yes: uint32x4_t, no: uint32x4_t) -> uint32x4_t: vbslq_u32;
    (x: uint32x4_t) -> u32: vmaxvq_u32;
    (x: uint32x4_t) -> uint16x4_t: vmovn_u32;
    (a: uint64x2_t, b: uint64x2_t) -> uint64x2_t: vtrn1q_u64 vtrn2q_u64;

    (x: i32) -> int32x4_t: vdupq_n_s32;
    (a: int32x4_t, b: int32x4_t) -> int32x4_t: vaddq_s32 vpaddq_s32 vzip1q_s32 vzip2q_s32 vuzp1q_s32 vuzp2q_s32;
    (sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t: vmlaq_s32;
    (x: int32x4_t) -> int16x4_t: vmovn_s32;
    (low: int16x4_t, x: int32x4_t) -> int16x8_t: vmovn_high_s32;
    (a: int64x2_t, b: int64x2_t) -> int64x2_t: vzip1q_s64 vzip2q_s64;

    (x: u16) -> uint16x4_t: vdup_n_u16;
    (a: int16x8_t, b: int16x8_t) -> int16x8_t: vsubq_s16 vpaddq_s16;
    (x: int16x8_t) -> int32x4_t: vpaddlq_s16 vmovl_high_s16;
    (x: int16x8_t) -> int16x4_t: vget_low_s16;
    (x: int16x8_t) -> int8x8_t: vmovn_s16;
    (x: int16x4_t) -> int32x4_t: vmovl_s16;
    (low: int8x8_t, x: int16x8_t) -> int8x16_t: vmovn_high_s16;

    (x: u8) -> uint8x16_t: vdupq_n_u8;
    (a: uint8x16_t, b: uint8x16_t) -> uint8x16_t: vsubq_u8 vandq_u8 vorrq_u8;
    (a: uint8x16_t, by: int8x16_t) -> uint8x16_t: vshlq_u8;
    (x: i8) -> int8x16_t: vdupq_n_s8;
    (table: int8x16_t, i: uint8x16_t) -> int8x16_t: vqtbl1q_s8;
    (x: int8x16_t) -> int8x8_t: vget_low_s8;
    (x: int8x16_t) -> int16x8_t: vmovl_high_s8;
    (x: int8x16_t) -> i16: vaddlvq_s8;
    (x: int8x8_t) -> int16x8_t: vmovl_s8;
    (a: int8x8_t, b: int8x8_t) -> int16x8_t: vmull_s8;
    (a: int8x16_t, b: int8x16_t) -> int16x8_t: vmull_high_s8;
    (sum: int16x8_t, a: int8x8_t, b: int8x8_t) -> int16x8_t: vmlal_s8;
    (sum: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t: vmlal_high_s8;
    (a: int8x8_t, b: int8x8_t) -> int8x8_t: vzip1_s8 vzip2_s8;
    (low: int8x8_t, high: int8x8_t) -> int8x16_t: vcombine_s8;

    (x: uint32x4_t) -> float32x4_t: vreinterpretq_f32_u32;
    (x: uint8x16_t) -> float32x4_t: vreinterpretq_f32_u8;
    (x: float32x4_t) -> uint32x4_t: vreinterpretq_u32_f32;
    (x: uint64x2_t) -> uint32x4_t: vreinterpretq_u32_u64;
    (x: uint8x16_t) -> uint32x4_t: vreinterpretq_u32_u8;
    (x: uint32x4_t) -> uint64x2_t: vreinterpretq_u64_u32;
    (x: uint32x4_t) -> uint8x16_t: vreinterpretq_u8_u32;
    (x: uint16x4_t) -> uint8x8_t: vreinterpret_u8_u16;
    (x: uint32x4_t) -> int32x4_t: vreinterpretq_s32_u32;
    (x: int8x16_t) -> int32x4_t: vreinterpretq_s32_s8;
    (x: int8x16_t) -> int64x2_t: vreinterpretq_s64_s8;
    (x: int8x16_t) -> int16x8_t: vreinterpretq_s16_s8;
    (x: int16x8_t) -> int8x16_t: vreinterpretq_s8_s16;
    (x: int32x4_t) -> int8x16_t: vreinterpretq_s8_s32;
    (x: int64x2_t) -> int8x16_t: vreinterpretq_s8_s64;
    (x: uint32x4_t) -> int8x16_t: vreinterpretq_s8_u32;
    (x: uint8x16_t) -> int8x16_t: vreinterpretq_s8_u8;
}

one!(vdupq_laneq_s32<LANE>(x: int32x4_t) -> int32x4_t);
one!(vshlq_n_s32<BY>(x: int32x4_t) -> int32x4_t);
one!(vshrq_n_s32<BY>(x: int32x4_t) -> int32x4_t);
one!(vshlq_n_u32<BY>(x: uint32x4_t) -> uint32x4_t);
one!(vshlq_n_s16<BY>(x: int16x8_t) -> int16x8_t);
one!(vrshrq_n_s16<BY>(x: int16x8_t) -> int16x8_t);
one!(vshll_n_u16<BY>(x: uint16x4_t) -> uint32x4_t);
one!(vshrq_n_u8<BY>(x: uint8x16_t) -> uint8x16_t);

/// Four f16 as floats.
#[inline(always)]
pub(crate) fn widen(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: arithmetic on registers; every 64-bit ARM has the instruction.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = lateout(vreg) floats, halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    floats
}

/// Four floats as f16, rounded to nearest, ties to even: the mode that Rust keeps the processor in.
#[inline(always)]
pub(crate) fn narrow(floats: float32x4_t) -> uint16x4_t {
    let halves;
    // SAFETY: as above.
    unsafe {
        asm!(
            "fcvtn {halves:v}.4h, {floats:v}.4s",
            halves = lateout(vreg) halves, floats = in(vreg) floats,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    halves
}
