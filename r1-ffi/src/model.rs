//! Models.

use std::ffi::{c_char, c_void};
use std::time::Instant;

use engine::gguf::{Gguf, LoadMode};
use engine::{Model, ModelOptions, Repack};

use crate::callback::r1_drop_fn;
use crate::caller::Caller;
use crate::cancel::{self, r1_cancel};
use crate::error::r1_error;
use crate::fail::{Fail, Result};
use crate::handle::{self, object};
use crate::progress::{self, r1_progress_fn};
use crate::sized::{self, sized};
use crate::status::*;
use crate::string::{self, r1_string};
use crate::{log, tokenizer};

/// A loaded model: immutable and shared. Any number of threads may use one at once. Sessions, chats and tokenizers made
/// from it keep it alive, so it may be freed before them.
pub struct r1_model {
    _private: (),
}

object!(Model, r1_model, Model);

/// Reads the file instead of mapping it: a file that shrinks or fails while it is in use is then an error, not the
/// end of the process. Takes more memory.
pub const R1_MODEL_READ: u32 = 1;
/// `r1_model_load_memory` uses the block in place instead of copying it: it must stay as it is until everything that
/// was made from the model has been freed.
pub const R1_MODEL_BORROW: u32 = 2;
/// Uses the weights as they lie in the file or the block instead of copying them into the kernels' layout: loads at
/// once, and a mapped file's memory is shared with other processes. Single tokens are slower. Changes no bit of a result.
pub const R1_MODEL_IN_PLACE: u32 = 4;
/// Copies all weights but the experts of a mixture, which stay in the file: for models larger than memory. Without this
/// flag, `R1_MODEL_IN_PLACE` and `R1_MODEL_REPACK_NOW`, as many weights are copied as fit into the memory that is free,
/// while the first tokens are computed (`r1_model_finish_repacking`). Changes no bit of a result.
pub const R1_MODEL_EXPERTS_IN_PLACE: u32 = 8;
/// Copies all weights into the kernels' layout while loading: that takes longer, and the first tokens are as fast as
/// later ones. Changes no bit of a result.
pub const R1_MODEL_REPACK_NOW: u32 = 16;

/// How a model is loaded. All zeros but `struct_size` is right for most hosts.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_model_options {
    /// `sizeof(r1_model_options)`.
    pub struct_size: u32,
    /// `R1_MODEL_*`.
    pub flags: u32,
    /// The instruction set: `"scalar"`, `"avx2"`, `"avx512"`, `"neon"`, `"neon-dotprod"`, `"neon-i8mm"`. NULL takes the
    /// environment variable `R1_KERNELS` where it is set, else the fastest that the processor has. Changes the speed, never a bit of the result.
    pub kernels: *const c_char,
    /// Stops loading; NULL for none.
    pub cancel: *const r1_cancel,
    /// Told how far loading has come; NULL for none.
    pub progress: r1_progress_fn,
    /// Handed to `progress`.
    pub progress_user: *mut c_void,
    /// Called once with `progress_user` before the load returns, also where it fails, unless the options themselves
    /// could not be read (`R1_ERR_VERSION`) or the call was refused (`R1_ERR_REENTRANT`). NULL for none.
    pub progress_drop: r1_drop_fn,
    /// What runs the model: `"cpu"` (NULL too), `"cuda"`, `"metal"`, `"vulkan"`, `"gpu"` (every GPU), `"ggml-cpu"`,
    /// `"rpc"`, or names of devices as `r1_devices_json` tells them, with commas between them. What is asked for runs,
    /// or the load fails with `R1_ERR_UNSUPPORTED`: nothing falls back in silence.
    pub backend: *const c_char,
    /// A folder with ggml's shared libraries; NULL takes the environment variable `R1_GGML_LIB_DIR`, else the ggml that
    /// is linked.
    pub ggml_folder: *const c_char,
    /// Addresses (`host:port`) of ggml RPC servers with commas between them; NULL for none. Nothing protects the
    /// connection: inside a trusted network only.
    pub rpc: *const c_char,
    /// Layers that go to the devices, the last ones; 0 for as many as fit.
    pub gpu_layers: u64,
}
sized!(r1_model_options, gpu_layers: u64, grown from backend);

