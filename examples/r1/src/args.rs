//! Verbs and flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use r1core::answer::AnswerKind;
use r1core::reasoning::{Boundary, Ramp, Sign, Until};
use r1core::{
    CacheType, GenerateOptions, HistoryThoughts, LoadMode, Repack, SamplerOptions, Speculation, ThinkOptions,
};

use crate::eval::EvalArgs;
use crate::output::Outcome;
use crate::rules::RuleArgs;
use crate::vote::VoteArgs;

/// Run reasoning models of the DeepSeek-R1 family from GGUF files.
///
/// Without -m, the small model that ships with r1 runs: it does arithmetic and short word problems.
#[derive(Debug, Parser)]
#[command(name = "r1", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Answer one prompt: the thought is dimmed, then the answer
    Run(RunArgs),
    /// Hold a conversation; Ctrl-C asks for the answer now, a second one stops the reply
    Chat(ChatArgs),
    /// Turn text on standard input into token ids on one line
    Tokenize(TokenizeArgs),
    /// Turn token ids on standard input into text
    Detokenize(DetokenizeArgs),
    /// Print the prompt that a chat template makes of messages
    Template(TemplateArgs),
    /// Show metadata, tensors and a memory estimate without loading weights
    Inspect(InspectArgs),
    /// Measure prefill and decode speed
    Bench(BenchArgs),
    /// Measure how well the model predicts a text
    Perplexity(PerplexityArgs),
    /// Print the most probable next tokens for lines of token ids on standard input
    Logits(LogitsArgs),
    /// List what this build can run on
    Devices(DevicesArgs),
    /// Offer devices of this machine to r1 on others (its --rpc)
    RpcServer(RpcServerArgs),
    /// Measure how often the model is right on tasks whose answers are known
    Eval(Box<EvalArgs>),
}

/// The model and how it is loaded.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// GGUF file (any part of a split one); the model that ships with r1 where absent
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Threads that work; one for each processor by default
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Kernels: scalar, avx2, avx512, neon, neon-dotprod or neon-i8mm; the fastest by default [environment: R1_KERNELS]
    #[arg(long, value_name = "NAME")]
    pub(crate) kernels: Option<String>,
    /// What runs the model: cpu, cuda, metal, vulkan, gpu (every GPU), ggml-cpu, rpc, or device names as r1 devices shows
    /// them, with commas between them [environment: R1_BACKEND] [default: cpu]
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// Layers that go to the device, the last ones; as many as fit by default
    #[arg(long, value_name = "N")]
    pub(crate) gpu_layers: Option<usize>,
    #[command(flatten)]
    pub(crate) ggml: GgmlArgs,
    /// How the file is read
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Load::Map)]
    pub(crate) load: Load,
    /// Whether and when weights are copied into the kernels' layout
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = RepackArg::Auto)]
    pub(crate) repack: RepackArg,
}

/// Where devices other than the CPU come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct GgmlArgs {
    /// Folder with ggml's shared libraries [environment: R1_GGML_LIB_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) ggml: Option<PathBuf>,
    /// A ggml RPC server whose devices may be used; may be given several times. Nothing protects the connection: inside a
    /// trusted network only
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) rpc: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RepackArg {
    /// Copy as many as fit into free memory: all (lazily), all but the experts, or none
    Auto,
    /// Copy them while the first tokens are computed: starts at once
    Lazy,
    /// Copy them while loading: the fastest from the first token on, for memory of the size of the file
    On,
    /// Copy all but the experts of a mixture: for models larger than memory
    AllButExperts,
    /// Use them as they lie in the file: starts at once, shares its memory with other processes
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Load {
    /// Map the file into memory
    Map,
    /// Read it: slower, but safe when the file may change underneath
    Read,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Cache {
    /// Half precision
    F16,
    /// 8-bit codes with a scale for each 32: about half the memory of f16
    #[value(name = "q8_0")]
    Q8_0,
    /// Single precision
    F32,
}

/// The sequence's memory.
#[derive(Debug, Clone, Args)]
pub(crate) struct SessionArgs {
    /// Positions that prompt and reply may take; the model's own by default, at most 32768
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) context: Option<u32>,
    /// How keys and values are stored
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = Cache::F16)]
    pub(crate) cache: Cache,
    /// Guess tokens ahead from what the text repeats, and with --votes from what other samples say, where that saves time:
    /// auto, off, or a number of guesses. Changes no token
    #[arg(long, value_name = "HOW", value_parser = speculation, default_value = "auto")]
    pub(crate) speculate: Speculation,
}

