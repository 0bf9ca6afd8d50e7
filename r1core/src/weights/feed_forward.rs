//! Weights of feed-forward blocks: dense, and stacks of experts.

use std::sync::Arc;

use super::{Linear, Loader};
use crate::Result;
use crate::config::{DenseConfig, ExpertsConfig, FeedForward, FeedForwardConfig, SharedConfig};
use crate::gguf::{Gguf, TensorInfo};

#[derive(Debug)]
pub(crate) struct FeedForwardWeights {
    pub(crate) norm: Vec<f32>,
    pub(crate) kind: FeedForwardKind,
    pub(crate) post_norm: Option<Vec<f32>>,
}

#[derive(Debug)]
pub(crate) enum FeedForwardKind {
    Dense(Box<GatedWeights>),
    Experts(Box<ExpertsWeights>),
}

/// One gated block: a dense one, an expert, or the shared expert.
#[derive(Debug)]
pub(crate) struct GatedWeights {
    /// `[width][embedding_length]`
    pub(crate) gate: Linear,
    /// `[width][embedding_length]`
    pub(crate) up: Linear,
    /// `[embedding_length][width]`
    pub(crate) down: Linear,
}

#[derive(Debug)]
pub(crate) struct ExpertsWeights {
    /// `[count][embedding_length]`
    pub(crate) router: Linear,
    /// `[count]`, added to the scores for the choice only.
    pub(crate) selection_bias: Option<Vec<f32>>,
    pub(crate) experts: Vec<GatedWeights>,
    pub(crate) shared: Option<SharedWeights>,
    /// Where the experts lie, as long as they are in the file.
    file: Option<ExpertFile>,
}

/// The tensors that hold a layer's experts, each with the same bytes for every expert.
#[derive(Debug)]
struct ExpertFile {
    gguf: Arc<Gguf>,
    tensors: Vec<TensorInfo>,
    count: usize,
}

impl ExpertsWeights {
    /// Has the system begin to read an expert that is still in the file. All experts of a pass are asked for before the
    /// first is used, so that the disk has many requests to work on instead of one page fault after the other.
    pub(crate) fn prefetch(&self, expert: usize) {
        let Some(file) = &self.file else { return };
        for tensor in &file.tensors {
            let bytes = tensor.byte_len() / file.count as u64;
            file.gguf.prefetch(tensor, expert as u64 * bytes..(expert as u64 + 1) * bytes);
        }
    }
}

#[derive(Debug)]
pub(crate) struct SharedWeights {
    pub(crate) block: GatedWeights,
    /// `[1][embedding_length]`: the sigmoid of its product is a factor on the output.
    pub(crate) factor: Option<Linear>,
}

impl FeedForwardWeights {
    /// Every matrix.
    pub(super) fn linears(&self) -> Vec<&Linear> {
        fn gated(block: &GatedWeights) -> [&Linear; 3] {
            [&block.gate, &block.up, &block.down]
        }
        match &self.kind {
            FeedForwardKind::Dense(block) => gated(block).to_vec(),
            FeedForwardKind::Experts(e) => {
                let shared = e.shared.iter().flat_map(|s| gated(&s.block).into_iter().chain(&s.factor));
                e.experts.iter().flat_map(gated).chain(shared).chain([&e.router]).collect()
            }
        }
    }
}

impl Loader<'_> {
    pub(super) fn feed_forward(&mut self, il: usize, d: usize, c: &FeedForwardConfig) -> Result<FeedForwardWeights> {
        let name = |part: &str| format!("blk.{il}.{part}");
        Ok(FeedForwardWeights {
            norm: self.vector(&name("ffn_norm.weight"), d)?,
            kind: match &c.kind {
                FeedForward::Dense(DenseConfig { width }) => {
                    FeedForwardKind::Dense(Box::new(self.gated(il, "", d, *width)?))
                }
                FeedForward::Experts(experts) => FeedForwardKind::Experts(Box::new(self.experts(il, d, experts)?)),
            },
            post_norm: self.vector_if(c.post_norm, &name("post_ffw_norm.weight"), d)?,
        })
    }

    /// Gate, up and down matrices whose names end with `suffix`. Where there is no gate, `up` holds its rows, then those
    /// of `up` (Phi and GLM).
    fn gated(&mut self, il: usize, suffix: &str, d: usize, width: usize) -> Result<GatedWeights> {
        let name = |part: &str| format!("blk.{il}.ffn_{part}{suffix}");
        let up = self.gguf.tensor(&format!("{}.weight", name("up")));
        let both = up.is_some_and(|up| up.dims().get(1) == Some(&(2 * width as u64)));
        if both && self.gguf.tensor(&format!("{}.weight", name("gate"))).is_none() {
            let mut halves = self.stack(&name("up"), [d, width, 2], &[d, 2 * width], &[2 * width])?.into_iter();
            if let (Some(gate), Some(up)) = (halves.next(), halves.next()) {
                return Ok(GatedWeights { gate, up, down: self.linear(&name("down"), width, d, false)? });
            }
        }
        Ok(GatedWeights {
            gate: self.linear(&name("gate"), d, width, false)?,
            up: self.linear(&name("up"), d, width, false)?,
            down: self.linear(&name("down"), width, d, false)?,
        })
    }

    fn experts(&mut self, il: usize, d: usize, c: &ExpertsConfig) -> Result<ExpertsWeights> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let router = self.linear(&name("ffn_gate_inp"), d, c.count, false)?;
        let selection_bias = self.vector_if(c.router.selection_bias, &name("exp_probs_b.bias"), c.count)?;
        let (w, n) = (c.width, c.count);
        let fused = name("ffn_gate_up_exps");
        let (gates, ups): (Vec<_>, Vec<_>) = if self.gguf.tensor(&format!("{fused}.weight")).is_some() {
            // Every expert's gate rows, then its up rows.
            let mut halves = self.stack(&fused, [d, w, 2 * n], &[d, 2 * w, n], &[2 * w, n])?.into_iter();
            std::iter::from_fn(|| halves.next().zip(halves.next())).unzip()
        } else {
            let gates = self.stack(&name("ffn_gate_exps"), [d, w, n], &[d, w, n], &[w, n])?;
            (gates, self.stack(&name("ffn_up_exps"), [d, w, n], &[d, w, n], &[w, n])?)
        };
        let downs = self.stack(&name("ffn_down_exps"), [w, d, n], &[w, d, n], &[d, n])?;
        let experts =
            gates.into_iter().zip(ups).zip(downs).map(|((gate, up), down)| GatedWeights { gate, up, down }).collect();
        let shared = c.shared.as_ref().map(|shared| self.shared(il, d, shared)).transpose()?;
        let stacks = ["ffn_gate_up_exps", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];
        let tensors = stacks.iter().filter_map(|stack| self.gguf.tensor(&format!("{}.weight", name(stack))));
        let tensors: Vec<_> = tensors.filter(|tensor| !self.repack.packs(tensor)).cloned().collect();
        let file = (!tensors.is_empty()).then(|| ExpertFile { gguf: Arc::clone(self.gguf), tensors, count: n });
        Ok(ExpertsWeights { router, selection_bias, experts, shared, file })
    }

    fn shared(&mut self, il: usize, d: usize, c: &SharedConfig) -> Result<SharedWeights> {
        let block = self.gated(il, "_shexp", d, c.width)?;
        let factor = if c.gated { Some(self.linear_row(&format!("blk.{il}.ffn_gate_inp_shexp"), d)?) } else { None };
        Ok(SharedWeights { block, factor })
    }
}
