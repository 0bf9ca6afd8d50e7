//! From metadata to checked numbers: everything that the later rooms multiply, allocate or index by is bounded here.

mod architecture;
mod attention;
mod feed_forward;
mod keys;
mod rope;

pub use architecture::{ARCHITECTURES, Architecture, AttentionKind, ExpertRule, Gate, Windows};
pub use attention::{AttentionConfig, GroupedConfig, LatentConfig, UpProjection};
pub use feed_forward::{
    DenseConfig, ExpertsConfig, FeedForward, FeedForwardConfig, Gating, Groups, RouterConfig, SharedConfig,
};

use crate::gguf::{Gguf, Metadata};
use crate::{Error, ErrorKind, Result};
use keys::Keys;
use r1_kernels::ops::RopeScaling;

const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 20;
const MAX_VOCABULARY: usize = 1 << 22;
const MAX_CONTEXT: usize = 1 << 24;

/// The description of a model: its global numbers and its layers, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which row of the architecture table it is.
    pub architecture: Architecture,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Length of the residual stream.
    pub embedding_length: usize,
    /// Rows of the embedding table and of the logits.
    pub vocabulary: usize,
    /// Added to the mean square in every RMS norm.
    pub norm_eps: f32,
    /// Factor on embedding rows; 1 for most.
    pub embedding_scale: f32,
    /// Logits become `cap * tanh(logit / cap)`.
    pub logit_soft_cap: Option<f32>,
    /// One entry a layer.
    pub layers: Vec<LayerConfig>,
    /// The rope variants that layers refer to by index.
    pub ropes: Vec<RopeScaling>,
}

/// One layer: an attention block, then a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerConfig {
    /// Grouped-query or latent.
    pub attention: AttentionConfig,
    /// Dense, or a mixture of experts.
    pub feed_forward: FeedForwardConfig,
}

impl Config {
    /// Reads and checks the description of the model in `gguf`. Touches no weights but the small `rope_freqs.weight`.
    ///
    /// # Errors
    /// `Missing` or `Malformed` with the key; `Unsupported` for an architecture that is not in [`ARCHITECTURES`].
    pub fn from_gguf(gguf: &Gguf) -> Result<Config> {
        let metadata = gguf.metadata();
        let name = metadata.require_str("general.architecture")?;
        let architecture = *Architecture::from_name(name).ok_or_else(|| {
            let known: Vec<_> = ARCHITECTURES.iter().map(|a| a.name).collect();
            Error::new(ErrorKind::Unsupported, format!("architecture '{name}' is not supported"))
                .key("general.architecture")
                .remedy(format!("use a model of one of: {}", known.join(", ")))
        })?;
        let keys = Keys::new(metadata, architecture.name);

        let layer_count = layer_count(&keys)?;
        let embedding_length = keys.require_size("embedding_length", 1, MAX_WIDTH)?;
        let context_length = keys.require_size("context_length", 1, MAX_CONTEXT)?;
        let norm_eps = keys.require_f32("attention.layer_norm_rms_epsilon", 0.0, 1.0)?;
        let logit_soft_cap = keys.f32("final_logit_softcapping", 0.0, 1e6)?.filter(|cap| *cap > 0.0);
        let vocabulary = vocabulary(gguf, &keys)?;

        let (attentions, ropes) =
            AttentionConfig::read(gguf, &keys, &architecture, layer_count, embedding_length, context_length)?;
        let feed_forwards = FeedForwardConfig::read(gguf, &keys, &architecture, layer_count)?;
        let layers = attentions
            .into_iter()
            .zip(feed_forwards)
            .map(|(attention, feed_forward)| LayerConfig { attention, feed_forward })
            .collect();
        let embedding_scale = if architecture.scaled_embedding { (embedding_length as f32).sqrt() } else { 1.0 };
        Ok(Config {
            architecture,
            context_length,
            embedding_length,
            vocabulary,
            norm_eps,
            embedding_scale,
            logit_soft_cap,
            layers,
            ropes,
        })
    }

    /// Values that the cache holds for one position: keys and values of all layers.
    pub fn cache_values_per_position(&self) -> usize {
        self.layers.iter().map(|l| l.attention.cache_values()).sum()
    }
}

/// The layers that a token passes. Blocks after them that predict the tokens beyond the next are not read.
fn layer_count(keys: &Keys<'_>) -> Result<usize> {
    const PREDICTING: &str = "nextn_predict_layers";
    let all = keys.require_size("block_count", 1, MAX_LAYERS)?;
    Ok(all - keys.size(PREDICTING, 0, all - 1)?.unwrap_or(0))
}

/// The vocabulary: the embedding table's rows, which must cover the token list.
fn vocabulary(gguf: &Gguf, keys: &Keys<'_>) -> Result<usize> {
    const TABLE: &str = "token_embd.weight";
    let table = gguf.tensor(TABLE).ok_or_else(|| {
        Error::new(ErrorKind::Missing, "required tensor is absent")
            .tensor(TABLE)
            .remedy("use a complete model; a vocabulary-only file can only tokenize")
    })?;
    let rows = table.dims().get(1).copied().unwrap_or(1);
    let rows = usize::try_from(rows).ok().filter(|r| (1..=MAX_VOCABULARY).contains(r)).ok_or_else(|| {
        Error::new(ErrorKind::Malformed, format!("{rows} rows are out of range 1..={MAX_VOCABULARY}")).tensor(TABLE)
    })?;
    if let Some(stated) = keys.size("vocab_size", 1, MAX_VOCABULARY)?
        && stated != rows
    {
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("states {stated} tokens but the embedding table has {rows} rows"),
        )
        .key(keys.full("vocab_size")));
    }
    Ok(rows)
}

/// The chat template text in the file, if any.
///
/// # Errors
/// `Malformed` where the key holds something other than text.
pub fn template_text(metadata: &Metadata) -> Result<Option<&str>> {
    metadata.str("tokenizer.chat_template")
}
