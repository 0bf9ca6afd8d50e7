//! Steering a thought from another thread.

use engine::reasoning::{Phase, ThinkHandle};

use crate::caller::Caller;
use crate::fail::Result;
use crate::handle::{self, Ref};
use crate::sized::sized;
use crate::status::*;
use crate::stream::{Stream, r1_stream};

/// The reply has no thought yet; text is answer.
pub const R1_REPLY_OUTSIDE: i32 = 1;
/// The reply is in a thought.
pub const R1_REPLY_THINKING: i32 = 2;
/// The reply's thought is closed; text is answer.
pub const R1_REPLY_CLOSED: i32 = 3;
/// The reply has ended.
pub const R1_REPLY_ENDED: i32 = 4;

/// As a budget: no limit.
pub const R1_THINK_UNLIMITED: u64 = u64::MAX;

/// How far a reply is. Each number is right by itself; a token may arrive while they are read.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_think_state {
    /// `sizeof(r1_think_state)`, set by the host.
    pub struct_size: u32,
    /// `R1_REPLY_*`.
    pub phase: i32,
    /// Thought tokens that the model chose: what budgets limit.
    pub reasoning_tokens: u64,
    /// Tokens of the thought's tags.
    pub tag_tokens: u64,
    /// Tokens that were forced on the model.
    pub forced_tokens: u64,
    /// Answer tokens.
    pub answer_tokens: u64,
    /// Tokens that may still turn out to be a tag; in none of the other counts.
    pub pending_tokens: u64,
}
sized!(r1_think_state, pending_tokens: u64);

/// Asks for the answer now: the thought is closed before the next token, with `R1_CLOSE_INTERRUPT`. `phase`, which may
/// be NULL, gets where the reply is at this moment, `R1_REPLY_*`; where that is not `R1_REPLY_THINKING` there is
/// nothing to close and the request is forgotten.
///
/// Takes no lock and never gives `R1_ERR_BUSY`: any thread, while another one is inside `r1_stream_next`; callbacks
/// included, and signal handlers unless the stream is being freed meanwhile.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`; `R1_ERR_RANGE` for a misaligned `phase`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_think_close(stream: *const r1_stream, phase: *mut i32) -> r1_status {
    guard_or!(R1_ERR_PANIC, || steer(stream, phase, |stream| stream.think.close()))
}

/// Sets the budget of the whole reply to `budget` thought tokens, `R1_THINK_UNLIMITED` for no limit. Less than what has
/// been spent closes the thought before the next token. `phase`, which may be NULL, gets where the reply is at this
/// moment; the new budget holds for thoughts to come as well. Threads and errors as `r1_think_close`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_think_set_budget(stream: *const r1_stream, budget: u64, phase: *mut i32) -> r1_status {
    guard_or!(R1_ERR_PANIC, || {
        let limit = (budget != R1_THINK_UNLIMITED).then(|| usize::try_from(budget).unwrap_or(usize::MAX));
        steer(stream, phase, |stream| stream.think.set_budget(limit))
    })
}

/// Writes how far a reply is. `state->struct_size` must be set, as `R1_THINK_STATE_INIT` does. Threads as
/// `r1_think_close`, signal handlers excepted.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`, `R1_ERR_VERSION`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_think_get_state(stream: *const r1_stream, state: *mut r1_think_state) -> r1_status {
    guard_or!(R1_ERR_PANIC, || state_of(stream, state).map_or_else(|fail| fail.status, |()| R1_OK))
}

fn state_of(stream: *const r1_stream, state: *mut r1_think_state) -> Result<()> {
    let stream = handle::get::<Stream>(stream, "stream")?;
    // SAFETY: the caller of the exported function promises that `state` is NULL or points to `struct_size` bytes.
    let caller = unsafe { Caller::new() };
    let out = caller.sized_out(state, "state")?;
    out.set(&of(&stream.think));
    Ok(())
}

/// The state of a thought.
pub(crate) fn of(think: &ThinkHandle) -> r1_think_state {
    let counts = think.counters();
    r1_think_state {
        struct_size: 0,
        phase: code(think.phase()),
        reasoning_tokens: counts.reasoning,
        tag_tokens: counts.tag,
        forced_tokens: counts.forced,
        answer_tokens: counts.answer,
        pending_tokens: counts.pending,
    }
}

/// Does something to a stream's thought and writes the phase. Without a failure it touches nothing but atomics.
fn steer(stream: *const r1_stream, phase: *mut i32, act: impl Fn(Ref<Stream>) -> Phase) -> r1_status {
    if !phase.is_aligned() {
        return R1_ERR_RANGE;
    }
    let Some(stream) = (if stream.is_null() { None } else { handle::lookup::<Stream>(stream) }) else {
        return if stream.is_null() { R1_ERR_NULL_ARG } else { R1_ERR_HANDLE };
    };
    let observed = act(stream);
    if !phase.is_null() {
        // SAFETY: the caller of the exported function promises that `phase` is NULL or a writable place; it is aligned.
        unsafe { phase.write(code(observed)) };
    }
    R1_OK
}

fn code(phase: Phase) -> i32 {
    match phase {
        Phase::Outside => R1_REPLY_OUTSIDE,
        Phase::Thinking => R1_REPLY_THINKING,
        Phase::Closed => R1_REPLY_CLOSED,
        _ => R1_REPLY_ENDED,
    }
}
