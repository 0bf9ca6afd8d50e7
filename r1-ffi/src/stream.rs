//! Streams: a reply, pulled one event at a time.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use engine::reasoning::{CloseReason, ThinkHandle};
use engine::{Event, Finish, GenerationState, Provenance};

use crate::busy::Busy;
use crate::chat::ChatObject;
use crate::error::r1_error;
use crate::fail::Result;
use crate::handle::{self, Ref, object};
use crate::log;
use crate::session::SessionObject;
use crate::sized::sized;
use crate::status::*;

/// A reply in the making. For one thread at a time, any thread: a call from a second one meanwhile gives
/// `R1_ERR_BUSY`, except `r1_think_*`, which any thread may call at any time. Its session or chat is in use until the
/// stream has given `R1_EVENT_DONE`, failed, or been freed.
pub struct r1_stream {
    _private: (),
}

/// A reader for one thread at a time, and beside it what steers it from all the others.
pub(crate) struct Stream {
    reader: Busy<Reader>,
    pub(crate) think: ThinkHandle,
}

object!(Stream, r1_stream, Stream);

/// A piece of the thought: whole characters, never empty, tags removed. Fields: `text`, `text_len`.
pub const R1_EVENT_THOUGHT: i32 = 1;
/// A piece of the answer: whole characters, never empty. Fields: `text`, `text_len`.
pub const R1_EVENT_ANSWER: i32 = 2;
/// One token, with `R1_GENERATE_TOKENS`; comes before the text that it completes. Fields: `token`, `logprob`, `top`,
/// `top_count`, `provenance`.
pub const R1_EVENT_TOKEN: i32 = 3;
/// Counts and times. Fields: `prompt_tokens` to `decode_ns`, `charged_tokens` to `answering_ns`.
pub const R1_EVENT_USAGE: i32 = 4;
/// The end; the next call gives `R1_DONE`. Fields: `finish`, `close`, `flags`.
pub const R1_EVENT_DONE: i32 = 5;

/// In `flags`: the answer satisfies its grammar.
pub const R1_EVENT_COMPLETE: u32 = 1;
/// In `flags`: the answer has a grammar and was cut short, so that it does not satisfy it.
pub const R1_EVENT_INCOMPLETE: u32 = 2;

/// The model ended its turn, or a stop text was reached.
pub const R1_FINISH_STOP: i32 = 1;
/// The token limit was reached, or a thought was cut off where it stood.
pub const R1_FINISH_LENGTH: i32 = 2;
/// The cancel token fired.
pub const R1_FINISH_CANCELLED: i32 = 3;
/// The context is full.
pub const R1_FINISH_CONTEXT: i32 = 4;
/// The time for the whole reply is over.
pub const R1_FINISH_DEADLINE: i32 = 5;

/// No thought has ended.
pub const R1_CLOSE_NONE: i32 = 0;
/// The model closed the thought.
pub const R1_CLOSE_NATURAL: i32 = 1;
/// The token budget was used up.
pub const R1_CLOSE_BUDGET: i32 = 2;
/// The deadline came.
pub const R1_CLOSE_DEADLINE: i32 = 3;
/// The host asked for the answer.
pub const R1_CLOSE_INTERRUPT: i32 = 4;
/// The thought went in circles.
pub const R1_CLOSE_LOOP: i32 = 5;
/// The model ended the whole reply inside the thought.
pub const R1_CLOSE_EOS: i32 = 6;
/// The rest of the allowed tokens was kept for the answer.
pub const R1_CLOSE_LENGTH: i32 = 7;
/// The model began a tool call inside the thought.
pub const R1_CLOSE_TOOL: i32 = 8;
/// A text or a line came that the host waits for.
pub const R1_CLOSE_PATTERN: i32 = 9;
/// The thought came to the same answer often enough.
pub const R1_CLOSE_SETTLED: i32 = 10;

/// The model chose the token.
pub const R1_PROVENANCE_SAMPLED: i32 = 1;
/// The token was forced on the model, to steer its thought.
pub const R1_PROVENANCE_FORCED: i32 = 2;

/// A token and its log-probability under the model's own distribution (natural logarithm, before temperature, penalties
/// and cuts).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_token_logprob {
    /// The token.
    pub token: u32,
    /// Its log-probability.
    pub logprob: f32,
}

