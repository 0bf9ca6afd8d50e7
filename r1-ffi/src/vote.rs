//! Votes: many samples of one reply, of which the commonest answer wins.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use engine::voting::{StopReason, Voters};
use engine::{
    ExtractFn, Usage, VoteEvent, VoteHandle, VoteOptions, VoteProgress, VoteResult, VoteSample, VoteState, WeighFn,
};

use crate::busy::Busy;
use crate::callback::{self, User, r1_drop_fn};
use crate::caller::Caller;
use crate::chat::{ChatObject, r1_chat};
use crate::error::r1_error;
use crate::fail::Result;
use crate::generate::{self, r1_generate_options};
use crate::handle::{self, object};
use crate::log;
use crate::session::{SessionObject, given, r1_session};
use crate::sized::{self, sized};
use crate::status::*;
use crate::stream::{self, Owner};
use crate::text_fn::{self, r1_text_fn};

/// A vote that is being held. For one thread at a time, any thread: a call from a second one meanwhile gives
/// `R1_ERR_BUSY`, except the functions that steer a vote, which any thread may call at any time. Its session or chat is in use until the vote has given `R1_VOTE_DONE`, failed, or been freed.
pub struct r1_vote {
    _private: (),
}

/// A reader for one thread at a time, and beside it what steers it from all the others.
pub(crate) struct Vote {
    reader: Busy<Reader>,
    pub(crate) handle: VoteHandle,
}

object!(Vote, r1_vote, Vote);

/// Starts as many samples at once as `batch` admits: the shortest wait. Otherwise a sample starts only when those that
/// run could not end the vote even if they agreed: the fewest tokens.
pub const R1_VOTE_EAGER: u32 = 1;
/// The answers of all samples count. Otherwise those count whose thought the model closed by itself and whose reply is
/// complete, as long as there is one.
pub const R1_VOTE_ALL: u32 = 2;

/// The prompt has been read, or every running sample has one token more. Fields: `running`, `finished`, `tokens`.
pub const R1_VOTE_PROGRESS: i32 = 1;
/// A sample has ended by itself. Fields: `sample`, `answer` to `thought_len`, `finish`, `close`, `tokens`,
/// `prompt_tokens` to `decode_ns`.
pub const R1_VOTE_SAMPLE: i32 = 2;
/// The vote is over; the next call gives `R1_DONE`. Fields: all but `running`, `finish` and `close`. The texts are
/// those of the sample that stands for the result.
pub const R1_VOTE_DONE: i32 = 3;

/// All samples have ended.
pub const R1_VOTED_ALL: i32 = 1;
/// The rest could not change the winner.
pub const R1_VOTED_CERTAIN: i32 = 2;
/// The rule `window:N` held.
pub const R1_VOTED_WINDOW: i32 = 3;
/// The rule `beta:P` held.
pub const R1_VOTED_BETA: i32 = 4;
/// The rule `first:M` held.
pub const R1_VOTED_FIRST: i32 = 5;
/// The cancel token fired; the answer is the leader's.
pub const R1_VOTED_CANCELLED: i32 = 6;

