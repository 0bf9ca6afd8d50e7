//! Runs reasoning models of the DeepSeek-R1 family inside your program: a GGUF file in, a stream of thoughts and
//! answers out.
//!
//! ```no_run
//! use r1core::{Chat, ChatOptions, Event, GenerateOptions, Model, SessionOptions};
//!
//! let model = Model::open("model.gguf")?;
//! let mut chat = Chat::new(model.session(SessionOptions::default())?, ChatOptions::default())?;
//! for event in chat.send("What is 37 * 24?", &GenerateOptions::default())? {
//!     match event? {
//!         Event::Thought(text) => eprint!("{text}"),
//!         Event::Answer(text) => print!("{text}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), r1core::Error>(())
//! ```
//!
//! # The rooms, in the order of the data
//!
//! | room | turns | may use |
//! |---|---|---|
//! | [`Error`] | an act that failed into a code, a place and a remedy | |
//! | [`gguf`] | bytes into metadata and a tensor directory | |
//! | [`tokenizer`] | text into token ids and back | `gguf` |
//! | [`chat`] | messages into prompt text | |
//! | [`config`] | metadata into checked numbers and a list of layers | `gguf` |
//! | `weights` | the directory into typed, repacked weights | `gguf`, `config`, kernels |
//! | [`KvCache`] | a description into memory for keys and values | `config`, kernels |
//! | [`sampler`] | logits into a token | |
//! | [`constraint`] | scripts and grammars into sets of tokens | `tokenizer`, `sampler` |
//! | [`Model`], [`Runner`] | tokens and caches into logits | all above |
//! | [`reasoning`] | tokens into thoughts and answers | `sampler` |
//! | [`answer`] | a reply's text into an answer that can be compared by value | |
//! | [`voting`] | answers of many replies into one, with its confidence | |
//! | [`Speculation`] | tokens so far into guesses of the next | |
//! | [`Session`], [`Chat`] | the loop: prompt, decode, stop, cancel | all above |
//!
//! # Promises
//!
//! * **The host never dies.** Files, templates and arguments are checked; every failure is an [`Error`]. Unsafe code is
//!   confined to the kernels and to the file mapping.
//! * **Same bits everywhere.** Logits depend on the model, the tokens and their positions: not on the batch, the split
//!   of a prompt, the threads or the instruction set. The random number of a position depends on the seed and the
//!   position.
//! * **Threads.** [`Model`] is shared freely. [`Session`], [`Chat`] and [`Runner`] are used by one thread at a time (the
//!   compiler sees to it) and may move between threads; each works with its own team of threads, which sleeps when
//!   idle. There is no global pool, no signal handler, no output, and no environment variable is read but
//!   `R1_KERNELS`, `R1_BACKEND` and `R1_GGML_LIB_DIR`.
#![deny(unsafe_code)]

pub mod answer;
mod cache;
mod cancel;
pub mod chat;
pub mod config;
pub mod constraint;
mod device;
mod error;
mod estimate;
#[cfg(feature = "ggml")]
mod ggml;
pub mod gguf;
mod machine;
mod memory;
mod model;
mod progress;
pub mod reasoning;
pub mod sampler;
mod session;
mod speculation;
mod threads;
pub mod tokenizer;
pub mod voting;
mod weights;

pub use cache::{CacheType, KvCache};
pub use cancel::CancelToken;
pub use chat::{ChatTemplate, Message, RenderOptions};
pub use config::Config;
pub use device::Device;
pub use error::{Error, ErrorKind, Place, Result};
pub use estimate::Estimate;
pub use gguf::{Gguf, LoadMode};
pub use machine::MachineLimits;
pub use model::{Model, ModelOptions, Runner, Step, Wanted};
pub use progress::{Progress, ProgressFn, Stage};
pub use r1_kernels::{Format, ThreadStart};
/// The model that ships, a GGUF file of 5 MB for [`Gguf::from_bytes`]: it reasons about small arithmetic and knows nothing
/// else. Needs the crate's feature `default-model`, off by default, so that programs without it stay small.
///
/// ```
/// use r1core::{DEFAULT_MODEL, Gguf, Model, ModelOptions};
/// let model = Model::load(Gguf::from_bytes(DEFAULT_MODEL)?, &ModelOptions::default())?;
/// assert_eq!(model.config().architecture.name, "qwen2");
/// # Ok::<(), r1core::Error>(())
/// ```
#[cfg(feature = "default-model")]
pub use r1_tiny::GGUF as DEFAULT_MODEL;
pub use reasoning::{CloseReason, ThinkHandle, ThinkOptions, ThinkTags};
pub use sampler::{Sampler, SamplerOptions, log_prob, top_logprobs};
pub use session::{
    Chat, ChatOptions, ChatVote, ChatWarning, Done, Event, ExtractFn, Finish, GenerateOptions, Generation,
    GenerationState, HistoryThoughts, Provenance, Reply, Session, SessionOptions, SummariseFn, SystemMessages,
    TokenEvent, Usage, Vote, VoteEvent, VoteHandle, VoteOptions, VoteProgress, VoteResult, VoteSample, VoteState,
    WeighFn,
};
pub use speculation::{Guesses, Speculation};
pub use threads::Threads;
pub use tokenizer::{Decoder, EncodeOptions, TokenKind, Tokenizer, Utf8Stream};
pub use weights::Repack;
