//! What to generate.

use std::ffi::{c_char, c_void};

use engine::constraint::Grammar;
use engine::reasoning::ThinkTags;
use engine::sampler::SamplerOptions;
use engine::{GenerateOptions, Model};

use crate::caller::Caller;
use crate::fail::{Fail, Result};
use crate::sized::{self, sized};
use crate::status::*;
use crate::think::{self, r1_think_options};

/// Always takes the likeliest token. (A `temperature` of 0 is the default one, as for every field.) The authors of
/// DeepSeek-R1 warn against this: such models then tend to repeat themselves without end.
pub const R1_GENERATE_GREEDY: u32 = 1;
/// Sends an `R1_EVENT_TOKEN` for every token.
pub const R1_GENERATE_TOKENS: u32 = 2;
/// Goes on after the model has ended its turn; for measurements.
pub const R1_GENERATE_IGNORE_END: u32 = 4;
/// The answer is a JSON object; any one. See `json_schema`.
pub const R1_GENERATE_JSON: u32 = 8;

/// A thought is open where the prompt leaves one open.
pub const R1_PHASE_AUTO: i32 = 0;
/// The prompt has opened a thought.
pub const R1_PHASE_THOUGHT: i32 = 1;
/// The prompt has not opened a thought, or has closed it.
pub const R1_PHASE_ANSWER: i32 = 2;

/// Added to the logit of a token before sampling; minus infinity forbids the token.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_logit_bias {
    /// The token.
    pub token: u32,
    /// What is added.
    pub bias: f32,
}

/// What to generate. All zeros but `struct_size` samples as the DeepSeek-R1 paper does, until the model ends its turn
/// or the context is full. NaN is `R1_ERR_ARGUMENT` everywhere. Texts and lists are read during the call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_generate_options {
    /// `sizeof(r1_generate_options)`.
    pub struct_size: u32,
    /// `R1_GENERATE_*`.
    pub flags: u32,
    /// Divides the logits. 0 takes 0.6; for the likeliest token set `R1_GENERATE_GREEDY`.
    pub temperature: f32,
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this. 0 takes 0.95; 1 is off.
    pub top_p: f32,
    /// Keeps tokens at least this likely, measured by the likeliest one. 0 is off.
    pub min_p: f32,
    /// Keeps this many of the likeliest tokens. 0 is off.
    pub top_k: u32,
    /// Divides positive and multiplies negative logits of tokens in the window. 0 takes 1, which is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of every token in the window. 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit for each time it is in the window. 0 is off.
    pub frequency_penalty: f32,
    /// How many of the latest tokens the penalties see. 0 takes 256.
    pub penalty_window: u32,
    /// Chooses the random numbers together with the position.
    pub seed: u64,
    /// Tokens to generate at most, the thought included. 0 goes on until the context is full.
    pub max_tokens: u64,
    /// The answer ends where one of these texts begins; thoughts are not searched. `stop_count` texts that end with
    /// NUL.
    pub stop: *const *const c_char,
    /// `logit_bias_count` biases.
    pub logit_bias: *const r1_logit_bias,
    /// Number of `stop` texts.
    pub stop_count: u32,
    /// Number of `logit_bias` entries.
    pub logit_bias_count: u32,
    /// With `R1_GENERATE_TOKENS`: how many of the likeliest tokens each event has.
    pub top_logprobs: u32,
    /// Where the prompt leaves the model: `R1_PHASE_*`.
    pub phase: i32,
    /// The tag that opens a thought, ending with NUL; NULL, as `think_close`, takes what the model's vocabulary has.
    pub think_open: *const c_char,
    /// The tag that closes a thought. Both tags are given or none.
    pub think_close: *const c_char,
    /// How long and how the model may think; NULL takes the defaults.
    pub think: *const r1_think_options,
    /// NULL: nothing is defined yet.
    pub reserved: *const c_void,
    /// What the answer has to be, from the end of the thought on: JSON that this schema, ending with NUL, describes; NULL
    /// for none. The reply ends where the answer is complete, which `R1_EVENT_COMPLETE` tells. At most one of this, the
    /// two that follow and `R1_GENERATE_JSON`. A library that was built without grammars gives `R1_ERR_UNSUPPORTED`.
    pub json_schema: *const c_char,
    /// A regular expression that the whole answer matches, ending with NUL; NULL for none. See `json_schema`.
    pub regex: *const c_char,
    /// A grammar in llguidance's variant of Lark's syntax, ending with NUL; NULL for none. See `json_schema`.
    pub lark: *const c_char,
    /// Scripts that the answer is written in, ending with NUL, with commas between them: `latin`, `han`, `Cyrl,Latn`.
    /// Digits, punctuation and symbols are always allowed. NULL allows all.
    pub scripts: *const c_char,
}
sized!(r1_generate_options, scripts: *const c_char, grown from json_schema);