/// How a vote is held. All zeros but `struct_size` take 16 samples as the DeepSeek-R1 paper does, read mathematical
/// answers, and stop as soon as the winner is certain. Texts are read during the call only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_vote_options {
    /// `sizeof(r1_vote_options)`.
    pub struct_size: u32,
    /// `R1_VOTE_EAGER`, `R1_VOTE_ALL`.
    pub flags: u32,
    /// How each sample is generated, with a seed of its own that is made from the one given; NULL takes the defaults.
    /// Tokens are not reported.
    pub generate: *const r1_generate_options,
    /// What an answer is, ending with NUL: `integer`, `math`, `choice`, `exact` or `regex:` and a pattern, of
    /// whose last match the first group is the answer. NULL takes `math`.
    pub answer_kind: *const c_char,
    /// When the vote may end before all samples have, ending with NUL: `never`, `certain`, `window:N` (the last N
    /// agree), `beta:P` (the leader stays ahead with probability P), `first:M` (the first M decide). NULL takes
    /// `certain`.
    pub early_stop: *const c_char,
    /// Samples at most, up to 4096. 0 takes 16.
    pub samples: u32,
    /// Samples that run together at most. 0 sets no limit.
    pub batch: u32,
    /// Finds a sample's answer in its reply (without the thought) in place of `answer_kind`; no text: there is none.
    /// Equal texts are equal answers. Called by `r1_vote_next` once for every sample that has ended. NULL for none.
    pub extract: r1_text_fn,
    /// How much each answer counts; NULL counts them alike.
    pub weigh: r1_weigh_fn,
    /// Handed to `extract` and `weigh`.
    pub user: *mut c_void,
    /// Called once with `user` when the vote is gone, or when beginning it fails, unless the options themselves could not
    /// be read (`R1_ERR_VERSION`) or the call was refused (`R1_ERR_REENTRANT`). NULL for none.
    pub user_drop: r1_drop_fn,
}
sized!(r1_vote_options, user_drop: r1_drop_fn, grown from extract);

/// Says how much a sample's answer counts: above 0 and at most 1; anything else ends the vote with `R1_ERR_ARGUMENT`.
/// `sample` is as `r1_vote_next` gives it for `R1_VOTE_SAMPLE`, valid during the call. Runs on the thread that called
/// `r1_vote_next`, after `extract`. It must not call back, except the functions that say "callbacks included", and must
/// not throw.
pub type r1_weigh_fn = Option<unsafe extern "C" fn(user: *mut c_void, sample: *const r1_vote_event) -> f64>;

/// The votes for one answer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_vote_count {
    /// The answer: UTF-8, followed by NUL.
    pub answer: *const c_char,
    /// Samples that gave it.
    pub votes: u64,
}

/// One step of a vote. Fields that the kind does not name are 0. Skip kinds that you do not know: later versions may
/// add some. Pointers are valid until the next call on this vote.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_vote_event {
    /// `sizeof(r1_vote_event)`, set by the host.
    pub struct_size: u32,
    /// `R1_VOTE_PROGRESS`, `R1_VOTE_SAMPLE`, `R1_VOTE_DONE`.
    pub kind: i32,
    /// The text under which the sample's answer is counted, or the winning one: UTF-8, followed by NUL. NULL without an
    /// answer.
    pub answer: *const c_char,
    /// The reply without its thought: UTF-8, followed by NUL. NULL where no sample stands for the result.
    pub text: *const c_char,
    /// The thought, likewise.
    pub thought: *const c_char,
    /// The votes for every answer, most first.
    pub counts: *const r1_vote_count,
    /// Bytes of `answer`, without the NUL.
    pub answer_len: u64,
    /// Bytes of `text`, without the NUL.
    pub text_len: u64,
    /// Bytes of `thought`, without the NUL.
    pub thought_len: u64,
    /// Number of `counts` entries.
    pub count_count: u64,
    /// The sample's number, from 0; in `R1_VOTE_DONE` that of the sample that stands for the result, -1 for none.
    pub sample: i64,
    /// Samples that gave the winning answer.
    pub votes: u64,
    /// Its share of the votes that counted, 0 to 1.
    pub confidence: f64,
    /// Samples that run.
    pub running: u64,
    /// Samples that have ended by themselves.
    pub finished: u64,
    /// Samples that the vote could have taken.
    pub limit: u64,
    /// Generated tokens: of the sample, or of all samples so far.
    pub tokens: u64,
    /// An estimate of the tokens that ending early saved.
    pub saved: u64,
    /// Why the vote ended: `R1_VOTED_*`.
    pub reason: i32,
    /// Why the sample ended: `R1_FINISH_*`.
    pub finish: i32,
    /// Why its thought ended: `R1_CLOSE_*`.
    pub close: i32,
    /// Whether the sample's answer satisfies its grammar: `R1_EVENT_COMPLETE`, `R1_EVENT_INCOMPLETE`, or neither.
    pub flags: u32,
    /// As in `r1_event`; in `R1_VOTE_DONE` of all samples together, for which the prompt was read once. So with those
    /// that follow.
    pub prompt_tokens: u64,
    /// See `prompt_tokens`.
    pub cached_tokens: u64,
    /// See `prompt_tokens`.
    pub reasoning_tokens: u64,
    /// See `prompt_tokens`.
    pub tag_tokens: u64,
    /// See `prompt_tokens`.
    pub forced_tokens: u64,
    /// See `prompt_tokens`.
    pub answer_tokens: u64,
    /// See `prompt_tokens`.
    pub prefill_ns: u64,
    /// See `prompt_tokens`.
    pub decode_ns: u64,
}
sized!(r1_vote_event, decode_ns: u64);

