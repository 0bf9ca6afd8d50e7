//! Causal attention of grouped queries over a paged cache.
//!
//! The keys of a position are cut into absolute splits of [`SPLIT`]: scores, their maximum, exponentials, their sum and
//! the weighted values are computed for each split by itself, and splits are merged in ascending order by their
//! log-sum-exp. Score chains ascend over dimensions, value chains over keys, both fused multiply-adds in single
//! precision. So a result depends on query, keys, values and position alone, whoever computes the splits and with
//! whatever other queries; keys outside the mask are never read into a sum, so that stale slots cannot leak.

use super::exp::exp;
use super::lanes::{Lanes, Op, dispatch};
use super::page::{KvSlice, PAGE};
use super::split::{Pages, Row, split_rows};
use crate::isa::Isa;
use std::ops::Range;

/// Keys in a split: eight pages.
pub const SPLIT: usize = 8 * PAGE;

/// Queries that share the pages of one pass; more only cost cache.
const TILE: usize = 48;

/// Attention of one layer, for one key-value head and the query heads that read it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionShape {
    /// Dimensions of a query and of a key.
    pub head_dim_k: usize,
    /// Dimensions of a value.
    pub head_dim_v: usize,
    /// Query heads for each key-value head.
    pub group: usize,
    /// Multiplies every score; queries are given unscaled. Usually 1 / sqrt(head_dim_k).
    pub scale: f32,
    /// How many keys a query sees, its own included; all where `None`.
    pub window: Option<usize>,
    /// score = cap * tanh(score / cap) where given.
    pub soft_cap: Option<f32>,
}

/// Buffers that grow to the largest call and are used again. One for each thread.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// `[query][SPLIT]`
    pub(super) scores: Vec<f32>,
    /// Partial results, `[query][head_dim_v + 2]`.
    partials: Vec<f32>,
    totals: Vec<f32>,
    rows: Vec<Row>,
}

impl AttentionShape {
    /// The keys that the query at `position` sees.
    pub fn keys(&self, position: usize) -> Range<usize> {
        let end = position + 1;
        self.window.map_or(0, |window| end.saturating_sub(window.max(1)))..end
    }

    /// The splits that hold those keys, never empty.
    pub fn splits(&self, position: usize) -> Range<usize> {
        let keys = self.keys(position);
        keys.start / SPLIT..keys.end.div_ceil(SPLIT)
    }

    /// Floats in the partial result of one split: for each query head the weighted values, their greatest score and the
    /// sum of their weights.
    pub fn partial_len(&self) -> usize {
        self.group * self.stride()
    }

    /// The number of query rows for which [`attend_rows`] does its work in one pass over the pages; a good number of
    /// rows for a task.
    pub fn tile_rows(&self) -> usize {
        (TILE / self.group.max(1)).max(1)
    }

    /// Floats of the partial result of one query head.
    pub(super) fn stride(&self) -> usize {
        self.head_dim_v + 2
    }
}

impl AttentionScratch {
    /// Empty buffers.
    pub fn new() -> AttentionScratch {
        AttentionScratch::default()
    }
}

/// Attention of one query row: `q` is `[group][head_dim_k]`, `out` `[group][head_dim_v]`. `pages` gives the page of a
/// page number (position / [`PAGE`]); it is asked only for pages that [`AttentionShape::keys`] touches.
///
/// # Panics
///
/// When `q`, `out` or a page does not fit the shape.
pub fn attend<'a>(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    position: usize,
    pages: &dyn Fn(usize) -> KvSlice<'a>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    assert_eq!(q.len(), shape.group * shape.head_dim_k, "one row of queries");
    attend_rows(isa, shape, q, position, pages, scratch, out);
}

/// [`attend`] for consecutive positions of one sequence from `first_position` on, with equal bits and shared passes
/// over the pages: `q` is `[row][group][head_dim_k]`, `out` `[row][group][head_dim_v]`. The keys and values of all rows
/// have to be in the pages already.
///
/// # Panics
///
/// When `q` is not whole rows, or `out` or a page does not fit the shape.
pub fn attend_rows<'a>(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    first_position: usize,
    pages: &dyn Fn(usize) -> KvSlice<'a>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let (q_row, out_row) = (shape.group * shape.head_dim_k, shape.group * shape.head_dim_v);
    assert!(q_row > 0 && q.len().is_multiple_of(q_row), "the queries are not whole rows");
    assert_eq!(out.len(), q.len() / q_row * out_row, "the output does not fit the queries");
    let tile = shape.tile_rows();
    let pages: Pages<'_, '_> = &|_, page| pages(page);
    let mut rows = std::mem::take(&mut scratch.rows);
    for (index, (q, out)) in q.chunks(tile * q_row).zip(out.chunks_mut(tile * out_row)).enumerate() {
        let first = first_position + index * tile;
        rows.clear();
        rows.extend((first..first + q.len() / q_row).map(|position| Row { sequence: 0, position }));
        attend_tile(isa, shape, q, &rows, pages, scratch, out);
    }
    scratch.rows = rows;
}

