//! One split of keys for some query rows: scores, weights, weighted values.
//!
//! Neighbouring rows that read the same page, be it as one sequence or as several that share a past, go over it
//! together, in even blocks of queries that fit the registers. How they are blocked does not change a bit.

use super::attention::{AttentionScratch, AttentionShape, SPLIT};
use super::lanes::dispatch;
use super::page::{KvSlice, PAGE};
use super::softmax::softmax;
use super::tile::{Keys, ScorePage, Values, WeighKeys};
use crate::isa::Isa;
use std::ops::Range;

/// A row of queries: its sequence, by the name that `pages` knows, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) sequence: usize,
    pub(super) position: usize,
}

/// The page of (sequence, page number).
pub(super) type Pages<'p, 'a> = &'p dyn Fn(usize, usize) -> KvSlice<'a>;

/// Most queries of a block. With four vectors of keys or dimensions they fill the registers of AVX-512.
const BLOCK: usize = 6;

/// One split for some rows, `q` being `[row][group][head_dim_k]`. Rows that see no key of it get a partial result
/// without meaning.
#[expect(clippy::too_many_arguments, reason = "attend_split for rows")]
pub(super) fn split_rows(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    rows: &[Row],
    split: usize,
    pages: Pages<'_, '_>,
    scratch: &mut AttentionScratch,
    partials: &mut [f32],
) {
    let (dim, stride) = (shape.head_dim_k, shape.stride());
    let queries = rows.len() * shape.group;
    scratch.scores.resize(queries * SPLIT, 0.0);
    let scores = &mut scratch.scores;
    let part = Part { isa, shape, rows, split };

    let visits = part.visits(pages);
    let first_values = visits.first().map_or(std::ptr::null(), |visit| visit.slice.values());
    for (index, visit) in visits.iter().enumerate() {
        let scores = &mut scores[visit.page * PAGE..];
        let ahead = visits.get(index + 1).map_or(first_values, |next| next.slice.keys());
        let blocks = part.blocks(&visit.rows);
        match visit.slice {
            KvSlice::F16 { k, .. } => blocks.each(|block| score_page(isa, block, q, dim, k, ahead, scores)),
            KvSlice::F32 { k, .. } => blocks.each(|block| score_page(isa, block, q, dim, k, ahead, scores)),
            KvSlice::Q8_0 { k, .. } => blocks.each(|block| score_page(isa, block, q, dim, k, ahead, scores)),
        }
    }

    for (query, (scores, partial)) in scores.chunks_mut(SPLIT).zip(partials.chunks_exact_mut(stride)).enumerate() {
        let keys = part.keys(query);
        partial.fill(0.0);
        if !keys.is_empty() {
            let (greatest, sum) = softmax(isa, scores, keys, shape.scale, shape.soft_cap);
            partial[shape.head_dim_v] = greatest;
            partial[shape.head_dim_v + 1] = sum;
        }
    }

    for (index, visit) in visits.iter().enumerate() {
        let blocks = part.blocks(&visit.rows);
        let ahead = visits.get(index + 1).map_or(visit.slice.values(), |next| next.slice.values());
        let weights = Weights { part: &part, scores, page: visit.page, ahead };
        match visit.slice {
            KvSlice::F16 { v, .. } => blocks.each(|block| weights.block(block, v, partials)),
            KvSlice::F32 { v, .. } => blocks.each(|block| weights.block(block, v, partials)),
            KvSlice::Q8_0 { v, .. } => blocks.each(|block| weights.block(block, v, partials)),
        }
    }
}

/// A page and the rows that read it together.
struct Visit<'p> {
    /// Its number in the split.
    page: usize,
    rows: Range<usize>,
    slice: KvSlice<'p>,
}

/// Some rows and one split of what they see.
struct Part<'a> {
    isa: Isa,
    shape: &'a AttentionShape,
    rows: &'a [Row],
    split: usize,
}