/// Fills `size` bytes, which is `sizeof(r1_vote_options)`, with the defaults; as `R1_VOTE_OPTIONS_INIT` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_vote_options_init(options: *mut r1_vote_options, size: usize) -> r1_status {
    guard!(std::ptr::null_mut(), |caller| caller.init(options, size))
}

/// Begins a vote: appends `tokens` (none, if the session has some) and votes on what follows. Returns at once; the work
/// is done in `r1_vote_next`. The session holds the prompt afterwards. `options` may be NULL. Free the vote with
/// `r1_vote_free`.
///
/// Errors: as `r1_session_generate`; `R1_ERR_ARGUMENT` for an unknown kind of answer or rule, and for too many samples.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_vote(
    session: *mut r1_session,
    tokens: *const u32,
    count: usize,
    options: *const r1_vote_options,
    out: *mut *mut r1_vote,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let object = handle::get::<SessionObject>(session, "session")?;
        let out = caller.out(out, "out")?;
        let tokens = caller.items(tokens, count, "tokens")?;
        let session = object.take()?;
        let options = read(caller, options, session.session.model())?;
        let state = VoteState::new(&session.session, tokens, &options)?;
        session.renew();
        object.begin_stream();
        drop(session);
        out.set(give(Owner::Session(object), state)?);
        Ok(R1_OK)
    })
}

/// Sends a user's message and begins a vote on the reply. Returns at once; the work is done in `r1_vote_next`. The
/// message and the reply that stands for the result join the conversation when the vote ends; a vote that is freed
/// before forgets them. `options` may be NULL. Free the vote with `r1_vote_free`.
///
/// Errors: as `r1_chat_send` and `r1_session_vote`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_chat_vote(
    chat: *mut r1_chat,
    text: *const c_char,
    text_len: usize,
    options: *const r1_vote_options,
    out: *mut *mut r1_vote,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let object = handle::get::<ChatObject>(chat, "chat")?;
        let out = caller.out(out, "out")?;
        let text = caller.text(text, text_len, "text")?;
        let mut chat = object.take()?;
        let options = read(caller, options, chat.chat.session().model())?;
        let state = chat.chat.begin_vote(text, &options)?;
        chat.renew();
        object.begin_stream();
        drop(chat);
        out.set(give(Owner::Chat(object), state)?);
        Ok(R1_OK)
    })
}

/// Works until the next event and writes it: `R1_OK`. When there are no more, `R1_DONE`, and nothing is written.
/// `event->struct_size` must be set, as `R1_VOTE_EVENT_INIT` does.
///
/// A fired cancel token is no error: the vote ends with `R1_VOTED_CANCELLED`. After `R1_ERR_BUSY` the call can be
/// repeated; any other error ends the vote.
///
/// Errors: as `r1_stream_next`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_vote_next(
    vote: *mut r1_vote,
    event: *mut r1_vote_event,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let vote = handle::get::<Vote>(vote, "vote")?;
        let out = caller.sized_out(event, "event")?;
        let mut reader = vote.reader.peek()?;
        let Some(event) = reader.next()? else { return Ok(R1_DONE) };
        out.set(&event);
        Ok(R1_OK)
    })
}

