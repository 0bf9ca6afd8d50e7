//! The blocks of a stage's layers as one recorded graph.

use r1_ggml::{Backend, Glu, GraphBuilder, RopeMode, RopeParameters, Tensor, Type};

use super::stage::Cache;
use super::weights::{LayerTensors, Linear, Part, StageWeights, grouped};
use crate::config::{Config, Gate, GroupedConfig};
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops::{RopeKind, RopeScaling};

/// What a graph depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The first slot.
    pub(super) slot: usize,
    /// Slots, one sequence each.
    pub(super) streams: usize,
    /// New tokens of each.
    pub(super) tokens: usize,
    /// Positions of each slot that attention looks at, masked ones included.
    pub(super) cells: usize,
    /// Rows that go through the head.
    pub(super) outputs: Outputs,
}

impl Shape {
    pub(super) fn rows(&self) -> usize {
        self.streams * self.tokens
    }
}

/// The rows that the last stage gives logits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outputs {
    None,
    All,
    /// So many, by index.
    Some(usize),
}

/// Inputs and result of a recorded graph.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) entry: Entry,
    pub(super) positions: Tensor,
    /// Rows of the cache that the new keys and values go to.
    pub(super) cells: Tensor,
    /// One mask for each window that the layers have.
    pub(super) masks: Vec<(Option<usize>, Tensor)>,
    /// Rows that go through the head, where they are not all.
    pub(super) wanted: Option<Tensor>,
    /// Logits of the last stage, the residual stream of the others; nothing where only the cache is filled.
    pub(super) result: Option<Tensor>,
}

#[derive(Debug)]
pub(super) enum Entry {
    /// Token ids.
    Tokens(Tensor),
    /// The residual stream, `[embedding_length, rows]`.
    Residual(Tensor),
}

/// Operations of one layer and of what surrounds the layers, at most.
const PER_LAYER: usize = 64;

/// Records the graph of one stage.
pub(super) fn record(
    backend: &Backend,
    config: &Config,
    weights: &StageWeights,
    cache: &Cache,
    shape: Shape,
    fused_attention: bool,
) -> Result<(GraphBuilder, Ports)> {
    let mut g = GraphBuilder::new(backend, (weights.blocks.len() + 2) * PER_LAYER)?;
    let (rows, width) = (shape.rows() as i64, config.embedding_length as i64);
    let is_last = weights.head.is_some();

    let (entry, mut x) = match &weights.embedding {
        Some(table) => {
            let tokens = g.indices(Type::I32, rows, config.vocabulary as i64)?;
            let mut x = g.get_rows(table, &tokens)?;
            if config.embedding_scale != 1.0 {
                x = g.scale(&x, config.embedding_scale)?;
            }
            (Entry::Tokens(tokens), x)
        }
        None => {
            let x = g.input(Type::F32, [width, rows, 1, 1])?;
            (Entry::Residual(x.clone()), x)
        }
    };
    let positions = g.input(Type::I32, [rows, 1, 1, 1])?;
    let cells = g.indices(Type::I64, rows, cache.rows as i64)?;
    let mut masks: Vec<(Option<usize>, Tensor)> = Vec::new();
    let layers = config.layers.get(weights.layers.clone()).unwrap_or_default();
    for layer in layers {
        let window = grouped(&layer.attention)?.window;
        if !masks.iter().any(|(known, _)| *known == window) {
            let dims = [shape.cells as i64, shape.tokens as i64, 1, shape.streams as i64];
            masks.push((window, g.input(Type::F16, dims)?));
        }
    }
    let wanted = match shape.outputs {
        Outputs::Some(count) if is_last => Some(g.indices(Type::I32, count as i64, rows)?),
        _ => None,
    };

    let inputs = Inputs { positions: &positions, cells: &cells, masks: &masks };
    let last = weights.blocks.len() - 1;
    let mut ends = false;
    for (i, (layer, tensors)) in layers.iter().zip(&weights.blocks).enumerate() {
        let normed = norm(&mut g, &x, &tensors.attention_norm, config.norm_eps)?;
        let a = grouped(&layer.attention)?;
        let Some(queries) = project(&mut g, config, weights, a, tensors, &normed, &inputs, cache, i)? else {
            return Err(Error::new(ErrorKind::Internal, "a layer without queries"));
        };
        // Past the last layer's cache only the wanted rows matter.
        if i == last && is_last && shape.outputs == Outputs::None {
            ends = true;
            break;
        }
        let heads = attend(&mut g, a, cache, i, shape, &queries, &inputs, fused_attention)?;
        let mut out = linear(&mut g, &tensors.output, &heads)?;
        if let (true, Some(wanted)) = (i == last, &wanted) {
            out = g.get_rows(&out, wanted)?;
            x = g.get_rows(&x, wanted)?;
        }
        if let Some(weight) = &tensors.attention_post_norm {
            out = norm(&mut g, &out, weight, config.norm_eps)?;
        }
        x = g.add(&out, &x)?;

        let normed = norm(&mut g, &x, &tensors.feed_forward_norm, config.norm_eps)?;
        let gate = linear(&mut g, &tensors.gate, &normed)?;
        let up = linear(&mut g, &tensors.up, &normed)?;
        let kind = match layer.feed_forward.gate {
            Gate::Silu => Glu::Swiglu,
            Gate::Gelu => Glu::Geglu,
        };
        let inner = g.glu(&gate, &up, kind)?;
        let mut out = linear(&mut g, &tensors.down, &inner)?;
        if let Some(weight) = &tensors.feed_forward_post_norm {
            out = norm(&mut g, &out, weight, config.norm_eps)?;
        }
        x = g.add(&out, &x)?;
    }

    let result = if ends {
        None
    } else {
        if let Some(head) = &weights.head {
            let normed = norm(&mut g, &x, &head.norm, config.norm_eps)?;
            x = g.mul_mat(&head.output, &normed)?;
            if let Some(cap) = config.logit_soft_cap {
                x = g.scale(&x, 1.0 / cap)?;
                x = g.tanh(&x)?;
                x = g.scale(&x, cap)?;
            }
        }
        g.output(&x)?;
        Some(x)
    };
    Ok((g, Ports { entry, positions, cells, masks, wanted: wanted.filter(|_| !ends), result }))
}

