//! How a product is cut into tasks, and what a task does.

use std::cell::RefCell;
use std::ops::Range;

use super::Job;
use super::gather::{Gather, gather};
use super::kernel::{Weights, tile, tile_width};
use super::layout::{Line, ROWS, with_packed};
use super::matrix::{FileRows, Matrix, Storage};
use super::strip::Strip;
use super::tile::{COLUMNS, Tile, width};
use crate::activation::Activations;
use crate::format::Format;
use crate::isa::Isa;

thread_local! {
    /// Where weights in place are packed: a few strips, for as long as the thread lives.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Packed bytes of a strip of weights in place: half of a first-level cache.
const STRIP_BYTES: usize = 16 << 10;

/// Weights that a task reads at most: small enough that a thread that loses its core delays nobody for long.
const TASK_BYTES: usize = 128 << 10;

/// Weights times tiles of a task at least, about a microsecond of work: less is not worth a hand-over.
const TASK_WORK: usize = 16 << 10;

/// Row groups of a task with many tiles: these stay in the second-level cache while the tiles pass.
const PANEL: usize = 8;

/// Tasks of each thread, where there is enough to do: so that threads that are slower than others take fewer.
const TASKS_PER_THREAD: usize = 4;

/// How one job is cut into tasks.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    matrix: &'a Matrix,
    x: &'a Activations,
    out: Out,
    /// Row groups of a task.
    groups: usize,
    /// Columns of a task.
    columns: usize,
    /// Tasks side by side along the columns.
    across: usize,
    /// All tasks.
    pub(super) tasks: usize,
    /// Tasks of the jobs before.
    pub(super) begin: usize,
}

/// Where a job's results go. A task writes the rows and columns of its own only.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: the pointer comes from a unique borrow that outlives the region, and tasks write disjoint elements.
unsafe impl Sync for Out {}

impl<'a> Plan<'a> {
    /// The plan of a job with at least one column, for tasks from `begin` on.
    pub(super) fn new(job: &mut Job<'a>, begin: usize, threads: usize) -> Plan<'a> {
        let (matrix, x) = (job.matrix, job.x);
        let columns = x.columns();
        let all = matrix.groups();
        let wanted = if threads == 1 { 1 } else { TASKS_PER_THREAD * threads };
        let tiles = columns.div_ceil(COLUMNS);
        let least = TASK_WORK.div_ceil(matrix.group_bytes() * tiles).max(1);
        let most = if tiles > 1 { PANEL } else { (TASK_BYTES / matrix.group_bytes()).max(1) };
        let groups = all.div_ceil(wanted).clamp(least.min(most), most);
        let down = all.div_ceil(groups);
        // Rows first: a task with all columns reads its weights from memory once.
        let across = if down >= threads { 1 } else { wanted.div_ceil(down).min(tiles) };
        let columns_of_task = tiles.div_ceil(across) * COLUMNS;
        let across = columns.div_ceil(columns_of_task);
        let out = Out(job.out.as_mut_ptr());
        Plan { matrix, x, out, groups, columns: columns_of_task, across, tasks: down * across, begin }
    }

    /// Computes the task's rows and columns; the first task is 0.
    pub(super) fn run(&self, isa: Isa, task: usize) {
        let (down, across) = (task / self.across, task % self.across);
        let groups = self.groups * down..self.matrix.groups().min(self.groups * (down + 1));
        let columns = self.columns * across..self.x.columns().min(self.columns * (across + 1));
        match self.matrix.storage() {
            Storage::Packed(packed) => {
                let whole = |group| Weights {
                    format: self.matrix.format(),
                    bytes: packed.group(group),
                    first: 0,
                    count: self.matrix.blocks(),
                };
                self.tiles(isa, groups, columns, whole);
            }
            Storage::InPlace(file) => {
                with_packed!(self.matrix.format(), P => self.run_in_place::<P>(isa, groups, columns, file));
            }
        }
    }

    /// Packs a strip of a few row groups at a time into the cache and multiplies it with all columns of the task.
    fn run_in_place<P: Gather>(&self, isa: Isa, groups: Range<usize>, columns: Range<usize>, file: &FileRows) {
        let (data, blocks) = (file.data(), self.matrix.blocks());
        let blocks_of_strip = (STRIP_BYTES / size_of::<P>()).clamp(1, blocks);
        let lines_of_strip = (blocks_of_strip * size_of::<P>()).div_ceil(size_of::<Line>());
        let panel = if columns.len() > tile_width(isa) { PANEL } else { 1 };
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(scratch.len().max(panel * lines_of_strip), Line::ZERO);
            for first in groups.clone().step_by(panel) {
                let groups = first..groups.end.min(first + panel);
                for block in (0..blocks).step_by(blocks_of_strip) {
                    let strip = block..blocks.min(block + blocks_of_strip);
                    for (group, lines) in groups.clone().zip(scratch.chunks_exact_mut(lines_of_strip)) {
                        let rows = Strip::new(data, file.row_bytes, ROWS * group, strip.clone());
                        gather::<P>(isa, &rows, &mut P::cast_mut(Line::bytes_mut(lines))[..strip.len()]);
                    }
                    let part = |group: usize| Weights {
                        format: self.matrix.format(),
                        bytes: Line::bytes(&scratch[(group - first) * lines_of_strip..][..lines_of_strip]),
                        first: strip.start,
                        count: strip.len(),
                    };
                    self.tiles(isa, groups.clone(), columns.clone(), part);
                }
            }
        });
    }

    /// Row groups times columns, tile by tile; `weights` gives those of a group. Weights that do not begin with the
    /// first block go on from the results that are there.
    fn tiles<'w>(&self, isa: Isa, groups: Range<usize>, columns: Range<usize>, weights: impl Fn(usize) -> Weights<'w>) {
        let (rows, most) = (self.matrix.rows(), tile_width(isa));
        let mut first = columns.start;
        while first < columns.end {
            let n = width(columns.end - first, most);
            for group in groups.clone() {
                let live = ROWS.min(rows - ROWS * group);
                // SAFETY: `out` has a row for each column (asserted by `matmul_group`); this task alone touches these
                // columns of this row group.
                let at = |column: usize| unsafe { self.out.0.add(column * rows + ROWS * group) };
                let weights = weights(group);
                let begun = weights.first > 0;
                if live == ROWS {
                    // SAFETY: as above; all rows of the group exist.
                    let mut results = unsafe { Tile::new(at(first), rows, n, begun) };
                    results.fetch();
                    tile(isa, weights, self.x, first, n, &mut results);
                } else {
                    let mut padded = [[0.0; ROWS]; COLUMNS];
                    for (column, padded) in (first..).zip(&mut padded[..n]) {
                        // SAFETY: as above; where results have begun, this task wrote them, otherwise they are floats
                        // of any value that nobody will read.
                        unsafe { std::ptr::copy_nonoverlapping(at(column), padded.as_mut_ptr(), live) };
                    }
                    // SAFETY: columns of the local array, which is not used meanwhile.
                    let mut results = unsafe { Tile::new(padded.as_mut_ptr().cast(), ROWS, n, begun) };
                    tile(isa, weights, self.x, first, n, &mut results);
                    for (column, padded) in (first..).zip(&padded[..n]) {
                        // SAFETY: as above.
                        unsafe { std::ptr::copy_nonoverlapping(padded.as_ptr(), at(column), live) };
                    }
                }
            }
            first += n;
        }
    }
}
