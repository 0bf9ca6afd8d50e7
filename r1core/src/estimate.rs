//! What a model will need, told from its header alone.

use crate::cache::{CacheType, PageLayout};
use crate::config::{AttentionConfig, Config, FeedForward, LayerConfig, UpProjection};
use crate::gguf::{Gguf, TensorInfo};
use crate::weights::is_of_experts;
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops::PAGE;

/// Memory that a model and one session need, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Repacked weights; none with [`Repack::Off`](crate::Repack::Off). With [`Repack::Lazy`](crate::Repack::Lazy) what is
    /// not repacked yet takes as much of the file's mapping instead.
    pub weights: u64,
    /// What of [`Estimate::weights`] are the experts of mixtures: with
    /// [`Repack::AllButExperts`](crate::Repack::AllButExperts) they stay in the file.
    pub experts: u64,
    /// Weights that one generated token reads, wherever they lie: all but the experts that its router does not choose.
    /// Memory bandwidth divided by this bounds the tokens a second of a single sequence.
    pub read_per_token: u64,
    /// Keys and values of one session at the full context asked for. They are allocated as positions arrive.
    pub cache: u64,
    /// Buffers of the forward pass for one prefill chunk of [`Estimate::CHUNK`] tokens.
    pub compute: u64,
    /// The embedding table, read from the file where it is mapped (memory that the system may take back).
    pub mapped: u64,
    /// Positions that the cache figure is for.
    pub context: u64,
}

impl Estimate {
    /// The prefill chunk that [`Estimate::compute`] is for.
    pub const CHUNK: u64 = 512;

    /// Reads no weights: works on headers of models far larger than memory.
    ///
    /// `context` defaults to the model's own.
    ///
    /// # Errors
    /// As [`Config::from_gguf`]; `Argument` where the numbers overflow.
    pub fn new(gguf: &Gguf, config: &Config, context: Option<usize>, cache: CacheType) -> Result<Estimate> {
        let context = context.unwrap_or(config.context_length) as u64;
        let size = |name: &str| gguf.tensor(name).map_or(0, TensorInfo::byte_len);
        let mapped = size("token_embd.weight");
        let all: u64 = gguf.tensors().iter().map(TensorInfo::byte_len).sum();
        // A tied output is a repacked copy of the embedding table.
        let weights = if gguf.tensor("output.weight").is_some() { all - mapped } else { all };
        let experts: u64 = gguf.tensors().iter().filter(|t| is_of_experts(t)).map(TensorInfo::byte_len).sum();
        let weights = weights.saturating_add(transposed_bytes(gguf, config));
        let read_per_token = weights.saturating_sub(experts).saturating_add(used_part(config, experts));
        let page_bytes = PageLayout::new(config, cache).page_bytes() as u64;
        let cache = context
            .div_ceil(PAGE as u64)
            .checked_mul(page_bytes)
            .ok_or_else(|| Error::new(ErrorKind::Argument, format!("a context of {context} is out of range")))?;
        Ok(Estimate { weights, experts, read_per_token, cache, compute: compute_bytes(config), mapped, context })
    }

    /// Weights, cache and compute together.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.compute)
    }
}

/// The bytes of the experts that a token uses, of the bytes of all.
fn used_part(config: &Config, experts: u64) -> u64 {
    let mixture = config.layers.iter().find_map(|layer| match &layer.feed_forward.kind {
        FeedForward::Experts(mixture) => Some(mixture),
        FeedForward::Dense(_) => None,
    });
    // All layers with experts have the same numbers of them.
    mixture.map_or(0, |m| (u128::from(experts) * m.used as u128 / m.count.max(1) as u128) as u64)
}

/// What key projections take that are transposed into floats, beyond their bytes in the file.
fn transposed_bytes(gguf: &Gguf, config: &Config) -> u64 {
    let layer = |(il, layer): (usize, &LayerConfig)| {
        let AttentionConfig::Latent(latent) = layer.attention else { return 0 };
        let tensor = gguf.tensor(&format!("blk.{il}.attn_kv_b.weight"));
        let Some(tensor) = tensor.filter(|_| latent.up_projection == UpProjection::Merged) else { return 0 };
        let keys = tensor.byte_len() / (latent.nope_dim + latent.value_dim) as u64 * latent.nope_dim as u64;
        let bytes = if matches!(tensor.type_name(), "F16" | "BF16") { 2 } else { 4 };
        (bytes * (latent.heads * latent.nope_dim * latent.kv_lora_rank) as u64).saturating_sub(keys)
    };
    config.layers.iter().enumerate().map(layer).sum()
}

/// Residual, normed rows, the widest block's buffers, their quantised copies, and one row of logits.
fn compute_bytes(config: &Config) -> u64 {
    let widest = config
        .layers
        .iter()
        .map(|layer| layer.attention.inner_values() + layer.feed_forward.inner_values(config.embedding_length))
        .max()
        .unwrap_or(0);
    let row = 2 * config.embedding_length + widest;
    // 4 bytes a value, and a little over 1 for its quantised copy.
    Estimate::CHUNK * (row as u64) * 5 + config.vocabulary as u64 * 4
}
