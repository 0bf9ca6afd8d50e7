//! Steering a vote from another thread.

use crate::caller::Caller;
use crate::fail::{Fail, Result};
use crate::handle;
use crate::status::*;
use crate::steer::{self, R1_THINK_UNLIMITED, r1_think_state};
use crate::vote::{R1_VOTE_PROGRESS, Vote, r1_vote, r1_vote_event};

/// Asks for the result now: the thoughts of all running samples are closed before their next tokens, and no further
/// sample starts. The vote ends when they have answered. `running`, which may be NULL, gets how many run; 0 where the
/// vote is over, or has not read its prompt yet and will take one sample.
///
/// Samples whose thought was closed like this count only where none has closed its own, or with `R1_VOTE_ALL`.
///
/// Never gives `R1_ERR_BUSY`: any thread, while another one is inside `r1_vote_next`; callbacks included, but no signal
/// handlers.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`; `R1_ERR_RANGE` for a misaligned pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_vote_answer_now(vote: *const r1_vote, running: *mut u64) -> r1_status {
    guard_or!(R1_ERR_PANIC, || status(answer_now(vote, running)))
}

fn answer_now(vote: *const r1_vote, running: *mut u64) -> Result<()> {
    let vote = handle::get::<Vote>(vote, "vote")?;
    write(running, || vote.handle.answer_now() as u64)
}

/// Sets the thought budget of each sample, those to come included, to `budget` tokens; `R1_THINK_UNLIMITED` for no
/// limit. `running` as in `r1_vote_answer_now`, and so threads and errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_vote_set_budget(vote: *const r1_vote, budget: u64, running: *mut u64) -> r1_status {
    guard_or!(R1_ERR_PANIC, || status(set_budget(vote, budget, running)))
}

fn set_budget(vote: *const r1_vote, budget: u64, running: *mut u64) -> Result<()> {
    let vote = handle::get::<Vote>(vote, "vote")?;
    let budget = (budget != R1_THINK_UNLIMITED).then(|| usize::try_from(budget).unwrap_or(usize::MAX));
    write(running, || vote.handle.set_budget(budget) as u64)
}

/// Ends one sample without a vote; none takes its place. `running`, which may be NULL, gets 1 where it was running, else
/// 0. Threads and errors as `r1_vote_answer_now`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_vote_cancel_sample(vote: *const r1_vote, sample: u64, running: *mut u64) -> r1_status {
    guard_or!(R1_ERR_PANIC, || status(cancel_sample(vote, sample, running)))
}

fn cancel_sample(vote: *const r1_vote, sample: u64, running: *mut u64) -> Result<()> {
    let vote = handle::get::<Vote>(vote, "vote")?;
    let sample = usize::try_from(sample).unwrap_or(usize::MAX);
    write(running, || u64::from(vote.handle.cancel_sample(sample)))
}

/// Writes how far the vote is, as an event of kind `R1_VOTE_PROGRESS`. Threads and errors as `r1_vote_answer_now`;
/// `R1_ERR_VERSION` where `event->struct_size` is not set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_vote_progress(vote: *const r1_vote, event: *mut r1_vote_event) -> r1_status {
    guard_or!(R1_ERR_PANIC, || status(progress(vote, event)))
}

fn progress(vote: *const r1_vote, event: *mut r1_vote_event) -> Result<()> {
    let vote = handle::get::<Vote>(vote, "vote")?;
    // SAFETY: the caller of the exported function promises that `event` is NULL or a place for an event.
    let caller = unsafe { Caller::new() };
    let out = caller.sized_out(event, "event")?;
    let progress = vote.handle.progress();
    out.set(&r1_vote_event {
        running: progress.running as u64,
        finished: progress.finished as u64,
        tokens: progress.tokens as u64,
        ..r1_vote_event::of(R1_VOTE_PROGRESS)
    });
    Ok(())
}

/// Writes how far one running sample is. Threads and errors as `r1_vote_progress`; `R1_ERR_ARGUMENT` for a sample that
/// does not run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_vote_sample_state(
    vote: *const r1_vote,
    sample: u64,
    state: *mut r1_think_state,
) -> r1_status {
    guard_or!(R1_ERR_PANIC, || status(sample_state(vote, sample, state)))
}

fn sample_state(vote: *const r1_vote, sample: u64, state: *mut r1_think_state) -> Result<()> {
    let vote = handle::get::<Vote>(vote, "vote")?;
    // SAFETY: the caller of the exported function promises that `state` is NULL or a place for a state.
    let caller = unsafe { Caller::new() };
    let out = caller.sized_out(state, "state")?;
    let thought = usize::try_from(sample).ok().and_then(|sample| vote.handle.sample(sample));
    let thought = thought.ok_or_else(|| Fail::new(R1_ERR_ARGUMENT, format!("sample {sample} does not run")))?;
    out.set(&steer::of(&thought));
    Ok(())
}

/// Does something and writes its result where there is a place for it.
fn write(place: *mut u64, act: impl FnOnce() -> u64) -> Result<()> {
    if !place.is_aligned() {
        return Err(Fail::range("running", "is a misaligned pointer"));
    }
    let value = act();
    if !place.is_null() {
        // SAFETY: the caller of the exported function promises that `place` is NULL or writable; it is aligned.
        unsafe { place.write(value) };
    }
    Ok(())
}

fn status(result: Result<()>) -> r1_status {
    result.map_or_else(|fail| fail.status, |()| R1_OK)
}