/// Fills `size` bytes, which is `sizeof(r1_model_options)`, with the defaults; as `R1_MODEL_OPTIONS_INIT` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_model_options_init(options: *mut r1_model_options, size: usize) -> r1_status {
    guard!(std::ptr::null_mut(), |caller| caller.init(options, size))
}

/// Loads a model from a GGUF file; of a split model any part. `options` may be NULL. Free the model with
/// `r1_model_free`.
///
/// Errors: `R1_ERR_IO`, `R1_ERR_NOT_GGUF`, `R1_ERR_MALFORMED`, `R1_ERR_UNSUPPORTED` and `R1_ERR_MISSING` say what is
/// wrong with the file and where; `R1_ERR_ARGUMENT` for kernels that do not run here; `R1_ERR_OUT_OF_MEMORY`,
/// `R1_ERR_CANCELLED`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_model_load(
    path: *const c_char,
    path_len: usize,
    options: *const r1_model_options,
    out: *mut *mut r1_model,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let (flags, options) = read(caller, options)?;
        let out = caller.out(out, "out")?;
        let path = caller.path(path, path_len, "path")?;
        if flags & R1_MODEL_BORROW != 0 {
            return Err(Fail::range("flags", "has R1_MODEL_BORROW, which is for blocks of memory"));
        }
        let start = Instant::now();
        let model = Model::open_with(&path, &options)?;
        loaded(&model, &path.display().to_string(), start);
        out.set(handle::give(model)?);
        Ok(R1_OK)
    })
}

/// Loads a model from a GGUF file that lies in memory. As `r1_model_load`, but for split models, which are
/// `R1_ERR_UNSUPPORTED`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_model_load_memory(
    data: *const u8,
    len: usize,
    options: *const r1_model_options,
    out: *mut *mut r1_model,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let (flags, options) = read(caller, options)?;
        let out = caller.out(out, "out")?;
        let data = caller.block(data, len, "data")?;
        let start = Instant::now();
        let gguf = if flags & R1_MODEL_BORROW != 0 {
            // SAFETY: with this flag the host promises that the block outlives the model.
            Gguf::from_bytes(unsafe { std::slice::from_raw_parts::<'static, u8>(data.as_ptr(), len) })?
        } else {
            let mut copy = Vec::new();
            let no_memory = |_| Fail::new(R1_ERR_OUT_OF_MEMORY, format!("no memory for a copy of {len} bytes"));
            copy.try_reserve_exact(len).map_err(no_memory)?;
            copy.extend_from_slice(data);
            Gguf::from_bytes(copy)?
        };
        let model = Model::load(gguf, &options)?;
        loaded(&model, "a block of memory", start);
        out.set(handle::give(model)?);
        Ok(R1_OK)
    })
}

/// Copies at once the weights that loading left for later passes to copy into the kernels' layout, on all processors:
/// for hosts that have time before the first prompt. Does nothing where none are left. Sessions may use the model
/// meanwhile; weights that memory does not suffice for stay where they are, which is no error. `cancel` may be NULL.
///
/// Errors: `R1_ERR_CANCELLED`; what is copied by then stays so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_model_finish_repacking(
    model: *const r1_model,
    cancel: *const r1_cancel,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |_| {
        let model = handle::get::<Model>(model, "model")?;
        model.finish_repacking(&cancel::token(cancel)?, None)?;
        Ok(R1_OK)
    })
}

/// What the model is, as a JSON object: `name` (or null), `kernels`, `context`, `vocabulary`, `layers`, `embedding`,
/// `weight_bytes` (those that are copied later too), `chat_template` (whether the file has one). Fields may be added. Free the text with
/// `r1_string_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_model_info_json(
    model: *const r1_model,
    out: *mut *mut r1_string,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let model = handle::get::<Model>(model, "model")?;
        let out = caller.out(out, "out")?;
        let config = model.config();
        let info = serde_json::json!({
            "name": model.name(),
            "kernels": model.kernels(),
            "context": config.context_length,
            "vocabulary": config.vocabulary,
            "layers": config.layers.len(),
            "embedding": config.embedding_length,
            "weight_bytes": model.weight_bytes(),
            "chat_template": model.template_text().is_some(),
        });
        out.set(string::give(info.to_string())?);
        Ok(R1_OK)
    })
}