/// How tokens are chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct SamplingArgs {
    /// Tokens to generate at most, thought included
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Temperature; 0 always takes the most probable token [default: 0.6, as the R1 paper samples]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) temp: Option<f32>,
    /// Keep the most probable tokens that together reach this probability; 1 keeps all [default: 0.95, as the R1 paper]
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Keep this many of the most probable tokens; 0 keeps all
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<u32>,
    /// Drop tokens less probable than this part of the best one's probability; 0 keeps all
    #[arg(long, value_name = "P")]
    pub(crate) min_p: Option<f32>,
    /// Penalty on tokens that occurred before; 1 is none
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Subtracted from the logits of tokens that occurred before
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// Subtracted from the logits of tokens for each time they occurred before
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Seed of the random numbers: same model, prompt and seed give the same tokens
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// End the answer where this text begins; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
}

/// How long the model may think.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Thinking")]
pub(crate) struct ThinkArgs {
    /// Thought tokens of the whole reply; then the thought is closed and the answer follows
    #[arg(long, value_name = "N")]
    pub(crate) budget: Option<usize>,
    /// Thought tokens of each thought
    #[arg(long, value_name = "N")]
    pub(crate) block_budget: Option<usize>,
    /// Thought tokens that must come before the model may close its thought
    #[arg(long, value_name = "N")]
    pub(crate) min_think: Option<usize>,
    /// Replace the model's closing tag by "Wait" this many times, so that it thinks again
    #[arg(long, value_name = "N")]
    pub(crate) extend: Option<usize>,
    /// Where a used-up budget cuts, within the grace
    #[arg(long, value_name = "PLACE", value_enum)]
    pub(crate) boundary: Option<Cut>,
    /// Tokens by which a budget may be exceeded to reach the boundary; a tenth of the budget by default
    #[arg(long, value_name = "N")]
    pub(crate) grace: Option<usize>,
    /// Draw the model towards its closing tag in the last fifth of the budget
    #[arg(long)]
    pub(crate) ramp: bool,
    /// What is written before a forced closing tag; "" writes nothing but a line break
    #[arg(long, value_name = "TEXT")]
    pub(crate) close_message: Option<String>,
    /// Milliseconds for the whole reply; the thought is closed early enough for an answer
    #[arg(long, value_name = "MS")]
    pub(crate) deadline: Option<u64>,
    /// Milliseconds for thoughts
    #[arg(long, value_name = "MS")]
    pub(crate) think_deadline: Option<u64>,
    /// Tokens kept for the answer where the number of tokens is limited
    #[arg(long, value_name = "N")]
    pub(crate) answer_reserve: Option<usize>,
    /// Close the thought when this text comes in it; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) until: Vec<String>,
    /// Close the thought when it has stated the same answer this many times in a row
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) until_settled: Option<u16>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Cut {
    /// Any token
    Token,
    /// The end of a word
    Word,
    /// The end of a line
    Line,
    /// The end of a sentence or of a line
    Sentence,
    /// An empty line
    Paragraph,
}

/// The chat template.
#[derive(Debug, Clone, Args)]
pub(crate) struct TemplateChoice {
    /// Chat template: a file, or one of the presets; the model's own by default
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) template: Option<String>,
    /// System message
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Put the system message in front of the first user message, as the authors of R1 advise
    #[arg(long, requires = "system")]
    pub(crate) system_in_user: bool,
    /// Thoughts of earlier turns: template (it decides), keep, drop, or the characters to keep of each [default: template]
    #[arg(long, value_name = "HOW", value_parser = history)]
    pub(crate) history: Option<HistoryThoughts>,
    /// Answer without a thought
    #[arg(long)]
    pub(crate) no_think: bool,
    /// Open the thought for the model where an R1 file's template does not (files from before February 2025)
    #[arg(long, conflicts_with = "no_think")]
    pub(crate) force_think: bool,
    /// A variable of the template, such as reasoning_effort=high; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) template_var: Vec<(String, String)>,
}

