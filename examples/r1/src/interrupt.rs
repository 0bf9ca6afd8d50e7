//! Ctrl-C.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use r1core::CancelToken;

static TOKEN: OnceLock<CancelToken> = OnceLock::new();
static PRESSES: AtomicUsize = AtomicUsize::new(0);

/// The token that Ctrl-C fires. The first call installs the handler; a second Ctrl-C before [`rearm`] leaves at once.
pub(crate) fn token() -> CancelToken {
    TOKEN
        .get_or_init(|| {
            let token = CancelToken::new();
            let fired = token.clone();
            // Without a handler Ctrl-C still ends the program, only less politely.
            let _ = ctrlc::set_handler(move || {
                fired.cancel();
                if PRESSES.fetch_add(1, Ordering::Relaxed) > 0 {
                    std::process::exit(130);
                }
            });
            token
        })
        .clone()
}

/// Makes the next Ctrl-C the first one again.
pub(crate) fn rearm() {
    PRESSES.store(0, Ordering::Relaxed);
    token().reset();
}
