//! The dense gated block.

use super::super::project::Projector;
use super::super::runner::Pass;
use super::activate;
use crate::config::Gate;
use crate::weights::GatedWeights;

/// Buffers that a pass reuses, `[row][width]`.
#[derive(Debug, Default)]
pub(super) struct DenseScratch {
    gate: Vec<f32>,
    up: Vec<f32>,
}

/// `x = down(activation(gate(x)) * up(x))` for every row of `x`, `[row][embedding_length]`.
pub(super) fn run(
    pass: &Pass<'_>,
    kind: Gate,
    weights: &GatedWeights,
    projector: &mut Projector,
    scratch: &mut DenseScratch,
    x: &mut [f32],
) {
    let width = weights.gate.matrix.rows();
    let DenseScratch { gate, up } = scratch;
    gate.resize(x.len() / pass.width * width, 0.0);
    up.resize(gate.len(), 0.0);
    projector.project(pass.isa, pass.team, x, pass.width, &mut [(&weights.gate, gate), (&weights.up, up)]);
    activate(pass, kind, gate, up);
    projector.project(pass.isa, pass.team, gate, width, &mut [(&weights.down, x)]);
}