/// One step of a reply: pieces of thought and answer (with tokens between them, if asked for), then usage, then done.
/// Fields that the kind does not name are 0. Skip kinds that you do not know: later versions may add some.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_event {
    /// `sizeof(r1_event)`, set by the host.
    pub struct_size: u32,
    /// `R1_EVENT_*`.
    pub kind: i32,
    /// UTF-8, followed by NUL; valid until the next call on this stream.
    pub text: *const c_char,
    /// The likeliest tokens, best first; valid until the next call on this stream.
    pub top: *const r1_token_logprob,
    /// Bytes of `text`, without the NUL.
    pub text_len: u64,
    /// Number of `top` entries.
    pub top_count: u64,
    /// The token.
    pub token: u32,
    /// Its log-probability under the model's own distribution; NaN where a forced token has none.
    pub logprob: f32,
    /// Why the reply ended: `R1_FINISH_*`.
    pub finish: i32,
    /// Why the thought ended: `R1_CLOSE_*`.
    pub close: i32,
    /// Tokens of the prompt, those found in the cache included.
    pub prompt_tokens: u64,
    /// Tokens of the prompt that were still in the cache and not computed again.
    pub cached_tokens: u64,
    /// Thought tokens that the model chose.
    pub reasoning_tokens: u64,
    /// Tokens of the thought's tags.
    pub tag_tokens: u64,
    /// Tokens that were forced on the model.
    pub forced_tokens: u64,
    /// Answer tokens.
    pub answer_tokens: u64,
    /// Time in the prompt, in nanoseconds.
    pub prefill_ns: u64,
    /// Time from the end of the prompt to the end of the reply, in nanoseconds.
    pub decode_ns: u64,
    /// Who chose the token: `R1_PROVENANCE_*`.
    pub provenance: i32,
    /// `R1_EVENT_COMPLETE`, `R1_EVENT_INCOMPLETE`, or neither where no grammar was given.
    pub flags: u32,
    /// Thought tokens of the prompt that counted against the budget.
    pub charged_tokens: u64,
    /// The part of `decode_ns` in thoughts.
    pub thinking_ns: u64,
    /// The part of `decode_ns` outside thoughts.
    pub answering_ns: u64,
}
sized!(r1_event, answering_ns: u64);

/// Works until the next event and writes it: `R1_OK`. When there are no more, `R1_DONE`, and nothing is written.
/// `event->struct_size` must be set, as `R1_EVENT_INIT` does.
///
/// A fired cancel token is no error: the reply ends with `R1_FINISH_CANCELLED`. After `R1_ERR_BUSY` the call can be
/// repeated; any other error ends the stream.
///
/// Errors: `R1_ERR_BUSY` where another thread uses the stream or its session; `R1_ERR_OUT_OF_MEMORY`;
/// `R1_ERR_ARGUMENT` for a prompt token beyond the vocabulary.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_stream_next(
    stream: *mut r1_stream,
    event: *mut r1_event,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let stream = handle::get::<Stream>(stream, "stream")?;
        let out = caller.sized_out(event, "event")?;
        let mut reader = stream.reader.peek()?;
        let Some(event) = reader.next()? else { return Ok(R1_DONE) };
        out.set(&event);
        Ok(R1_OK)
    })
}

/// Frees a stream; a reply that has not ended is broken off, and the session keeps what was generated so far. NULL is
/// fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_stream_free(stream: *mut r1_stream) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Stream>(stream))
}

/// What a stream reads from. It stays alive, whatever becomes of its handle.
pub(crate) enum Owner {
    Session(Ref<SessionObject>),
    Chat(Ref<ChatObject>),
}

impl Owner {
    pub(crate) fn end_stream(&self) {
        match self {
            Owner::Session(session) => session.end_stream(),
            Owner::Chat(chat) => chat.end_stream(),
        }
    }
}

/// A generation and what the last event points to.
pub(crate) struct Reader {
    owner: Owner,
    state: GenerationState,
    ended: bool,
    text: String,
    top: Vec<r1_token_logprob>,
}

/// A stream on an owner whose stream has begun.
pub(crate) fn give(owner: Owner, state: GenerationState) -> Result<*mut r1_stream> {
    let think = state.think_handle();
    let reader = Reader { owner, state, ended: false, text: String::new(), top: Vec::new() };
    handle::give(Stream { reader: Busy::new(reader, "stream"), think })
}

impl Reader {
    fn next(&mut self) -> Result<Option<r1_event>> {
        if self.ended {
            return Ok(None);
        }
        let event = match &self.owner {
            Owner::Session(session) => {
                let mut session = session.peek()?;
                self.state.next_event(&mut session.session)
            }
            Owner::Chat(chat) => {
                let mut chat = chat.peek()?;
                chat.chat.next_event(&mut self.state)
            }
        };
        match event {
            Some(Ok(event)) => Ok(Some(self.translate(event))),
            Some(Err(error)) => {
                self.end();
                Err(error.into())
            }
            None => {
                self.end();
                Ok(None)
            }
        }
    }

