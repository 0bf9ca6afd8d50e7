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

/// One product of a [`matmul_group`]: its weights and where its results go.
#[derive(Debug)]
pub struct Job<'a> {
    /// Weights.
    pub matrix: &'a Matrix,
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
    matmul_group(isa, team, &mut [Job { matrix: w, out }], x);
}

/// Several products with the same activations (query, key and value; gate and up) in one parallel region: as
/// [`matmul`] of each job, for less than the sum of their hand-over costs.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_group(isa: Isa, team: &Team, jobs: &mut [Job<'_>], x: &Activations) {
    for jobs in jobs.chunks_mut(GROUP) {
        run_jobs(isa, team, jobs, x);
    }
}

/// Most jobs of one parallel region.
const GROUP: usize = 8;

fn run_jobs(isa: Isa, team: &Team, jobs: &mut [Job<'_>], x: &Activations) {
    for job in &*jobs {
        let matrix = job.matrix;
        assert_eq!(x.kind(), matrix.format().activation(), "{matrix:?}: kind of activations");
        assert_eq!(x.len(), matrix.cols(), "{matrix:?}: activations of a column");
        assert_eq!(Some(job.out.len()), matrix.rows().checked_mul(x.columns()), "{matrix:?}: results");
    }
    if x.columns() == 0 {
        return;
    }
    let mut plans = [None; GROUP];
    for (plan, job) in plans.iter_mut().zip(jobs) {
        *plan = Some(Plan::new(job, x.columns(), team.threads()));
    }
    let plans = || plans.iter().flatten();
    team.run(plans().map(|plan| plan.tasks).sum(), |mut task| {
        for plan in plans() {
            if task < plan.tasks {
                return plan.run(isa, x, task);
            }
            task -= plan.tasks;
        }
    });
}
