//! The log: off unless `R1_LOG` names a level (`info` or `debug`), on standard error.

use std::fmt;
use std::sync::LazyLock;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Off,
    /// What was loaded, how long it took.
    Info,
    /// How it is run.
    Debug,
}

static LEVEL: LazyLock<Level> = LazyLock::new(|| match std::env::var("R1_LOG").unwrap_or_default().as_str() {
    "info" | "warn" | "error" => Level::Info,
    "debug" | "trace" => Level::Debug,
    _ => Level::Off,
});

/// Writes a line where the level asks for it.
pub(crate) fn line(level: Level, text: fmt::Arguments<'_>) {
    if level <= *LEVEL {
        eprintln!("r1: {text}");
    }
}
