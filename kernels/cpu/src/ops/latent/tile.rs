//! A tile of queries over the pages it sees.

use super::super::attention::fold;
use super::super::lanes::dispatch;
use super::super::page::{KvElement, PAGE, Q8_BLOCK, Q8Rows};
use super::super::softmax::softmax;
use super::kernel::{Score, Weigh, Widen, WidenQ8};
use super::{LatentPage, LatentShape, SPAN};
use crate::isa::{Isa, Level};
use std::ops::Range;

/// Queries of consecutive positions and heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    /// The position of the first row.
    pub(super) first_position: usize,
    /// Rows, at consecutive positions.
    pub(super) rows: usize,
    /// Heads of each row.
    pub(super) heads: usize,
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Queries with the query fastest, `[row()][lanes]`.
    pub(super) queries: Vec<f32>,
    /// A page in single precision, `[PAGE][wide_row()]`.
    wide: Vec<f32>,
    /// `[lanes][PAGE]`
    scores: Vec<f32>,
    /// Partial results of a page, a span and all spans, `[query][stride()]`.
    page: Vec<f32>,
    pub(super) span: Vec<f32>,
    pub(super) total: Vec<f32>,
}

impl Tile {
    pub(super) fn queries(&self) -> usize {
        self.rows * self.heads
    }

    /// Queries in whole vectors.
    pub(super) fn lanes(&self) -> usize {
        self.queries().next_multiple_of(16)
    }

    /// Pages that the last row sees.
    pub(super) fn pages(&self) -> usize {
        super::pages_of(self.first_position + self.rows - 1)
    }

    /// Keys of `page` that a row sees.
    fn keys(&self, row: usize, page: usize) -> usize {
        (self.first_position + row + 1).saturating_sub(page * PAGE).min(PAGE)
    }
}

/// Turns queries, `[query][dim]`, into `[dim][lanes]`, the lanes without a query zero.
pub(super) fn transpose(queries: impl Iterator<Item = impl AsRef<[f32]>>, dim: usize, lanes: usize, out: &mut [f32]) {
    let mut count = 0;
    for (lane, query) in queries.enumerate() {
        for (out, x) in out.chunks_exact_mut(lanes).zip(&query.as_ref()[..dim]) {
            out[lane] = *x;
        }
        count = lane + 1;
    }
    if count < lanes {
        out.chunks_exact_mut(lanes).take(dim).for_each(|lanes| lanes[count..].fill(0.0));
    }
}

/// All pages of the tile: fills `scratch.total`, `[query][stride()]`.
pub(super) fn attend_tile<'a>(
    isa: Isa,
    shape: &LatentShape,
    tile: Tile,
    pages: &dyn Fn(usize) -> LatentPage<'a>,
    scratch: &mut Scratch,
) {
    let queries = std::mem::take(&mut scratch.queries);
    let mut total = std::mem::take(&mut scratch.total);
    let mut span = std::mem::take(&mut scratch.span);
    for start in (0..tile.pages()).step_by(SPAN) {
        let range = start..tile.pages().min(start + SPAN);
        if start == 0 {
            attend_pages(isa, shape, tile, &queries, range, pages, scratch, &mut total);
        } else {
            attend_pages(isa, shape, tile, &queries, range, pages, scratch, &mut span);
            fold_rows(isa, shape, tile, start, &mut total, &span);
        }
    }
    (scratch.queries, scratch.total, scratch.span) = (queries, total, span);
}

/// Some pages of one span: `partial` becomes `[query][stride()]`. Queries that see none of them get no meaning.
#[expect(clippy::too_many_arguments, reason = "attend_tile, of some pages")]
pub(super) fn attend_pages<'a>(
    isa: Isa,
    shape: &LatentShape,
    tile: Tile,
    queries: &[f32],
    range: Range<usize>,
    pages: &dyn Fn(usize) -> LatentPage<'a>,
    scratch: &mut Scratch,
    partial: &mut Vec<f32>,
) {
    let mut page = std::mem::take(&mut scratch.page);
    for number in range.clone() {
        if number == range.start {
            attend_page(isa, shape, tile, queries, number, pages(number), scratch, partial);
        } else {
            attend_page(isa, shape, tile, queries, number, pages(number), scratch, &mut page);
            fold_rows(isa, shape, tile, number, partial, &page);
        }
    }
    scratch.page = page;
}

