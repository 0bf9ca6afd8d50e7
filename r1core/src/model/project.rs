//! Projections: rows of activations times weight matrices that share them.

use crate::weights::Linear;
use r1_kernels::{ActivationKind, Activations, Isa, Job, Team, matmul_group, ops};

/// The quantised forms of one set of activation rows, each made when a matrix first asks for it.
#[derive(Debug, Default)]
pub(super) struct Projector {
    quantised: [Activations; 3],
}

impl Projector {
    /// For each of `outputs`: `out[row] = matrix * xs[row] + bias`, with `xs` `[row][len]` and `out` `[row][outputs]`.
    pub(super) fn project(
        &mut self,
        isa: Isa,
        team: &Team,
        xs: &[f32],
        len: usize,
        outputs: &mut [(&Linear, &mut [f32])],
    ) {
        for (kind, quantised) in
            [ActivationKind::F32, ActivationKind::Q8x32, ActivationKind::Q8x256].into_iter().zip(&mut self.quantised)
        {
            let asks = |linear: &Linear| linear.matrix.format().activation() == kind;
            if !outputs.iter().any(|(linear, _)| asks(linear)) {
                continue;
            }
            quantised.quantize(isa, team, kind, len, xs);
            let mut jobs: Vec<Job<'_>> = outputs
                .iter_mut()
                .filter(|(linear, _)| asks(linear))
                .map(|(linear, out)| Job { matrix: &linear.matrix, x: quantised, out })
                .collect();
            matmul_group(isa, team, &mut jobs);
        }
        for (linear, out) in outputs {
            if let Some(bias) = &linear.bias {
                for row in out.chunks_exact_mut(bias.len()) {
                    ops::add(isa, row, bias);
                }
            }
        }
    }
}
