//! Opening models, the one that ships with r1 included.

use std::path::Path;
use std::time::Instant;

use r1core::{Gguf, LoadMode, Model, ModelOptions, SessionOptions, Tokenizer};

use crate::args::{ModelArgs, SessionArgs};
use crate::log::Level;
use crate::output::{Outcome, progress};
use crate::{interrupt, log, output};

/// The header of a file, or of the model that ships.
pub(crate) fn gguf(path: Option<&Path>, load: LoadMode) -> Outcome<Gguf> {
    Ok(match path {
        Some(path) => Gguf::open(path, load)?,
        None => shipped()?,
    })
}

#[cfg(feature = "default-model")]
fn shipped() -> Outcome<Gguf> {
    Ok(Gguf::from_bytes(r1core::DEFAULT_MODEL)?)
}

/// A build without the feature `default-model` has no model of its own.
#[cfg(not(feature = "default-model"))]
fn shipped() -> Outcome<Gguf> {
    Err(output::Failure::Usage("this build of r1 has no model of its own; give one with -m FILE".into()))
}

/// A model with its weights.
pub(crate) fn model(args: &ModelArgs) -> Outcome<Model> {
    let options = ModelOptions {
        load: args.load.into(),
        repack: args.repack.into(),
        kernels: args.kernels.clone(),
        backend: args.backend.clone(),
        gpu_layers: args.gpu_layers,
        ggml_folder: args.ggml.ggml.clone(),
        rpc: args.ggml.rpc.clone(),
        cancel: interrupt::token(),
        progress: progress(),
    };
    let start = Instant::now();
    let model = match &args.model {
        Some(path) => Model::open_with(path, &options)?,
        None => Model::load(gguf(None, LoadMode::Map)?, &options)?,
    };
    let config = model.config();
    log::line(
        Level::Info,
        format_args!(
            "loaded {} ({}, {} layers, {} of weights) in {:.2?}, {} kernels",
            model.name().unwrap_or("a model without a name"),
            config.architecture.name,
            config.layers.len(),
            output::size(model.weight_bytes() as u64),
            start.elapsed(),
            model.kernels()
        ),
    );
    for (device, layers, bytes) in model.placement() {
        let size = output::size(bytes as u64);
        log::line(Level::Info, format_args!("layers {} to {} on {device}, {size}", layers.start, layers.end - 1));
    }
    log::line(Level::Debug, format_args!("context {}, vocabulary {}", config.context_length, config.vocabulary));
    Ok(model)
}

/// A file's tokenizer, without its weights.
pub(crate) fn tokenizer(path: Option<&Path>) -> Outcome<Tokenizer> {
    let gguf = gguf(path, LoadMode::HeaderOnly)?;
    Ok(Tokenizer::from_metadata(gguf.metadata()).map_err(|e| match path {
        Some(path) => e.file(path),
        None => e,
    })?)
}

/// Session options that the flags ask for.
pub(crate) fn session_options(model: &ModelArgs, session: Option<&SessionArgs>) -> SessionOptions {
    SessionOptions {
        thread_start: None,
        context: session.and_then(|s| s.context).map(|n| n as usize),
        threads: model.threads.map(usize::from),
        cache: session.map(|s| s.cache.into()).unwrap_or_default(),
        prefill_chunk: None,
        speculation: session.map(|s| s.speculate).unwrap_or_default(),
        cancel: interrupt::token(),
        progress: output::progress(),
    }
}

/// The template that a flag names: the text of a file where there is one of that name, else the name of a preset.
pub(crate) fn template_choice(choice: Option<&str>) -> Outcome<Option<String>> {
    let Some(choice) = choice else { return Ok(None) };
    if Path::new(choice).is_file() {
        let text = std::fs::read_to_string(choice).map_err(|e| output::Failure::File(choice.to_owned(), e))?;
        return Ok(Some(text));
    }
    Ok(Some(choice.to_owned()))
}
