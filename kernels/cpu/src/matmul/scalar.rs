//! Products over packed blocks in plain Rust: the kernels of processors without vector kernels of their own.

use super::definition::{large_step, small_step};
use super::layout::*;
use super::tile::{Columns, Tile};
use super::unpack::{Codes, Float, Integers, Large, Small};
use crate::activation::{Q8x32, Q8x256};
use crate::format::f16_to_f32;

/// Adds the product of a row group of plain floats and `n` columns.
pub(super) fn floats<P: Float>(w: &[P], x: Columns<'_, f32>, n: usize, out: &mut Tile<'_>) {
    for (w, x) in x.zip_n(n, w) {
        for (n, &x) in x.iter().enumerate() {
            let total = &mut out[n];
            for (r, total) in total.iter_mut().enumerate() {
                *total = w.value(r).mul_add(x, *total);
            }
        }
    }
}

/// Adds the product of a row group of 32-blocks and `n` columns.
pub(super) fn small<P: Small>(w: &[P], x: Columns<'_, Q8x32>, n: usize, out: &mut Tile<'_>) {
    let mut codes = [[[0; 4]; ROWS]; 8];
    for (w, x) in x.zip_n(n, w) {
        w.codes(&mut codes);
        let (d, m) = (w.d(), w.m());
        for (n, x) in x.iter().enumerate() {
            let total = &mut out[n];
            let dots = dots(&codes, x.qs.as_chunks().0);
            for (r, total) in total.iter_mut().enumerate() {
                *total = small_step(x.d, d[r], dots[r], *total);
                if let Some(m) = m {
                    *total = super::definition::minimum(m[r], x, *total);
                }
            }
        }
    }
}

/// Adds the product of a row group of 256-blocks and `n` columns.
pub(super) fn large<P: Large>(w: &[P], x: Columns<'_, Q8x256>, n: usize, out: &mut Tile<'_>) {
    let mut codes = [[[0; 4]; ROWS]; 64];
    let (mut scales, mut mins) = ([[0; ROWS]; 16], [[0; ROWS]; 16]);
    for (w, x) in x.zip_n(n, w) {
        w.codes(&mut codes);
        w.scales(&mut scales);
        let (d, dmin) = (w.d(), w.mins(&mut mins));
        for (n, x) in x.iter().enumerate() {
            let total = &mut out[n];
            let integers = scaled_dots(&codes, &scales, x);
            let mut js = [0; ROWS];
            if dmin.is_some() {
                for (mins, &sum) in mins.iter().zip(&x.sums) {
                    for (j, &min) in js.iter_mut().zip(mins) {
                        *j += i32::from(min) * i32::from(sum);
                    }
                }
            }
            for (r, total) in total.iter_mut().enumerate() {
                let min = dmin.map(|dmin| (f16_to_f32(dmin[r]), js[r]));
                *total = large_step(x.d, d[r], integers[r], min, *total);
            }
        }
    }
}

/// `Σ scale·Σ code·q` of every row.
fn scaled_dots(codes: &[Codes; 64], scales: &[Integers; 16], x: &Q8x256) -> [i32; ROWS] {
    let mut integers = [0; ROWS];
    let groups = codes.as_chunks::<4>().0.iter().zip(x.qs.as_chunks::<16>().0);
    for ((codes, q), scales) in groups.zip(scales) {
        let dots = dots(codes, q.as_chunks().0);
        for r in 0..ROWS {
            integers[r] += i32::from(scales[r]) * dots[r];
        }
    }
    integers
}

/// `Σ code·q` of every row.
#[inline]
fn dots(codes: &[Codes], q: &[[i8; 4]]) -> [i32; ROWS] {
    let mut dots = [0; ROWS];
    for (codes, q) in codes.iter().zip(q) {
        for (dot, codes) in dots.iter_mut().zip(codes) {
            *dot += codes.iter().zip(q).map(|(&code, &q)| i32::from(code) * i32::from(q)).sum::<i32>();
        }
    }
    dots
}
