//! What the user sees: text, JSON lines, progress, failures.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use r1core::{Done, ErrorKind, Event, Finish, ProgressFn, Stage, Usage};
use serde_json::{Value, json};

/// Why a verb did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library says what and where.
    Library(r1core::Error),
    /// Standard input or output, or a file of ours.
    Io(io::Error),
    /// A file of ours, with its name.
    File(String, io::Error),
    /// What the user gave cannot be used.
    Usage(String),
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Library(e) if e.kind() == ErrorKind::Argument => 2,
            Failure::Library(_) | Failure::Io(_) | Failure::File(..) => 1,
            Failure::Interrupted => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Library(e) => e.fmt(f),
            Failure::Io(e) => e.fmt(f),
            Failure::File(name, e) => write!(f, "{name}: {e}"),
            Failure::Usage(text) => f.write_str(text),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<r1core::Error> for Failure {
    fn from(e: r1core::Error) -> Self {
        if e.kind() == ErrorKind::Cancelled { Failure::Interrupted } else { Failure::Library(e) }
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Io(e)
    }
}

/// Result of a verb.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Prints one JSON object on a line of its own, at once.
pub(crate) fn json_line(value: &Value) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(())
}

/// Shows the events of a reply.
#[derive(Debug)]
pub(crate) struct Display {
    json: bool,
    dim: bool,
    last: Shown,
    /// White space at the end of the thought so far, shown once more of the thought follows.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Thought,
    Answer,
}

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

impl Display {
    /// JSON lines, or text with dimmed thoughts where standard output is a terminal that wants colours.
    pub(crate) fn new(json: bool) -> Display {
        let dim = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Display { json, dim, last: Shown::Nothing, held: String::new() }
    }

    /// Shows one event; returns how the reply ended once it has.
    pub(crate) fn show(&mut self, event: &Event) -> Outcome<Option<Done>> {
        if self.json {
            if let Some(value) = event_json(event) {
                json_line(&value)?;
            }
        } else {
            self.show_text(event)?;
        }
        Ok(if let Event::Done(done) = event { Some(*done) } else { None })
    }

    fn show_text(&mut self, event: &Event) -> Outcome {
        let mut out = io::stdout().lock();
        match event {
            Event::Thought(text) => {
                if self.dim && self.last != Shown::Thought {
                    write!(out, "{DIM}")?;
                }
                let visible = text.trim_end();
                if visible.is_empty() {
                    self.held += text;
                } else {
                    write!(out, "{}{visible}", self.held)?;
                    self.held = text[visible.len()..].to_owned();
                }
                self.last = Shown::Thought;
            }
            Event::Answer(text) => {
                self.held.clear();
                if self.last == Shown::Thought {
                    write!(out, "{}\n\n", if self.dim { PLAIN } else { "" })?;
                }
                write!(out, "{text}")?;
                self.last = Shown::Answer;
            }
            Event::Done(_) => {
                if self.dim && self.last == Shown::Thought {
                    write!(out, "{PLAIN}")?;
                }
                writeln!(out)?;
                self.held.clear();
                self.last = Shown::Nothing;
            }
            _ => {}
        }
        out.flush()?;
        Ok(())
    }
}

/// Says on standard error why a reply is not complete, where it is not.
pub(crate) fn report_unfinished(done: Done) {
    match done.finish {
        Finish::Length => eprintln!("r1: stopped at the token limit (raise it with -n)"),
        Finish::Context => eprintln!("r1: stopped because the context is full (raise it with -c)"),
        _ => {}
    }
    if done.complete == Some(false) {
        eprintln!("r1: the answer is not complete: it was cut short before it satisfied its grammar");
    }
}

fn event_json(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Thought(text) => json!({"type": "thought", "text": text}),
        Event::Answer(text) => json!({"type": "answer", "text": text}),
        Event::Usage(usage) => usage_json(usage),
        Event::Done(done) => {
            let mut value = json!({"type": "done", "finish": done.finish.as_str(), "close": done.close.as_str()});
            if let Some(complete) = done.complete {
                value["complete"] = complete.into();
            }
            value
        }
        _ => return None,
    })
}

pub(crate) fn usage_json(u: &Usage) -> Value {
    json!({
        "type": "usage", "prompt": u.prompt, "cached": u.cached, "reasoning": u.reasoning, "tag": u.tag,
        "forced": u.forced, "answer": u.answer,
        "prefill_ms": millis(u.prefill), "decode_ms": millis(u.decode),
    })
}

/// Milliseconds with three decimals.
fn millis(d: std::time::Duration) -> f64 {
    (d.as_secs_f64() * 1e6).round() / 1e3
}

/// A progress function that draws bars on standard error where that is a terminal; elsewhere none.
pub(crate) fn progress() -> Option<ProgressFn> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let bar: Mutex<Option<(Stage, ProgressBar)>> = Mutex::new(None);
    Some(ProgressFn::new(move |progress| {
        let Ok(mut bar) = bar.lock() else { return };
        if bar.as_ref().is_none_or(|(stage, _)| *stage != progress.stage) {
            let new = ProgressBar::new(progress.total);
            let (name, unit) = match progress.stage {
                Stage::Load => ("loading", "{bytes}/{total_bytes}"),
                Stage::Prefill => ("reading", "{pos}/{len} tokens"),
            };
            if let Ok(style) = ProgressStyle::with_template(&format!("{name} {{wide_bar}} {unit}")) {
                new.set_style(style);
            }
            *bar = Some((progress.stage, new));
        }
        if let Some((_, shown)) = bar.as_ref() {
            shown.set_position(progress.done);
            if progress.done >= progress.total {
                shown.finish_and_clear();
                *bar = None;
            }
        }
    }))
}

/// Bytes in the largest binary unit that keeps at least one digit before the point.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.2} {}", UNITS[unit]) }
}
