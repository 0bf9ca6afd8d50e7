//! One split of keys for some query rows: scores, weights, weighted values.
//!
//! The queries go in even blocks that fit the registers, each over a page at a time; how they are blocked does not
//! change a bit.

use super::attention::{AttentionScratch, AttentionShape, SPLIT};
use super::lanes::dispatch;
use super::page::{KvElement, KvSlice, PAGE, widen};
use super::softmax::softmax;
use super::tile::{ScorePage, WeighKeys};
use crate::isa::{Isa, Level};
use std::ops::Range;

/// One split for some rows at consecutive positions. Rows that see no key of it get a partial result without meaning.
#[expect(clippy::too_many_arguments, reason = "attend_split for rows")]
pub(super) fn split_rows<'a>(
    isa: Isa,
    shape: &AttentionShape,
    q: &[f32],
    first_position: usize,
    split: usize,
    pages: &dyn Fn(usize) -> KvSlice<'a>,
    scratch: &mut AttentionScratch,
    partials: &mut [f32],
) {
    let (dim, stride, start) = (shape.head_dim_k, shape.stride(), split * SPLIT);
    let queries = q.len() / dim;
    // The keys that a query sees of this split, relative to its start.
    let keys_of = |query: usize| {
        let keys = shape.keys(first_position + query / shape.group);
        keys.start.clamp(start, start + SPLIT) - start..keys.end.clamp(start, start + SPLIT) - start
    };
    let seen = keys_of(0).start..keys_of(queries - 1).end;
    let blocks = Blocks::new(isa, queries);
    scratch.scores.resize(queries * SPLIT, 0.0);
    let AttentionScratch { scores, wide, .. } = scratch;

    for page in seen.start / PAGE..seen.end.div_ceil(PAGE) {
        let slice = pages(start / PAGE + page);
        let scores = &mut scores[page * PAGE..];
        match slice {
            KvSlice::F16 { k, .. } if blocks.count > 2 => {
                let k = widened(isa, k, wide);
                blocks.each(|block| score_page(isa, block, q, dim, k, scores));
            }
            KvSlice::F16 { k, .. } => {
                blocks.each(|block| score_page(isa, block, q, dim, k, scores));
            }
            KvSlice::F32 { k, .. } => {
                blocks.each(|block| score_page(isa, block, q, dim, k, scores));
            }
        }
    }

    for (query, (scores, partial)) in scores.chunks_mut(SPLIT).zip(partials.chunks_exact_mut(stride)).enumerate() {
        let keys = keys_of(query);
        partial.fill(0.0);
        if !keys.is_empty() {
            let (greatest, sum) = softmax(isa, scores, keys, shape.scale, shape.soft_cap);
            partial[shape.head_dim_v] = greatest;
            partial[shape.head_dim_v + 1] = sum;
        }
    }

    for page in seen.start / PAGE..seen.end.div_ceil(PAGE) {
        let slice = pages(start / PAGE + page);
        let weigh = Weights { shape, scores, page, keys_of: &keys_of };
        match slice {
            KvSlice::F16 { v, .. } if blocks.count > 2 => {
                let v = widened(isa, v, wide);
                blocks.each(|block| weigh.block(isa, block, v, partials));
            }
            KvSlice::F16 { v, .. } => blocks.each(|block| weigh.block(isa, block, v, partials)),
            KvSlice::F32 { v, .. } => blocks.each(|block| weigh.block(isa, block, v, partials)),
        }
    }
}

fn widened<'s>(isa: Isa, page: &[u16], wide: &'s mut Vec<f32>) -> &'s [f32] {
    wide.resize(page.len().max(wide.len()), 0.0);
    widen(isa, page, &mut wide[..page.len()]);
    &wide[..page.len()]
}

/// Queries cut into even blocks that fit the registers.
struct Blocks {
    queries: usize,
    count: usize,
}

impl Blocks {
    fn new(isa: Isa, queries: usize) -> Blocks {
        let most = if isa.level() == Level::Avx2 { 6 } else { 8 };
        Blocks { queries, count: queries.div_ceil(most) }
    }

    fn each(&self, mut visit: impl FnMut(Range<usize>)) {
        let mut start = 0;
        for block in 0..self.count {
            let end = self.queries * (block + 1) / self.count;
            visit(start..end);
            start = end;
        }
    }
}

/// The second half of a split: weights times values.
struct Weights<'a, F> {
    shape: &'a AttentionShape,
    /// `[query][SPLIT]`, weights by now.
    scores: &'a [f32],
    /// The page's number in the split.
    page: usize,
    keys_of: &'a F,
}

impl<F: Fn(usize) -> Range<usize>> Weights<'_, F> {
    /// Adds the values of the page to the queries of `block`, keys ascending for each: first those that only some
    /// queries see (a window's start), then those that all see, then again those that some see (the diagonal).
    fn block<E: KvElement>(&self, isa: Isa, block: Range<usize>, v: &[E], partials: &mut [f32]) {
        let (first, last) = ((self.keys_of)(block.start), (self.keys_of)(block.end - 1));
        let mut common = last.start..first.end;
        if common.is_empty() {
            common = 0..0;
        }
        for query in block.clone() {
            let keys = (self.keys_of)(query);
            self.keys(isa, query..query + 1, keys.start..common.start.min(keys.end), v, partials);
        }
        self.keys(isa, block.clone(), common.clone(), v, partials);
        for query in block {
            let keys = (self.keys_of)(query);
            self.keys(isa, query..query + 1, common.end.max(keys.start)..keys.end, v, partials);
        }
    }

    /// Adds the values of those of `keys` (relative to the split) that are in the page.
    fn keys<E: KvElement>(&self, isa: Isa, block: Range<usize>, keys: Range<usize>, v: &[E], partials: &mut [f32]) {
        let base = self.page * PAGE;
        let (start, end) = (keys.start.max(base), keys.end.min(base + PAGE));
        if start >= end {
            return;
        }
        let (dim, stride) = (self.shape.head_dim_v, self.shape.stride());
        assert_eq!(v.len(), dim * PAGE, "a page of values does not fit the shape");
        let values = &v[(start - base) * dim..(end - base) * dim];
        let weights = &self.scores[block.start * SPLIT + start..];
        let out = &mut partials[block.start * stride..];
        macro_rules! sizes {
            ($($m:literal)*) => {
                match block.len() {
                    $($m => dispatch(isa, WeighKeys::<E, $m> { weights, keys: end - start, values, dim, out }),)*
                    _ => unreachable!("a block has at most eight queries"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8);
    }
}

/// Scores of a block of the queries `q` against the keys of a page; `scores` begins with the page's place in the first
/// query's row.
fn score_page<E: KvElement>(isa: Isa, block: Range<usize>, q: &[f32], dim: usize, k: &[E], scores: &mut [f32]) {
    assert_eq!(k.len(), dim * PAGE, "a page of keys does not fit the shape");
    let q = &q[block.start * dim..];
    let out = &mut scores[block.start * SPLIT..];
    macro_rules! sizes {
        ($($m:literal)*) => {
            match block.len() {
                $($m => dispatch(isa, ScorePage::<E, $m> { q, dim, k, out }),)*
                _ => unreachable!("a block has at most eight queries"),
            }
        };
    }
    sizes!(1 2 3 4 5 6 7 8);
}
