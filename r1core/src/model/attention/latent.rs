//! The latent attention block, in the absorbed form: the cache holds one compressed row a position, and the heads' key
//! projections act on the queries instead. Always, for prompts too: the decompressed form would be fewer operations for
//! long prompts but other bits, and then a prompt's split would show.

use super::super::project::{Projector, Rows};
use super::super::runner::{Pass, Rotations, Step, add_to_residual, rows_of_task};
use super::{runs, write_pages};
use crate::cache::KvCache;
use crate::config::LatentConfig;
use crate::weights::LatentWeights;
use r1_kernels::ops::{self, LatentBuffers, LatentShape, PAGE};
use r1_kernels::{Activations, Job, Matrix, matmul_group};

/// Buffers that a pass reuses.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// `[row][q_lora_rank]`
    compressed: Vec<f32>,
    /// `[row][heads][nope_dim + rope_dim]`
    queries: Vec<f32>,
    /// The new rows of the cache, `[row][kv_lora_rank + rope_dim]`.
    latents: Vec<f32>,
    /// One head's results after the other's: absorbed queries, `[head][row][kv_lora_rank]`, then outputs,
    /// `[head][row][value_dim]`.
    by_head: Vec<f32>,
    /// `[row][heads][kv_lora_rank + rope_dim]`
    absorbed: Vec<f32>,
    /// What the heads read, `[row][heads][kv_lora_rank]`.
    read: Vec<f32>,
    /// `[row][heads][value_dim]`
    heads: Vec<f32>,
    /// One for each head.
    quantised: Vec<Activations>,
    buffers: LatentBuffers,
}

/// See [`super::run`].
#[expect(clippy::too_many_arguments, reason = "the block's inputs, weights and buffers, each a noun of its own")]
pub(super) fn run(
    pass: &Pass<'_>,
    layer: usize,
    config: &LatentConfig,
    weights: &LatentWeights,
    rotations: &Rotations,
    steps: &mut [Step<'_>],
    projector: &mut Projector,
    scratch: &mut Scratch,
    residual: &mut [f32],
    output: &mut Vec<f32>,
) {
    let rows = pass.positions.len();
    let (key_dim, rank, row_dim) = (config.key_dim(), config.kv_lora_rank, config.row_dim());
    let Scratch { queries, latents, by_head, absorbed, read, heads, quantised, .. } = scratch;
    queries.resize(rows * config.heads * key_dim, 0.0);
    latents.resize(rows * row_dim, 0.0);
    by_head.resize(rows * config.heads * rank.max(config.value_dim), 0.0);
    absorbed.resize(rows * config.heads * row_dim, 0.0);
    read.resize(rows * config.heads * rank, 0.0);
    heads.resize(rows * config.heads * config.value_dim, 0.0);

    let normed = Rows::Normed(residual, &weights.norm);
    match &weights.query_compression {
        None => {
            let outputs = &mut [(&weights.query, &mut queries[..]), (&weights.latent, &mut latents[..])];
            projector.project(pass, normed, outputs);
        }
        Some((compress, norm)) => {
            let compressed = &mut scratch.compressed;
            compressed.resize(rows * norm.len(), 0.0);
            let outputs = &mut [(compress, &mut compressed[..]), (&weights.latent, &mut latents[..])];
            projector.project(pass, normed, outputs);
            projector.project(pass, Rows::Normed(compressed, norm), &mut [(&weights.query, &mut queries[..])]);
        }
    }
    each(pass, latents, row_dim, |row, latent| {
        let (latent, rope) = latent.split_at_mut(rank);
        ops::rms_norm_heads(pass.isa, latent, &weights.latent_norm, pass.norm_eps, rank);
        rotate(pass, config, rotations, row, rope);
    });
    let latents = &*latents;
    write_pages(pass, steps, |page, layout, rows| {
        for row in rows {
            let (_, place) = layout.places(layer, 0);
            page.store_row(pass.isa, place, pass.positions[row] % PAGE, &latents[row * row_dim..][..row_dim]);
        }
    });

    let nope = |row: usize, head: usize| &queries[(row * config.heads + head) * key_dim..][..config.nope_dim];
    per_head(pass, &weights.absorb, rows, &nope, quantised, by_head);
    each(pass, absorbed, row_dim, |index, absorbed| {
        let (row, head) = (index / config.heads, index % config.heads);
        let (latent, rope) = absorbed.split_at_mut(rank);
        latent.copy_from_slice(&by_head[(head * rows + row) * rank..][..rank]);
        rope.copy_from_slice(&queries[index * key_dim + config.nope_dim..][..config.rope_dim]);
        rotate(pass, config, rotations, row, rope);
    });

    let shape = LatentShape { heads: config.heads, latent: rank, rope: config.rope_dim, scale: config.scale };
    let caches: Vec<&KvCache> = steps.iter().map(|s| &*s.cache).collect();
    let pages = |sequence: usize, page: usize| caches[sequence].latent(layer, page);
    ops::attend_latent(pass.isa, pass.team, &shape, &runs(steps), absorbed, &pages, &mut scratch.buffers, read);

    let of_head = |row: usize, head: usize| &read[(row * config.heads + head) * rank..][..rank];
    per_head(pass, &weights.value, rows, &of_head, quantised, by_head);
    each(pass, heads, config.value_dim, |index, out| {
        let (row, head) = (index / config.heads, index % config.heads);
        out.copy_from_slice(&by_head[(head * rows + row) * config.value_dim..][..config.value_dim]);
    });
    output.resize(residual.len(), 0.0);
    let outputs = &mut [(&weights.output, &mut output[..])];
    projector.project(pass, Rows::Plain(heads, config.heads * config.value_dim), outputs);
    add_to_residual(pass, output, None, residual);
}

/// Calls `work` with every `width` values of `xs` and their number, some of them a task.
fn each(pass: &Pass<'_>, xs: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let share = rows_of_task(width);
    pass.team.for_each_chunk(xs, share * width, |task, xs| {
        for (index, xs) in (task * share..).zip(xs.chunks_exact_mut(width)) {
            work(index, xs);
        }
    });
}

/// Rotates the part of a query head, or of a cached row, that rotates.
fn rotate(pass: &Pass<'_>, config: &LatentConfig, rotations: &Rotations, row: usize, rope: &mut [f32]) {
    let (cos, sin) = rotations.row(row);
    ops::Rope::rotate(pass.isa, config.rope_kind, cos, sin, rope, config.rope_dim);
}

/// For each head its own matrix times its own part of every row: `out` begins with `[head][row][outputs]`.
fn per_head<'x>(
    pass: &Pass<'_>,
    matrices: &[Matrix],
    rows: usize,
    part: &(dyn Fn(usize, usize) -> &'x [f32] + Sync),
    quantised: &mut Vec<Activations>,
    out: &mut [f32],
) {
    let Some(first) = matrices.first() else { return };
    let (kind, inputs, outputs) = (first.format().activation(), first.cols(), first.rows());
    quantised.resize_with(matrices.len(), Activations::new);
    pass.team.for_each_chunk(quantised, 1, |head, quantised| {
        for quantised in quantised {
            quantised.prepare(kind, inputs, rows);
            (0..rows).for_each(|row| quantised.quantize_column(pass.isa, row, part(row, head)));
        }
    });
    let mut jobs: Vec<Job<'_>> = matrices
        .iter()
        .zip(&*quantised)
        .zip(out.chunks_exact_mut(rows * outputs))
        .map(|((matrix, x), out)| Job { matrix, x, out })
        .collect();
    matmul_group(pass.isa, pass.team, &mut jobs);
}
