//! Attention blocks: grouped-query, or latent.

use super::architecture::{Architecture, AttentionKind};
use super::keys::Keys;
use super::{MAX_CONTEXT, MAX_LAYERS, MAX_WIDTH, rope};
use crate::gguf::Gguf;
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops::{RopeKind, RopeScaling};

const MAX_HEADS: usize = 1024;
const MAX_HEAD_DIM: usize = 1024;
const MAX_LATENT: usize = 4096;

/// The attention half of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttentionConfig {
    /// Query heads share key-value heads.
    Grouped(GroupedConfig),
    /// All heads read one compressed row a position.
    Latent(LatentConfig),
}

/// Grouped-query attention: query head `h` reads key-value head `h / (heads / kv_heads)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupedConfig {
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
    /// Index into [`Config::ropes`](super::Config::ropes).
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

/// Multi-head latent attention (DeepSeek-V2): a position is cached as `kv_lora_rank` normed latent values and
/// `rope_dim` rotated ones, which all heads share. Head `h` scores with `[k_b[h] q_nope | q_rope]` and reads
/// `v_b[h] (weighted sum of latents)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentConfig {
    /// Query heads.
    pub heads: usize,
    /// Length of the compressed query; `None` where queries are projected in one step.
    pub q_lora_rank: Option<usize>,
    /// Length of the latent row.
    pub kv_lora_rank: usize,
    /// Values of a query head that do not rotate.
    pub nope_dim: usize,
    /// Values of a query head that rotate, after the others; also the rotated values of a cached row.
    pub rope_dim: usize,
    /// Length of a head's output.
    pub value_dim: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// Index into [`Config::ropes`](super::Config::ropes).
    pub rope: usize,
    /// Which elements rotate together.
    pub rope_kind: RopeKind,
    /// Where the file has the heads' key and value projections.
    pub up_projection: UpProjection,
}

/// The two forms in which files hold what leads from a latent row to keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpProjection {
    /// `attn_k_b`, transposed for absorption, and `attn_v_b`.
    Split,
    /// `attn_kv_b`: for each head its key rows, then its value rows (files made before 2025-04).
    Merged,
}

impl AttentionConfig {
    /// The blocks of all layers and the ropes that they refer to.
    pub(super) fn read(
        gguf: &Gguf,
        keys: &Keys<'_>,
        architecture: &Architecture,
        layers: usize,
        embedding_length: usize,
        context_length: usize,
    ) -> Result<(Vec<AttentionConfig>, Vec<RopeScaling>)> {
        let heads = keys.require_per_layer("attention.head_count", layers, MAX_HEADS)?;
        match architecture.attention {
            AttentionKind::Grouped => {
                GroupedConfig::read(gguf, keys, architecture, &heads, embedding_length, context_length)
            }
            AttentionKind::Latent => LatentConfig::read(gguf, keys, architecture, &heads, context_length),
        }
    }

    /// Index into [`Config::ropes`](super::Config::ropes).
    pub fn rope(&self) -> usize {
        match self {
            AttentionConfig::Grouped(grouped) => grouped.rope,
            AttentionConfig::Latent(latent) => latent.rope,
        }
    }

    /// Values that the cache holds for one position.
    pub fn cache_values(&self) -> usize {
        match self {
            AttentionConfig::Grouped(grouped) => grouped.kv_heads * (grouped.key_dim + grouped.value_dim),
            AttentionConfig::Latent(latent) => latent.row_dim(),
        }
    }

    /// Values that one row of the block computes between its input and its output.
    pub(crate) fn inner_values(&self) -> usize {
        match self {
            AttentionConfig::Grouped(g) => {
                2 * g.heads * g.key_dim.max(g.value_dim) + g.kv_heads * (g.key_dim + g.value_dim)
            }
            AttentionConfig::Latent(l) => {
                // Queries, absorbed queries before and after they are put together, and what the heads read.
                let head = l.key_dim() + 2 * l.kv_lora_rank + l.row_dim() + 2 * l.value_dim;
                l.q_lora_rank.unwrap_or(0) + l.row_dim() + l.heads * head
            }
        }
    }
}