/// Joins a later partial result to `total` for the rows that see its first page.
fn fold_rows(isa: Isa, shape: &LatentShape, tile: Tile, first_page: usize, total: &mut [f32], partial: &[f32]) {
    let row_len = tile.heads * shape.stride();
    let rows = total.chunks_exact_mut(row_len).zip(partial.chunks_exact(row_len)).enumerate();
    for (row, (total, partial)) in rows {
        if tile.keys(row, first_page) > 0 {
            fold(isa, shape.wide_latent(), total, partial);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "attend_pages, of one page")]
fn attend_page(
    isa: Isa,
    shape: &LatentShape,
    tile: Tile,
    queries: &[f32],
    number: usize,
    page: LatentPage<'_>,
    scratch: &mut Scratch,
    partial: &mut Vec<f32>,
) {
    let (stride, wide, lanes) = (shape.stride(), shape.wide_row(), tile.lanes());
    let Scratch { wide: rows, scores, .. } = scratch;
    rows.resize(PAGE * wide, 0.0);
    scores.resize(lanes * PAGE, 0.0);
    partial.clear();
    partial.resize(tile.queries() * stride, 0.0);

    let keys = tile.keys(tile.rows - 1, number);
    match page {
        LatentPage::F16(from) => widen(isa, shape, from, keys, rows),
        LatentPage::F32(from) => widen(isa, shape, from, keys, rows),
        LatentPage::Q8_0(from) => widen_q8(isa, shape, from, keys, rows),
    }
    dispatch(isa, Score { queries, lanes, rows, wide, dim: shape.row(), keys, out: scores });
    for (query, (scores, partial)) in scores.chunks_exact_mut(PAGE).zip(partial.chunks_exact_mut(stride)).enumerate() {
        let keys = tile.keys(query / tile.heads, number);
        if keys > 0 {
            let (greatest, sum) = softmax(isa, scores, 0..keys, shape.scale, None);
            (partial[stride - 2], partial[stride - 1]) = (greatest, sum);
        }
    }
    // A block has heads of one row only: they see the same keys.
    let most = match isa.level() {
        Level::Scalar | Level::Avx512 => 8,
        Level::Avx2 | Level::Neon | Level::NeonDot | Level::NeonI8mm => 6,
    };
    let blocks = tile.heads.div_ceil(most);
    for row in 0..tile.rows {
        let keys = tile.keys(row, number);
        for block in 0..if keys > 0 { blocks } else { 0 } {
            let heads = tile.heads * block / blocks..tile.heads * (block + 1) / blocks;
            let first = row * tile.heads + heads.start;
            let (weights, out) = (&scores[first * PAGE..], &mut partial[first * stride..]);
            let dim = shape.wide_latent();
            macro_rules! sizes {
                ($($m:literal)*) => {
                    match heads.len() {
                        $($m => dispatch(isa, Weigh::<$m> { weights, keys, rows, wide, dim, out, stride }),)*
                        _ => unreachable!("a block has at most eight heads"),
                    }
                };
            }
            sizes!(1 2 3 4 5 6 7 8);
        }
    }
}

/// The first `keys` rows of a page in single precision.
fn widen<E: KvElement>(isa: Isa, shape: &LatentShape, from: &[E], keys: usize, to: &mut [f32]) {
    assert_eq!(from.len(), PAGE * shape.row(), "a page does not fit the shape");
    let from = &from[..keys * shape.row()];
    dispatch(isa, Widen { from, row: shape.row(), to, wide: shape.wide_row() });
}

fn widen_q8(isa: Isa, shape: &LatentShape, from: Q8Rows<'_>, keys: usize, to: &mut [f32]) {
    let (row, scales) = (shape.row(), shape.row().div_ceil(Q8_BLOCK));
    assert!(from.codes.len() == PAGE * row && from.scales.len() == PAGE * scales, "a page does not fit the shape");
    let from = Q8Rows { codes: &from.codes[..keys * row], scales: &from.scales[..keys * scales] };
    dispatch(isa, WidenQ8 { from, row, to, wide: shape.wide_row() });
}
