//! What a product is, to the last bit: one row of a file's blocks times one column.
//!
//! Every kernel of every instruction set equals [`dot_row`]. That is possible at full speed because integers are exact
//! and the few float operations form one chain in ascending block order:
//!
//! * Blocks of 256, with `I = Σ scale·Σ code·q` and `J = Σ min·Σ q` over the groups of the block, in i32 (both stay
//!   below 2³¹): `total = fma(dx, fma(-dmin, J, d * I), total)`; without minimums `total = fma(dx, d * I, total)`.
//! * Blocks of 32, with `S = Σ code·q` in i32: `total = fma(d * dx, S, total)`; with minimums then
//!   `total = fma(m, dx * Σ q, total)`.
//! * Floats: `total = fma(w, x, total)`.
//!
//! `dx` is the scale of the activation block; integers are rounded to f32 before they enter a product; `total` starts
//! at zero.

use crate::activation::{ActivationKind, Activations, Q8x32, Q8x256};
use crate::format::*;

/// Row `row` (whole blocks as in the file) times column `column` of `x`: the definition that every packed kernel
/// equals bit for bit. Slow; meant for tests and for single rows.
///
/// # Panics
/// Where the row does not hold `x.len()` values, `x` is not of the format's kind or has no such column.
pub fn dot_row(format: Format, row: &[u8], x: &Activations, column: usize) -> f32 {
    assert_eq!(Some(row.len()), format.row_bytes(x.len()), "{format}: row and activations differ in length");
    assert_eq!(x.kind(), format.activation(), "{format}: kind of activations");
    assert!(column < x.columns(), "column {column} of {}", x.columns());
    match format {
        Format::F32 => floats::<BlockF32>(row, x, column),
        Format::F16 => floats::<BlockF16>(row, x, column),
        Format::BF16 => floats::<BlockBF16>(row, x, column),
        Format::Q4_0 => chain(row, x.q8x32(), x, column, |w: &BlockQ4_0, q, total| {
            small(f16_to_f32(w.d), |i| i32::from(nibble(&w.qs, i)) - 8, q, total)
        }),
        Format::Q4_1 => chain(row, x.q8x32(), x, column, |w: &BlockQ4_1, q, total| {
            let total = small(f16_to_f32(w.d), |i| i32::from(nibble(&w.qs, i)), q, total);
            minimum(f16_to_f32(w.m), q, total)
        }),
        Format::Q5_0 => chain(row, x.q8x32(), x, column, |w: &BlockQ5_0, q, total| {
            small(f16_to_f32(w.d), |i| i32::from(five(w.qh, &w.qs, i)) - 16, q, total)
        }),
        Format::Q5_1 => chain(row, x.q8x32(), x, column, |w: &BlockQ5_1, q, total| {
            let total = small(f16_to_f32(w.d), |i| i32::from(five(w.qh, &w.qs, i)), q, total);
            minimum(f16_to_f32(w.m), q, total)
        }),
        Format::Q8_0 => chain(row, x.q8x32(), x, column, |w: &BlockQ8_0, q, total| {
            small(f16_to_f32(w.d), |i| i32::from(w.qs[i]), q, total)
        }),
        Format::IQ4_NL => chain(row, x.q8x32(), x, column, |w: &BlockIQ4NL, q, total| {
            small(f16_to_f32(w.d), |i| step(&IQ4_VALUES, nibble(&w.qs, i)), q, total)
        }),
        Format::MXFP4 => chain(row, x.q8x32(), x, column, |w: &BlockMXFP4, q, total| {
            small(e8m0_half(w.e[0]), |i| step(&MXFP4_VALUES, nibble(&w.qs, i)), q, total)
        }),
        Format::Q2_K => chain(row, x.q8x256(), x, column, |w: &BlockQ2K, q, total| {
            let scales = w.scales.map(|packed| i32::from(packed & 15));
            let mins = w.scales.map(|packed| i32::from(packed >> 4));
            let d = (f16_to_f32(w.d), Some((f16_to_f32(w.dmin), mins)));
            large(d, scales, |i| i32::from(w.code(i)), q, total)
        }),
        Format::Q3_K => chain(row, x.q8x256(), x, column, |w: &BlockQ3K, q, total| {
            large((f16_to_f32(w.d), None), w.scales().map(i32::from), |i| i32::from(w.code(i)), q, total)
        }),
        Format::Q4_K => chain(row, x.q8x256(), x, column, |w: &BlockQ4K, q, total| {
            let (scales, mins) = scales_and_mins(&w.scales);
            let d = (f16_to_f32(w.d), Some((f16_to_f32(w.dmin), twice(mins))));
            large(d, twice(scales), |i| i32::from(w.code(i)), q, total)
        }),
        Format::Q5_K => chain(row, x.q8x256(), x, column, |w: &BlockQ5K, q, total| {
            let (scales, mins) = scales_and_mins(&w.scales);
            let d = (f16_to_f32(w.d), Some((f16_to_f32(w.dmin), twice(mins))));
            large(d, twice(scales), |i| i32::from(w.code(i)), q, total)
        }),
        Format::Q6_K => chain(row, x.q8x256(), x, column, |w: &BlockQ6K, q, total| {
            large((f16_to_f32(w.d), None), w.scales.map(i32::from), |i| i32::from(w.code(i)), q, total)
        }),
        Format::IQ4_XS => chain(row, x.q8x256(), x, column, |w: &BlockIQ4XS, q, total| {
            large((f16_to_f32(w.d), None), twice(w.scales()), |i| step(&IQ4_VALUES, w.code(i)), q, total)
        }),
        Format::IQ1_S => octets::<BlockIQ1S>(row, x, column),
        Format::IQ1_M => octets::<BlockIQ1M>(row, x, column),
        Format::IQ2_XXS => octets::<BlockIQ2XXS>(row, x, column),
        Format::IQ2_XS => octets::<BlockIQ2XS>(row, x, column),
        Format::IQ2_S => octets::<BlockIQ2S>(row, x, column),
        Format::IQ3_XXS => octets::<BlockIQ3XXS>(row, x, column),
        Format::IQ3_S => octets::<BlockIQ3S>(row, x, column),
        Format::TQ1_0 => octets::<BlockTQ1_0>(row, x, column),
        Format::TQ2_0 => octets::<BlockTQ2_0>(row, x, column),
    }
}