impl GroupedConfig {
    fn read(
        gguf: &Gguf,
        keys: &Keys<'_>,
        architecture: &Architecture,
        heads: &[usize],
        embedding_length: usize,
        context_length: usize,
    ) -> Result<(Vec<AttentionConfig>, Vec<RopeScaling>)> {
        let layers = heads.len();
        let kv_heads = match keys.per_layer("attention.head_count_kv", layers, MAX_HEADS)? {
            Some(kv_heads) => kv_heads,
            None => heads.to_vec(),
        };
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
        let windows = Windowing::read(keys, architecture, layers)?;
        let mut ropes = vec![rope::read(gguf, keys, rotated, context_length)?];
        if let Some(windows) = &windows {
            ropes.push(RopeScaling { base: windows.rope_base, n_rot: rotated, ..RopeScaling::default() });
        }
        let still = ropes.len();
        if architecture.unrotated.is_some() {
            // An angle of zero at every position.
            ropes.push(RopeScaling { freq_scale: 0.0, n_rot: rotated, ..RopeScaling::default() });
        }
        let is_still = |il: usize| architecture.unrotated.is_some_and(|period| (il + 1).is_multiple_of(period));
        let scale = grouped_scale(keys, architecture, layers, embedding_length, heads[0], key_dim)?;
        let block = |(il, (&heads, &kv_heads)): (usize, (&usize, &usize))| {
            if heads % kv_heads != 0 {
                return Err(Error::new(
                    ErrorKind::Malformed,
                    format!("layer {il}: {heads} query heads cannot share {kv_heads} key-value heads"),
                )
                .key(keys.full("attention.head_count_kv")));
            }
            let windowed = windows.as_ref().filter(|w| w.windowed[il]);
            Ok(AttentionConfig::Grouped(GroupedConfig {
                heads,
                kv_heads,
                key_dim,
                value_dim,
                scale,
                window: windowed.map(|w| w.positions),
                rope: if is_still(il) { still } else { usize::from(windowed.is_some()) },
                rope_kind: architecture.rope,
                qkv_bias: architecture.qkv_bias,
                qk_norm: architecture.qk_norm,
                post_norm: architecture.post_norms,
            }))
        };
        let blocks = heads.iter().zip(&kv_heads).enumerate().map(block).collect::<Result<_>>()?;
        Ok((blocks, ropes))
    }
}

impl LatentConfig {
    /// Length of a query head.
    pub fn key_dim(&self) -> usize {
        self.nope_dim + self.rope_dim
    }

    /// Length of a cached row: the latent values, then the rotated ones.
    pub fn row_dim(&self) -> usize {
        self.kv_lora_rank + self.rope_dim
    }

    fn read(
        gguf: &Gguf,
        keys: &Keys<'_>,
        architecture: &Architecture,
        heads: &[usize],
        context_length: usize,
    ) -> Result<(Vec<AttentionConfig>, Vec<RopeScaling>)> {
        const TEMPERATURE: &str = "attention.temperature_scale";
        if keys.f32(TEMPERATURE, f32::MIN, f32::MAX)?.is_some_and(|scale| scale != 0.0) {
            return Err(Error::new(ErrorKind::Unsupported, "scores with a temperature are not supported")
                .key(keys.full(TEMPERATURE)));
        }
        let rope_dim = keys.require_size("rope.dimension_count", 2, MAX_HEAD_DIM)?;
        let kv_lora_rank = keys.require_size("attention.kv_lora_rank", 1, MAX_LATENT)?;
        let q_lora_rank = keys.size("attention.q_lora_rank", 0, MAX_WIDTH)?.filter(|rank| *rank > 0);
        let stated = [
            keys.size("attention.key_length_mla", 1, MAX_HEAD_DIM)?,
            keys.size("attention.value_length_mla", 1, MAX_HEAD_DIM)?,
        ];
        let (up_projection, key_dim, value_dim) = match stated {
            [Some(key_dim), Some(value_dim)] => {
                // The plain keys then describe what all heads share: one row of latent and rotated values.
                for (key, value) in [
                    ("attention.head_count_kv", 1),
                    ("attention.key_length", kv_lora_rank + rope_dim),
                    ("attention.value_length", kv_lora_rank),
                ] {
                    expect(keys, key, value)?;
                }
                (UpProjection::Split, key_dim, value_dim)
            }
            [None, None] => {
                let key_dim = keys.require_size("attention.key_length", 1, MAX_HEAD_DIM)?;
                (UpProjection::Merged, key_dim, keys.require_size("attention.value_length", 1, MAX_HEAD_DIM)?)
            }
            [Some(_), None] => return Err(keys.missing("attention.value_length_mla")),
            [None, Some(_)] => return Err(keys.missing("attention.key_length_mla")),
        };
        if rope_dim % 2 != 0 || rope_dim >= key_dim {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("{rope_dim} rotated values, in pairs, leave none of a head's {key_dim}"),
            )
            .key(keys.full("rope.dimension_count")));
        }
        let mut scaling = rope::read(gguf, keys, rope_dim, context_length)?;
        let scale = (rope::latent_score_factor(keys, &mut scaling)? / (key_dim as f64).sqrt()) as f32;
        let block = |&heads: &usize| {
            AttentionConfig::Latent(LatentConfig {
                heads,
                q_lora_rank,
                kv_lora_rank,
                nope_dim: key_dim - rope_dim,
                rope_dim,
                value_dim,
                scale,
                rope: 0,
                rope_kind: architecture.rope,
                up_projection,
            })
        };
        Ok((heads.iter().map(block).collect(), vec![scaling]))
    }
}

/// Fails where a key that the others imply says something else.
fn expect(keys: &Keys<'_>, key: &str, value: usize) -> Result<()> {
    match keys.size(key, 0, usize::MAX)?.filter(|stated| *stated != value) {
        None => Ok(()),
        Some(stated) => Err(Error::new(
            ErrorKind::Malformed,
            format!("is {stated} where the model's other numbers call for {value}"),
        )
        .key(keys.full(key))),
    }
}

/// `1 / sqrt(key_dim)` unless the file says otherwise. Gemma 3 27B, told by its 62 layers, divides the embedding length
/// by the heads instead.
fn grouped_scale(
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
    /// One flag a layer.
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
}
