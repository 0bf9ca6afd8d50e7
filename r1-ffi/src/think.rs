//! How long and how the model may think.

use std::ffi::c_char;
use std::time::Duration;

use engine::answer::{AnswerKind, Pattern};
use engine::reasoning::{
    Boundary, GuardEos, LoopAction, LoopGuard, OnBudget, Ramp, Sign, ThinkOptions, ToolInThink, Until,
};
use engine::sampler::SamplerOptions;

use crate::caller::Caller;
use crate::fail::{Fail, Result};
use crate::sized::{self, sized};
use crate::status::*;

/// Closes every thought as it opens: a budget of 0. (A `budget` of 0 is the default one, as for every field.)
pub const R1_THINK_NOTHING: u32 = 1;
/// Thought tokens that the prompt already holds count as spent.
pub const R1_THINK_CHARGE_PROMPT: u32 = 2;
/// A used-up budget cuts at once, whatever the boundary: a grace of 0.
pub const R1_THINK_NO_GRACE: u32 = 4;
/// Nothing is written before a forced closing tag: the thought is cut where it stands.
pub const R1_THINK_NO_MESSAGE: u32 = 8;
/// Keeps no tokens for the answer.
pub const R1_THINK_NO_RESERVE: u32 = 16;
/// No further thought may begin after one was closed.
pub const R1_THINK_NO_REOPEN: u32 = 32;
/// The likeliest token always, outside thoughts.
pub const R1_THINK_ANSWER_GREEDY: u32 = 64;
/// No `tool_open` text may come in a thought, instead of closing it.
pub const R1_THINK_FORBID_TOOLS: u32 = 128;

/// A used-up budget cuts after any token that ends a character.
pub const R1_BOUNDARY_TOKEN: i32 = 0;
/// At the end of a word.
pub const R1_BOUNDARY_WORD: i32 = 1;
/// At the end of a line.
pub const R1_BOUNDARY_LINE: i32 = 2;
/// At the end of a sentence or of a line.
pub const R1_BOUNDARY_SENTENCE: i32 = 3;
/// At an empty line.
pub const R1_BOUNDARY_PARAGRAPH: i32 = 4;

/// A used-up budget closes the thought; the answer follows.
pub const R1_ON_BUDGET_FORCE: i32 = 0;
/// A used-up budget ends the reply inside the thought, at exactly the budget (for training).
pub const R1_ON_BUDGET_TRUNCATE: i32 = 1;

/// A thought that repeats itself word by word is closed; the answer follows.
pub const R1_LOOP_CLOSE: i32 = 0;
/// It ends the reply.
pub const R1_LOOP_STOP: i32 = 1;
/// It goes on.
pub const R1_LOOP_NONE: i32 = 2;

/// A reply that the model would end inside a thought goes on: the thought is closed and the answer follows.
pub const R1_EOS_REDIRECT: i32 = 0;
/// It goes on inside the thought.
pub const R1_EOS_MASK: i32 = 1;
/// It ends.
pub const R1_EOS_ALLOW: i32 = 2;

