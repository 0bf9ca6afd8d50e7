//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use r1core::reasoning::Phase;
use r1core::{CancelToken, ThinkHandle, VoteHandle};

static TOKEN: OnceLock<CancelToken> = OnceLock::new();
static THOUGHT: Mutex<Option<Thought>> = Mutex::new(None);
static FIRED: AtomicBool = AtomicBool::new(false);

/// The token that Ctrl-C fires. The first call installs the handler. A further Ctrl-C after that leaves at once.
pub(crate) fn token() -> CancelToken {
    TOKEN
        .get_or_init(|| {
            let token = CancelToken::new();
            let fired = token.clone();
            // Without a handler Ctrl-C still ends the program, only less politely.
            let _ = ctrlc::set_handler(move || pressed(&fired));
            token
        })
        .clone()
}

/// What can be asked for its answer.
pub(crate) enum Thought {
    Reply(ThinkHandle),
    Vote(VoteHandle),
}

/// Makes the next Ctrl-C ask `thought` for its answer, if it is still being thought then, before it fires the token.
pub(crate) fn answer_first(thought: Thought) {
    *THOUGHT.lock().unwrap_or_else(PoisonError::into_inner) = Some(thought);
}

/// Makes the next Ctrl-C the first one again.
pub(crate) fn rearm() {
    FIRED.store(false, Ordering::Relaxed);
    THOUGHT.lock().unwrap_or_else(PoisonError::into_inner).take();
    token().reset();
}

/// Runs on a thread of its own, not in the signal.
fn pressed(token: &CancelToken) {
    let thought = THOUGHT.lock().unwrap_or_else(PoisonError::into_inner).take();
    let asked = match thought {
        Some(Thought::Reply(thought)) => thought.close() == Phase::Thinking,
        Some(Thought::Vote(vote)) => vote.answer_now() > 0,
        None => false,
    };
    if asked {
        return;
    }
    token.cancel();
    if FIRED.swap(true, Ordering::Relaxed) {
        std::process::exit(130);
    }
}
