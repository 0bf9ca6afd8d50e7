//! How a product is cut into tasks, and what a task does.

use std::cell::RefCell;
use std::ops::Range;

use super::gather::{Gather, gather};
use super::kernel::{Weights, tile, tile_width};
use super::layout::{Line, ROWS, with_packed};
use super::matrix::{FileRows, Matrix, Storage};
use super::strip::Strip;
use super::tile::{COLUMNS, Tile, width};
use crate::activation::Activations;
use crate::format::Format;
use crate::isa::Isa;
use crate::ops::argmax;

thread_local! {
    /// Where weights in place are packed: a few strips, for as long as the thread lives.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    /// Results of a task of which only the greatest are wanted: a few thousand at most.
    static RESULTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
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

/// Where results go: that of a column and a row to `first[column * rows + row - first_row]`.
///
/// # Safety
/// Whoever has one may write to the rows and columns that it is handed with, and nobody else does meanwhile.
#[derive(Clone, Copy)]
struct Out {
    first: *mut f32,
    first_row: usize,
    rows: usize,
}

/// The results of a job, all rows and columns. A task writes the rows and columns of its own only.
#[derive(Clone, Copy)]
pub(super) struct Results(*mut f32);

// SAFETY: the pointer comes from a unique borrow that outlives the region, and tasks write disjoint elements.
unsafe impl Sync for Results {}

impl Results {
    pub(super) fn new(out: &mut [f32]) -> Results {
        Results(out.as_mut_ptr())
    }
}

impl<'a> Plan<'a> {
    /// The plan of a job with at least one column, for tasks from `begin` on.
    pub(super) fn new(matrix: &'a Matrix, x: &'a Activations, begin: usize, threads: usize) -> Plan<'a> {
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
        Plan { matrix, x, groups, columns: columns_of_task, across, tasks: down * across, begin }
    }

    /// The same with all columns in every task.
    pub(super) fn with_whole_rows(self) -> Plan<'a> {
        Plan { columns: self.x.columns(), across: 1, tasks: self.tasks / self.across, ..self }
    }

    /// Computes the task's rows and columns; the first task is 0.
    ///
    /// # Safety
    /// `results` has a value for each row and column of the product, and no task is run twice at once.
    pub(super) unsafe fn run(&self, isa: Isa, task: usize, results: Results) {
        let (down, across) = (task / self.across, task % self.across);
        let columns = self.columns * across..self.x.columns().min(self.columns * (across + 1));
        let out = Out { first: results.0, first_row: 0, rows: self.matrix.rows() };
        self.multiply(isa, self.groups_of(down), columns, out);
    }

    /// The greatest result of each column among the rows of a task, and its row; of equal ones the first. Never a NaN
    /// where there is something else.
    pub(super) fn best(&self, isa: Isa, task: usize, best: &mut [(usize, f32)]) {
        let groups = self.groups_of(task);
        let first_row = ROWS * groups.start;
        let rows = self.matrix.rows().min(ROWS * groups.end) - first_row;
        let wanted = rows * self.x.columns();
        RESULTS.with_borrow_mut(|results| {
            results.resize(results.len().max(wanted), 0.0);
            let results = &mut results[..wanted];
            self.multiply(isa, groups, 0..self.x.columns(), Out { first: results.as_mut_ptr(), first_row, rows });
            for (best, column) in best.iter_mut().zip(results.chunks_exact(rows)) {
                let row = argmax(isa, column);
                *best = (first_row + row, column[row]);
            }
        });
    }

    /// The row groups of the tasks at this height.
    fn groups_of(&self, down: usize) -> Range<usize> {
        self.groups * down..self.matrix.groups().min(self.groups * (down + 1))
    }

    fn multiply(&self, isa: Isa, groups: Range<usize>, columns: Range<usize>, out: Out) {
        let (packed, file) = match self.matrix.storage() {
            Storage::Packed(packed) => (Some(packed), None),
            Storage::InPlace(file) => (file.packed(), Some(file)),
        };
        // The rest is in place, also what is being packed meanwhile.
        let rest = self.matrix.packed_groups().clamp(groups.start, groups.end);
        if let Some(packed) = packed
            && groups.start < rest
        {
            let whole = |group| Weights {
                format: self.matrix.format(),
                bytes: packed.group(group),
                first: 0,
                count: self.matrix.blocks(),
            };
            self.tiles(isa, groups.start..rest, columns.clone(), whole, out);
        }
        if let Some(file) = file
            && rest < groups.end
        {
            with_packed!(self.matrix.format(), P => self.in_place::<P>(isa, rest..groups.end, columns, file, out));
        }
    }

    /// Packs a strip of a few row groups at a time into the cache and multiplies it with all columns of the task.
    fn in_place<P: Gather>(&self, isa: Isa, groups: Range<usize>, columns: Range<usize>, file: &FileRows, out: Out) {
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
                    self.tiles(isa, groups.clone(), columns.clone(), part, out);
                }
            }
        });
    }

    /// Row groups times columns, tile by tile; `weights` gives those of a group. Weights that do not begin with the
    /// first block go on from the results that are there.
    fn tiles<'w>(
        &self,
        isa: Isa,
        groups: Range<usize>,
        columns: Range<usize>,
        weights: impl Fn(usize) -> Weights<'w>,
        out: Out,
    ) {
        let (rows, most) = (self.matrix.rows(), tile_width(isa));
        let mut first = columns.start;
        while first < columns.end {
            let n = width(columns.end - first, most);
            for group in groups.clone() {
                let live = ROWS.min(rows - ROWS * group);
                // SAFETY: `out` has room for these columns of this row group, and this task alone touches it.
                let at = |column: usize| unsafe { out.first.add(column * out.rows + ROWS * group - out.first_row) };
                let weights = weights(group);
                let begun = weights.first > 0;
                if live == ROWS {
                    // SAFETY: as above; all rows of the group exist.
                    let mut results = unsafe { Tile::new(at(first), out.rows, n, begun) };
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
