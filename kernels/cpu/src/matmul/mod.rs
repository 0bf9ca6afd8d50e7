//! Products of packed weight matrices and quantised activations.
//!
//! [`Matrix::pack`] rearranges the blocks of a tensor once; [`matmul`] multiplies it with any number of columns. What
//! the result is, bit for bit and on every instruction set, says [`dot_row`]; `layout.rs` draws the packed blocks.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod definition;
mod layout;
mod matrix;
mod pack;
mod scalar;
mod tile;
mod unpack;

pub use definition::dot_row;
pub use matrix::{Matrix, PackError};

use layout::{ROWS, *};
use tile::{COLUMNS, Columns, Tile, width};

use crate::activation::Activations;
use crate::format::Format;
use crate::isa::{Isa, Level};
use crate::team::Team;

/// One product of a [`matmul_group`]: weights, what they are multiplied with, and where the results go.
#[derive(Debug)]
pub struct Job<'a> {
    /// Weights.
    pub matrix: &'a Matrix,
    /// Columns of the kind `matrix.format().activation()` and the length `matrix.cols()`.
    pub x: &'a Activations,
    /// Results, `[column][row]`: `matrix.rows() * x.columns()` values.
    pub out: &'a mut [f32],
}

/// Multiplies `w` with every column of `x`: `out[column * w.rows() + row]`.
///
/// The team shares out the rows (and the columns, where rows are few); who computes what does not change a bit.
///
/// # Panics
/// Where `x` is not of the kind `w.format().activation()` and the length `w.cols()`, or `out` of another size.
pub fn matmul(isa: Isa, team: &Team, w: &Matrix, x: &Activations, out: &mut [f32]) {
    matmul_group(isa, team, &mut [Job { matrix: w, x, out }]);
}

/// Any number of products in one parallel region: query, key and value of the same activations, or dozens of small
/// experts with tokens of their own. As [`matmul`] of each job, for less than the sum of their hand-over costs.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_group(isa: Isa, team: &Team, jobs: &mut [Job<'_>]) {
    let mut plans = Vec::with_capacity(jobs.len());
    let mut tasks = 0;
    for job in jobs {
        let (matrix, x) = (job.matrix, job.x);
        assert_eq!(x.kind(), matrix.format().activation(), "{matrix:?}: kind of activations");
        assert_eq!(x.len(), matrix.cols(), "{matrix:?}: activations of a column");
        assert_eq!(Some(job.out.len()), matrix.rows().checked_mul(x.columns()), "{matrix:?}: results");
        if x.columns() > 0 {
            let plan = Plan::new(job, tasks, team.threads());
            tasks += plan.tasks;
            plans.push(plan);
        }
    }
    team.run(tasks, |task| {
        // The last plan that begins at or before the task: every plan has tasks, so their beginnings differ.
        let plan = &plans[plans.partition_point(|plan| plan.begin <= task) - 1];
        plan.run(isa, task - plan.begin);
    });
}

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
struct Plan<'a> {
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
    tasks: usize,
    /// Tasks of the jobs before.
    begin: usize,
}

/// Where a job's results go. A task writes the rows and columns of its own only.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: the pointer comes from a unique borrow that outlives the region, and tasks write disjoint elements.
unsafe impl Sync for Out {}

impl<'a> Plan<'a> {
    fn new(job: &mut Job<'a>, begin: usize, threads: usize) -> Plan<'a> {
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

    fn run(&self, isa: Isa, task: usize) {
        let (matrix, x, rows, most) = (self.matrix, self.x, self.matrix.rows(), tile_width(isa));
        let groups = self.groups * (task / self.across)..matrix.groups().min(self.groups * (task / self.across + 1));
        let mut first = self.columns * (task % self.across);
        let end = x.columns().min(first + self.columns);
        let mut results: Tile = Default::default();
        while first < end {
            let n = width(end - first, most);
            for group in groups.clone() {
                tile(isa, matrix, group, x, first, n, &mut results);
                let live = ROWS.min(rows - ROWS * group);
                for (column, results) in (first..).zip(&results[..n]) {
                    // SAFETY: `out` has a row for each column (asserted by `matmul_group`); this task alone writes these
                    // columns of this row group.
                    unsafe {
                        let to = self.out.0.add(column * rows + ROWS * group);
                        std::ptr::copy_nonoverlapping(results.as_ptr(), to, live);
                    }
                }
            }
            first += n;
        }
    }
}

/// Most columns of a tile. AVX2 has half the registers of AVX-512.
fn tile_width(isa: Isa) -> usize {
    match isa.level() {
        Level::Avx2 => 4,
        Level::Avx512 | Level::Scalar => COLUMNS,
    }
}

/// Row group `group` times columns `first .. first + n` of `x`; `n` is at most [`tile_width`].
fn tile(isa: Isa, matrix: &Matrix, group: usize, x: &Activations, first: usize, n: usize, out: &mut Tile) {
    let columns = x.columns();
    macro_rules! call {
        ($kernel:ident, $packed:ty, $x:expr) => {{
            let (w, x) = (matrix.group::<$packed>(group), Columns::new($x, columns, first));
            match isa.level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `isa` proves that the processor has the features.
                Level::Avx512 => unsafe { avx512::Kernel::tile(w, x, n, out) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `isa` proves that the processor has the features.
                Level::Avx2 => unsafe { avx2::Kernel::tile(w, x, n, out) },
                _ => scalar::$kernel(w, x, n, out),
            }
        }};
    }
    match matrix.format() {
        Format::F32 => call!(floats, PackedF32, x.f32s()),
        Format::F16 => call!(floats, PackedF16, x.f32s()),
        Format::BF16 => call!(floats, PackedBF16, x.f32s()),
        Format::Q4_0 => call!(small, PackedQ4_0, x.q8x32()),
        Format::Q4_1 => call!(small, PackedQ4_1, x.q8x32()),
        Format::Q5_0 => call!(small, PackedQ5_0, x.q8x32()),
        Format::Q5_1 => call!(small, PackedQ5_1, x.q8x32()),
        Format::Q8_0 => call!(small, PackedQ8_0, x.q8x32()),
        Format::IQ4_NL => call!(small, PackedIQ4NL, x.q8x32()),
        Format::MXFP4 => call!(small, PackedMXFP4, x.q8x32()),
        Format::Q2_K => call!(large, PackedQ2K, x.q8x256()),
        Format::Q3_K => call!(large, PackedQ3K, x.q8x256()),
        Format::Q4_K => call!(large, PackedQ4K, x.q8x256()),
        Format::Q5_K => call!(large, PackedQ5K, x.q8x256()),
        Format::Q6_K => call!(large, PackedQ6K, x.q8x256()),
        Format::IQ4_XS => call!(large, PackedIQ4XS, x.q8x256()),
    }
}