/// How long and how the model may think. All zeros but `struct_size` set no limit: they only end thoughts that go in
/// circles, keep the model from ending its reply inside a thought, and keep room for an answer where the number of
/// tokens is limited.
///
/// A limit that is reached closes the thought for the model: `message` and the closing tag are forced and the answer
/// follows. Thought tokens that the model chose never exceed budget + grace; tags and forced tokens are counted apart.
/// Texts are read during the call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_think_options {
    /// `sizeof(r1_think_options)`.
    pub struct_size: u32,
    /// `R1_THINK_*`. One that says what a field says otherwise, such as `R1_THINK_NO_GRACE` beside a `grace`, gives
    /// `R1_ERR_RANGE`.
    pub flags: u32,
    /// Thought tokens of the whole reply, all its thoughts together. 0 sets no limit; for none set `R1_THINK_NOTHING`.
    pub budget: u64,
    /// Thought tokens of each thought. 0 sets no limit.
    pub block_budget: u64,
    /// Thought tokens that must come before the model may close its thought; other limits still close it. At most the
    /// budgets.
    pub minimum: u64,
    /// Tokens by which a budget may be exceeded to reach the boundary. 0 takes a tenth of the budget, and nothing where
    /// the boundary is `R1_BOUNDARY_TOKEN`; for none set `R1_THINK_NO_GRACE`.
    pub grace: u64,
    /// Tokens kept for the answer where `max_tokens` or the context limits the reply: the thought is closed in time. 0
    /// takes a quarter of the limit, at most 512, and nothing below 16; for none set `R1_THINK_NO_RESERVE`.
    pub answer_reserve: u64,
    /// Time for thoughts in milliseconds, counted from the end of the prompt. 0 sets no limit.
    pub deadline_think_ms: u64,
    /// Time for the whole reply in milliseconds, prompt included: the thought is closed early enough for an answer, and
    /// the answer ends when the time is over. 0 sets no limit.
    pub deadline_total_ms: u64,
    /// What is written in place of a closing tag that came too early (see `extensions`), ending with NUL, at most 4096
    /// bytes. NULL takes `Wait`.
    pub wait: *const c_char,
    /// What is written before a forced closing tag, on a new line, ending with NUL, at most 4096 bytes. NULL and `""`
    /// only end the line, which measured best; for nothing at all set `R1_THINK_NO_MESSAGE`. Left out where nothing was
    /// thought and where there is no room.
    pub message: *const c_char,
    /// `tool_open_count` texts, such as `<tool_call>`, of which each closes a thought that it comes in and begins the
    /// answer. With `R1_THINK_FORBID_TOOLS` none of them can come in a thought. Without any, a tool call in a thought is
    /// part of the thought.
    pub tool_open: *const *const c_char,
    /// Number of `tool_open` texts.
    pub tool_open_count: usize,
    /// So many times the model's own closing tag is replaced by `wait`, so that it thinks again.
    pub extensions: u32,
    /// Thoughts of one reply; what is opened beyond that is closed at once. 0 sets no limit.
    pub max_blocks: u32,
    /// Where a used-up budget cuts: `R1_BOUNDARY_*`. Other limits cut at once.
    pub boundary: i32,
    /// What a used-up budget does: `R1_ON_BUDGET_*`.
    pub on_budget: i32,
    /// What to do about a thought that goes in circles: `R1_LOOP_*`.
    pub loops: i32,
    /// What to do when the model ends its reply inside a thought: `R1_EOS_*`.
    pub guard_eos: i32,
    /// The ramp draws the model towards its closing tag in the last part of a budget; this is the share of the budget
    /// that is the last part, up to 1. All three ramp fields 0: no ramp. Otherwise a 0 here takes 0.2.
    pub ramp_share: f32,
    /// How far the closing tag is raised at the end of the budget, up to 1. With a ramp, 0 takes 1.
    pub ramp_strength: f32,
    /// What the closing tag always stays below the best token's logit. With a ramp, 0 takes 0.25.
    pub ramp_margin: f32,
    /// As in `r1_generate_options`, but for tokens outside thoughts; 0 takes what holds for thoughts. So with the four
    /// that follow.
    pub answer_temperature: f32,
    /// See `answer_temperature`.
    pub answer_top_p: f32,
    /// See `answer_temperature`.
    pub answer_min_p: f32,
    /// See `answer_temperature`.
    pub answer_repetition_penalty: f32,
    /// See `answer_temperature`.
    pub answer_top_k: u32,
    /// `until_count` texts of which each closes the thought when it comes in it.
    pub until: *const *const c_char,
    /// Number of `until` texts.
    pub until_count: usize,
    /// A pattern, ending with NUL; a line of the thought that it matches closes the thought. NULL for none.
    pub until_line: *const c_char,
    /// The thought is closed when it has stated the same answer so many times in a row, in a `\boxed{...}` or after "the
    /// answer is". 0 never does.
    pub until_settled: u32,
    /// 0: none are defined yet.
    pub reserved: u32,
    /// `close_tag_count` further texts that close a thought, beside the model's own tag or that of `r1_generate_options`.
    pub close_tags: *const *const c_char,
    /// Number of `close_tags` texts.
    pub close_tag_count: usize,
    /// Scripts that thoughts are written in, as in `r1_generate_options`, which has those of the answer. Texts that you
    /// give to be written need not keep to them. NULL allows all.
    pub scripts: *const c_char,
}
sized!(r1_think_options, scripts: *const c_char, grown from until);

