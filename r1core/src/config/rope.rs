//! Rotary position embedding as files describe it: base, linear or YaRN scaling, and the factors of Llama 3 and LongRoPE.

use super::MAX_CONTEXT;
use super::keys::Keys;
use crate::gguf::Gguf;
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops::RopeScaling;

/// The numbers of the layers that see all positions.
pub(super) fn read(gguf: &Gguf, keys: &Keys<'_>, rotated: usize, context_length: usize) -> Result<RopeScaling> {
    let base = f64::from(keys.f32("rope.freq_base", f32::MIN_POSITIVE, 1e12)?.unwrap_or(10_000.0));
    let mut scaling = RopeScaling { base, n_rot: rotated, ..RopeScaling::default() };
    let factor_key = match keys.f32("rope.scaling.factor", 0.0, 1e6)? {
        Some(_) => "rope.scaling.factor",
        None => "rope.scale_linear",
    };
    let factor = keys.f32(factor_key, 0.0, 1e6)?.filter(|f| *f > 0.0).map_or(1.0, f64::from);
    let original = keys.size("rope.scaling.original_context_length", 1, MAX_CONTEXT)?.unwrap_or(context_length);
    scaling.attn_factor = f64::from(keys.f32("rope.scaling.attn_factor", 0.0, 1e6)?.unwrap_or(1.0));
    let kind = keys.str("rope.scaling.type")?.unwrap_or("linear");
    match kind {
        "none" => {}
        "linear" | "longrope" => scaling.freq_scale = 1.0 / factor,
        "yarn" => {
            if factor < 1.0 {
                return Err(Error::new(ErrorKind::Malformed, format!("{factor} would shorten the context"))
                    .key(keys.full(factor_key)));
            }
            scaling.freq_scale = 1.0 / factor;
            scaling.ext_factor = 1.0;
            scaling.n_ctx_orig = original;
        }
        other => {
            return Err(Error::new(ErrorKind::Unsupported, format!("rope scaling '{other}' is not supported"))
                .key(keys.full("rope.scaling.type")));
        }
    }
    // LongRoPE has factors for contexts as long as those of its pretraining and others for longer ones. Which of them
    // turn a model is decided by the file, once: keys that are cached must not turn otherwise than later queries.
    let long = if context_length > original { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
    scaling.factors = match factors(gguf, "rope_freqs.weight", rotated / 2)? {
        None => factors(gguf, long, rotated / 2)?,
        found => found,
    };
    Ok(scaling)
}

/// Moves the lengthening of YaRN from the rotation to the scores where the file has `rope.scaling.yarn_log_multiplier`
/// (0.1 * `mscale_all_dim`), and returns the factor on the scores beside `1 / sqrt(key length)`.
///
/// DeepSeek's `mscale` and `mscale_all_dim` are equal, so cosines and sines keep their length (but for an `attn_factor`)
/// and the scores get `(1 + 0.1 mscale_all_dim ln factor)^2`. Without the key the rotated parts of queries and keys
/// are lengthened by `1 + 0.1 ln factor` and the scores by its square besides, as llama.cpp reads such files.
pub(super) fn latent_score_factor(keys: &Keys<'_>, scaling: &mut RopeScaling) -> Result<f64> {
    let multiplier = keys.f32("rope.scaling.yarn_log_multiplier", 0.0, 1e3)?.map_or(0.0, f64::from);
    if scaling.ext_factor == 0.0 {
        return Ok(1.0);
    }
    let log_factor = -libm::log(scaling.freq_scale);
    if multiplier != 0.0 {
        scaling.attn_factor /= 1.0 + 0.1 * log_factor;
    }
    let length = scaling.multiplier() * (1.0 + multiplier * log_factor);
    Ok(length * length)
}

/// What the tensor of that name divides the angle of each pair by.
fn factors(gguf: &Gguf, name: &str, pairs: usize) -> Result<Option<Vec<f32>>> {
    let Some(tensor) = gguf.tensor(name) else { return Ok(None) };
    if tensor.type_name() != "F32" || tensor.elements() != pairs as u64 {
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("must hold {pairs} F32 values, holds {} {}", tensor.elements(), tensor.type_name()),
        )
        .tensor(name));
    }
    let bytes = gguf.data(tensor)?;
    let factors: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if !factors.iter().all(|f| f.is_finite() && *f > 0.0) {
        return Err(Error::new(ErrorKind::Malformed, "holds a factor that is not positive").tensor(name));
    }
    Ok(Some(factors))
}
