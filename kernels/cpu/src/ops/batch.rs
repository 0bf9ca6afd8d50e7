//! Attention of a whole batch, shared out over a team.

use super::attention::{AttentionScratch, AttentionShape, SPLIT, attend_tile, merge_splits};
use super::page::{KvSlice, PAGE};
use super::split::{Row, split_rows};
use crate::isa::Isa;
use crate::team::Team;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Rows of a batch that continue one sequence: a prompt's chunk, or the one row of a decode step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionRun {
    /// The name by which `pages` knows the sequence.
    pub sequence: usize,
    /// The position of the first row.
    pub first_position: usize,
    /// The number of rows, at consecutive positions.
    pub rows: usize,
}

/// Rows of a batch that is shared out by split of the keys; larger ones have work enough for a team in their rows.
const SPLIT_ROWS: usize = 32;

/// Buffers that grow to the largest batch and are used again.
#[derive(Debug, Default)]
pub struct AttentionBuffers {
    scratch: Pool,
    plan: Plan,
    /// What the tasks leave for whoever merges, one task after the other.
    partials: Vec<f32>,
}

/// A stack of scratch buffers: as many as tasks ever ran at once.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<(AttentionScratch, Vec<f32>)>>);

/// How a batch is cut into tasks.
#[derive(Debug, Default)]
struct Plan {
    rows: Vec<Row>,
    tasks: Vec<Task>,
    /// Floats of all partial results.
    partials: usize,
    /// Where the partial results of each (row, head, split) begin, the splits of a row and head side by side.
    places: Vec<usize>,
    /// For each (row, head): its part of `places`, and the splits that are still to be computed.
    merges: Vec<(Range<usize>, AtomicUsize)>,
}

/// Neighbouring rows of the batch, for one key-value head.
#[derive(Debug, Clone)]
struct Task {
    rows: Range<usize>,
    kv_head: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// All that rows of one sequence see.
    Whole,
    /// One split of rows that share its beginning; the partial results begin at `at`.
    Split { split: usize, at: usize },
}

impl AttentionBuffers {
    /// Empty buffers.
    pub fn new() -> AttentionBuffers {
        AttentionBuffers::default()
    }
}

impl Pool {
    fn with(&self, task: impl FnOnce(&mut AttentionScratch, &mut Vec<f32>)) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut scratch, mut rows) = taken.unwrap_or_default();
        task(&mut scratch, &mut rows);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((scratch, rows));
    }
}

