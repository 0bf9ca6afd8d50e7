//! A loaded model: description, weights, tokenizer. Immutable and shared; runners and sessions work on it.

mod attention;
mod feed_forward;
mod head;
mod project;
mod runner;

#[cfg(feature = "ggml")]
pub(crate) use head::Answers;
pub use runner::{Runner, Step, Wanted};

use std::path::Path;
use std::sync::Arc;

use crate::cache::CacheType;
use crate::cancel::CancelToken;
use crate::chat::ChatTemplate;
use crate::config::{Config, template_text};
use crate::constraint::{Constraints, Grammar, Parser, ScriptLock, Scripts};
use crate::device::default_threads;
use crate::gguf::{Gguf, LoadMode};
use crate::memory;
use crate::progress::ProgressFn;
use crate::reasoning::ThinkTags;
use crate::tokenizer::Tokenizer;
use crate::weights::{Repack, Weights};
use crate::{Error, ErrorKind, Result};
use r1_kernels::{Isa, Level, Team, ops::Rope};

/// How a model is opened. `ModelOptions::default()` is right for most hosts.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// How the file is read; mapped by default.
    pub load: LoadMode,
    /// Whether and when the weights are copied into the kernels' layout; by default as many as memory allows, while the
    /// first tokens are computed.
    pub repack: Repack,
    /// Which kernels run: `scalar`, `avx2`, `avx512`, `neon`, `neon-dotprod` or `neon-i8mm`. `None` takes the environment
    /// variable `R1_KERNELS` where it is set, else the fastest that this processor has. The choice changes the speed,
    /// never a bit of the result.
    pub kernels: Option<String>,
    /// What runs the model; `None` takes the environment variable `R1_BACKEND` where it is set, else `cpu`. Other than
    /// `cpu` there are devices of ggml, which takes the feature `ggml`: `cuda`, `metal`,
    /// `vulkan`, `gpu` (every GPU), `ggml-cpu` (ggml's own CPU code), `rpc` (the devices of [`ModelOptions::rpc`]), or
    /// names of devices with commas between them, as [`Device::list`](crate::Device::list) tells them. What was asked for
    /// runs, or opening fails: nothing falls back in silence.
    pub backend: Option<String>,
    /// How many layers, the last ones, go to the devices, shared out by their free memory; earlier ones run on the CPU.
    /// `None` takes as many as fit.
    pub gpu_layers: Option<usize>,
    /// A folder with ggml's shared libraries; `None` takes the environment variable `R1_GGML_LIB_DIR`, else the ggml that
    /// is linked.
    pub ggml_folder: Option<std::path::PathBuf>,
    /// Addresses (`host:port`) of ggml RPC servers whose devices may be used. The protocol has no protection whatsoever:
    /// name servers of a trusted network only.
    pub rpc: Vec<String>,
    /// Stops loading when it fires.
    pub cancel: CancelToken,
    /// Told how far loading has come.
    pub progress: Option<ProgressFn>,
}

/// A loaded model. Cloning shares it; it is freed with its last clone, runner or session. Safe to use from any number of
/// threads.
///
/// ```no_run
/// use r1core::{Model, SessionOptions};
/// let model = Model::open("model.gguf")?;
/// let mut session = model.session(SessionOptions::default())?;
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    weights: Weights,
    #[cfg(feature = "ggml")]
    pub(super) devices: Option<Arc<crate::ggml::DeviceModel>>,
    ropes: Vec<Rope>,
    tokenizer: Tokenizer,
    template: Option<String>,
    name: Option<String>,
    isa: Isa,
    constraints: Constraints,
    repack: Repack,
}

