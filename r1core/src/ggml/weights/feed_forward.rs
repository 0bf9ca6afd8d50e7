//! Tensors of feed-forward blocks.

use super::list::{Id, Linear, List, Rows};
use crate::config::{ExpertsConfig, FeedForward, FeedForwardConfig, SharedConfig};
use crate::gguf::TensorInfo;
use crate::weights::check_shape;
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(crate) enum FeedForwardTensors {
    Dense(GatedTensors),
    Experts(ExpertsTensors),
}

/// A dense block, or the shared expert.
#[derive(Debug)]
pub(crate) struct GatedTensors {
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

#[derive(Debug)]
pub(crate) struct ExpertsTensors {
    pub(crate) router: Linear,
    pub(crate) selection_bias: Option<Id>,
    /// `[embedding_length, width, count]`
    pub(crate) gate: Id,
    /// `[embedding_length, width, count]`
    pub(crate) up: Id,
    /// `[width, embedding_length, count]`
    pub(crate) down: Id,
    /// The expert that every token uses, and the matrix of one row whose sigmoid is a factor on its output.
    pub(crate) shared: Option<(GatedTensors, Option<Id>)>,
}

impl<'a> List<'a> {
    pub(super) fn feed_forward(&mut self, il: usize, d: usize, c: &FeedForwardConfig) -> Result<FeedForwardTensors> {
        Ok(match &c.kind {
            FeedForward::Dense(dense) => FeedForwardTensors::Dense(self.gated(il, "", d, dense.width)?),
            FeedForward::Experts(experts) => FeedForwardTensors::Experts(self.experts(il, d, experts)?),
        })
    }

    /// Gate, up and down matrices whose names end with `suffix`. Where there is no gate, `up` holds its rows, then those
    /// of `up` (Phi and GLM).
    fn gated(&mut self, il: usize, suffix: &str, d: usize, width: usize) -> Result<GatedTensors> {
        let name = |part: &str| format!("blk.{il}.ffn_{part}{suffix}");
        let up = self.tensor(&format!("{}.weight", name("up")))?;
        let both = up.dims().get(1) == Some(&(2 * width as u64));
        let (gate, up) = if both && self.gguf.tensor(&format!("{}.weight", name("gate"))).is_none() {
            check_shape(up, &[d, 2 * width])?;
            let bias = format!("{}.bias", name("up"));
            let biases = self.gguf.tensor(&bias).map(|_| self.floats(&bias, &[2 * width])).transpose()?;
            let mut half = |rows: std::ops::Range<usize>| {
                let weight = self.stack(vec![Rows { tensor: up, rows: rows.clone() }], d, 1)?;
                let bias = biases.as_ref().and_then(|b| b.get(rows)).map(<[f32]>::to_vec);
                Ok::<_, Error>(Linear { weight, bias: bias.map(|b| self.values("bias", [width, 1, 1], b)) })
            };
            (half(0..width)?, half(width..2 * width)?)
        } else {
            (self.linear(&name("gate"), d, width)?, self.linear(&name("up"), d, width)?)
        };
        Ok(GatedTensors { gate, up, down: self.linear(&name("down"), width, d)? })
    }

    fn experts(&mut self, il: usize, d: usize, c: &ExpertsConfig) -> Result<ExpertsTensors> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let (w, n) = (c.width, c.count);
        let router = self.linear(&name("ffn_gate_inp"), d, n)?;
        let selection_bias = self.vector_if(c.router.selection_bias, &name("exp_probs_b.bias"), n)?;
        let (gate, up) = if self.gguf.tensor(&name("ffn_gate_up_exps.weight")).is_some() {
            // Every expert's gate rows, then its up rows.
            let both = self.expert_rows(&name("ffn_gate_up_exps"), [d, 2 * w, n])?;
            let rows = |block: usize| Rows { tensor: both, rows: block * w..(block + 1) * w };
            let half = |at: usize| (0..n).map(|e| rows(2 * e + at)).collect();
            (self.stack(half(0), d, n)?, self.stack(half(1), d, n)?)
        } else {
            (self.expert_stack(&name("ffn_gate_exps"), [d, w, n])?, self.expert_stack(&name("ffn_up_exps"), [d, w, n])?)
        };
        let down = self.expert_stack(&name("ffn_down_exps"), [w, d, n])?;
        let shared = c.shared.as_ref().map(|shared| self.shared(il, d, shared)).transpose()?;
        Ok(ExpertsTensors { router, selection_bias, gate, up, down, shared })
    }

    fn expert_stack(&mut self, stem: &str, dims: [usize; 3]) -> Result<Id> {
        let tensor = self.expert_rows(stem, dims)?;
        self.stack(vec![Rows { tensor, rows: 0..dims[1] * dims[2] }], dims[0], dims[2])
    }

    /// The tensor of all experts' rows; they must have no biases.
    fn expert_rows(&self, stem: &str, dims: [usize; 3]) -> Result<&'a TensorInfo> {
        let bias = format!("{stem}.bias");
        if self.gguf.tensor(&bias).is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "experts with biases run on the CPU only")
                .tensor(bias)
                .remedy("run on the CPU"));
        }
        let tensor = self.tensor(&format!("{stem}.weight"))?;
        check_shape(tensor, &dims)?;
        Ok(tensor)
    }

    fn shared(&mut self, il: usize, d: usize, c: &SharedConfig) -> Result<(GatedTensors, Option<Id>)> {
        let block = self.gated(il, "_shexp", d, c.width)?;
        if !c.gated {
            return Ok((block, None));
        }
        let tensor = self.tensor(&format!("blk.{il}.ffn_gate_inp_shexp.weight"))?;
        check_shape(tensor, &[d])?;
        Ok((block, Some(self.stack(vec![Rows { tensor, rows: 0..1 }], d, 1)?)))
    }
}