/// The step of a block of 256: `integer` is `I`; `min` is `dmin` and `J`.
#[inline]
pub(super) fn large_step(dx: f32, d: f32, integer: i32, min: Option<(f32, i32)>, total: f32) -> f32 {
    let product = d * integer as f32;
    let value = min.map_or(product, |(dmin, j)| (-dmin).mul_add(j as f32, product));
    dx.mul_add(value, total)
}

/// The step of a block of 32: `dot` is `S`.
#[inline]
pub(super) fn small_step(dx: f32, d: f32, dot: i32, total: f32) -> f32 {
    (d * dx).mul_add(dot as f32, total)
}

/// The second half of the step of a block of 32 with minimums.
#[inline]
pub(super) fn minimum(m: f32, x: &Q8x32, total: f32) -> f32 {
    m.mul_add(x.d * x.sum as f32, total)
}

fn floats<B: Block>(row: &[u8], x: &Activations, column: usize) -> f32 {
    debug_assert_eq!(x.kind(), ActivationKind::F32);
    chain(row, x.f32s(), x, column, |block: &B, &x, total| {
        let mut w = [0.0];
        block.dequantize(&mut w);
        w[0].mul_add(x, total)
    })
}

fn chain<B: Block, T>(
    row: &[u8],
    x: &[T],
    shape: &Activations,
    column: usize,
    step: impl Fn(&B, &T, f32) -> f32,
) -> f32 {
    let x = x[column..].iter().step_by(shape.columns());
    B::cast(row).iter().zip(x).fold(0.0, |total, (w, x)| step(w, x, total))
}

fn small(d: f32, code: impl Fn(usize) -> i32, x: &Q8x32, total: f32) -> f32 {
    let dot = x.qs.iter().enumerate().map(|(i, &q)| code(i) * i32::from(q)).sum();
    small_step(x.d, d, dot, total)
}

fn large(
    (d, min): (f32, Option<(f32, [i32; 16])>),
    scales: [i32; 16],
    code: impl Fn(usize) -> i32,
    x: &Q8x256,
    total: f32,
) -> f32 {
    let dot = |group: usize| (16 * group..16 * group + 16).map(|i| code(i) * i32::from(x.qs[i])).sum::<i32>();
    let integer = (0..16).map(|group| scales[group] * dot(group)).sum();
    let min = min.map(|(dmin, mins)| (dmin, mins.iter().zip(x.sums).map(|(&min, sum)| min * i32::from(sum)).sum()));
    large_step(x.d, d, integer, min, total)
}

fn octets<B: Octets>(row: &[u8], x: &Activations, column: usize) -> f32 {
    chain(row, x.q8x256(), x, column, |w: &B, q, total| {
        let mut codes = [[0; 8]; 32];
        w.octets(&mut codes);
        let code = |i: usize| i32::from(codes[i / 8][i % 8]) - i32::from(BIASED_ZERO);
        large((w.d(), None), w.scales().map(i32::from), code, q, total)
    })
}

/// Scales of groups of 32 as scales of groups of 16.
fn twice<T: Copy + Into<i32>>(scales: [T; 8]) -> [i32; 16] {
    std::array::from_fn(|group| scales[group / 2].into())
}

fn nibble(qs: &[u8; 16], i: usize) -> u8 {
    (qs[i % 16] >> (4 * (i / 16))) & 15
}

fn five(qh: [u8; 4], qs: &[u8; 16], i: usize) -> u8 {
    nibble(qs, i) | ((u32::from_le_bytes(qh) >> i) as u8 & 1) << 4
}

fn step(table: &[i8; 16], index: u8) -> i32 {
    i32::from(table[usize::from(index)])
}