impl Model {
    /// Opens a model file (or any part of a split one) with default options.
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::open_with(path, &ModelOptions::default())
    }

    /// Opens a model file (or any part of a split one).
    ///
    /// # Errors
    /// `Io`, `NotGguf`, `Malformed`, `Unsupported` and `Missing` say what is wrong with the file and where;
    /// `Argument` for unknown or unavailable kernels; `OutOfMemory`; `Cancelled`.
    pub fn open_with(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Model> {
        let path = path.as_ref();
        Gguf::open(path, options.load).and_then(|gguf| Model::load(gguf, options)).map_err(|e| e.file(path))
    }

    /// Loads a model whose header is already open (from memory, for instance).
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub fn load(gguf: Gguf, options: &ModelOptions) -> Result<Model> {
        let isa = choose_kernels(options.kernels.as_deref())?;
        gguf.ensure_model()?;
        let config = Config::from_gguf(&gguf)?;
        let metadata = gguf.metadata();
        let tokenizer = Tokenizer::from_metadata(metadata)?;
        if tokenizer.len() > config.vocabulary {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("lists {} tokens but the embedding table has {} rows", tokenizer.len(), config.vocabulary),
            )
            .key("tokenizer.ggml.tokens"));
        }
        let template = template_text(metadata)?.map(str::to_owned);
        let name = metadata.str("general.name").ok().flatten().map(str::to_owned);
        let gguf = Arc::new(gguf);
        #[cfg(feature = "ggml")]
        let devices = devices(&gguf, &config, options)?;
        #[cfg(feature = "ggml")]
        let cpu_layers = devices.as_ref().map_or(config.layers.len(), |devices| devices.cpu_layers);
        #[cfg(not(feature = "ggml"))]
        let cpu_layers = only_cpu(&config, options)?;
        let repack = options.repack.resolve(&gguf, memory::available());
        let (cancel, progress) = (&options.cancel, options.progress.as_ref());
        let weights = Weights::load(&gguf, &config, cpu_layers, isa, repack, cancel, progress)?;
        let ropes = config.ropes.iter().map(Rope::new).collect();
        Ok(Model {
            inner: Arc::new(Inner {
                config,
                weights,
                #[cfg(feature = "ggml")]
                devices,
                ropes,
                tokenizer,
                template,
                name,
                isa,
                repack,
                constraints: Constraints::default(),
            }),
        })
    }

    /// The checked numbers and layers.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The file's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.inner.tokenizer
    }

    /// `general.name`, where the file has it.
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// The file's chat template text, where it has one.
    pub fn template_text(&self) -> Option<&str> {
        self.inner.template.as_deref()
    }

    /// The chat template to use: `explicit` (template text or the name of a preset) where given, else the file's.
    ///
    /// # Errors
    /// `NoTemplate` where neither exists; `Template` where the text does not parse.
    pub fn chat_template(&self, explicit: Option<&str>) -> Result<ChatTemplate> {
        let tokenizer = self.tokenizer();
        ChatTemplate::for_model(self.template_text(), explicit, tokenizer.bos_text(), tokenizer.eos_text())
    }

    /// The tags around this model's thoughts, told from its vocabulary and its chat template; `None` where it has none.
    pub fn think_tags(&self) -> Option<ThinkTags> {
        ThinkTags::find(&|text| self.tokenizer().special_id(text), self.template_text())
    }

    /// The lock to some scripts, made once and shared.
    pub(crate) fn script_lock(&self, scripts: &Scripts) -> Arc<ScriptLock> {
        self.inner.constraints.lock(self.tokenizer(), self.config().vocabulary, scripts)
    }

    /// A parser at the beginning of a text of this grammar.
    pub(crate) fn parser(&self, grammar: &Grammar) -> Result<Parser> {
        self.inner.constraints.parser(self.tokenizer(), grammar)
    }

    /// The kernels that run.
    pub fn kernels(&self) -> &'static str {
        self.inner.isa.name()
    }

    /// Where the weights live: what was asked for, or what [`Repack::Auto`] chose.
    pub fn repack(&self) -> Repack {
        self.inner.repack
    }

    /// Copies at once what [`Repack::Lazy`] (the default where memory allows) has left for later passes, on all
    /// processors: for hosts that have time before the first prompt, and for measurements. Sessions may use the model
    /// meanwhile. Does nothing where nothing waits; weights that memory does not suffice for stay in the file, which is
    /// no error. `progress` counts bytes of the file.
    ///
    /// # Errors
    /// `Cancelled`, between slices of some megabytes; what is copied by then stays so.
    pub fn finish_repacking(&self, cancel: &CancelToken, progress: Option<&ProgressFn>) -> Result<()> {
        let repacking = &self.inner.weights.repacking;
        if repacking.is_finished() {
            return Ok(());
        }
        repacking.finish(&Team::new(default_threads()), cancel, progress)
    }

    /// Memory that the weights take, in bytes: those repacked for the CPU, now or later (none where they stay in the
    /// file, [`Repack::Off`]), and those on devices.
    pub fn weight_bytes(&self) -> usize {
        self.inner.weights.bytes + self.placement().iter().map(|(_, _, bytes)| bytes).sum::<usize>()
    }

    /// Tokens of a prompt that one forward pass takes by default: 512, or 2048 where GPUs run the model.
    pub fn prefill_chunk(&self) -> usize {
        #[cfg(feature = "ggml")]
        if self.inner.devices.as_ref().is_some_and(|devices| devices.on_gpus()) {
            return 2048;
        }
        512
    }

    /// Fails where the devices cannot store keys and values so.
    pub(crate) fn check_cache(&self, kind: CacheType) -> Result<()> {
        if kind == CacheType::F16 || !self.is_on_devices() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "devices of ggml store keys and values in F16 only")
            .remedy("leave the cache's type at F16, or run on the CPU"))
    }

    /// Whether devices run layers.
    pub(crate) fn is_on_devices(&self) -> bool {
        #[cfg(feature = "ggml")]
        return self.inner.devices.is_some();
        #[cfg(not(feature = "ggml"))]
        false
    }

    /// The devices that run layers: name, layers, and bytes of weights there. Empty on the CPU alone.
    pub fn placement(&self) -> Vec<(String, std::ops::Range<usize>, usize)> {
        #[cfg(feature = "ggml")]
        if let Some(devices) = &self.inner.devices {
            return devices.placement();
        }
        Vec::new()
    }
}