/// Everything that a reply depends on but its prompt.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplyArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) think: ThinkArgs,
    #[command(flatten)]
    pub(crate) rules: RuleArgs,
    #[command(flatten)]
    pub(crate) template: TemplateChoice,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) reply: ReplyArgs,
    #[command(flatten)]
    pub(crate) vote: VoteArgs,
    /// The prompt; "-" reads it from standard input
    #[arg(value_name = "TEXT", required_unless_present = "prompt", conflicts_with = "prompt")]
    pub(crate) text: Option<String>,
    /// The prompt, as a flag
    #[arg(short = 'p', long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Give the prompt to the model as it is, without a chat template
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print one JSON object a line and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) reply: ReplyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    /// GGUF file; vocabulary-only files work
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Add what the model adds (BOS)
    #[arg(long)]
    pub(crate) bos: bool,
    /// Let the text of control tokens stand for those tokens
    #[arg(long)]
    pub(crate) special: bool,
    /// Print {"ids": [...]}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DetokenizeArgs {
    /// GGUF file; vocabulary-only files work
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Print the text of control tokens, too
    #[arg(long)]
    pub(crate) special: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    /// GGUF file whose template is used
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Chat template: a file, or one of the presets; the model's own by default
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) template: Option<String>,
    /// JSON array of {"role": ..., "content": ...}; a short example conversation by default
    #[arg(long, value_name = "JSONFILE")]
    pub(crate) messages: Option<PathBuf>,
    /// End after the last message
    #[arg(long)]
    pub(crate) no_generation_prompt: bool,
    /// Tell the template not to think, where it knows how
    #[arg(long)]
    pub(crate) no_think: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// GGUF file (any part of a split one); the model that ships with r1 where absent
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Positions that the memory estimate is for; the model's own by default
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) context: Option<u32>,
    /// How keys and values would be stored
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = Cache::F16)]
    pub(crate) cache: Cache,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Prompt length of the prefill test; 0 skips it
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512)]
    pub(crate) prefill: usize,
    /// Tokens of the decode test; 0 skips it
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    pub(crate) decode: usize,
    /// Sequences that decode together
    #[arg(short = 'b', long, value_name = "N,...", value_delimiter = ',', default_value = "1")]
    pub(crate) batch: Vec<usize>,
    /// Positions in the cache before the decode test starts
    #[arg(short = 'd', long, value_name = "N", default_value_t = 0)]
    pub(crate) depth: usize,
    /// Decode with the likeliest tokens, chosen where the model runs, instead of reading all logits and taking any token
    #[arg(long)]
    pub(crate) greedy: bool,
    /// How keys and values are stored
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = Cache::F16)]
    pub(crate) cache: Cache,
    /// Tokens of a prompt that one pass takes; as in a session by default
    #[arg(long, value_name = "N")]
    pub(crate) chunk: Option<usize>,
    /// Times that each test runs; the median counts
    #[arg(short = 'r', long, value_name = "N", default_value_t = 3)]
    pub(crate) repeat: usize,
    /// Print one JSON object a test
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PerplexityArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The text
    #[arg(short = 'f', long, value_name = "TEXTFILE")]
    pub(crate) file: PathBuf,
    /// The text is cut into pieces of this many tokens, each read from an empty cache
    #[arg(short = 'c', long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) context: u32,
    /// Read at most this many tokens
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogitsArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// How many of the most probable tokens are printed
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) top: usize,
    /// Tokens of a line that one forward pass takes; changes no bit of the result
    #[arg(long, value_name = "N")]
    pub(crate) chunk: Option<usize>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    #[command(flatten)]
    pub(crate) ggml: GgmlArgs,
    /// Print one JSON object a device
    #[arg(long)]
    pub(crate) json: bool,
}

