//! The dense gated block.

use super::super::project::{Projector, Rows};
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

/// `output = down(activation(gate(x)) * up(x))` for every row of `x`; `output` is `[row][embedding_length]`.
pub(super) fn run(
    pass: &Pass<'_>,
    kind: Gate,
    weights: &GatedWeights,
    projector: &mut Projector,
    scratch: &mut DenseScratch,
    x: Rows<'_>,
    output: &mut [f32],
) {
    let width = weights.gate.matrix.rows();
    let DenseScratch { gate, up } = scratch;
    gate.resize(output.len() / pass.width * width, 0.0);
    up.resize(gate.len(), 0.0);
    projector.project(pass, x, &mut [(&weights.gate, gate), (&weights.up, up)]);
    activate(pass, kind, gate, up);
    projector.project(pass, Rows::Plain(gate, width), &mut [(&weights.down, output)]);
}