/// What is to run the model; `None` for the CPU.
fn backend(options: &ModelOptions) -> Option<String> {
    let from_environment = || std::env::var("R1_BACKEND").ok().filter(|v| !v.is_empty());
    options.backend.clone().or_else(from_environment).filter(|backend| backend != "cpu")
}

/// The devices that `options` ask for.
#[cfg(feature = "ggml")]
fn devices(gguf: &Gguf, config: &Config, options: &ModelOptions) -> Result<Option<Arc<crate::ggml::DeviceModel>>> {
    let Some(backend) = backend(options) else { return Ok(None) };
    let request = crate::ggml::Request {
        backend,
        layers: options.gpu_layers,
        folder: options.ggml_folder.clone(),
        servers: options.rpc.clone(),
    };
    crate::ggml::DeviceModel::load(gguf, config, &request, &options.cancel, options.progress.as_ref())
}

/// The number of layers on the CPU: all of them.
#[cfg(not(feature = "ggml"))]
fn only_cpu(config: &Config, options: &ModelOptions) -> Result<usize> {
    match backend(options) {
        None => Ok(config.layers.len()),
        Some(backend) => Err(Error::new(ErrorKind::Unsupported, format!("this build has no backend '{backend}'"))
            .remedy("build with the feature 'ggml', or run on the CPU")),
    }
}

/// The kernels of that name; without a name those of `R1_KERNELS`, else the fastest.
fn choose_kernels(name: Option<&str>) -> Result<Isa> {
    let from_environment = std::env::var("R1_KERNELS").ok().filter(|v| !v.is_empty());
    let Some(name) = name.or(from_environment.as_deref()) else { return Ok(Isa::detect()) };
    Isa::from_name(name).ok_or_else(|| {
        let known = Level::ALL.iter().any(|level| level.name() == name);
        let available: Vec<_> = Isa::available().map(Isa::name).collect();
        let what = if known { "this processor cannot run" } else { "there are no" };
        Error::new(ErrorKind::Argument, format!("{what} kernels '{name}'"))
            .remedy(format!("choose one of: {}", available.join(", ")))
    })
}