/// Fills `size` bytes, which is `sizeof(r1_generate_options)`, with the defaults; as `R1_GENERATE_OPTIONS_INIT` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_generate_options_init(options: *mut r1_generate_options, size: usize) -> r1_status {
    guard!(std::ptr::null_mut(), |caller| caller.init(options, size))
}

/// The engine's options.
pub(crate) fn read(caller: &Caller, options: *const r1_generate_options, model: &Model) -> Result<GenerateOptions> {
    let options = caller.options(options)?;
    let known = R1_GENERATE_GREEDY | R1_GENERATE_TOKENS | R1_GENERATE_IGNORE_END | R1_GENERATE_JSON;
    let flags = sized::flags(options.flags, known, "r1_generate_options")?;
    if !options.reserved.is_null() {
        let message = "'reserved' of r1_generate_options asks for something newer than this library";
        return Err(Fail::new(R1_ERR_VERSION, message));
    }
    let sampler = sampler(caller, &options, flags)?;
    let stop = caller.items(options.stop, options.stop_count as usize, "stop")?;
    let stop = stop.iter().map(|text| caller.text(*text, usize::MAX, "stop").map(str::to_owned));
    Ok(GenerateOptions {
        think: think::read(caller, options.think, &sampler)?,
        sampler,
        max_tokens: usize::try_from(options.max_tokens).ok().filter(|count| *count != 0),
        stop: stop.collect::<Result<_>>()?,
        grammar: grammar(caller, &options, flags)?,
        scripts: caller.optional(options.scripts, "scripts")?.map(str::parse).transpose()?,
        tags: tags(caller, &options, model)?,
        thought_open: match options.phase {
            R1_PHASE_AUTO => None,
            R1_PHASE_THOUGHT => Some(true),
            R1_PHASE_ANSWER => Some(false),
            phase => return Err(Fail::range("phase", format_args!("is {phase}, not one of R1_PHASE_*"))),
        },
        logprobs: (flags & R1_GENERATE_TOKENS != 0).then_some(options.top_logprobs as usize),
        ignore_end: flags & R1_GENERATE_IGNORE_END != 0,
    })
}

fn sampler(caller: &Caller, options: &r1_generate_options, flags: u32) -> Result<SamplerOptions> {
    let default = if flags & R1_GENERATE_GREEDY != 0 { SamplerOptions::greedy() } else { SamplerOptions::default() };
    let or = |value: f32, default: f32| if value == 0.0 { default } else { value };
    let bias = caller.items(options.logit_bias, options.logit_bias_count as usize, "logit_bias")?;
    let sampler = SamplerOptions {
        temperature: if flags & R1_GENERATE_GREEDY != 0 { 0.0 } else { or(options.temperature, default.temperature) },
        top_k: options.top_k,
        top_p: or(options.top_p, default.top_p),
        min_p: options.min_p,
        repetition_penalty: or(options.repetition_penalty, default.repetition_penalty),
        presence_penalty: options.presence_penalty,
        frequency_penalty: options.frequency_penalty,
        penalty_window: if options.penalty_window == 0 { default.penalty_window } else { options.penalty_window },
        logit_bias: bias.iter().map(|entry| (entry.token, entry.bias)).collect(),
        seed: options.seed,
    };
    sampler.validate()?;
    Ok(sampler)
}

fn grammar(caller: &Caller, options: &r1_generate_options, flags: u32) -> Result<Option<Grammar>> {
    let text = |text, name| caller.optional(text, name).map(|text| text.map(str::to_owned));
    let given = [
        (flags & R1_GENERATE_JSON != 0).then_some(Grammar::Json),
        text(options.json_schema, "json_schema")?.map(Grammar::JsonSchema),
        text(options.regex, "regex")?.map(Grammar::Regex),
        text(options.lark, "lark")?.map(Grammar::Lark),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (grammar, None) => Ok(grammar),
        _ => Err(Fail::new(R1_ERR_ARGUMENT, "only one of json_schema, regex, lark and R1_GENERATE_JSON can be given")),
    }
}

fn tags(caller: &Caller, options: &r1_generate_options, model: &Model) -> Result<Option<ThinkTags>> {
    let open = caller.optional(options.think_open, "think_open")?;
    let close = caller.optional(options.think_close, "think_close")?;
    let more = think::close_tags(caller, options.think)?;
    let token = |text: &str| model.tokenizer().special_id(text);
    let tags = match (open, close) {
        (None, None) if more.is_empty() => return Ok(None),
        (None, None) => {
            model.think_tags().ok_or_else(|| Fail::new(R1_ERR_ARGUMENT, "this model has no tags to add to"))?
        }
        (Some(open), Some(close)) if !open.is_empty() && !close.is_empty() => ThinkTags::from_text(open, close),
        _ => return Err(Fail::new(R1_ERR_ARGUMENT, "think_open and think_close must both be given, and not be empty")),
    };
    Ok(Some(more.iter().fold(tags, |tags, text| tags.also_closed_by(text)).bound(&token)))
}
