//! ggml's log, as whole lines.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, RwLock};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is worth a look.
    Warn,
    /// Devices found, memory allocated.
    Info,
    /// Everything else.
    Debug,
}

/// What takes log lines.
pub type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

static SINK: RwLock<Option<Sink>> = RwLock::new(None);
/// The line that is not complete yet: ggml writes some in pieces.
static LINE: Mutex<(Option<Level>, String)> = Mutex::new((None, String::new()));

/// Sends ggml's log lines to `sink` (whole lines without a line end), in place of whatever was set before; `None` drops
/// them, which is how it begins. For the whole process, and called on the thread whose call is logged.
pub fn set_log(sink: Option<Sink>) {
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
}

/// What ggml calls. No panic of the sink passes through its frames.
pub(crate) unsafe extern "C" fn callback(level: c_int, text: *const c_char, _user: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: ggml passes a NUL-terminated text that lives during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // Nothing can be told to anybody where the sink itself fails.
    let _ = catch_unwind(AssertUnwindSafe(|| piece(level, &text)));
}

fn piece(level: c_int, text: &str) {
    let mut lines = Vec::new();
    {
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        let level = match level {
            4 => Some(Level::Error),
            3 => Some(Level::Warn),
            2 => Some(Level::Info),
            // 5 continues a line.
            5 => line.0,
            _ => Some(Level::Debug),
        };
        line.0 = level;
        line.1 += text;
        while let Some(end) = line.1.find('\n') {
            let rest = line.1.split_off(end + 1);
            let whole = std::mem::replace(&mut line.1, rest);
            lines.push((level.unwrap_or(Level::Info), whole));
        }
    }
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(sink) = &*sink {
        for (level, line) in lines {
            let line = line.trim_end();
            if !line.trim_matches('.').is_empty() {
                sink(level, line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn pieces_become_lines() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        set_log(Some(Box::new(move |level, line| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push((level, line.to_owned()));
        })));
        piece(3, "a warn");
        piece(5, "ing\nand");
        piece(4, " an error\n");
        set_log(None);
        piece(4, "unheard\n");
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(lines.contains(&(Level::Warn, "a warning".into())), "{lines:?}");
        assert!(lines.contains(&(Level::Error, "and an error".into())), "{lines:?}");
        assert!(!lines.iter().any(|(_, line)| line == "unheard"));
    }
}
