//! One sequence on one model: prompt, decode, stop, cancel.

mod chat;
mod event;
mod gate;
mod generation;
mod history;
mod options;
mod profiles;
mod sequencer;
mod stop;
mod text;
mod vote;

pub use chat::{Chat, ChatOptions, ChatVote, Reply};
pub use event::{Done, Event, Finish, Provenance, TokenEvent, Usage};
pub use generation::{Generation, GenerationState};
pub use history::{ChatWarning, HistoryThoughts, SummariseFn, SystemMessages};
pub use options::GenerateOptions;
pub use vote::{
    ExtractFn, Vote, VoteEvent, VoteHandle, VoteOptions, VoteProgress, VoteResult, VoteSample, VoteState, WeighFn,
};

use crate::cache::{CacheType, KvCache};
use crate::cancel::CancelToken;
use crate::model::{Model, Runner, Step, Wanted};
use crate::progress::{ProgressFn, Stage};
use crate::{Error, ErrorKind, Result};

/// The context that a session gets by default, where the model's own is larger: the paper's limit for one reply.
const DEFAULT_CONTEXT: usize = 32_768;

/// How a session works. `SessionOptions::default()` is right for most hosts.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Positions that the session may hold; `None` takes the model's own context, at most 32,768. Memory is taken as
    /// positions arrive.
    pub context: Option<usize>,
    /// Threads that work, the caller's included; `None` takes one for each processor.
    pub threads: Option<usize>,
    /// How keys and values are stored; devices of ggml have [`CacheType::F16`] only.
    pub cache: CacheType,
    /// Tokens of a prompt that one forward pass takes; `None` takes [`Model::prefill_chunk`]. Changes speed and memory,
    /// and on the CPU no bit of the result.
    pub prefill_chunk: Option<usize>,
    /// Stops prefill and decode when it fires.
    pub cancel: CancelToken,
    /// Told how far a prompt has come.
    pub progress: Option<ProgressFn>,
}

/// One sequence: the tokens so far, their cache, and the logits after the last of them. Used by one thread at a time,
/// and may move between threads; make one session for each thread.
///
/// ```no_run
/// use r1core::{Event, GenerateOptions, Model, SessionOptions};
/// let model = Model::open("model.gguf")?;
/// let mut session = model.session(SessionOptions::default())?;
/// let prompt = model.tokenizer().encode("Once upon a time", Default::default());
/// for event in session.generate(&prompt, &GenerateOptions { max_tokens: Some(64), ..Default::default() })? {
///     if let Event::Answer(text) = event? {
///         print!("{text}");
///     }
/// }
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    runner: Runner,
    cache: KvCache,
    tokens: Vec<u32>,
    /// Logits after the last token; empty where they are not known.
    logits: Vec<f32>,
    prefill_chunk: usize,
    cancel: CancelToken,
    progress: Option<ProgressFn>,
}

impl Model {
    /// A new, empty session.
    ///
    /// # Errors
    /// `Argument` for a context or a prefill chunk of 0, or a context beyond the model's.
    pub fn session(&self, options: SessionOptions) -> Result<Session> {
        let own = self.config().context_length;
        let context = options.context.unwrap_or(own.min(DEFAULT_CONTEXT));
        if context == 0 || context > own {
            return Err(Error::new(ErrorKind::Argument, format!("a context of {context} is out of range 1..={own}"))
                .remedy("ask for at most what the model was trained for"));
        }
        let prefill_chunk = options.prefill_chunk.unwrap_or_else(|| self.prefill_chunk());
        self.check_cache(options.cache)?;
        if prefill_chunk == 0 {
            return Err(Error::new(ErrorKind::Argument, "a prefill chunk of 0 tokens makes no progress"));
        }
        Ok(Session {
            runner: Runner::new(self, options.threads, options.cancel.clone()),
            cache: KvCache::new(self.config(), options.cache, context),
            tokens: Vec::new(),
            logits: Vec::new(),
            prefill_chunk,
            cancel: options.cancel,
            progress: options.progress,
        })
    }
}

impl Session {
    /// The model that runs.
    pub fn model(&self) -> &Model {
        self.runner.model()
    }