/// Fills `size` bytes, which is `sizeof(r1_think_options)`, with the defaults; as `R1_THINK_OPTIONS_INIT` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_think_options_init(options: *mut r1_think_options, size: usize) -> r1_status {
    guard!(std::ptr::null_mut(), |caller| caller.init(options, size))
}

/// The engine's options. `sampler` is that of thoughts.
pub(crate) fn read(
    caller: &Caller,
    options: *const r1_think_options,
    sampler: &SamplerOptions,
) -> Result<ThinkOptions> {
    let options = caller.options(options)?;
    sized::flags(options.reserved, 0, "r1_think_options.reserved")?;
    let known = (R1_THINK_FORBID_TOOLS << 1) - 1;
    let flags = sized::flags(options.flags, known, "r1_think_options")?;
    let set = |flag: u32| flags & flag != 0;
    let default = ThinkOptions::default();
    let tools = caller.items(options.tool_open, options.tool_open_count, "tool_open")?;
    let tools = tools.iter().map(|text| caller.text(*text, usize::MAX, "tool_open").map(str::to_owned));
    let tools: Vec<_> = tools.collect::<Result<_>>()?;
    let message = caller.optional(options.message, "message")?;
    if set(R1_THINK_NO_MESSAGE) && message.is_some() {
        return Err(Fail::range("message", "is given beside R1_THINK_NO_MESSAGE"));
    }
    let think = ThinkOptions {
        budget: zero_by_flag(options.budget, set(R1_THINK_NOTHING), "budget")?,
        block_budget: given(options.block_budget),
        charge_prompt: set(R1_THINK_CHARGE_PROMPT),
        grace: zero_by_flag(options.grace, set(R1_THINK_NO_GRACE), "grace")?,
        boundary: match options.boundary {
            R1_BOUNDARY_TOKEN => Boundary::Token,
            R1_BOUNDARY_WORD => Boundary::Word,
            R1_BOUNDARY_LINE => Boundary::Line,
            R1_BOUNDARY_SENTENCE => Boundary::Sentence,
            R1_BOUNDARY_PARAGRAPH => Boundary::Paragraph,
            other => return Err(Fail::range("boundary", format_args!("is {other}, not one of R1_BOUNDARY_*"))),
        },
        ramp: ramp(&options),
        on_budget: match options.on_budget {
            R1_ON_BUDGET_FORCE => OnBudget::Force,
            R1_ON_BUDGET_TRUNCATE => OnBudget::Truncate,
            other => return Err(Fail::range("on_budget", format_args!("is {other}, not one of R1_ON_BUDGET_*"))),
        },
        minimum: count(options.minimum),
        max_extensions: options.extensions as usize,
        wait: caller.optional(options.wait, "wait")?.map_or(default.wait, str::to_owned),
        message: match message {
            Some(message) => Some(message.to_owned()),
            None if set(R1_THINK_NO_MESSAGE) => None,
            None => default.message,
        },
        answer_reserve: zero_by_flag(options.answer_reserve, set(R1_THINK_NO_RESERVE), "answer_reserve")?,
        deadline_think: milliseconds(options.deadline_think_ms),
        deadline_total: milliseconds(options.deadline_total_ms),
        loops: LoopGuard {
            action: match options.loops {
                R1_LOOP_CLOSE => LoopAction::Close,
                R1_LOOP_STOP => LoopAction::Stop,
                R1_LOOP_NONE => LoopAction::None,
                other => return Err(Fail::range("loops", format_args!("is {other}, not one of R1_LOOP_*"))),
            },
            ..LoopGuard::default()
        },
        guard_eos: match options.guard_eos {
            R1_EOS_REDIRECT => GuardEos::Redirect,
            R1_EOS_MASK => GuardEos::Mask,
            R1_EOS_ALLOW => GuardEos::Allow,
            other => return Err(Fail::range("guard_eos", format_args!("is {other}, not one of R1_EOS_*"))),
        },
        reopen: !set(R1_THINK_NO_REOPEN),
        max_blocks: given(u64::from(options.max_blocks)),
        until: until(caller, &options)?,
        tool_in_think: match (tools.is_empty(), set(R1_THINK_FORBID_TOOLS)) {
            (true, false) => ToolInThink::Text,
            (true, true) => return Err(Fail::range("tool_open", "is empty beside R1_THINK_FORBID_TOOLS")),
            (false, false) => ToolInThink::ImplicitClose(tools),
            (false, true) => ToolInThink::Forbid(tools),
        },
        answering: answering(&options, flags, sampler),
        scripts: caller.optional(options.scripts, "scripts")?.map(str::parse).transpose()?,
        ..default
    };
    think.validate()?;
    Ok(think)
}