/// Frees a vote; one that has not ended is broken off. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`.
/// Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_vote_free(vote: *mut r1_vote) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Vote>(vote))
}

fn read(caller: &Caller, options: *const r1_vote_options, model: &engine::Model) -> Result<VoteOptions> {
    let options = caller.options(options)?;
    let user = Arc::new(User { pointer: options.user, drop: options.user_drop });
    let flags = sized::flags(options.flags, R1_VOTE_EAGER | R1_VOTE_ALL, "r1_vote_options")?;
    let default = VoteOptions::default();
    let kind = caller.optional(options.answer_kind, "answer_kind")?.map(str::parse).transpose()?;
    let rule = caller.optional(options.early_stop, "early_stop")?.map(str::parse).transpose()?;
    Ok(VoteOptions {
        samples: given(options.samples).unwrap_or(default.samples),
        generate: generate::read(caller, options.generate, model)?,
        kind: kind.unwrap_or(default.kind),
        extract: text_fn::hook(options.extract, user.clone()).map(ExtractFn::new),
        weigh: weigh(options.weigh, user),
        voters: if flags & R1_VOTE_ALL != 0 { Voters::All } else { Voters::Natural },
        early_stop: rule.unwrap_or(default.early_stop),
        batch: given(options.batch),
        eager: flags & R1_VOTE_EAGER != 0,
    })
}

/// The host's weights as the engine takes them.
fn weigh(call: r1_weigh_fn, user: Arc<User>) -> Option<WeighFn> {
    let call = call?;
    Some(WeighFn::new(move |sample: &VoteSample| {
        let mut texts = Texts::default();
        let size = std::mem::size_of::<r1_vote_event>() as u32;
        let event = r1_vote_event { struct_size: size, ..texts.sample(sample) };
        // Borrowed whole, so that the closure owns the user pointer together with its drop function.
        let user = &*user;
        // SAFETY: the host's function and its pointer, which it keeps valid until `drop`; the texts outlive the call.
        callback::enter(|| unsafe { call(user.pointer, &raw const event) })
    }))
}

/// A vote and what the last event points to.
struct Reader {
    owner: Owner,
    state: VoteState,
    ended: bool,
    texts: Texts,
    counts: Vec<r1_vote_count>,
}

// SAFETY: the raw pointers of `counts` point into `texts`, which the reader owns.
unsafe impl Send for Reader {}

fn give(owner: Owner, state: VoteState) -> Result<*mut r1_vote> {
    let handle = state.handle();
    let reader = Reader { owner, state, ended: false, texts: Texts::default(), counts: Vec::new() };
    handle::give(Vote { reader: Busy::new(reader, "vote"), handle })
}

/// Texts that an event points to.
#[derive(Default)]
struct Texts(Vec<Vec<u8>>);

impl Texts {
    /// A text with a NUL after it that lives as long as this object, and its length.
    fn keep(&mut self, text: Option<&str>) -> (*const c_char, u64) {
        let Some(text) = text else { return (ptr::null(), 0) };
        let bytes = [text.as_bytes(), b"\0"].concat();
        let kept = bytes.as_ptr().cast();
        self.0.push(bytes);
        (kept, text.len() as u64)
    }

    fn sample(&mut self, sample: &VoteSample) -> r1_vote_event {
        let (answer, answer_len) = self.keep(sample.answer.as_deref());
        let (text, text_len) = self.keep(Some(&sample.text));
        let (thought, thought_len) = self.keep(Some(&sample.thought));
        r1_vote_event {
            answer,
            answer_len,
            text,
            text_len,
            thought,
            thought_len,
            sample: sample.index as i64,
            tokens: sample.usage.generated() as u64,
            finish: stream::finish(sample.finish),
            close: stream::close(sample.close),
            flags: stream::complete(sample.complete),
            ..r1_vote_event::of(R1_VOTE_SAMPLE).with(&sample.usage)
        }
    }
}