    fn translate(&mut self, event: Event) -> r1_event {
        match event {
            Event::Thought(text) => self.piece(R1_EVENT_THOUGHT, text),
            Event::Answer(text) => self.piece(R1_EVENT_ANSWER, text),
            Event::Token(token) => {
                self.top.clear();
                self.top.extend(token.top.iter().map(|&(token, logprob)| r1_token_logprob { token, logprob }));
                let (top, top_count) = (self.top.as_ptr(), self.top.len() as u64);
                r1_event {
                    token: token.id,
                    logprob: token.logprob.unwrap_or(f32::NAN),
                    top,
                    top_count,
                    provenance: match token.provenance {
                        Provenance::Sampled => R1_PROVENANCE_SAMPLED,
                        Provenance::Forced => R1_PROVENANCE_FORCED,
                    },
                    ..r1_event::of(R1_EVENT_TOKEN)
                }
            }
            Event::Usage(usage) => {
                log::line(log::R1_LOG_INFO, || format!("generated: {usage:?}"));
                r1_event {
                    prompt_tokens: usage.prompt as u64,
                    cached_tokens: usage.cached as u64,
                    reasoning_tokens: usage.reasoning as u64,
                    tag_tokens: usage.tag as u64,
                    forced_tokens: usage.forced as u64,
                    answer_tokens: usage.answer as u64,
                    prefill_ns: nanoseconds(usage.prefill),
                    decode_ns: nanoseconds(usage.decode),
                    charged_tokens: usage.charged as u64,
                    thinking_ns: nanoseconds(usage.thinking),
                    answering_ns: nanoseconds(usage.answering),
                    ..r1_event::of(R1_EVENT_USAGE)
                }
            }
            Event::Done(done) => {
                self.end();
                let (finish, close, flags) = (finish(done.finish), close(done.close), complete(done.complete));
                r1_event { finish, close, flags, ..r1_event::of(R1_EVENT_DONE) }
            }
            _ => r1_event::of(0),
        }
    }

    fn piece(&mut self, kind: i32, text: String) -> r1_event {
        self.text = text;
        let text_len = self.text.len() as u64;
        self.text.push('\0');
        r1_event { text: self.text.as_ptr().cast(), text_len, ..r1_event::of(kind) }
    }

    /// Lets the owner go on without this stream.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.owner.end_stream();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
    }
}

// SAFETY: the raw pointers of an event are made on the way out and never kept; the reader owns all that it holds.
unsafe impl Send for r1_event {}

impl r1_event {
    /// An event of that kind, all else 0. The host's `struct_size` is never overwritten.
    fn of(kind: i32) -> Self {
        Self {
            struct_size: 0,
            kind,
            text: ptr::null(),
            top: ptr::null(),
            text_len: 0,
            top_count: 0,
            token: 0,
            logprob: 0.0,
            finish: 0,
            close: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            reasoning_tokens: 0,
            tag_tokens: 0,
            forced_tokens: 0,
            answer_tokens: 0,
            prefill_ns: 0,
            decode_ns: 0,
            provenance: 0,
            flags: 0,
            charged_tokens: 0,
            thinking_ns: 0,
            answering_ns: 0,
        }
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn finish(finish: Finish) -> i32 {
    match finish {
        Finish::Stop => R1_FINISH_STOP,
        Finish::Length => R1_FINISH_LENGTH,
        Finish::Cancelled => R1_FINISH_CANCELLED,
        Finish::Context => R1_FINISH_CONTEXT,
        Finish::Deadline => R1_FINISH_DEADLINE,
        _ => 0,
    }
}

pub(crate) fn complete(complete: Option<bool>) -> u32 {
    match complete {
        None => 0,
        Some(true) => R1_EVENT_COMPLETE,
        Some(false) => R1_EVENT_INCOMPLETE,
    }
}

pub(crate) fn close(close: CloseReason) -> i32 {
    match close {
        CloseReason::None => R1_CLOSE_NONE,
        CloseReason::Natural => R1_CLOSE_NATURAL,
        CloseReason::Budget => R1_CLOSE_BUDGET,
        CloseReason::Deadline => R1_CLOSE_DEADLINE,
        CloseReason::Interrupt => R1_CLOSE_INTERRUPT,
        CloseReason::Loop => R1_CLOSE_LOOP,
        CloseReason::Eos => R1_CLOSE_EOS,
        CloseReason::Length => R1_CLOSE_LENGTH,
        CloseReason::Tool => R1_CLOSE_TOOL,
        CloseReason::Pattern => R1_CLOSE_PATTERN,
        CloseReason::Settled => R1_CLOSE_SETTLED,
        _ => R1_CLOSE_NONE,
    }
}
