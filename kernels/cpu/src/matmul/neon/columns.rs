//! Sums of `N` columns: two by two, and a last one where `N` is odd.

use std::arch::aarch64::{int8x16_t, int32x4_t};

use super::{Multiplier, load_codes};
use crate::neon::vdupq_n_s8;

/// `G` groups of sixteen activations of each column, as [`sixteen`] wants them; `at` gives those of a group and a column.
/// Done once for all rows.
#[inline(always)]
pub(super) fn arrange<'a, M: Multiplier, const N: usize, const G: usize>(
    m: M,
    at: impl Fn(usize, usize) -> &'a [i8; 16],
) -> [[int8x16_t; N]; G] {
    let mut groups = [[vdupq_n_s8(0); N]; G];
    for (group, x) in groups.iter_mut().enumerate() {
        for n in 0..N {
            x[n] = load_codes(at(group, n));
        }
        *x = pairs(m, *x);
    }
    groups
}

/// Sixteen values of each column, as [`sixteen`] wants them.
#[inline(always)]
pub(super) fn pairs<M: Multiplier, const N: usize>(m: M, mut x: [int8x16_t; N]) -> [int8x16_t; N] {
    for n in 1..N {
        if n % 2 == 1 {
            [x[n - 1], x[n]] = m.pair([x[n - 1], x[n]]);
        }
    }
    x
}

/// Adds to the sums of `N` columns the products of sixteen values, four a register of codes.
#[inline(always)]
pub(super) fn sixteen<M: Multiplier, const N: usize>(
    m: M,
    sums: &mut [int32x4_t; N],
    [a, b, c, d]: [int8x16_t; 4],
    x: &[int8x16_t; N],
) {
    eights::<M, N, false>(m, sums, [a, b], x);
    eights::<M, N, true>(m, sums, [c, d], x);
}

/// Adds to the sums of `N` columns the products of eight values, of the lower or upper half of `x`.
#[inline(always)]
pub(super) fn eights<M: Multiplier, const N: usize, const UPPER: bool>(
    m: M,
    sums: &mut [int32x4_t; N],
    codes: [int8x16_t; 2],
    x: &[int8x16_t; N],
) {
    for n in 0..N {
        if n % 2 == 1 {
            [sums[n - 1], sums[n]] = m.two::<UPPER>([sums[n - 1], sums[n]], codes, [x[n - 1], x[n]]);
        } else if n + 1 == N {
            sums[n] = m.one::<UPPER>(sums[n], codes, x[n]);
        }
    }
}

/// The sums of `N` columns, a register each.
#[inline(always)]
pub(super) fn columns<M: Multiplier, const N: usize>(m: M, mut sums: [int32x4_t; N]) -> [int32x4_t; N] {
    for n in 1..N {
        if n % 2 == 1 {
            [sums[n - 1], sums[n]] = m.columns([sums[n - 1], sums[n]]);
        }
    }
    sums
}
