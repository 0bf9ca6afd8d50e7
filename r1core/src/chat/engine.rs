//! minijinja, set up as Hugging Face sets up Jinja, within limits.
//!
//! Fuel bounds steps and bytes, [`scan`] bounds what recurses, and every container that a template writes or stores is
//! measured here, so that comparing, joining or printing it is bounded too. Known limits: a list that one expression
//! multiplies (`[x] * 100000 == ...`) is paid for by its length but compared in full, which can take seconds; `%` does
//! not format strings (the filter `format` does); `strftime_now` gives UTC.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};

use super::{json, methods, python, scan, time};

/// Steps and data of a render before what the messages add (see minijinja's notes on fuel). Templates of known models
/// use a few hundred per message.
const FUEL: u64 = 400_000;
/// Limits recursion of macros and loops in minijinja's measure: some 25 macros deep.
const RECURSION: usize = 100;
/// Deepest nesting of lists and dictionaries.
const MAX_DEPTH: u32 = 64;
/// How much a container may be when written out, before what the messages add: values plus sixteenths of text bytes.
const EXTENT: u64 = 1 << 16;
/// Longest output, before what the messages add.
const OUTPUT: u64 = 1 << 24;
/// The variable that tells [`bound`] its limit.
const EXTENT_VARIABLE: &str = "__r1_extent";
/// The variable that tells `strftime_now` the time.
const NOW_VARIABLE: &str = "__r1_now";

/// Compiles a template that [`scan::prepare`] has passed.
pub(super) fn compile(source: String) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.set_recursion_limit(RECURSION);
    env.set_unknown_method_callback(methods::call);
    env.set_formatter(format);
    env.add_filter("tojson", json::tojson);
    env.add_filter("string", python::string);
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("the template refuses: {message}")))
    });
    env.add_function("strftime_now", |state: &State<'_, '_>, pattern: &str| {
        let now = state.lookup(NOW_VARIABLE).and_then(|now| u64::try_from(now).ok()).unwrap_or(0);
        time::format(pattern, now)
    });
    env.add_function(scan::BOUND, bound);
    env.add_function(scan::STORE, store);
    env.add_template_owned("template", source)?;
    Ok(env)
}

/// Renders with `variables`; `extent` is how large the messages are.
pub(super) fn render(
    env: &Environment<'static>,
    mut variables: Vec<(String, Value)>,
    extent: u64,
    messages: u64,
    now: u64,
) -> Result<String, Error> {
    let mut env = env.clone();
    env.set_fuel(Some(FUEL + messages.saturating_mul(2_000) + extent));
    let limit = EXTENT.saturating_add(extent.saturating_mul(2));
    variables.push((EXTENT_VARIABLE.to_owned(), Value::from(limit)));
    variables.push((NOW_VARIABLE.to_owned(), Value::from(now)));
    let room = OUTPUT.saturating_add(extent.saturating_mul(64));
    let mut writer = Limited { out: Vec::new(), room };
    env.get_template("template")?.render_captured_to(Value::from_pairs(variables), &mut writer)?;
    String::from_utf8(writer.out).map_err(|_| Error::new(ErrorKind::WriteFailure, "the output is not UTF-8"))
}

/// Passes a container through if it is not too deep or too large to be written out.
fn bound(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    measure(state, &value, false)?;
    Ok(value)
}

/// As [`bound`], and refuses what could close a cycle inside a namespace.
fn store(state: &State<'_, '_>, value: Value, rest: Rest<Value>) -> Result<Value, Error> {
    if !rest.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "write round brackets around a tuple"));
    }
    measure(state, &value, true)?;
    Ok(value)
}

fn measure(state: &State<'_, '_>, value: &Value, stored: bool) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain) {
        return Ok(());
    }
    let limit = state.lookup(EXTENT_VARIABLE).and_then(|limit| u64::try_from(limit).ok()).unwrap_or(EXTENT);
    let mut left = limit;
    // A namespace may be held by a name, but not by a container or another namespace.
    if stored || !is_namespace(value) {
        walk(value, 0, &mut left)?;
    }
    state.consume_fuel((limit - left) / 4)
}

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn too_much(what: &'static str) -> Error {
    Error::new(ErrorKind::OutOfFuel, what)
}

fn walk(value: &Value, depth: u32, left: &mut u64) -> Result<(), Error> {
    let cost = 1 + value.as_str().map_or(0, |text| text.len() as u64 / 16);
    *left = left.checked_sub(cost).ok_or_else(|| too_much("a list or dictionary grows too large"))?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            if depth >= MAX_DEPTH {
                return Err(too_much("lists or dictionaries are nested too deeply"));
            }
            if is_namespace(value) {
                return Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot be put into another value"));
            }
            let is_map = value.kind() == ValueKind::Map;
            for item in value.try_iter()? {
                if is_map {
                    walk(&value.get_item(&item)?, depth + 1, left)?;
                }
                walk(&item, depth + 1, left)?;
            }
            Ok(())
        }
        // Macros and the loop variable hold whole scopes.
        ValueKind::Plain if depth > 0 => {
            Err(Error::new(ErrorKind::InvalidOperation, "a function cannot be put into another value"))
        }
        ValueKind::Invalid => value.get_item(&Value::from(0)).map(|_| ()),
        _ => Ok(()),
    }
}

/// Prints as Python does.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return out.write_str(text).map_err(Error::from);
    }
    out.write_str(&python::text(state, value)?).map_err(Error::from)
}

/// Python's `str` of a value, measured before it is written.
pub(super) fn measured(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    measure(state, value, true)
}

/// Collects output up to a limit.
struct Limited {
    out: Vec<u8>,
    room: u64,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room =
            self.room.checked_sub(bytes.len() as u64).ok_or_else(|| io::Error::other("the output is too long"))?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
