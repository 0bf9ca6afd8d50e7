//! From metadata to checked numbers: everything that the later rooms multiply, allocate or index by is bounded here.

mod architecture;
mod feed_forward;
mod keys;

pub use architecture::{ARCHITECTURES, Architecture, ExpertRule, Gate, Windows};
pub use feed_forward::{
    DenseConfig, ExpertsConfig, FeedForward, FeedForwardConfig, Gating, Groups, RouterConfig, SharedConfig,
};

use crate::gguf::{Gguf, Metadata};
use crate::{Error, ErrorKind, Result};
use keys::Keys;
use r1_kernels::ops::{RopeKind, RopeScaling};

const MAX_LAYERS: usize = 1024;
const MAX_HEADS: usize = 1024;
const MAX_HEAD_DIM: usize = 1024;
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
    /// Grouped-query attention.
    pub attention: AttentionConfig,
    /// Dense, or a mixture of experts.
    pub feed_forward: FeedForwardConfig,
}

/// Grouped-query attention: query head `h` reads key-value head `h / (heads / kv_heads)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Length of a query or key head.
    pub key_dim: usize,
    /// Length of a value head.
    pub value_dim: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// A query sees this many positions, its own included; `None` sees all.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`].
    pub rope: usize,
    /// Which elements rotate together.
    pub rope_kind: RopeKind,
    /// Biases on query, key and value.
    pub qkv_bias: bool,
    /// RMS norm on every query and key head.
    pub qk_norm: bool,
    /// RMS norm on the block's output.
    pub post_norm: bool,
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

        let layer_count = keys.require_size("block_count", 1, MAX_LAYERS)?;
        let embedding_length = keys.require_size("embedding_length", 1, MAX_WIDTH)?;
        let context_length = keys.require_size("context_length", 1, MAX_CONTEXT)?;
        let norm_eps = keys.require_f32("attention.layer_norm_rms_epsilon", 0.0, 1.0)?;
        let logit_soft_cap = keys.f32("final_logit_softcapping", 0.0, 1e6)?.filter(|cap| *cap > 0.0);
        let vocabulary = vocabulary(gguf, &keys)?;

        let heads = keys.require_per_layer("attention.head_count", layer_count, MAX_HEADS)?;
        let kv_heads = match keys.per_layer("attention.head_count_kv", layer_count, MAX_HEADS)? {
            Some(kv_heads) => kv_heads,
            None => heads.clone(),
        };
        let feed_forwards = FeedForwardConfig::read(gguf, &keys, &architecture, layer_count)?;
        let even_head = embedding_length / heads[0];
        let key_dim = keys.size("attention.key_length", 1, MAX_HEAD_DIM)?.unwrap_or(even_head);
        let value_dim = keys.size("attention.value_length", 1, MAX_HEAD_DIM)?.unwrap_or(even_head);
        if key_dim == 0 || key_dim > MAX_HEAD_DIM || value_dim > MAX_HEAD_DIM {
            return Err(Error::new(ErrorKind::Malformed, format!("a head of {key_dim} values is out of range"))
                .key(keys.full("attention.head_count")));
        }

        let rotated = keys.size("rope.dimension_count", 2, MAX_HEAD_DIM)?.unwrap_or(key_dim);
        if rotated % 2 != 0 || rotated > key_dim {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("{rotated} rotated values do not fit a head of {key_dim} in pairs"),
            )
            .key(keys.full("rope.dimension_count")));
        }
        let global_rope = rope(gguf, &keys, rotated, context_length)?;
        let windows = Windowing::read(&keys, &architecture, layer_count)?;
        let mut ropes = vec![global_rope];
        if let Some(windows) = &windows {
            ropes.push(RopeScaling { base: windows.rope_base, n_rot: rotated, ..RopeScaling::default() });
        }
        let scale = attention_scale(&keys, &architecture, layer_count, embedding_length, heads[0], key_dim)?;

        let mut layers = Vec::with_capacity(layer_count);
        for (il, feed_forward) in feed_forwards.into_iter().enumerate() {
            let (heads, kv_heads) = (heads[il], kv_heads[il]);
            if heads % kv_heads != 0 {
                return Err(Error::new(
                    ErrorKind::Malformed,
                    format!("layer {il}: {heads} query heads cannot share {kv_heads} key-value heads"),
                )
                .key(keys.full("attention.head_count_kv")));
            }
            let windowed = windows.as_ref().filter(|w| w.is_windowed(il));
            layers.push(LayerConfig {
                attention: AttentionConfig {
                    heads,
                    kv_heads,
                    key_dim,
                    value_dim,
                    scale,
                    window: windowed.map(|w| w.positions),
                    rope: usize::from(windowed.is_some()),
                    rope_kind: architecture.rope,
                    qkv_bias: architecture.qkv_bias,
                    qk_norm: architecture.qk_norm,
                    post_norm: architecture.post_norms,
                },
                feed_forward,
            });
        }
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
        self.layers.iter().map(|l| l.attention.kv_heads * (l.attention.key_dim + l.attention.value_dim)).sum()
    }
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