/// Further texts that close a thought.
pub(crate) fn close_tags(caller: &Caller, options: *const r1_think_options) -> Result<Vec<String>> {
    let options = caller.options(options)?;
    let texts = caller.items(options.close_tags, options.close_tag_count, "close_tags")?;
    let texts = texts.iter().map(|text| caller.text(*text, usize::MAX, "close_tags").map(str::to_owned));
    let texts: Vec<_> = texts.collect::<Result<_>>()?;
    if texts.iter().any(String::is_empty) {
        return Err(Fail::new(R1_ERR_ARGUMENT, "close_tags holds an empty text"));
    }
    Ok(texts)
}

/// The signs on which a thought is closed.
fn until(caller: &Caller, options: &r1_think_options) -> Result<Vec<Until>> {
    let texts = caller.items(options.until, options.until_count, "until")?;
    let mut signs = Vec::new();
    for text in texts {
        let text = caller.text(*text, usize::MAX, "until")?;
        signs.push(Until { sign: Sign::Text(text.to_owned()), times: 1 });
    }
    if let Some(pattern) = caller.optional(options.until_line, "until_line")? {
        signs.push(Until { sign: Sign::Line(Pattern::new(pattern)?), times: 1 });
    }
    if options.until_settled > 0 {
        signs.push(Until { sign: Sign::Answer(AnswerKind::Math), times: options.until_settled as usize });
    }
    Ok(signs)
}

fn ramp(options: &r1_think_options) -> Option<Ramp> {
    let fields = [options.ramp_share, options.ramp_strength, options.ramp_margin];
    let Ramp { share, strength, margin } = Ramp::default();
    fields.iter().any(|&field| field != 0.0).then(|| Ramp {
        share: or(options.ramp_share, share),
        strength: or(options.ramp_strength, strength),
        margin: or(options.ramp_margin, margin),
    })
}

/// The sampler outside thoughts, where it is another one.
fn answering(options: &r1_think_options, flags: u32, sampler: &SamplerOptions) -> Option<SamplerOptions> {
    let greedy = flags & R1_THINK_ANSWER_GREEDY != 0;
    let answering = SamplerOptions {
        temperature: if greedy { 0.0 } else { or(options.answer_temperature, sampler.temperature) },
        top_p: or(options.answer_top_p, sampler.top_p),
        min_p: or(options.answer_min_p, sampler.min_p),
        repetition_penalty: or(options.answer_repetition_penalty, sampler.repetition_penalty),
        top_k: if options.answer_top_k == 0 { sampler.top_k } else { options.answer_top_k },
        ..sampler.clone()
    };
    (answering != *sampler).then_some(answering)
}

/// A number of which 0 is the default, NaN being a number.
fn or(value: f32, default: f32) -> f32 {
    if value == 0.0 { default } else { value }
}

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A number of which 0 is "not given".
fn given(value: u64) -> Option<usize> {
    (value != 0).then(|| count(value))
}

/// As [`given`], with a flag for the true 0.
fn zero_by_flag(value: u64, zero: bool, field: &str) -> Result<Option<usize>> {
    match (value, zero) {
        (0, true) => Ok(Some(0)),
        (_, false) => Ok(given(value)),
        _ => Err(Fail::range(field, format_args!("is {value} beside the flag for 0"))),
    }
}

fn milliseconds(value: u64) -> Option<Duration> {
    (value != 0).then(|| Duration::from_millis(value))
}