impl Reader {
    fn next(&mut self) -> Result<Option<r1_vote_event>> {
        if self.ended {
            return Ok(None);
        }
        let event = match &self.owner {
            Owner::Session(session) => self.state.next_event(&mut session.peek()?.session),
            Owner::Chat(chat) => chat.peek()?.chat.next_vote_event(&mut self.state),
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

    fn translate(&mut self, event: VoteEvent) -> r1_vote_event {
        self.counts.clear();
        self.texts.0.clear();
        match event {
            VoteEvent::Progress(VoteProgress { running, finished, tokens }) => r1_vote_event {
                running: running as u64,
                finished: finished as u64,
                tokens: tokens as u64,
                ..r1_vote_event::of(R1_VOTE_PROGRESS)
            },
            VoteEvent::Sample(sample) => self.texts.sample(&sample),
            VoteEvent::Done(result) => {
                self.end();
                self.result(&result)
            }
            _ => r1_vote_event::of(0),
        }
    }

    fn result(&mut self, result: &VoteResult) -> r1_vote_event {
        log::line(log::R1_LOG_INFO, || format!("voted: {:?} {:?}", result.reason, result.usage));
        let reply = result.reply();
        let (answer, answer_len) = self.texts.keep(result.answer.as_deref());
        let (text, text_len) = self.texts.keep(reply.map(|reply| &*reply.text));
        let (thought, thought_len) = self.texts.keep(reply.map(|reply| &*reply.thought));
        for count in &result.counts {
            let (answer, _) = self.texts.keep(Some(&count.answer));
            self.counts.push(r1_vote_count { answer, votes: count.votes as u64 });
        }
        r1_vote_event {
            answer,
            answer_len,
            text,
            text_len,
            thought,
            thought_len,
            counts: self.counts.as_ptr(),
            count_count: self.counts.len() as u64,
            flags: reply.map_or(0, |reply| stream::complete(reply.complete)),
            sample: reply.map_or(-1, |reply| reply.index as i64),
            votes: result.votes as u64,
            confidence: result.confidence,
            finished: result.finished as u64,
            limit: result.limit as u64,
            tokens: result.tokens as u64,
            saved: result.saved as u64,
            reason: match result.reason {
                Some(StopReason::Exhausted) => R1_VOTED_ALL,
                Some(StopReason::Certain) => R1_VOTED_CERTAIN,
                Some(StopReason::Window) => R1_VOTED_WINDOW,
                Some(StopReason::Beta) => R1_VOTED_BETA,
                Some(StopReason::First) => R1_VOTED_FIRST,
                Some(_) => 0,
                None => R1_VOTED_CANCELLED,
            },
            ..r1_vote_event::of(R1_VOTE_DONE).with(&result.usage)
        }
    }

    /// Lets the owner go on without this vote.
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

impl r1_vote_event {
    /// An event of that kind, all else 0. The host's `struct_size` is never overwritten.
    pub(crate) fn of(kind: i32) -> Self {
        Self {
            struct_size: 0,
            kind,
            answer: ptr::null(),
            text: ptr::null(),
            thought: ptr::null(),
            counts: ptr::null(),
            answer_len: 0,
            text_len: 0,
            thought_len: 0,
            count_count: 0,
            sample: 0,
            votes: 0,
            confidence: 0.0,
            running: 0,
            finished: 0,
            limit: 0,
            tokens: 0,
            saved: 0,
            reason: 0,
            finish: 0,
            close: 0,
            flags: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            reasoning_tokens: 0,
            tag_tokens: 0,
            forced_tokens: 0,
            answer_tokens: 0,
            prefill_ns: 0,
            decode_ns: 0,
        }
    }

    fn with(self, usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt as u64,
            cached_tokens: usage.cached as u64,
            reasoning_tokens: usage.reasoning as u64,
            tag_tokens: usage.tag as u64,
            forced_tokens: usage.forced as u64,
            answer_tokens: usage.answer as u64,
            prefill_ns: stream::nanoseconds(usage.prefill),
            decode_ns: stream::nanoseconds(usage.decode),
            ..self
        }
    }
}