struct Inputs<'a> {
    positions: &'a Tensor,
    cells: &'a Tensor,
    masks: &'a [(Option<usize>, Tensor)],
}

/// `weight * x / rms(x)` of every row.
fn norm(g: &mut GraphBuilder, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let normed = g.rms_norm(x, eps)?;
    Ok(g.mul(&normed, weight)?)
}

fn linear(g: &mut GraphBuilder, linear: &Linear, x: &Tensor) -> Result<Tensor> {
    let y = g.mul_mat(&linear.weight, x)?;
    match &linear.bias {
        Some(bias) => Ok(g.add(&y, bias)?),
        None => Ok(y),
    }
}

/// Queries, keys and values of the new rows: keys and values go to the cache, the rotated queries
/// (`[key_dim, heads, rows]`) are returned. The order of the nodes lets backends fuse a key's rotation with its storing.
#[expect(clippy::too_many_arguments, reason = "the block's inputs and weights, each a noun of its own")]
fn project(
    g: &mut GraphBuilder,
    config: &Config,
    weights: &StageWeights,
    a: &GroupedConfig,
    tensors: &LayerTensors,
    normed: &Tensor,
    inputs: &Inputs<'_>,
    cache: &Cache,
    layer: usize,
) -> Result<Option<Tensor>> {
    let internal = || Error::new(ErrorKind::Internal, "a layer without a cache");
    let (Some(keys), Some(values)) = (cache.keys.get(layer), cache.values.get(layer)) else { return Err(internal()) };
    let scaling = config.ropes.get(a.rope).ok_or_else(internal)?;
    let factors = weights.rope_factors.as_ref().filter(|_| scaling.factors.is_some());
    let rope = rope_parameters(scaling, a.rope_kind);
    let rows = normed.dims()[1];

    let mut parts: [Option<(Tensor, usize)>; 3] = [None, None, None];
    for projection in &tensors.projections {
        let y = linear(g, &projection.linear, normed)?;
        let mut offset = 0;
        for part in &projection.parts {
            let (at, len) = match part {
                Part::Query => (0, a.heads * a.key_dim),
                Part::Key => (1, a.kv_heads * a.key_dim),
                Part::Value => (2, a.kv_heads * a.value_dim),
            };
            parts[at] = Some((y.clone(), offset));
            offset += len * size_of::<f32>();
        }
    }
    let [Some(q), Some(k), Some(v)] = parts else { return Ok(None) };
    let rotated = |g: &mut GraphBuilder, (y, offset): &(Tensor, usize), heads: usize, weight: Option<&Tensor>| {
        let (head, row) = (a.key_dim * size_of::<f32>(), y.stride(1));
        let x = g.view(y, [a.key_dim as i64, heads as i64, rows, 1], [head, row, row * rows as usize], *offset)?;
        let x = match weight {
            Some(weight) => norm(g, &x, weight, config.norm_eps)?,
            None => x,
        };
        Ok::<_, Error>(g.rope(&x, inputs.positions, factors, &rope)?)
    };
    let queries = rotated(g, &q, a.heads, tensors.query_norm.as_ref())?;
    g.compute(&queries)?;
    let row = v.0.stride(1);
    let value_len = (a.kv_heads * a.value_dim) as i64;
    let v = g.view(&v.0, [value_len, rows, 1, 1], [row, row * rows as usize, row * rows as usize], v.1)?;
    g.compute(&v)?;
    let k = rotated(g, &k, a.kv_heads, tensors.key_norm.as_ref())?;
    let (len, row) = ((a.kv_heads * a.key_dim) as i64, k.stride(2));
    let k = g.view(&k, [len, rows, 1, 1], [row, row * rows as usize, row * rows as usize], 0)?;
    let stored = g.set_rows(keys, &k, inputs.cells)?;
    g.compute(&stored)?;
    let stored = g.set_rows(values, &v, inputs.cells)?;
    g.compute(&stored)?;
    Ok(Some(queries))
}

