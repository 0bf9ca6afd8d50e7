//! The dense gated feed-forward block.

use super::project::Projector;
use super::runner::{Pass, add_to_residual, norm_rows};
use crate::config::{FeedForwardConfig, Gate};
use crate::weights::FeedForwardWeights;
use r1_kernels::ops;

/// Buffers that a pass reuses, `[row][width]`.
#[derive(Debug, Default)]
pub(super) struct FeedForwardScratch {
    gate: Vec<f32>,
    up: Vec<f32>,
}

/// `residual += post_norm(down(activation(gate(x)) * up(x)))` with `x = norm(residual)`.
pub(super) fn run(
    pass: &Pass<'_>,
    config: &FeedForwardConfig,
    weights: &FeedForwardWeights,
    projector: &mut Projector,
    scratch: &mut FeedForwardScratch,
    residual: &mut [f32],
    normed: &mut Vec<f32>,
) {
    let rows = residual.len() / pass.width;
    norm_rows(pass, residual, &weights.norm, normed);
    scratch.gate.resize(rows * config.width, 0.0);
    scratch.up.resize(rows * config.width, 0.0);
    projector.project(
        pass.isa,
        pass.team,
        normed,
        pass.width,
        &mut [(&weights.gate, &mut scratch.gate), (&weights.up, &mut scratch.up)],
    );
    let up = &scratch.up;
    // A few chunks for one row, a row or so each for many.
    let chunk = config.width.div_ceil(4).next_multiple_of(16);
    pass.team.for_each_chunk(&mut scratch.gate, chunk, |index, gate| {
        let up = &up[index * chunk..][..gate.len()];
        match config.gate {
            Gate::Silu => ops::silu_mul(pass.isa, gate, up),
            Gate::Gelu => ops::gelu_mul(pass.isa, gate, up),
        }
    });
    projector.project(pass.isa, pass.team, &scratch.gate, config.width, &mut [(&weights.down, &mut normed[..])]);
    add_to_residual(pass, normed, weights.post_norm.as_deref(), residual);
}
