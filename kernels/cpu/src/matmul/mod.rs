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

use plan::Plan;

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