/// The model's tokenizer. It does not need the model's handle any more. Free it with `r1_tokenizer_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_model_tokenizer(
    model: *const r1_model,
    out: *mut *mut tokenizer::r1_tokenizer,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let model = handle::get::<Model>(model, "model")?;
        let out = caller.out(out, "out")?;
        out.set(handle::give(model.tokenizer().clone())?);
        Ok(R1_OK)
    })
}

/// Frees a model, or rather this handle to it: the memory goes with its last session. NULL is fine; a handle that is
/// not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_model_free(model: *mut r1_model) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Model>(model))
}

/// Lists what models can run on, as a JSON array of objects: `name` (for `backend` in `r1_model_options`), `description`,
/// `backend`, `memory_free` and `memory_total` (bytes, or null), and for the CPU `kernels`, `available`, `threads`.
/// `ggml_folder` and `rpc` are as in `r1_model_options` and may be NULL. Fields may be added. Free the text with
/// `r1_string_free`.
///
/// Errors: `R1_ERR_UNSUPPORTED` where there is no ggml or it does not load; `R1_ERR_IO` for a server that does not
/// answer. The CPU is always there, so hosts may go on with it.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_devices_json(
    ggml_folder: *const c_char,
    rpc: *const c_char,
    out: *mut *mut r1_string,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let out = caller.out(out, "out")?;
        let folder = caller.optional(ggml_folder, "ggml_folder")?.map(std::path::Path::new);
        let rpc = servers(caller.optional(rpc, "rpc")?);
        let devices = engine::Device::list_with(folder, &rpc)?;
        let list: Vec<_> = devices.iter().map(crate::version::device_json).collect();
        out.set(string::give(serde_json::Value::from(list).to_string())?);
        Ok(R1_OK)
    })
}

/// Addresses with commas between them.
fn servers(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// The flags and the engine's options.
fn read(caller: &Caller, options: *const r1_model_options) -> Result<(u32, ModelOptions)> {
    let options = caller.options(options)?;
    let known = R1_MODEL_READ | R1_MODEL_BORROW | R1_MODEL_IN_PLACE | R1_MODEL_EXPERTS_IN_PLACE | R1_MODEL_REPACK_NOW;
    let flags = sized::flags(options.flags, known, "r1_model_options")?;
    let token = cancel::token(options.cancel);
    let progress = progress::hook(options.progress, options.progress_user, options.progress_drop, token.as_ref().ok());
    let load = if flags & R1_MODEL_READ != 0 { LoadMode::Read } else { LoadMode::Map };
    // The flag that copies least wins.
    let repack = match flags & (R1_MODEL_IN_PLACE | R1_MODEL_EXPERTS_IN_PLACE | R1_MODEL_REPACK_NOW) {
        0 => Repack::Auto,
        R1_MODEL_REPACK_NOW => Repack::On,
        some if some & R1_MODEL_IN_PLACE != 0 => Repack::Off,
        _ => Repack::AllButExperts,
    };
    let kernels = caller.optional(options.kernels, "kernels")?.map(str::to_owned);
    let text = |pointer, name| Ok::<_, Fail>(caller.optional(pointer, name)?.map(str::to_owned));
    let backend = text(options.backend, "backend")?;
    let ggml_folder = text(options.ggml_folder, "ggml_folder")?.map(Into::into);
    let rpc = servers(text(options.rpc, "rpc")?.as_deref());
    let gpu_layers = usize::try_from(options.gpu_layers).ok().filter(|layers| *layers > 0);
    let cancel = token?;
    Ok((flags, ModelOptions { load, repack, kernels, backend, gpu_layers, ggml_folder, rpc, cancel, progress }))
}

fn loaded(model: &Model, from: &str, start: Instant) {
    log::line(log::R1_LOG_INFO, || {
        let (name, kernels, bytes) = (model.name().unwrap_or("a model"), model.kernels(), model.weight_bytes());
        format!("loaded {name} from {from} in {} ms: {bytes} bytes of weights, {kernels}", start.elapsed().as_millis())
    });
}
