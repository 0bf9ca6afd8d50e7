//! Feed-forward blocks: dense, or experts behind a router.

use super::architecture::{Architecture, Gate};
use super::keys::Keys;
use super::{MAX_LAYERS, MAX_WIDTH};
use crate::gguf::Gguf;
use crate::{Error, ErrorKind, Result};

const MAX_EXPERTS: usize = 1024;
/// Experts that one token uses.
const MAX_USED: usize = 64;

/// The feed-forward half of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeedForwardConfig {
    /// What it is made of.
    pub kind: FeedForward,
    /// The activation inside, in dense blocks and in experts alike.
    pub gate: Gate,
    /// RMS norm on the block's output.
    pub post_norm: bool,
}

/// The kinds of feed-forward blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeedForward {
    /// `down(activation(gate(x)) * up(x))`.
    Dense(DenseConfig),
    /// A weighted sum of a few such blocks, chosen for each token, and one that every token uses.
    Experts(ExpertsConfig),
}

/// A dense block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseConfig {
    /// Length of the inner vector.
    pub width: usize,
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertsConfig {
    /// Experts to choose from.
    pub count: usize,
    /// Experts that a token uses; at most `count`.
    pub used: usize,
    /// Length of an expert's inner vector.
    pub width: usize,
    /// How they are chosen and weighted.
    pub router: RouterConfig,
    /// The expert that every token uses.
    pub shared: Option<SharedConfig>,
}

/// From a token's affinities, one logit an expert, to the experts it uses and their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterConfig {
    /// Logits to scores.
    pub gating: Gating,
    /// A bias is added to the scores for the choice, not for the weights.
    pub selection_bias: bool,
    /// Only experts of the best groups can be chosen.
    pub groups: Option<Groups>,
    /// The chosen weights are divided by their sum.
    pub normalise: bool,
    /// Then multiplied by this.
    pub scale: f32,
}

/// What turns router logits into scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gating {
    /// Softmax over all experts.
    Softmax,
    /// Sigmoid of each.
    Sigmoid,
    /// The logits choose; the weights are a softmax over the chosen.
    SoftmaxOfChosen,
}

/// Groups of consecutive experts; a group's score is the sum of its two best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Groups; divides the number of experts.
    pub count: usize,
    /// Groups that are kept for a token.
    pub used: usize,
}

/// A dense block beside the chosen experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedConfig {
    /// Length of the inner vector, of all shared experts together.
    pub width: usize,
    /// Its output is multiplied by the sigmoid of a projection to one value.
    pub gated: bool,
}

impl FeedForwardConfig {
    /// The blocks of all layers.
    pub(super) fn read(
        gguf: &Gguf,
        keys: &Keys<'_>,
        architecture: &Architecture,
        layers: usize,
    ) -> Result<Vec<FeedForwardConfig>> {
        let widths = keys.per_layer("feed_forward_length", layers, MAX_WIDTH)?;
        let width = |il: usize| widths.as_ref().and_then(|w| w.get(il)).copied();
        let router = |il: usize| gguf.tensor(&format!("blk.{il}.ffn_gate_inp.weight"));
        let dense_layers = keys.size("leading_dense_block_count", 0, MAX_LAYERS)?.unwrap_or(0);
        // A single expert is a dense block.
        let count = keys.size("expert_count", 0, MAX_EXPERTS)?;
        let block = |il: usize| {
            let kind = match count {
                Some(count) if count > 1 && il >= dense_layers => {
                    let selection_bias = gguf.tensor(&format!("blk.{il}.exp_probs_b.bias")).is_some();
                    FeedForward::Experts(ExpertsConfig::read(keys, architecture, count, width(il), selection_bias)?)
                }
                None if router(il).is_some() => return Err(keys.missing("expert_count")),
                _ => FeedForward::Dense(DenseConfig {
                    width: width(il).ok_or_else(|| keys.missing("feed_forward_length"))?,
                }),
            };
            Ok(FeedForwardConfig { kind, gate: architecture.gate, post_norm: architecture.post_norms })
        };
        (0..layers).map(block).collect()
    }

