//! Sessions: one sequence of tokens each.

use std::ffi::c_void;

use engine::{CacheType, CancelToken, GenerationState, Model, Session, SessionOptions, Speculation};

use crate::busy::Busy;
use crate::callback::r1_drop_fn;
use crate::caller::Caller;
use crate::cancel::{self, r1_cancel};
use crate::error::r1_error;
use crate::fail::{Fail, Result};
use crate::generate::{self, r1_generate_options};
use crate::handle::{self, object};
use crate::model::r1_model;
use crate::progress::{self, r1_progress_fn};
use crate::sized::{self, sized};
use crate::status::*;
use crate::stream::{self, Owner, r1_stream};
use crate::thread_start::{self, r1_thread_start_fn};

/// One sequence on one model: its tokens, their cache, and the logits after the last of them. For one thread at a
/// time, any thread: a call from a second one meanwhile gives `R1_ERR_BUSY`. While a stream or vote of the session has
/// not ended, calls that would change the session give `R1_ERR_BUSY`, too. Make one session for each thread.
pub struct r1_session {
    _private: (),
}

pub(crate) type SessionObject = Busy<OwnSession>;

object!(SessionObject, r1_session, Session);

/// A session and its cancel token, if no one else can reset it.
pub(crate) struct OwnSession {
    pub(crate) session: Session,
    fresh: Option<CancelToken>,
}

/// Keys and values in half precision, 2 bytes a value.
pub const R1_CACHE_F16: i32 = 0;
/// Keys and values in single precision, 4 bytes a value.
pub const R1_CACHE_F32: i32 = 1;
/// Keys and values as 8-bit codes with a half-precision scale for each 32 of them: 34 bytes for 32 values.
pub const R1_CACHE_Q8_0: i32 = 2;

/// No tokens are guessed ahead. Guesses are made from what the text repeats, and in votes from what the other samples
/// say, only where they were measured to save time, and change the speed, never a bit of the result; a host that wants
/// every token to take the same time turns them off.
pub const R1_SESSION_NO_GUESSES: u32 = 1;

/// How a session works. All zeros but `struct_size` is right for most hosts.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_session_options {
    /// `sizeof(r1_session_options)`.
    pub struct_size: u32,
    /// `R1_SESSION_*`.
    pub flags: u32,
    /// Positions that the session may hold; 0 takes the model's own, at most 32,768. Memory is taken as positions
    /// arrive.
    pub context: u32,
    /// Threads that work, the caller's included; 0 takes one for each processor. Too many are clamped: ask
    /// `r1_session_threads`. Changes the speed, never a bit of the result.
    pub threads: u32,
    /// Tokens of a prompt that one pass takes; 0 takes 512, or 2048 where GPUs run the model. Changes speed and memory, and
    /// on the CPU no bit of the result.
    pub prefill_chunk: u32,
    /// `R1_CACHE_*`.
    pub cache: i32,
    /// Stops prompts and replies; NULL for none. The session stays usable; after the token was reset, if one was given.
    pub cancel: *const r1_cancel,
    /// Told how far a prompt has come; NULL for none.
    pub progress: r1_progress_fn,
    /// Handed to `progress`.
    pub progress_user: *mut c_void,
    /// Called once with `progress_user` when the session and its streams are gone, or when making the session fails,
    /// unless the options themselves could not be read (`R1_ERR_VERSION`) or the call was refused (`R1_ERR_REENTRANT`).
    /// NULL for none.
    pub progress_drop: r1_drop_fn,
    /// What each thread that works for the session, but the caller's, does first; NULL for nothing. Threads of ggml are not
    /// told.
    pub thread_start: r1_thread_start_fn,
    /// Handed to `thread_start`.
    pub thread_start_user: *mut c_void,
    /// As `progress_drop`, for `thread_start_user`.
    pub thread_start_drop: r1_drop_fn,
}
sized!(r1_session_options, thread_start_drop: r1_drop_fn, grown from thread_start);