impl Part<'_> {
    /// The keys that a row sees of the split, relative to its start.
    fn keys_of_row(&self, row: usize) -> Range<usize> {
        let (keys, start) = (self.shape.keys(self.rows[row].position), self.split * SPLIT);
        keys.start.clamp(start, start + SPLIT) - start..keys.end.clamp(start, start + SPLIT) - start
    }

    /// The keys that a query sees of the split, relative to its start.
    fn keys(&self, query: usize) -> Range<usize> {
        self.keys_of_row(query / self.shape.group)
    }

    fn sees(&self, row: usize, page: usize) -> bool {
        let keys = self.keys_of_row(row);
        keys.start < (page + 1) * PAGE && page * PAGE < keys.end && !keys.is_empty()
    }

    /// The pages of the split, ascending.
    fn visits<'p>(&self, pages: Pages<'_, 'p>) -> Vec<Visit<'p>> {
        let slice_of = |row: usize, page: usize| pages(self.rows[row].sequence, self.split * (SPLIT / PAGE) + page);
        let mut visits = Vec::with_capacity(SPLIT / PAGE);
        for page in 0..SPLIT / PAGE {
            let mut row = 0;
            while row < self.rows.len() {
                let first = row;
                row += 1;
                if !self.sees(first, page) {
                    continue;
                }
                let slice = slice_of(first, page);
                let same = |row: usize| {
                    self.rows[row].sequence == self.rows[row - 1].sequence || slice_of(row, page).is(&slice)
                };
                while row < self.rows.len() && self.sees(row, page) && same(row) {
                    row += 1;
                }
                visits.push(Visit { page, rows: first..row, slice });
            }
        }
        visits
    }

    /// The queries of `rows` in even blocks.
    fn blocks(&self, rows: &Range<usize>) -> Blocks {
        let queries = rows.start * self.shape.group..rows.end * self.shape.group;
        Blocks { count: queries.len().div_ceil(BLOCK), queries }
    }
}

/// Queries cut into even blocks that fit the registers.
struct Blocks {
    queries: Range<usize>,
    count: usize,
}

impl Blocks {
    fn each(&self, mut visit: impl FnMut(Range<usize>)) {
        let (first, queries) = (self.queries.start, self.queries.len());
        let mut start = 0;
        for block in 0..self.count {
            let end = queries * (block + 1) / self.count;
            visit(first + start..first + end);
            start = end;
        }
    }
}

/// The second half of a split: weights times values.
struct Weights<'a> {
    part: &'a Part<'a>,
    /// `[query][SPLIT]`, weights by now.
    scores: &'a [f32],
    /// The page's number in the split.
    page: usize,
    /// Where what is read next begins.
    ahead: *const u8,
}

impl Weights<'_> {
    /// Adds the values of the page to the queries of `block`, keys ascending for each: first those that only some
    /// queries see (a window's start), then those that all see, then again those that some see (the diagonal).
    fn block<V: Values>(&self, block: Range<usize>, v: V, partials: &mut [f32]) {
        let mut common = 0..SPLIT;
        for query in block.clone() {
            let keys = self.part.keys(query);
            common = common.start.max(keys.start)..common.end.min(keys.end);
        }
        if common.is_empty() {
            common = 0..0;
        }
        for query in block.clone() {
            let keys = self.part.keys(query);
            self.keys(query..query + 1, keys.start..common.start.min(keys.end), v, partials);
        }
        self.keys(block.clone(), common.clone(), v, partials);
        for query in block {
            let keys = self.part.keys(query);
            self.keys(query..query + 1, common.end.max(keys.start)..keys.end, v, partials);
        }
    }

    /// Adds the values of those of `keys` (relative to the split) that are in the page.
    fn keys<V: Values>(&self, block: Range<usize>, keys: Range<usize>, v: V, partials: &mut [f32]) {
        let base = self.page * PAGE;
        let (start, end) = (keys.start.max(base), keys.end.min(base + PAGE));
        if start >= end {
            return;
        }
        let (dim, stride) = (self.part.shape.head_dim_v, self.part.shape.stride());
        assert_eq!(v.len(), dim * PAGE, "a page of values does not fit the shape");
        let weights = &self.scores[block.start * SPLIT + start..];
        let out = &mut partials[block.start * stride..];
        let (keys, ahead) = (start - base..end - base, self.ahead);
        macro_rules! sizes {
            ($($m:literal)*) => {
                match block.len() {
                    $($m => dispatch(self.part.isa, WeighKeys::<V, $m> { weights, keys, values: v, ahead, dim, out }),)*
                    _ => unreachable!("a block has at most six queries"),
                }
            };
        }
        sizes!(1 2 3 4 5 6);
    }
}

/// Scores of a block of the queries `q` against the keys of a page; `scores` begins with the page's place in the first
/// query's row.
fn score_page<K: Keys>(
    isa: Isa,
    block: Range<usize>,
    q: &[f32],
    dim: usize,
    k: K,
    ahead: *const u8,
    scores: &mut [f32],
) {
    assert_eq!(k.len(), dim * PAGE, "a page of keys does not fit the shape");
    let q = &q[block.start * dim..];
    let out = &mut scores[block.start * SPLIT..];
    macro_rules! sizes {
        ($($m:literal)*) => {
            match block.len() {
                $($m => dispatch(isa, ScorePage::<K, $m> { q, dim, k, ahead, out }),)*
                _ => unreachable!("a block has at most six queries"),
            }
        };
    }
    sizes!(1 2 3 4 5 6);
}