    /// Tokens so far, in order.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Positions that the session may hold.
    pub fn context(&self) -> usize {
        self.cache.capacity()
    }

    /// Threads that work, the caller's included.
    pub fn threads(&self) -> usize {
        self.runner.threads()
    }

    /// Memory of the cache, in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// A token that stops this session's work; clones of it stay connected.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Appends tokens and computes the logits after the last one. An empty slice does nothing.
    ///
    /// # Errors
    /// `ContextFull` before anything is computed; `Argument` for a token outside the vocabulary; `OutOfMemory`;
    /// `Cancelled`. After an error the session holds the tokens of the chunks that were finished.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<()> {
        self.check_room(self.tokens.len(), tokens.len())?;
        let total = tokens.len() as u64;
        let mut done = 0;
        while done < tokens.len() {
            let end = (done + self.prefill_chunk).min(tokens.len());
            let wanted = if end == tokens.len() { Wanted::Last } else { Wanted::None };
            self.step(&tokens[done..end], wanted)?;
            done = end;
            if let Some(progress) = &self.progress {
                progress.report(Stage::Prefill, done as u64, total);
            }
        }
        Ok(())
    }

    /// Makes `prompt` the session's tokens, keeping what the cache already has of it, and returns how many tokens that
    /// was. The last token is always computed, since its logits are needed.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn set_prompt(&mut self, prompt: &[u32]) -> Result<usize> {
        let shared = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = shared.min(prompt.len().saturating_sub(1));
        self.check_room(0, prompt.len())?;
        self.truncate(kept);
        self.prefill(&prompt[kept..])?;
        Ok(kept)
    }

    /// Forgets the tokens from `len` on. The logits are unknown afterwards, until the next token is appended.
    pub fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.tokens.truncate(len);
            self.cache.truncate(len);
            self.logits.clear();
        }
    }

    /// The logits after the last token, one for each vocabulary entry.
    ///
    /// # Errors
    /// `State` before the first prefill and after [`Session::truncate`].
    pub fn logits(&self) -> Result<&[f32]> {
        if self.logits.is_empty() {
            return Err(Error::new(ErrorKind::State, "there are no logits before a prompt")
                .remedy("append at least one token with prefill first"));
        }
        Ok(&self.logits)
    }

    /// A second session with the same past, which costs no copy of the cache now. It gets a team of threads of its own
    /// and a cancel token of its own.
    pub fn fork(&self) -> Session {
        let cancel = CancelToken::new();
        Session {
            runner: Runner::new(self.model(), Some(self.threads()), cancel.clone()),
            cache: self.cache.fork(),
            tokens: self.tokens.clone(),
            logits: self.logits.clone(),
            prefill_chunk: self.prefill_chunk,
            cancel,
            progress: self.progress.clone(),
        }
    }

    /// Appends `prompt` (which may be empty) and generates from there.
    ///
    /// # Errors
    /// As [`GenerationState::new`].
    pub fn generate(&mut self, prompt: &[u32], options: &GenerateOptions) -> Result<Generation<'_>> {
        let state = GenerationState::new(self, prompt, options)?;
        Ok(Generation { session: self, state })
    }

    /// Fails, with the numbers, where `count` tokens after `used` do not fit.
    fn check_room(&self, used: usize, count: usize) -> Result<()> {
        let capacity = self.context();
        if count <= capacity.saturating_sub(used) {
            return Ok(());
        }
        let after = if used == 0 { String::new() } else { format!(" after {used}") };
        Err(Error::new(
            ErrorKind::ContextFull,
            format!("a prompt of {count} tokens{after} does not fit the context of {capacity}"),
        )
        .remedy("open the session with a larger context or shorten the prompt"))
    }

    /// Appends tokens that a generation chose; there is room for them.
    fn append(&mut self, tokens: &[u32]) -> Result<()> {
        tokens.chunks(self.prefill_chunk).try_for_each(|chunk| self.step(chunk, Wanted::Last))
    }

    fn step(&mut self, tokens: &[u32], wanted: Wanted) -> Result<()> {
        let mut steps = [Step { cache: &mut self.cache, tokens, wanted }];
        let logits = self.runner.run(&mut steps)?;
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }
}