/// Fills `size` bytes, which is `sizeof(r1_session_options)`, with the defaults; as `R1_SESSION_OPTIONS_INIT` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_session_options_init(options: *mut r1_session_options, size: usize) -> r1_status {
    guard!(std::ptr::null_mut(), |caller| caller.init(options, size))
}

/// A new, empty session. `options` may be NULL. Free it with `r1_session_free`.
///
/// Errors: `R1_ERR_ARGUMENT` for a context beyond the model's; `R1_ERR_RANGE` for an unknown cache type.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_new(
    model: *const r1_model,
    options: *const r1_session_options,
    out: *mut *mut r1_session,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let options = read(caller, options)?;
        let model = handle::get::<Model>(model, "model")?;
        let out = caller.out(out, "out")?;
        out.set(handle::give(Busy::new(OwnSession::new(&model, options)?, "session"))?);
        Ok(R1_OK)
    })
}

/// A second session with the same past, at no cost for the cache now. It has threads of its own and no cancel token;
/// its prompts are reported to the same progress function, which cannot stop them. Free it with `r1_session_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_fork(
    session: *mut r1_session,
    out: *mut *mut r1_session,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let object = handle::get::<SessionObject>(session, "session")?;
        let out = caller.out(out, "out")?;
        let session = object.peek()?.session.fork();
        let fresh = Some(session.cancel_token().clone());
        out.set(handle::give(Busy::new(OwnSession { session, fresh }, "session"))?);
        Ok(R1_OK)
    })
}

/// Appends tokens and runs them through the model. No tokens at all do nothing.
///
/// Errors: `R1_ERR_CONTEXT_FULL` before anything is computed; `R1_ERR_ARGUMENT` for a token beyond the vocabulary;
/// `R1_ERR_OUT_OF_MEMORY`; `R1_ERR_CANCELLED`. After an error the session holds the tokens of the chunks that were
/// finished: ask `r1_session_len`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_append(
    session: *mut r1_session,
    tokens: *const u32,
    count: usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let tokens = caller.items(tokens, count, "tokens")?;
        let mut session = session.take()?;
        session.renew();
        session.session.prefill(tokens)?;
        Ok(R1_OK)
    })
}

/// Makes `tokens` the session's tokens. What they share with the present ones, from the first on, is not computed
/// again; the number of those is written to `kept` (which may be NULL).
///
/// Errors: as `r1_session_append`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_replace(
    session: *mut r1_session,
    tokens: *const u32,
    count: usize,
    kept: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let kept = if kept.is_null() { None } else { Some(caller.out(kept, "kept")?) };
        let tokens = caller.items(tokens, count, "tokens")?;
        let mut session = session.take()?;
        session.renew();
        let shared = session.session.set_prompt(tokens)?;
        if let Some(kept) = kept {
            kept.set(shared);
        }
        Ok(R1_OK)
    })
}

/// Forgets the tokens from `len` on; 0 empties the session. A `len` beyond the session's own does nothing.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_truncate(
    session: *mut r1_session,
    len: usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |_| {
        handle::get::<SessionObject>(session, "session")?.take()?.session.truncate(len);
        Ok(R1_OK)
    })
}

/// Writes how many tokens the session has.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_len(
    session: *const r1_session,
    out: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let out = caller.out(out, "out")?;
        out.set(session.peek()?.session.tokens().len());
        Ok(R1_OK)
    })
}

/// Writes how many positions the session may hold.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_context(
    session: *const r1_session,
    out: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let out = caller.out(out, "out")?;
        out.set(session.peek()?.session.context());
        Ok(R1_OK)
    })
}

/// Writes how many threads really work for the session.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_threads(
    session: *const r1_session,
    out: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let out = caller.out(out, "out")?;
        out.set(session.peek()?.session.threads());
        Ok(R1_OK)
    })
}

/// Writes the session's tokens. `(NULL, 0)` for the buffer writes `count` only.
///
/// Errors: `R1_ERR_BUFFER` where they do not fit, with their number in `count`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_tokens(
    session: *const r1_session,
    tokens: *mut u32,
    capacity: usize,
    count: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let out = caller.buffer(tokens, capacity, count, "tokens")?;
        out.fill(session.peek()?.session.tokens())
    })
}

