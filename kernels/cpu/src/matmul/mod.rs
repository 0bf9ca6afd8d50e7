//! Products of weight matrices and quantised activations.
//!
//! [`Packer`] rearranges the blocks of a tensor once, [`Matrix::in_place`] leaves them where they are; [`matmul`]
//! multiplies either with any number of columns. What the result is, bit for bit and on every instruction set, says
//! [`dot_row`]; `layout.rs` draws the packed blocks. Kernels know packed blocks only: `gather.rs` makes them, for good
//! or for the length of a task.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod definition;
mod gather;
mod kernel;
mod layout;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packer;
mod plan;
mod scalar;
mod slab;
mod strip;
mod tile;
mod unpack;
mod words;

pub use definition::dot_row;
pub use matrix::{Matrix, PackError, SharedBytes};
pub use packer::Packer;

use plan::{Plan, Results};

use crate::activation::Activations;
use crate::isa::Isa;
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
        check(matrix, x);
        assert_eq!(Some(job.out.len()), matrix.rows().checked_mul(x.columns()), "{matrix:?}: results");
        if x.columns() > 0 {
            let plan = Plan::new(matrix, x, tasks, team.threads());
            tasks += plan.tasks;
            plans.push((plan, Results::new(job.out)));
        }
    }
    team.run(tasks, |task| {
        // The last plan that begins at or before the task: every plan has tasks, so their beginnings differ.
        let (plan, results) = &plans[plans.partition_point(|(plan, _)| plan.begin <= task) - 1];
        // SAFETY: the size of `job.out` was checked, and a region runs every task once.
        unsafe { plan.run(isa, task - plan.begin, *results) };
    });
}

/// For every column of `x` the row of `w` with the greatest product, the first of equal ones, and that product: as the
/// greatest of [`matmul`]'s results, which are not kept. A NaN never wins; `None` where nothing is above minus infinity.
///
/// # Panics
/// Where `x` is not of the kind `w.format().activation()` and the length `w.cols()`.
pub fn matmul_best(isa: Isa, team: &Team, w: &Matrix, x: &Activations) -> Vec<Option<(usize, f32)>> {
    check(w, x);
    let columns = x.columns();
    if columns == 0 {
        return Vec::new();
    }
    let plan = Plan::new(w, x, 0, team.threads()).with_whole_rows();
    let mut bests = vec![(0, f32::NEG_INFINITY); plan.tasks * columns];
    team.for_each_chunk(&mut bests, columns, |task, best| plan.best(isa, task, best));
    let best_of = |column| {
        // In the order of the rows, whoever computed them.
        let of_tasks = bests[column..].iter().step_by(columns);
        let best = of_tasks.fold((0, f32::NEG_INFINITY), |best, &next| if next.1 > best.1 { next } else { best });
        (best.1 > f32::NEG_INFINITY).then_some(best)
    };
    (0..columns).map(best_of).collect()
}

fn check(matrix: &Matrix, x: &Activations) {
    assert_eq!(x.kind(), matrix.format().activation(), "{matrix:?}: kind of activations");
    assert_eq!(x.len(), matrix.cols(), "{matrix:?}: activations of a column");
}