/// Every row's heads, `[heads * value_dim, rows]`.
#[expect(clippy::too_many_arguments, reason = "the block's inputs, each a noun of its own")]
fn attend(
    g: &mut GraphBuilder,
    a: &GroupedConfig,
    cache: &Cache,
    layer: usize,
    shape: Shape,
    queries: &Tensor,
    inputs: &Inputs<'_>,
    fused: bool,
) -> Result<Tensor> {
    let internal = || Error::new(ErrorKind::Internal, "a layer without a cache or a mask");
    let (Some(keys), Some(values)) = (cache.keys.get(layer), cache.values.get(layer)) else { return Err(internal()) };
    let (_, mask) = inputs.masks.iter().find(|(window, _)| *window == a.window).ok_or_else(internal)?;
    let (tokens, streams, cells) = (shape.tokens as i64, shape.streams as i64, shape.cells as i64);
    let (head, row) = (queries.stride(1), queries.stride(2));
    let q = g.view(queries, [a.key_dim as i64, a.heads as i64, tokens, streams], [head, row, row * shape.tokens], 0)?;
    let q = g.permute(&q, [0, 2, 1, 3])?;
    let past = |g: &mut GraphBuilder, tensor: &Tensor, dim: usize, axes: [usize; 4]| {
        let row = tensor.stride(1);
        let slot = row * cache.stride;
        let head = row / a.kv_heads;
        let view =
            g.view(tensor, [dim as i64, a.kv_heads as i64, cells, streams], [head, row, slot], slot * shape.slot)?;
        Ok::<_, Error>(g.permute(&view, axes)?)
    };
    let k = past(g, keys, a.key_dim, [0, 2, 1, 3])?;
    let heads = if fused {
        let v = past(g, values, a.value_dim, [0, 2, 1, 3])?;
        g.flash_attention(&q, &k, &v, mask, a.scale)?
    } else {
        let scores = g.mul_mat_precise(&k, &q)?;
        let scores = g.soft_max(&scores, Some(mask), a.scale)?;
        let v = past(g, values, a.value_dim, [1, 2, 0, 3])?;
        let v = g.cont(&v)?;
        let heads = g.mul_mat(&v, &scores)?;
        let heads = g.permute(&heads, [0, 2, 1, 3])?;
        g.cont(&heads)?
    };
    Ok(g.reshape(&heads, [(a.heads * a.value_dim) as i64, shape.rows() as i64, 1, 1])?)
}

fn rope_parameters(scaling: &RopeScaling, kind: RopeKind) -> RopeParameters {
    RopeParameters {
        n_dims: scaling.n_rot as i32,
        mode: match kind {
            RopeKind::Norm => RopeMode::Norm,
            RopeKind::Neox => RopeMode::Neox,
        },
        n_ctx_orig: scaling.n_ctx_orig as i32,
        freq_base: scaling.base as f32,
        freq_scale: scaling.freq_scale as f32,
        ext_factor: scaling.ext_factor as f32,
        attn_factor: scaling.attn_factor as f32,
        beta_fast: scaling.beta_fast as f32,
        beta_slow: scaling.beta_slow as f32,
    }
}