/// Writes the logits after the last token, one for each entry of the vocabulary. `(NULL, 0)` for the buffer writes
/// `count` only.
///
/// Errors: `R1_ERR_STATE` before the first token and after `r1_session_truncate`; `R1_ERR_BUFFER` where they do not
/// fit, with their number in `count`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_logits(
    session: *const r1_session,
    logits: *mut f32,
    capacity: usize,
    count: *mut usize,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let session = handle::get::<SessionObject>(session, "session")?;
        let out = caller.buffer(logits, capacity, count, "logits")?;
        let mut session = session.peek()?;
        out.fill(session.session.logits()?)
    })
}

/// Begins a generation: appends `tokens` (none, if the session has some) and goes on from there. Returns at once; the
/// work is done in `r1_stream_next`. `options` may be NULL. Free the stream with `r1_stream_free`.
///
/// Errors: `R1_ERR_STATE` without any token; `R1_ERR_CONTEXT_FULL`; `R1_ERR_ARGUMENT` for options out of range.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_session_generate(
    session: *mut r1_session,
    tokens: *const u32,
    count: usize,
    options: *const r1_generate_options,
    out: *mut *mut r1_stream,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let object = handle::get::<SessionObject>(session, "session")?;
        let out = caller.out(out, "out")?;
        let tokens = caller.items(tokens, count, "tokens")?;
        let session = object.take()?;
        let options = generate::read(caller, options, session.session.model())?;
        let state = GenerationState::new(&session.session, tokens, &options)?;
        session.renew();
        object.begin_stream();
        drop(session);
        out.set(stream::give(Owner::Session(object), state)?);
        Ok(R1_OK)
    })
}

/// Frees a session. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. A stream or vote of it, or a call
/// that runs in another thread, goes on undisturbed. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_session_free(session: *mut r1_session) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<SessionObject>(session))
}

impl OwnSession {
    fn new(model: &Model, (options, fresh): (SessionOptions, Option<CancelToken>)) -> Result<Self> {
        Ok(Self { session: model.session(options)?, fresh })
    }

    /// Forgets that a progress function stopped an earlier call.
    pub(crate) fn renew(&self) {
        if let Some(token) = &self.fresh {
            token.reset();
        }
    }
}

/// The engine's options, and their cancel token where the host gave none.
pub(crate) fn read(
    caller: &Caller,
    options: *const r1_session_options,
) -> Result<(SessionOptions, Option<CancelToken>)> {
    let options = caller.options(options)?;
    sized::flags(options.flags, R1_SESSION_NO_GUESSES, "r1_session_options")?;
    let token = cancel::token(options.cancel);
    let progress = progress::hook(options.progress, options.progress_user, options.progress_drop, token.as_ref().ok());
    let thread_start = thread_start::hook(options.thread_start, options.thread_start_user, options.thread_start_drop);
    let token = token?;
    let read = SessionOptions {
        context: given(options.context),
        threads: given(options.threads),
        thread_start,
        cache: cache(options.cache)?,
        prefill_chunk: given(options.prefill_chunk),
        speculation: if options.flags & R1_SESSION_NO_GUESSES == 0 { Speculation::Auto } else { Speculation::Off },
        cancel: token.clone(),
        progress,
    };
    Ok((read, options.cancel.is_null().then_some(token)))
}

/// A number of which 0 is "not given".
pub(crate) fn given(value: u32) -> Option<usize> {
    (value != 0).then_some(value as usize)
}

/// `R1_CACHE_*` as the engine takes it.
pub(crate) fn cache(cache: i32) -> Result<CacheType> {
    match cache {
        R1_CACHE_F16 => Ok(CacheType::F16),
        R1_CACHE_F32 => Ok(CacheType::F32),
        R1_CACHE_Q8_0 => Ok(CacheType::Q8_0),
        _ => Err(Fail::range("cache", format_args!("is {cache}, not one of R1_CACHE_*"))),
    }
}
