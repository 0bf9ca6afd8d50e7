//! One sequence on one model: prompt, decode, stop, cancel.

mod chat;
mod event;
mod gate;
mod generation;
mod history;
mod options;
mod outlook;
mod pass;
mod profiles;
mod sequence;
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
use crate::sampler::Scores;
use crate::speculation::{Drafter, Guesses, Speculation, Suffixes};
use crate::threads::Threads;
use crate::{Error, ErrorKind, Result};
use r1_kernels::ThreadStart;
use sequence::Sequence;

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
    /// What each of those threads but the caller's does first: a host may bind it to a processor, set its priority or
    /// name it. Threads of ggml are not told.
    pub thread_start: Option<ThreadStart>,
    /// How keys and values are stored; devices of ggml have [`CacheType::F16`] only.
    pub cache: CacheType,
    /// Tokens of a prompt that one forward pass takes; `None` takes [`Model::prefill_chunk`]. Changes speed and memory,
    /// and on the CPU no bit of the result.
    pub prefill_chunk: Option<usize>,
    /// Whether tokens are guessed ahead from what the text repeats, and in a vote from what the other samples say, and
    /// checked several in one pass. Changes speed, no bit of the result. Ignored where layers run on devices of ggml, whose bits depend on the batch.
    pub speculation: Speculation,
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
    sequence: Sequence,
    drafter: Option<Drafter>,
    /// The session's text, searched for what to guess.
    texts: Suffixes,
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
        let speculation = if self.is_on_devices() { Speculation::Off } else { options.speculation };
        let threads = Threads { count: options.threads, start: options.thread_start };
        Ok(Session {
            runner: Runner::new(self, threads, options.cancel.clone()),
            sequence: Sequence::new(KvCache::new(self.config(), options.cache, context), 0, context),
            drafter: Drafter::new(speculation),
            texts: Suffixes::default(),
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
        self.sequence.tokens()
    }

    /// Positions that the session may hold.
    pub fn context(&self) -> usize {
        self.sequence.cache().capacity()
    }

    /// Threads that work, the caller's included.
    pub fn threads(&self) -> usize {
        self.runner.threads()
    }

    /// Memory of the cache, in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.sequence.cache().bytes()
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
        self.check_room(self.tokens().len(), tokens.len())?;
        self.sequence.forget_ahead();
        let total = tokens.len() as u64;
        let mut done = 0;
        while done < tokens.len() {
            let end = (done + self.prefill_chunk).min(tokens.len());
            let wanted = if end == tokens.len() { Wanted::Last } else { Wanted::None };
            self.sequence.expect(&tokens[done..end], wanted);
            self.pass()?;
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
        let shared = self.tokens().iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = shared.min(prompt.len().saturating_sub(1));
        self.check_room(0, prompt.len())?;
        self.truncate(kept);
        self.prefill(&prompt[kept..])?;
        Ok(kept)
    }

    /// Forgets the tokens from `len` on. The logits are unknown afterwards, until the next token is appended.
    pub fn truncate(&mut self, len: usize) {
        self.sequence.truncate(len);
    }

    /// The logits after the last token, one for each vocabulary entry. Greedy generations leave those that nobody needed
    /// out: they are computed here then, which costs a token at most.
    ///
    /// # Errors
    /// `State` before the first prefill and after [`Session::truncate`]; `OutOfMemory` and `Cancelled` where they have to
    /// be computed.
    pub fn logits(&mut self) -> Result<&[f32]> {
        if !self.sequence.outlook().top().is_empty() {
            self.complete()?;
        }
        self.sequence.outlook().logits().ok_or_else(no_logits)
    }

    /// Makes all logits after the last token known, where the highest of them are.
    fn complete(&mut self) -> Result<()> {
        if let Ok(row) = self.runner.logits(0) {
            self.sequence.keep(row);
            return Ok(());
        }
        // The run was another session's, of which this is a fork, or was followed by one that failed.
        let Some((last, mut cache)) = self.sequence.last() else { return Err(no_logits()) };
        let step = Step { cache: &mut cache, tokens: &[last], wanted: Wanted::Last };
        self.sequence.keep(self.runner.run(&mut [step])?);
        Ok(())
    }

    /// What guessing tokens ahead came to so far; see [`SessionOptions::speculation`].
    pub fn guesses(&self) -> Guesses {
        self.drafter.as_ref().map(Drafter::counts).unwrap_or_default()
    }

    /// A second session with the same past, which costs no copy of the cache now. It gets a team of threads of its own
    /// and a cancel token of its own.
    pub fn fork(&self) -> Session {
        let cancel = CancelToken::new();
        Session {
            runner: self.runner.fork(cancel.clone()),
            sequence: self.sequence.fork(),
            drafter: self.drafter.clone(),
            texts: self.texts.clone(),
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

    /// Appends tokens that a generation chose, and of whose last position it wants so much; there is room for them.
    /// Computes nothing where they were guessed.
    fn append(&mut self, chosen: &[u32], wanted: Wanted) -> Result<()> {
        let rest = self.sequence.take(chosen);
        for chunk in rest.chunks(self.prefill_chunk) {
            self.sequence.expect(chunk, wanted);
            // Forced tokens come many at a time, and logits are wanted after the last of them only.
            if let (Some(drafter), 1) = (&mut self.drafter, rest.len()) {
                pass::guess(drafter, &mut self.texts, std::iter::once(&mut self.sequence));
            }
            self.pass()?;
        }
        Ok(())
    }

    /// Runs what the sequence reads next.
    fn pass(&mut self) -> Result<()> {
        let Session { runner, sequence, drafter, .. } = self;
        pass::run(runner, drafter.as_mut(), std::iter::once(&mut *sequence))?;
        // A vote may use the runner before anybody looks.
        let Some(step) = sequence.scored_step() else { return Ok(()) };
        if let Some(best) = runner.best(step) {
            sequence.keep_top(&[best]);
        } else if let Ok(row) = runner.logits(step) {
            sequence.keep(row);
        }
        Ok(())
    }
}

/// The scores after a session's last token.
struct SessionScores<'a>(&'a mut Session);

impl Scores for SessionScores<'_> {
    fn top(&self) -> &[(u32, f32)] {
        self.0.sequence.outlook().top()
    }

    fn all(&mut self) -> Result<&[f32]> {
        self.0.logits()
    }
}

fn no_logits() -> Error {
    Error::new(ErrorKind::State, "there are no logits before a prompt")
        .remedy("append at least one token with prefill first")
}
