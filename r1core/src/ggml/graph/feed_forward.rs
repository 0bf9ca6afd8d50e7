//! Feed-forward blocks: dense, or experts behind a router. The choice of experts is recorded in the order that backends
//! know how to fuse.

use r1_ggml::{Glu, Tensor};

use super::super::weights::{ExpertsTensors, FeedForwardTensors, GatedTensors};
use super::{Recorder, internal};
use crate::Result;
use crate::config::{ExpertsConfig, FeedForward, FeedForwardConfig, Gate, Gating, Groups};

/// Least sum that weights are divided by: the smallest normal half float.
const LEAST_SUM: f32 = 6.103_515_6e-5;

impl Recorder<'_> {
    /// The block's output for the normed rows `x`, `[embedding_length, rows]`.
    pub(super) fn feed_forward(
        &mut self,
        config: &FeedForwardConfig,
        tensors: &FeedForwardTensors,
        x: &Tensor,
    ) -> Result<Tensor> {
        let kind = match config.gate {
            Gate::Silu => Glu::Swiglu,
            Gate::Gelu => Glu::Geglu,
        };
        match (&config.kind, tensors) {
            (FeedForward::Dense(_), FeedForwardTensors::Dense(gated)) => self.gated(gated, kind, x),
            (FeedForward::Experts(c), FeedForwardTensors::Experts(t)) => self.experts(c, t, kind, x),
            _ => Err(internal("a feed-forward block of another kind")),
        }
    }

    fn gated(&mut self, t: &GatedTensors, kind: Glu, x: &Tensor) -> Result<Tensor> {
        let gate = self.linear(t.gate, x)?;
        let up = self.linear(t.up, x)?;
        let inner = self.g.glu(&gate, &up, kind)?;
        self.linear(t.down, &inner)
    }

    fn experts(&mut self, c: &ExpertsConfig, t: &ExpertsTensors, kind: Glu, x: &Tensor) -> Result<Tensor> {
        let (width, rows) = (x.dims()[0], x.dims()[1]);
        let (chosen, weights) = self.route(c, t, x)?;
        let each = self.g.reshape(x, [width, 1, rows, 1])?;
        let up = self.g.mul_mat_id(&self.weights[t.up], &each, &chosen)?;
        let gate = self.g.mul_mat_id(&self.weights[t.gate], &each, &chosen)?;
        let inner = self.g.glu(&gate, &up, kind)?;
        let outputs = self.g.mul_mat_id(&self.weights[t.down], &inner, &chosen)?;
        let outputs = self.g.mul(&outputs, &weights)?;
        // From the best to the least, then the shared one.
        let (expert, row) = (outputs.stride(1), outputs.stride(2));
        let mut sum: Option<Tensor> = None;
        for i in 0..c.used {
            let one = self.g.view(
                &outputs,
                [width, rows, 1, 1],
                [row, row * rows as usize, row * rows as usize],
                i * expert,
            )?;
            sum = Some(match sum {
                Some(sum) => self.g.add(&sum, &one)?,
                None if c.used == 1 => self.g.cont(&one)?,
                None => one,
            });
        }
        let mut sum = sum.ok_or_else(|| internal("a router that chooses none"))?;
        if let Some((shared, factor)) = &t.shared {
            let mut out = self.gated(shared, kind, x)?;
            if let Some(factor) = factor {
                let factor = self.g.mul_mat(&self.weights[*factor], x)?;
                let factor = self.g.sigmoid(&factor)?;
                out = self.g.mul(&out, &factor)?;
            }
            sum = self.g.add(&sum, &out)?;
        }
        Ok(sum)
    }

    /// The chosen experts of every row, `[used, rows]`, and their weights, `[1, used, rows]`.
    fn route(&mut self, c: &ExpertsConfig, t: &ExpertsTensors, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (count, used, rows) = (c.count as i64, c.used as i64, x.dims()[1]);
        let logits = self.linear(t.router, x)?;
        let scores = match c.router.gating {
            Gating::Softmax => self.g.soft_max(&logits, None, 1.0)?,
            Gating::Sigmoid => self.g.sigmoid(&logits)?,
            Gating::SoftmaxOfChosen => logits,
        };
        let mut merits = match t.selection_bias {
            Some(bias) => self.g.add(&scores, &self.weights[bias])?,
            None => scores.clone(),
        };
        if let Some(groups) = c.router.groups {
            merits = self.keep_groups(c, groups, &merits)?;
        }
        let chosen = self.g.best(&merits, c.used)?;
        let scores = self.g.reshape(&scores, [1, count, rows, 1])?;
        let mut weights = self.g.get_rows(&scores, &chosen)?;
        if c.router.gating == Gating::SoftmaxOfChosen {
            weights = self.g.reshape(&weights, [used, rows, 1, 1])?;
            weights = self.g.soft_max(&weights, None, 1.0)?;
        }
        if c.router.normalise {
            weights = self.g.reshape(&weights, [used, rows, 1, 1])?;
            let sum = self.g.sum_rows(&weights)?;
            let sum = self.g.at_least(&sum, LEAST_SUM)?;
            weights = self.g.div(&weights, &sum)?;
        }
        weights = self.g.reshape(&weights, [1, used, rows, 1])?;
        if c.router.scale != 1.0 {
            weights = self.g.scale(&weights, c.router.scale)?;
        }
        self.g.compute(&weights)?;
        Ok((chosen, weights))
    }

    /// Merits with those outside the best groups at minus infinity.
    fn keep_groups(&mut self, c: &ExpertsConfig, groups: Groups, merits: &Tensor) -> Result<Tensor> {
        let (rows, count, size) = (merits.dims()[1], groups.count as i64, (c.count / groups.count) as i64);
        let grouped = self.g.reshape(merits, [size, count, rows, 1])?;
        let two = self.g.best(&grouped, size.min(2) as usize)?;
        let values = self.g.reshape(&grouped, [1, size, count, rows])?;
        let values = self.g.get_rows(&values, &two)?;
        let values = self.g.reshape(&values, [size.min(2), count, rows, 1])?;
        let sums = self.g.sum_rows(&values)?;
        let sums = self.g.reshape(&sums, [count, rows, 1, 1])?;
        let kept = self.g.best(&sums, groups.used)?;
        let merits = self.g.get_rows(&grouped, &kept)?;
        let least = self.g.filled(&grouped, f32::NEG_INFINITY)?;
        let merits = self.g.set_rows(&least, &merits, &kept)?;
        Ok(self.g.reshape(&merits, [c.count as i64, rows, 1, 1])?)
    }
}