/// [`attend_rows`] for rows at ascending positions, in one pass over the pages.
pub(super) fn attend_tile(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    rows: &[Row],
    pages: Pages<'_, '_>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let (first, last) = (rows[0].position, rows[rows.len() - 1].position);
    let mut totals = std::mem::take(&mut scratch.totals);
    let mut partials = std::mem::take(&mut scratch.partials);
    totals.resize(rows.len() * shape.partial_len(), 0.0);
    partials.resize(rows.len() * shape.partial_len(), 0.0);
    for split in shape.splits(first).start..shape.splits(last).end {
        split_rows(isa, shape, q, rows, split, pages, scratch, &mut partials);
        let row_partials = partials.chunks_exact(shape.partial_len());
        for (row, (total, partial)) in totals.chunks_exact_mut(shape.partial_len()).zip(row_partials).enumerate() {
            let splits = shape.splits(rows[row].position);
            if split == splits.start {
                total.copy_from_slice(partial);
            } else if splits.contains(&split) {
                fold(isa, shape.head_dim_v, total, partial);
            }
        }
    }
    finish(isa, shape.head_dim_v, shape.stride(), &totals, out);
    (scratch.totals, scratch.partials) = (totals, partials);
}

/// The part of [`attend`] that belongs to one of [`AttentionShape::splits`], for callers that share out the splits of a
/// long context: fills `partial`, [`AttentionShape::partial_len`] floats, for [`merge`].
///
/// # Panics
///
/// When `position` sees no key of `split`, or `q`, `partial` or a page does not fit the shape.
#[expect(clippy::too_many_arguments, reason = "attend, one split of it")]
pub fn attend_split<'a>(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    position: usize,
    split: usize,
    pages: &dyn Fn(usize) -> KvSlice<'a>,
    scratch: &mut AttentionScratch,
    partial: &mut [f32],
) {
    assert_eq!(q.len(), shape.group * shape.head_dim_k, "one row of queries");
    assert_eq!(partial.len(), shape.partial_len(), "the partial result does not fit the shape");
    assert!(shape.splits(position).contains(&split), "no key of the split is seen");
    let row = Row { sequence: 0, position };
    split_rows(isa, shape, q, &[row], split, &|_, page| pages(page), scratch, partial);
}

/// Joins the results of [`attend_split`], all splits of one query row in ascending order, to the result of [`attend`].
///
/// # Panics
///
/// When `partials` is empty or not whole, or `out` does not fit the shape.
pub fn merge(isa: Isa, shape: &AttentionShape, partials: &[f32], scratch: &mut AttentionScratch, out: &mut [f32]) {
    let len = shape.partial_len();
    assert!(!partials.is_empty() && partials.len().is_multiple_of(len), "the partial results are not whole");
    assert_eq!(out.len(), shape.group * shape.head_dim_v, "the output does not fit the shape");
    merge_splits(isa, shape, partials.chunks_exact(len), scratch, out);
}

/// [`merge`] of partial results wherever they are.
pub(super) fn merge_splits<'p>(
    isa: Isa,
    shape: &AttentionShape,
    partials: impl Iterator<Item = &'p [f32]>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let totals = &mut scratch.totals;
    totals.clear();
    for partial in partials {
        if totals.is_empty() {
            totals.extend_from_slice(partial);
        } else {
            fold(isa, shape.head_dim_v, totals, partial);
        }
    }
    finish(isa, shape.head_dim_v, shape.stride(), totals, out);
}

/// total = total and the later `partial`, rescaled to the greater of their greatest scores. Both are partial results of
/// some queries, each `dim` weighted values, their greatest score and the sum of their weights.
pub(super) fn fold(isa: Isa, dim: usize, total: &mut [f32], partial: &[f32]) {
    struct Rescale<'a>(&'a mut [f32], f32, &'a [f32], f32);
    impl Op for Rescale<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, _: L) {
            for (total, &partial) in self.0.iter_mut().zip(self.2) {
                *total = partial.mul_add(self.3, *total * self.1);
            }
        }
    }
    for (total, partial) in total.chunks_exact_mut(dim + 2).zip(partial.chunks_exact(dim + 2)) {
        let greatest = if partial[dim] > total[dim] { partial[dim] } else { total[dim] };
        let (a, b) = (exp(total[dim] - greatest), exp(partial[dim] - greatest));
        dispatch(isa, Rescale(&mut total[..dim], a, &partial[..dim], b));
        total[dim] = greatest;
        total[dim + 1] = partial[dim + 1].mul_add(b, total[dim + 1] * a);
    }
}

/// out = weighted values / sum of weights, `dim` for each query; partial results are `stride` long.
pub(super) fn finish(isa: Isa, dim: usize, stride: usize, totals: &[f32], out: &mut [f32]) {
    struct Divide<'a>(&'a [f32], f32, &'a mut [f32]);
    impl Op for Divide<'_> {
        type Output = ();

        #[inline(always)]
        fn call<L: Lanes>(self, _: L) {
            for (out, &total) in self.2.iter_mut().zip(self.0) {
                *out = total / self.1;
            }
        }
    }
    for (total, out) in totals.chunks_exact(stride).zip(out.chunks_exact_mut(dim)) {
        dispatch(isa, Divide(&total[..dim], total[stride - 1], out));
    }
}
