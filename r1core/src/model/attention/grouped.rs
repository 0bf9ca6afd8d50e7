//! The grouped-query attention block.

use super::super::project::{Projector, Rows};
use super::super::runner::{Pass, Rotations, Step, add_to_residual, rows_of_task};
use super::{runs, write_pages};
use crate::cache::KvCache;
use crate::config::GroupedConfig;
use crate::weights::GroupedWeights;
use r1_kernels::ops::{self, AttentionBuffers, AttentionShape, PAGE};

/// Buffers that a pass reuses.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// `[row][heads * key_dim]`
    queries: Vec<f32>,
    /// `[row][kv_heads * key_dim]`
    keys: Vec<f32>,
    /// `[row][kv_heads * value_dim]`
    values: Vec<f32>,
    /// `[row][heads * value_dim]`
    heads: Vec<f32>,
    buffers: AttentionBuffers,
}

/// `residual += post_norm(output(attend(rope(norm(q)), rope(norm(k)), v)))` with q, k, v projected from
/// `norm(residual)`; writes the new keys and values to the caches on the way.
#[expect(clippy::too_many_arguments, reason = "the block's inputs, weights and buffers, each a noun of its own")]
pub(super) fn run(
    pass: &Pass<'_>,
    layer: usize,
    config: &GroupedConfig,
    weights: &GroupedWeights,
    rotations: &Rotations,
    steps: &mut [Step<'_>],
    projector: &mut Projector,
    scratch: &mut Scratch,
    residual: &mut [f32],
    output: &mut Vec<f32>,
) {
    let rows = pass.positions.len();
    let Scratch { queries, keys, values, heads, buffers } = scratch;
    queries.resize(rows * config.heads * config.key_dim, 0.0);
    keys.resize(rows * config.kv_heads * config.key_dim, 0.0);
    values.resize(rows * config.kv_heads * config.value_dim, 0.0);
    heads.resize(rows * config.heads * config.value_dim, 0.0);

    let outputs = &mut [(&weights.query, &mut queries[..]), (&weights.key, keys), (&weights.value, values)];
    projector.project(pass, Rows::Normed(residual, &weights.norm), outputs);
    rotate(pass, config, config.heads, weights.query_norm.as_deref(), rotations, queries);
    rotate(pass, config, config.kv_heads, weights.key_norm.as_deref(), rotations, keys);
    store(pass, layer, config, steps, keys, values);

    let runs = runs(steps);
    let shape = AttentionShape {
        head_dim_k: config.key_dim,
        head_dim_v: config.value_dim,
        group: config.heads / config.kv_heads,
        scale: config.scale,
        window: config.window,
        soft_cap: None,
    };
    let caches: Vec<&KvCache> = steps.iter().map(|s| &*s.cache).collect();
    let pages = |sequence: usize, kv_head: usize, page: usize| caches[sequence].slice(layer, kv_head, page);
    ops::attend_batch(pass.isa, pass.team, &shape, config.kv_heads, &runs, queries, &pages, buffers, heads);

    output.resize(residual.len(), 0.0);
    let outputs = &mut [(&weights.output, &mut output[..])];
    projector.project(pass, Rows::Plain(heads, config.heads * config.value_dim), outputs);
    add_to_residual(pass, output, weights.post_norm.as_deref(), residual);
}

/// Norms (where there is a weight) and rotates every head of every row of `xs`, `[row][count * key_dim]`.
fn rotate(
    pass: &Pass<'_>,
    config: &GroupedConfig,
    count: usize,
    norm: Option<&[f32]>,
    rotations: &Rotations,
    xs: &mut [f32],
) {
    let width = count * config.key_dim;
    let share = rows_of_task(width);
    pass.team.for_each_chunk(xs, share * width, |task, rows| {
        for (row, x) in (task * share..).zip(rows.chunks_exact_mut(width)) {
            if let Some(weight) = norm {
                ops::rms_norm_heads(pass.isa, x, weight, pass.norm_eps, config.key_dim);
            }
            let (cos, sin) = rotations.row(row);
            ops::Rope::rotate(pass.isa, config.rope_kind, cos, sin, x, config.key_dim);
        }
    });
}

/// Writes the rows' keys and values into their slots of the caches' pages.
fn store(pass: &Pass<'_>, layer: usize, config: &GroupedConfig, steps: &mut [Step<'_>], keys: &[f32], values: &[f32]) {
    let (key_row, value_row) = (config.kv_heads * config.key_dim, config.kv_heads * config.value_dim);
    write_pages(pass, steps, |page, layout, rows| {
        for row in rows {
            let slot = pass.positions[row] % PAGE;
            let key = keys[row * key_row..][..key_row].chunks_exact(config.key_dim);
            let value = values[row * value_row..][..value_row].chunks_exact(config.value_dim);
            for (head, (key, value)) in key.zip(value).enumerate() {
                let (keys, values) = layout.places(layer, head);
                page.store_column(pass.isa, keys, slot, key);
                page.store_row(pass.isa, values, slot, value);
            }
        }
    });
}
