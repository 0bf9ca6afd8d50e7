//! What a file holds and needs, from its header alone.

use std::ffi::c_char;

use engine::Estimate;
use engine::config::Config;
use engine::gguf::{Array, Gguf, LoadMode, Value};
use serde_json::{Map, json};

use crate::error::r1_error;
use crate::session::{self, r1_session_options};
use crate::sized::sized;
use crate::status::*;
use crate::string::{self, r1_string};

/// Longer arrays are told by their type and length: vocabularies have a hundred thousand entries.
const SHOWN_ENTRIES: usize = 64;

/// Memory that a model and one session need, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_memory {
    /// `sizeof(r1_memory)`, set by the host.
    pub struct_size: u32,
    /// 0: none are defined yet.
    pub flags: u32,
    /// The weights in memory.
    pub weights: u64,
    /// Keys and values of one session when its context is full.
    pub cache: u64,
    /// Buffers of the computation.
    pub compute: u64,
    /// What is read from the mapped file and can be taken back by the system at any time. Not part of `total`.
    pub mapped: u64,
    /// Weights, cache and buffers together.
    pub total: u64,
    /// Positions that the figures are for.
    pub context: u64,
    /// What of `weights` are the experts of mixtures: with `R1_MODEL_EXPERTS_IN_PLACE` they stay in the file.
    pub experts: u64,
    /// Weights that one generated token reads: all but the experts that its router does not choose.
    pub read_per_token: u64,
}
sized!(r1_memory, read_per_token: u64);

/// Describes a GGUF file as a JSON object, without reading its weights: `version`, `file_size`, `parameters`,
/// `metadata` (an object; arrays of more than 64 entries appear as `{"type": ..., "len": ...}`) and `tensors` (an
/// array of `name`, `type`, `dims`, `bytes`). Fields may be added. Free the text with `r1_string_free`.
///
/// Errors: those of `r1_model_load` that concern the header.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_inspect_json(
    path: *const c_char,
    path_len: usize,
    out: *mut *mut r1_string,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let out = caller.out(out, "out")?;
        let path = caller.path(path, path_len, "path")?;
        let gguf = Gguf::open(&path, LoadMode::HeaderOnly)?;
        out.set(string::give(describe(&gguf).to_string())?);
        Ok(R1_OK)
    })
}

/// Writes what a model and one session will need, without reading its weights. Of `options` (which may be NULL) only
/// `context` and `cache` are used. `out->struct_size` must be set, as `R1_MEMORY_INIT` does.
///
/// Errors: those of `r1_model_load` that concern the header; `R1_ERR_ARGUMENT` where the numbers overflow.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_estimate(
    path: *const c_char,
    path_len: usize,
    options: *const r1_session_options,
    out: *mut r1_memory,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let options = caller.options(options)?;
        let (context, cache) = (session::given(options.context), session::cache(options.cache)?);
        let out = caller.sized_out(out, "out")?;
        let path = caller.path(path, path_len, "path")?;
        let gguf = Gguf::open(&path, LoadMode::HeaderOnly)?;
        let estimate = Config::from_gguf(&gguf)
            .and_then(|config| Estimate::new(&gguf, &config, context, cache))
            .map_err(|e| e.file(&path))?;
        out.set(&r1_memory {
            struct_size: 0,
            flags: 0,
            weights: estimate.weights,
            cache: estimate.cache,
            compute: estimate.compute,
            mapped: estimate.mapped,
            total: estimate.total(),
            context: estimate.context,
            experts: estimate.experts,
            read_per_token: estimate.read_per_token,
        });
        Ok(R1_OK)
    })
}

fn describe(gguf: &Gguf) -> serde_json::Value {
    let metadata: Map<_, _> = gguf.metadata().iter().map(|(key, value)| (key.to_owned(), value_json(value))).collect();
    let tensors = gguf.tensors().iter().map(|tensor| {
        json!({"name": tensor.name(), "type": tensor.type_name(), "dims": tensor.dims(), "bytes": tensor.byte_len()})
    });
    json!({
        "version": gguf.version(),
        "file_size": gguf.file_size(),
        "parameters": gguf.tensors().iter().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.elements())),
        "metadata": metadata,
        "tensors": tensors.collect::<Vec<_>>(),
    })
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Str(text) => json!(text),
        Value::Bool(flag) => json!(flag),
        Value::Array(array) => array_json(array),
        Value::U64(number) => json!(number),
        _ => match (value.as_integer().and_then(|n| i64::try_from(n).ok()), value.as_float()) {
            (Some(number), _) => json!(number),
            // Shortest text that reads back as the number; JSON has none for NaN and infinities, which become null.
            (_, Some(number)) => json!(number),
            _ => serde_json::Value::Null,
        },
    }
}

fn array_json(array: &Array) -> serde_json::Value {
    if array.len() > SHOWN_ENTRIES {
        return json!({"type": array.type_name(), "len": array.len()});
    }
    (0..array.len()).filter_map(|i| array.get(i)).map(|value| value_json(&value)).collect()
}
