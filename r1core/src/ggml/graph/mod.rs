//! The blocks of a stage's layers as one recorded graph.

mod attention;
mod feed_forward;

use r1_ggml::{Backend, GraphBuilder, Highest, Tensor, Type};

use super::stage::Cache;
use super::weights::{Id, Linear, StageWeights};
use crate::config::{AttentionConfig, Config, FeedForward, LayerConfig};
use crate::{Error, ErrorKind, Result};
use attention::Attention;

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
    /// Whether the best token of each is chosen.
    pub(super) best: bool,
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
    /// The best of every row of logits, where the shape asks for it.
    pub(super) best: Option<Highest>,
}

#[derive(Debug)]
pub(super) enum Entry {
    /// Token ids.
    Tokens(Tensor),
    /// The residual stream, `[embedding_length, rows]`.
    Residual(Tensor),
}

/// What a stage's graph is recorded from.
struct Recorder<'a> {
    g: GraphBuilder,
    config: &'a Config,
    weights: &'a StageWeights,
    cache: &'a Cache,
    shape: Shape,
    fused_attention: bool,
    positions: Tensor,
    cells: Tensor,
    masks: Vec<(Option<usize>, Tensor)>,
}

/// Records the graph of one stage.
pub(super) fn record(
    backend: &Backend,
    config: &Config,
    weights: &StageWeights,
    cache: &Cache,
    shape: Shape,
    fused_attention: bool,
) -> Result<(GraphBuilder, Ports)> {
    let layers = config.layers.get(weights.layers.clone()).unwrap_or_default();
    let mut g = GraphBuilder::new(backend, layers.iter().map(operations).sum::<usize>() + 64)?;
    let (rows, width) = (shape.rows() as i64, config.embedding_length as i64);
    let is_last = weights.head.is_some();

    let (entry, mut x) = match weights.embedding {
        Some(table) => {
            let tokens = g.indices(Type::I32, rows, config.vocabulary as i64)?;
            let mut x = g.get_rows(&weights[table], &tokens)?;
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
    for layer in layers {
        let window = window(&layer.attention);
        if !masks.iter().any(|(known, _)| *known == window) {
            let dims = [shape.cells as i64, shape.tokens as i64, 1, shape.streams as i64];
            masks.push((window, g.input(Type::F16, dims)?));
        }
    }
    let wanted = match shape.outputs {
        Outputs::Some(count) if is_last => Some(g.indices(Type::I32, count as i64, rows)?),
        _ => None,
    };

    let mut r = Recorder { g, config, weights, cache, shape, fused_attention, positions, cells, masks };
    let last = weights.blocks.len().saturating_sub(1);
    let mut ends = false;
    for (i, (layer, tensors)) in layers.iter().zip(&weights.blocks).enumerate() {
        let attention = r.attention(i, &layer.attention, &tensors.attention, &x)?;
        // Past the last layer's cache only the wanted rows matter.
        if i == last && is_last && shape.outputs == Outputs::None {
            ends = true;
            break;
        }
        let Attention { heads, output, post_norm } = r.attend(i, &layer.attention, &tensors.attention, attention)?;
        let mut out = r.linear(output, &heads)?;
        if let (true, Some(wanted)) = (i == last, &wanted) {
            out = r.g.get_rows(&out, wanted)?;
            x = r.g.get_rows(&x, wanted)?;
        }
        out = r.norm_if(post_norm, out)?;
        x = r.g.add(&out, &x)?;
        let normed = r.norm(tensors.feed_forward_norm, &x)?;
        let out = r.feed_forward(&layer.feed_forward, &tensors.feed_forward, &normed)?;
        let out = r.norm_if(tensors.feed_forward_post_norm, out)?;
        x = r.g.add(&out, &x)?;
    }

    let mut best = None;
    let result = if ends {
        None
    } else {
        if let Some(head) = &weights.head {
            let normed = r.norm(head.norm, &x)?;
            x = r.g.mul_mat(&weights[head.output], &normed)?;
            if let Some(cap) = config.logit_soft_cap {
                x = r.g.scale(&x, 1.0 / cap)?;
                x = r.g.tanh(&x)?;
                x = r.g.scale(&x, cap)?;
            }
        }
        r.g.output(&x)?;
        if is_last && shape.best {
            let chosen = r.g.highest(&x)?;
            [&chosen.ids, &chosen.values, &chosen.below].into_iter().try_for_each(|part| r.g.output(part))?;
            best = Some(chosen);
        }
        Some(x)
    };
    let Recorder { g, positions, cells, masks, .. } = r;
    Ok((g, Ports { entry, positions, cells, masks, wanted: wanted.filter(|_| !ends), result, best }))
}

/// Records that a layer needs at most.
fn operations(layer: &LayerConfig) -> usize {
    let feed_forward = match &layer.feed_forward.kind {
        FeedForward::Dense(_) => 16,
        FeedForward::Experts(experts) => 96 + 2 * experts.used,
    };
    64 + feed_forward
}

/// The positions that a layer's rows see.
fn window(attention: &AttentionConfig) -> Option<usize> {
    match attention {
        AttentionConfig::Grouped(grouped) => grouped.window,
        AttentionConfig::Latent(_) => None,
    }
}

impl Recorder<'_> {
    /// `weight * x / rms(x)` of every row.
    fn norm(&mut self, weight: Id, x: &Tensor) -> Result<Tensor> {
        let normed = self.g.rms_norm(x, self.config.norm_eps)?;
        Ok(self.g.mul(&normed, &self.weights[weight])?)
    }

    fn norm_if(&mut self, weight: Option<Id>, x: Tensor) -> Result<Tensor> {
        match weight {
            Some(weight) => self.norm(weight, &x),
            None => Ok(x),
        }
    }

    fn linear(&mut self, linear: Linear, x: &Tensor) -> Result<Tensor> {
        let y = self.g.mul_mat(&self.weights[linear.weight], x)?;
        match linear.bias {
            Some(bias) => Ok(self.g.add(&y, &self.weights[bias])?),
            None => Ok(y),
        }
    }

    /// `heads` heads of `len` values out of every row of `y`, from byte `offset` of the row: `[len, heads, rows]`.
    /// `head` is the bytes from one head to the next.
    fn heads(&mut self, y: &Tensor, len: usize, heads: usize, head: usize, offset: usize) -> Result<Tensor> {
        let (row, rows) = (y.stride(1), y.dims()[1]);
        Ok(self.g.view(y, [len as i64, heads as i64, rows, 1], [head, row, row * rows as usize], offset)?)
    }
}

fn internal(what: &str) -> Error {
    Error::new(ErrorKind::Internal, what)
}
