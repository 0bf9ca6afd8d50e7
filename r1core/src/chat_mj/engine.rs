//! Runs minijinja where a hostile template can do no harm.
//!
//! Fuel bounds time and memory, a pre-scan bounds how deep the parser can be led, and the work runs on a thread of its
//! own whose stack is deep enough for everything that the other two bounds let pass (a value nested as deep as the fuel
//! allows is freed recursively). So a template can neither hang, nor exhaust memory, nor overflow a stack, however small
//! the caller's is.

use std::thread;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error as JinjaError, ErrorKind as JinjaErrorKind, Value};

use super::python;
use crate::{Error, ErrorKind, Result};

/// Longest template text, in bytes. Real ones stay below 30 KiB.
const MAX_SOURCE: usize = 256 << 10;

/// Longest tag (`{{ ... }}` or `{% ... %}`), in bytes: bounds chains of operators, which nest in the parser.
const MAX_TAG: usize = 16 << 10;

/// Fuel for any template, and for each 16 bytes of what it is given. Real templates take a few thousand.
const FUEL: u64 = 400_000;
const BYTES_PER_FUEL: u64 = 16;

/// How deep macros and loops may call themselves.
const RECURSION: usize = 100;

/// Stack of the thread: reserved, not taken.
const STACK: usize = 256 << 20;

const NAME: &str = "chat template";

/// A parsed template.
#[derive(Debug)]
pub(super) struct Engine {
    env: Environment<'static>,
}

impl Engine {
    pub(super) fn parse(source: &str) -> Result<Engine> {
        scan(source)?;
        let source = without_generation_blocks(source);
        on_deep_stack(|| {
            let mut env = Environment::new();
            let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
            env.set_syntax(syntax.map_err(describe)?);
            env.set_auto_escape_callback(|_| AutoEscape::None);
            env.set_recursion_limit(RECURSION);
            python::install(&mut env);
            env.add_template_owned(NAME, source).map_err(describe)?;
            Ok(Engine { env })
        })
    }

    /// Renders with the given variables, whose texts are `input_bytes` long together.
    pub(super) fn render(&self, context: &serde_json::Value, input_bytes: usize) -> Result<String> {
        on_deep_stack(|| {
            let mut env = self.env.clone();
            env.set_fuel(Some(FUEL + input_bytes as u64 / BYTES_PER_FUEL));
            let template = env.get_template(NAME).map_err(describe)?;
            template.render(value(context)).map_err(describe)
        })
    }
}

/// Refuses what would lead the parser too deep.
fn scan(source: &str) -> Result<()> {
    if source.len() > MAX_SOURCE {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("a chat template of {} bytes is longer than the {MAX_SOURCE} allowed", source.len()),
        ));
    }
    let mut rest = source;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        rest = &rest[start + 2..];
        let end = rest.find("}}").into_iter().chain(rest.find("%}")).min().unwrap_or(rest.len());
        if end > MAX_TAG {
            let line = 1 + source[..source.len() - rest.len()].matches('\n').count();
            return Err(Error::new(
                ErrorKind::Limit,
                format!("chat template, line {line}: a tag of {end} bytes is longer than the {MAX_TAG} allowed"),
            ));
        }
        rest = &rest[end..];
    }
    Ok(())
}

/// `{% generation %}` marks what a trainer should learn; for a prompt its content is all that matters.
fn without_generation_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let inner = &tag[2..end];
        match inner.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&format!("{{%{}%}}", inner.replace("generation", "if true"))),
            "endgeneration" => out.push_str(&format!("{{%{}%}}", inner.replace("endgeneration", "endif"))),
            _ => out.push_str(&tag[..end + 2]),
        }
        rest = &tag[end + 2..];
    }
    out.push_str(rest);
    out
}

/// Runs `work`, and frees all it made, on a thread with a deep stack.
fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("r1-template".into()).stack_size(STACK).spawn_scoped(scope, work);
        let worker = worker.map_err(|e| {
            Error::new(ErrorKind::OutOfMemory, "no thread could be started for the chat template").source(e)
        })?;
        worker
            .join()
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the template engine failed unexpectedly")))
    })
}

/// JSON as template values.
fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Array(items) => items.iter().map(value).collect(),
        serde_json::Value::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(key, field)| (key.as_str(), value(field))))
        }
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), ..) => Value::from(n),
            (_, Some(n), _) => Value::from(n),
            (.., n) => Value::from(n),
        },
    }
}

fn describe(error: JinjaError) -> Error {
    let kind = match error.kind() {
        JinjaErrorKind::OutOfFuel => ErrorKind::Limit,
        _ => ErrorKind::Template,
    };
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    Error::new(kind, format!("chat template{line}: {}{detail}", error.kind()))
}
