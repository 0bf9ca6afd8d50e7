//! Feed-forward blocks.

mod dense;
mod experts;
mod router;

use super::project::{Projector, Rows};
use super::runner::{Pass, add_to_residual, norm_rows};
use crate::config::{FeedForward, FeedForwardConfig, Gate};
use crate::weights::{FeedForwardKind, FeedForwardWeights};
use dense::DenseScratch;
use experts::ExpertsScratch;
use r1_kernels::ops;

/// Buffers that a pass reuses.
#[derive(Debug, Default)]
pub(super) struct FeedForwardScratch {
    dense: DenseScratch,
    experts: ExpertsScratch,
}

/// `residual += post_norm(block(norm(residual)))`. `output` is room for what is added.
pub(super) fn run(
    pass: &Pass<'_>,
    config: &FeedForwardConfig,
    weights: &FeedForwardWeights,
    projector: &mut Projector,
    scratch: &mut FeedForwardScratch,
    residual: &mut [f32],
    output: &mut Vec<f32>,
) {
    match (&config.kind, &weights.kind) {
        (FeedForward::Experts(config_of), FeedForwardKind::Experts(of)) => {
            norm_rows(pass, residual, &weights.norm, output);
            experts::run(pass, config_of, config.gate, of, projector, &mut scratch.experts, output);
        }
        (_, FeedForwardKind::Dense(of)) => {
            let normed = Rows::Normed(residual, &weights.norm);
            output.resize(residual.len(), 0.0);
            dense::run(pass, config.gate, of, projector, &mut scratch.dense, normed, output);
        }
        (FeedForward::Dense(_), FeedForwardKind::Experts(_)) => unreachable!("weights are loaded as configured"),
    }
    add_to_residual(pass, output, weights.post_norm.as_deref(), residual);
}

/// `gate = activation(gate) * up`, element by element, in chunks that the team shares out.
fn activate(pass: &Pass<'_>, kind: Gate, gate: &mut [f32], up: &[f32]) {
    // Enough chunks for any team, none smaller than a hand-over is worth: two microseconds.
    let chunk = (gate.len() / 64).clamp(4096, 16_384).next_multiple_of(16);
    pass.team.for_each_chunk(gate, chunk, |index, gate| {
        let up = &up[index * chunk..][..gate.len()];
        match kind {
            Gate::Silu => ops::silu_mul(pass.isa, gate, up),
            Gate::Gelu => ops::gelu_mul(pass.isa, gate, up),
        }
    });
}