/// Attention for all rows of `runs`, one run after the other: `q` is `[row][kv_heads][group][head_dim_k]`, `out`
/// `[row][kv_heads][group][head_dim_v]`. `pages` gives the page of (sequence, key-value head, page number); it has to
/// hold the keys and values of all rows already. Every row gets the bits that [`attend`](super::attend) gives it.
///
/// Small batches are shared out by (head, split of the keys), larger ones by (head, tile of rows). Neighbouring rows
/// whose sequences have a page in common (the same memory, as forks of one prompt have) go over it together: it is read
/// once for all of them.
///
/// # Panics
///
/// When `q`, `out` or a page does not fit the shape.
#[expect(clippy::too_many_arguments, reason = "where, what, from, with, to")]
pub fn attend_batch<'a>(
    isa: Isa,
    team: &Team,
    shape: &AttentionShape,
    kv_heads: usize,
    runs: &[AttentionRun],
    q: &[f32],
    pages: &(dyn Fn(usize, usize, usize) -> KvSlice<'a> + Sync),
    buffers: &mut AttentionBuffers,
    out: &mut [f32],
) {
    let rows: usize = runs.iter().map(|run| run.rows).sum();
    let (q_head, out_head) = (shape.group * shape.head_dim_k, shape.group * shape.head_dim_v);
    assert_eq!(q.len(), rows * kv_heads * q_head, "the queries do not fit the runs");
    assert_eq!(out.len(), rows * kv_heads * out_head, "the output does not fit the runs");
    if out.is_empty() {
        return;
    }
    let AttentionBuffers { scratch: pool, plan, partials } = buffers;
    if rows <= SPLIT_ROWS {
        plan.by_split(shape, kv_heads, runs, pages);
    } else {
        plan.by_rows(shape, kv_heads, runs);
    }
    partials.resize(partials.len().max(plan.partials), 0.0);
    let (plan, partials, out) = (&*plan, Cells::new(partials), Cells::new(out));

    team.run(plan.tasks.len(), |index| {
        let Task { rows, kv_head, part } = &plan.tasks[index];
        let pages = |sequence, page| pages(sequence, *kv_head, page);
        pool.with(|scratch, own| {
            let (queries, results) = gather(q, rows.clone(), *kv_head, kv_heads, q_head, own, out_head);
            let of_task = &plan.rows[rows.clone()];
            match *part {
                Part::Whole => {
                    attend_tile(isa, shape, queries, of_task, &pages, scratch, results);
                    for (row, result) in rows.clone().zip(results.chunks_exact(out_head)) {
                        // SAFETY: this task alone computes these rows of this head.
                        unsafe { out.get_mut((row * kv_heads + kv_head) * out_head, out_head) }.copy_from_slice(result);
                    }
                }
                Part::Split { split, at } => {
                    // SAFETY: the parts of the tasks are disjoint, and nobody reads one before the last of the tasks
                    // that a merge needs has counted itself.
                    let results = unsafe { partials.get_mut(at, rows.len() * shape.partial_len()) };
                    split_rows(isa, shape, queries, of_task, split, &pages, scratch, results);
                    for row in rows.clone() {
                        let (places, missing) = &plan.merges[row * kv_heads + kv_head];
                        // Releases what this task wrote, acquires what the others did.
                        if missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                            let places = plan.places[places.clone()].iter();
                            // SAFETY: all splits of this row and head are written, for good.
                            let splits = places.map(|&place| unsafe { partials.get(place, shape.partial_len()) });
                            // SAFETY: one task was the last for this row and head.
                            let out = unsafe { out.get_mut((row * kv_heads + kv_head) * out_head, out_head) };
                            merge_splits(isa, shape, splits, scratch, out);
                        }
                    }
                }
            }
        });
    });
}

/// The queries of `rows` for one head side by side, and room for their results.
fn gather<'s>(
    q: &'s [f32],
    rows: Range<usize>,
    kv_head: usize,
    kv_heads: usize,
    q_head: usize,
    own: &'s mut Vec<f32>,
    out_head: usize,
) -> (&'s [f32], &'s mut [f32]) {
    let of_row = |row: usize| &q[(row * kv_heads + kv_head) * q_head..][..q_head];
    own.clear();
    rows.clone().for_each(|row| own.extend_from_slice(of_row(row)));
    own.resize(rows.len() * (q_head + out_head), 0.0);
    let (queries, results) = own.split_at_mut(rows.len() * q_head);
    (queries, results)
}

impl Plan {
    fn begin(&mut self, runs: &[AttentionRun]) {
        self.tasks.clear();
        self.places.clear();
        self.merges.clear();
        self.partials = 0;
        self.rows.clear();
        for run in runs {
            let positions = run.first_position..run.first_position + run.rows;
            self.rows.extend(positions.map(|position| Row { sequence: run.sequence, position }));
        }
    }

    /// A task is a tile of one sequence's rows and goes over all that they see.
    fn by_rows(&mut self, shape: &AttentionShape, kv_heads: usize, runs: &[AttentionRun]) {
        self.begin(runs);
        let mut first = 0;
        for run in runs {
            for start in (0..run.rows).step_by(shape.tile_rows()) {
                let rows = first + start..first + run.rows.min(start + shape.tile_rows());
                let task = |kv_head| Task { rows: rows.clone(), kv_head, part: Part::Whole };
                self.tasks.extend((0..kv_heads).map(task));
            }
            first += run.rows;
        }
    }