/// Nothing protects the connection, and whoever reaches it runs what they like on the devices: listen inside a trusted
/// network only.
#[derive(Debug, Args)]
pub(crate) struct RpcServerArgs {
    /// Where to listen
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50052")]
    pub(crate) listen: String,
    /// Which devices: cuda, metal, vulkan, gpu (every GPU), ggml-cpu, or names as r1 devices shows them
    #[arg(long, value_name = "NAME", default_value = "gpu")]
    pub(crate) backend: String,
    /// Folder with ggml's shared libraries [environment: R1_GGML_LIB_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) ggml: Option<PathBuf>,
    /// Threads of ggml-cpu; one for each processor by default
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn speculation(text: &str) -> Result<Speculation, String> {
    match text {
        "auto" => Ok(Speculation::Auto),
        "off" => Ok(Speculation::Off),
        _ => text.parse().map(Speculation::Always).map_err(|_| "auto, off or a number".into()),
    }
}

fn history(text: &str) -> Result<HistoryThoughts, String> {
    match text {
        "template" => Ok(HistoryThoughts::Template),
        "keep" => Ok(HistoryThoughts::Keep),
        "drop" => Ok(HistoryThoughts::Drop),
        count => {
            let count = count.parse().map_err(|_| "use template, keep, drop or a number of characters".to_owned());
            count.map(HistoryThoughts::Shorten)
        }
    }
}

impl From<RepackArg> for Repack {
    fn from(repack: RepackArg) -> Self {
        match repack {
            RepackArg::Auto => Repack::Auto,
            RepackArg::Lazy => Repack::Lazy,
            RepackArg::On => Repack::On,
            RepackArg::AllButExperts => Repack::AllButExperts,
            RepackArg::Off => Repack::Off,
        }
    }
}

impl From<Load> for LoadMode {
    fn from(load: Load) -> Self {
        match load {
            Load::Map => LoadMode::Map,
            Load::Read => LoadMode::Read,
        }
    }
}

impl From<Cache> for CacheType {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::F16 => CacheType::F16,
            Cache::Q8_0 => CacheType::Q8_0,
            Cache::F32 => CacheType::F32,
        }
    }
}

impl From<Cut> for Boundary {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Token => Boundary::Token,
            Cut::Word => Boundary::Word,
            Cut::Line => Boundary::Line,
            Cut::Sentence => Boundary::Sentence,
            Cut::Paragraph => Boundary::Paragraph,
        }
    }
}

impl ReplyArgs {
    pub(crate) fn options(&self) -> Outcome<GenerateOptions> {
        let mut options = GenerateOptions { think: self.think.options(), ..self.sampling.options() };
        self.rules.apply(&mut options)?;
        Ok(options)
    }
}

impl ThinkArgs {
    fn options(&self) -> ThinkOptions {
        let d = ThinkOptions::default();
        ThinkOptions {
            budget: self.budget,
            block_budget: self.block_budget,
            minimum: self.min_think.unwrap_or(d.minimum),
            max_extensions: self.extend.unwrap_or(d.max_extensions),
            boundary: self.boundary.map_or(d.boundary, Boundary::from),
            grace: self.grace,
            ramp: self.ramp.then(Ramp::default),
            message: self.close_message.clone().or(d.message),
            deadline_total: self.deadline.map(Duration::from_millis),
            deadline_think: self.think_deadline.map(Duration::from_millis),
            answer_reserve: self.answer_reserve,
            until: self.until(),
            ..d
        }
    }
}

impl ThinkArgs {
    fn until(&self) -> Vec<Until> {
        let texts = self.until.iter().map(|text| Until { sign: Sign::Text(text.clone()), times: 1 });
        let sign = Sign::Answer(AnswerKind::Math);
        let settled = self.until_settled.map(|times| Until { sign, times: times.into() });
        texts.chain(settled).collect()
    }
}

impl SamplingArgs {
    pub(crate) fn options(&self) -> GenerateOptions {
        let d = SamplerOptions::default();
        let sampler = SamplerOptions {
            temperature: self.temp.unwrap_or(d.temperature),
            top_p: self.top_p.unwrap_or(d.top_p),
            top_k: self.top_k.unwrap_or(d.top_k),
            min_p: self.min_p.unwrap_or(d.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(d.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(d.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(d.frequency_penalty),
            seed: self.seed,
            ..d
        };
        GenerateOptions { sampler, max_tokens: self.max_tokens, stop: self.stop.clone(), ..Default::default() }
    }
}
