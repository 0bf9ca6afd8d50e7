//! A loaded model: description, weights, tokenizer. Immutable and shared; runners and sessions work on it.

mod attention;
mod feed_forward;
mod project;
mod runner;

pub use runner::{Runner, Step, Wanted};

use std::path::Path;
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::chat::ChatTemplate;
use crate::config::{Config, template_text};
use crate::constraint::{Constraints, Grammar, Parser, ScriptLock, Scripts};
use crate::gguf::{Gguf, LoadMode};
use crate::memory;
use crate::progress::ProgressFn;
use crate::reasoning::ThinkTags;
use crate::tokenizer::Tokenizer;
use crate::weights::{Repack, Weights};
use crate::{Error, ErrorKind, Result};
use r1_kernels::{Isa, Level, ops::Rope};

/// How a model is opened. `ModelOptions::default()` is right for most hosts.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// How the file is read; mapped by default.
    pub load: LoadMode,
    /// Whether the weights are copied into the kernels' layout; by default as many as memory allows.
    pub repack: Repack,
    /// Which kernels run: `scalar`, `avx2`, `avx512`, `neon`, `neon-dotprod` or `neon-i8mm`. `None` takes the environment
    /// variable `R1_KERNELS` where it is set, else the fastest that this processor has. The choice changes the speed,
    /// never a bit of the result.
    pub kernels: Option<String>,
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
        let repack = options.repack.resolve(&gguf, memory::available());
        let weights = Weights::load(&gguf, &config, isa, repack, &options.cancel, options.progress.as_ref())?;
        let ropes = config.ropes.iter().map(Rope::new).collect();
        Ok(Model {
            inner: Arc::new(Inner {
                config,
                weights,
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

    /// Memory that the repacked weights take, in bytes; 0 where they stay in the file ([`Repack::Off`]).
    pub fn weight_bytes(&self) -> usize {
        self.inner.weights.bytes()
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
