//! Quantisation with NEON.

use super::{MAGNITUDE, Q8x32, Q8x256, Step, pairs, step};
use crate::neon::*;
use std::arch::aarch64::{float32x4_t, uint32x4_t, vld1q_f32, vst1q_s8};

/// As [`Q8x32::quantize`], for every pair.
pub(super) fn q8x32<'a>(blocks: impl Iterator<Item = (&'a [f32; 32], &'a mut Q8x32)>) {
    for (x, out) in blocks {
        let amax_bits = max_bits(x);
        match step(amax_bits) {
            Step::Special(d) => *out = Q8x32::special(d),
            Step::Inverse(inverse) => {
                let sums =
                    [0, 1].map(|half| quantize(&x.as_chunks().0[half], inverse, &mut out.qs.as_chunks_mut().0[half]));
                out.d = f32::from_bits(amax_bits) / 127.0;
                out.sum = i32::from(sums[0]) + i32::from(sums[1]);
            }
        }
    }
}

/// As [`Q8x256::quantize`], for every pair.
pub(super) fn q8x256<'a>(blocks: impl Iterator<Item = (&'a [f32; 256], &'a mut Q8x256)>) {
    for (x, out) in blocks {
        let amax_bits = max_bits(x);
        match step(amax_bits) {
            Step::Special(d) => *out = Q8x256::special(d),
            Step::Inverse(inverse) => {
                let scale = if first_is_positive(x, amax_bits) { -inverse } else { inverse };
                let groups = x.as_chunks().0.iter().zip(out.qs.as_chunks_mut().0).zip(&mut out.sums);
                for ((x, qs), sum) in groups {
                    *sum = quantize(x, scale, qs);
                }
                out.pairs = pairs(&out.sums);
                out.d = 1.0 / scale;
            }
        }
    }
}

#[inline(always)]
fn load(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: four floats.
    unsafe { vld1q_f32(x.as_ptr()) }
}

#[inline(always)]
fn magnitudes(x: &[f32; 4]) -> uint32x4_t {
    vandq_u32(vreinterpretq_u32_f32(load(x)), vdupq_n_u32(MAGNITUDE))
}

/// The largest of the magnitudes' bits.
#[inline(always)]
fn max_bits<const LEN: usize>(x: &[f32; LEN]) -> u32 {
    let mut max = [vdupq_n_u32(0); 4];
    for x in x.as_chunks::<16>().0 {
        for (max, x) in max.iter_mut().zip(x.as_chunks().0) {
            *max = vmaxq_u32(*max, magnitudes(x));
        }
    }
    vmaxvq_u32(vmaxq_u32(vmaxq_u32(max[0], max[1]), vmaxq_u32(max[2], max[3])))
}

/// Whether the first value with these magnitude bits is positive.
#[inline(always)]
fn first_is_positive(x: &[f32; 256], amax_bits: u32) -> bool {
    let wanted = vdupq_n_u32(amax_bits);
    for x in x.as_chunks::<16>().0 {
        let mut found = vdupq_n_u32(0);
        for x in x.as_chunks().0 {
            found = vorrq_u32(found, vceqq_u32(magnitudes(x), wanted));
        }
        if vmaxvq_u32(found) != 0 {
            return x.iter().find(|x| x.to_bits() & MAGNITUDE == amax_bits).is_some_and(|x| *x > 0.0);
        }
    }
    false
}

/// Writes sixteen codes and returns their sum. The conversion rounds half to even; nothing is cut off, since no code
/// exceeds 127.
#[inline(always)]
fn quantize(x: &[f32; 16], scale: f32, out: &mut [i8; 16]) -> i16 {
    let x = x.as_chunks().0;
    let words = |i: usize| vcvtnq_s32_f32(vmulq_n_f32(load(&x[i]), scale));
    let low = vmovn_high_s32(vmovn_s32(words(0)), words(1));
    let high = vmovn_high_s32(vmovn_s32(words(2)), words(3));
    let qs = vmovn_high_s16(vmovn_s16(low), high);
    // SAFETY: 16 bytes.
    unsafe { vst1q_s8(out.as_mut_ptr(), qs) };
    vaddlvq_s8(qs)
}