/// Rope numbers of the global layers: base, linear or YaRN scaling, and the factors tensor of Llama 3.
fn rope(gguf: &Gguf, keys: &Keys<'_>, rotated: usize, context_length: usize) -> Result<RopeScaling> {
    let base = f64::from(keys.f32("rope.freq_base", f32::MIN_POSITIVE, 1e12)?.unwrap_or(10_000.0));
    let mut scaling = RopeScaling { base, n_rot: rotated, ..RopeScaling::default() };
    let factor = match keys.f32("rope.scaling.factor", 0.0, 1e6)? {
        Some(factor) => Some(factor),
        None => keys.f32("rope.scale_linear", 0.0, 1e6)?,
    };
    let kind = keys.str("rope.scaling.type")?.unwrap_or("linear");
    match kind {
        "none" => {}
        "linear" | "yarn" => {
            if let Some(factor) = factor.filter(|f| *f > 0.0) {
                scaling.freq_scale = 1.0 / f64::from(factor);
            }
            if kind == "yarn" {
                scaling.ext_factor = 1.0;
                scaling.attn_factor = f64::from(keys.f32("rope.scaling.attn_factor", 0.0, 1e6)?.unwrap_or(1.0));
                scaling.n_ctx_orig =
                    keys.size("rope.scaling.original_context_length", 1, MAX_CONTEXT)?.unwrap_or(context_length);
            }
        }
        other => {
            return Err(Error::new(ErrorKind::Unsupported, format!("rope scaling '{other}' is not supported"))
                .key(keys.full("rope.scaling.type")));
        }
    }
    const FACTORS: &str = "rope_freqs.weight";
    if let Some(tensor) = gguf.tensor(FACTORS) {
        if tensor.type_name() != "F32" || tensor.elements() != (rotated / 2) as u64 {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("must hold {} F32 values, holds {} {}", rotated / 2, tensor.elements(), tensor.type_name()),
            )
            .tensor(FACTORS));
        }
        let bytes = gguf.data(tensor)?;
        let factors: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if !factors.iter().all(|f| f.is_finite() && *f > 0.0) {
            return Err(Error::new(ErrorKind::Malformed, "holds a factor that is not positive").tensor(FACTORS));
        }
        scaling.factors = Some(factors);
    }
    Ok(scaling)
}

/// `1 / sqrt(key_dim)` unless the file says otherwise. Gemma 3 27B, told by its 62 layers, divides the embedding length
/// by the heads instead.
fn attention_scale(
    keys: &Keys<'_>,
    architecture: &Architecture,
    layers: usize,
    embedding_length: usize,
    heads: usize,
    key_dim: usize,
) -> Result<f32> {
    if let Some(scale) = keys.f32("attention.scale", 0.0, 1e6)?.filter(|s| *s > 0.0) {
        return Ok(scale);
    }
    let dim = if architecture.name == "gemma3" && layers == 62 { embedding_length / heads } else { key_dim };
    Ok(1.0 / (dim.max(1) as f32).sqrt())
}

/// Which layers are windowed, and how.
struct Windowing {
    positions: usize,
    rope_base: f64,
    windowed: Vec<bool>,
}

impl Windowing {
    fn read(keys: &Keys<'_>, architecture: &Architecture, layers: usize) -> Result<Option<Windowing>> {
        let Some(rule) = architecture.windows else { return Ok(None) };
        let Some(positions) = keys.size("attention.sliding_window", 0, MAX_CONTEXT)?.filter(|w| *w > 0) else {
            return Ok(None);
        };
        let base = keys.f32("rope.freq_base_swa", f32::MIN_POSITIVE, 1e12)?.map_or(rule.rope_base, f64::from);
        let windowed = match keys.bools("attention.sliding_window_pattern", layers)? {
            Some(windowed) => windowed,
            None => {
                let period = keys.size("attention.sliding_window_pattern", 1, MAX_LAYERS)?.unwrap_or(rule.period);
                (0..layers).map(|il| il % period != period - 1).collect()
            }
        };
        Ok(Some(Windowing { positions, rope_base: base, windowed }))
    }

    fn is_windowed(&self, layer: usize) -> bool {
        self.windowed[layer]
    }
}

/// The chat template text in the file, if any.
///
/// # Errors
/// `Malformed` where the key holds something other than text.
pub fn template_text(metadata: &Metadata) -> Result<Option<&str>> {
    metadata.str("tokenizer.chat_template")
}