    /// Values that one row of the block computes between its input and its output.
    pub(crate) fn inner_values(&self, embedding_length: usize) -> usize {
        match &self.kind {
            FeedForward::Dense(dense) => 2 * dense.width,
            FeedForward::Experts(experts) => {
                let shared = experts.shared.map_or(0, |s| 2 * s.width);
                experts.count + experts.used * (2 * experts.width + embedding_length) + shared
            }
        }
    }
}

impl ExpertsConfig {
    fn read(
        keys: &Keys<'_>,
        architecture: &Architecture,
        count: usize,
        dense_width: Option<usize>,
        selection_bias: bool,
    ) -> Result<ExpertsConfig> {
        let Some(rule) = architecture.experts else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("experts are not part of architecture '{}'", architecture.name),
            )
            .key(keys.full("expert_count")));
        };
        let used = keys.require_size("expert_used_count", 1, count.min(MAX_USED))?;
        let width = match (keys.size("expert_feed_forward_length", 1, MAX_WIDTH)?, dense_width) {
            (Some(width), _) => width,
            (None, Some(width)) if rule.width_of_all && width >= used => width / used,
            (None, Some(width)) => width,
            (None, None) => return Err(keys.missing("expert_feed_forward_length")),
        };
        let gating = match keys.size("expert_gating_func", 0, 255)? {
            None | Some(0) => rule.gating,
            Some(1) => Gating::Softmax,
            Some(2) => Gating::Sigmoid,
            Some(3) => Gating::SoftmaxOfChosen,
            Some(other) => {
                return Err(Error::new(ErrorKind::Unsupported, format!("gating function {other} is not supported"))
                    .key(keys.full("expert_gating_func")));
            }
        };
        let router = RouterConfig {
            gating,
            selection_bias,
            groups: Groups::read(keys, count, used)?,
            normalise: keys.bool("expert_weights_norm")?.unwrap_or(rule.normalise),
            scale: keys.f32("expert_weights_scale", 0.0, 1e6)?.filter(|s| *s > 0.0).unwrap_or(1.0),
        };
        let shared = Self::shared_width(keys, width)?.or(if rule.shared_gate { dense_width } else { None });
        let shared = shared.map(|width| SharedConfig { width, gated: rule.shared_gate });
        Ok(ExpertsConfig { count, used, width, router, shared })
    }

    /// The stated width of the shared experts: their own, or that of so many experts.
    fn shared_width(keys: &Keys<'_>, width: usize) -> Result<Option<usize>> {
        let stated = keys.size("expert_shared_feed_forward_length", 0, MAX_WIDTH)?.filter(|w| *w > 0);
        if stated.is_some() {
            return Ok(stated);
        }
        let Some(count) = keys.size("expert_shared_count", 0, MAX_EXPERTS)?.filter(|c| *c > 0) else {
            return Ok(None);
        };
        // Both factors are bounded, so the product cannot overflow.
        let all = count * width;
        if all > MAX_WIDTH {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("{count} shared experts of {width} are out of range"),
            )
            .key(keys.full("expert_shared_count")));
        }
        Ok(Some(all))
    }
}

impl Groups {
    /// Groups are there when the file names more than one.
    fn read(keys: &Keys<'_>, experts: usize, used_experts: usize) -> Result<Option<Groups>> {
        const COUNT: &str = "expert_group_count";
        const USED: &str = "expert_group_used_count";
        let Some(count) = keys.size(COUNT, 0, MAX_EXPERTS)?.filter(|c| *c > 1) else { return Ok(None) };
        if !experts.is_multiple_of(count) {
            return Err(Error::new(ErrorKind::Malformed, format!("{experts} experts are not {count} even groups"))
                .key(keys.full(COUNT)));
        }
        let used = keys.require_size(USED, 1, count)?;
        if used * (experts / count) < used_experts {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("{used} groups of {} experts cannot give {used_experts}", experts / count),
            )
            .key(keys.full(USED)));
        }
        Ok(Some(Groups { count, used }))
    }
}