    /// A task is one split of rows that share its first page.
    fn by_split<'a>(
        &mut self,
        shape: &AttentionShape,
        kv_heads: usize,
        runs: &[AttentionRun],
        pages: &dyn Fn(usize, usize, usize) -> KvSlice<'a>,
    ) {
        self.begin(runs);
        for row in &self.rows {
            for _ in 0..kv_heads {
                let (start, splits) = (self.places.len(), shape.splits(row.position).len());
                self.places.resize(start + splits, 0);
                self.merges.push((start..start + splits, AtomicUsize::new(splits)));
            }
        }
        let splits_of = |row: &Row| shape.splits(row.position);
        let most = self.rows.iter().map(|row| splits_of(row).end).max().unwrap_or(0);
        for split in 0..most {
            let mut row = 0;
            while row < self.rows.len() {
                let first = row;
                row += 1;
                if !splits_of(&self.rows[first]).contains(&split) {
                    continue;
                }
                while row < self.rows.len()
                    && splits_of(&self.rows[row]).contains(&split)
                    && shares(shape, &self.rows[first], &self.rows[row], split, pages)
                {
                    row += 1;
                }
                self.push_split(shape, kv_heads, first..row, split);
            }
        }
    }

    /// Tasks for rows that read a split together, in even tiles.
    fn push_split(&mut self, shape: &AttentionShape, kv_heads: usize, rows: Range<usize>, split: usize) {
        let tiles = rows.len().div_ceil(shape.tile_rows());
        for tile in 0..tiles {
            let part = |end: usize| rows.start + rows.len() * end / tiles;
            let rows = part(tile)..part(tile + 1);
            for kv_head in 0..kv_heads {
                let at = self.partials;
                for (index, row) in rows.clone().enumerate() {
                    let places = self.merges[row * kv_heads + kv_head].0.start;
                    let place = places + split - shape.splits(self.rows[row].position).start;
                    self.places[place] = at + index * shape.partial_len();
                }
                self.partials += rows.len() * shape.partial_len();
                self.tasks.push(Task { rows: rows.clone(), kv_head, part: Part::Split { split, at } });
            }
        }
    }
}

/// Whether both rows see one page at the beginning of what the first sees of `split`.
fn shares<'a>(
    shape: &AttentionShape,
    a: &Row,
    b: &Row,
    split: usize,
    pages: &dyn Fn(usize, usize, usize) -> KvSlice<'a>,
) -> bool {
    let first_page = |row: &Row| shape.keys(row.position).start.max(split * SPLIT) / PAGE;
    let page = first_page(a);
    let seen = first_page(b) <= page && page * PAGE <= b.position;
    seen && (a.sequence == b.sequence || pages(a.sequence, 0, page).is(&pages(b.sequence, 0, page)))
}

/// Floats that several tasks write, each its own.
struct Cells<'a> {
    base: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Cells` is an exclusive borrow of floats; who uses a part of it promises that nobody else does.
unsafe impl Sync for Cells<'_> {}

impl<'a> Cells<'a> {
    fn new(floats: &'a mut [f32]) -> Cells<'a> {
        Cells { base: floats.as_mut_ptr(), len: floats.len(), borrow: PhantomData }
    }

    /// # Safety
    /// Nobody writes this part as long as the result lives.
    unsafe fn get(&self, start: usize, len: usize) -> &[f32] {
        assert!(start <= self.len && len <= self.len - start, "a part beyond the end");
        // SAFETY: inside the borrowed slice; the caller excludes writers.
        unsafe { std::slice::from_raw_parts(self.base.add(start), len) }
    }

    /// # Safety
    /// Nobody else uses this part as long as the result lives.
    #[expect(clippy::mut_from_ref, reason = "tasks share the whole and own parts")]
    unsafe fn get_mut(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start, "a part beyond the end");
        // SAFETY: inside the borrowed slice; the caller excludes other users.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(start), len) }
    }
}
