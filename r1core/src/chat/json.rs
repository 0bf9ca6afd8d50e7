//! The filter `tojson` as Hugging Face defines it: Python's `json.dumps` without HTML escapes.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::{engine, python};

/// Widest indentation.
const MAX_INDENT: usize = 64;

struct Style {
    ascii: bool,
    /// One level of indentation; `None` writes one line.
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
}

/// `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    ascii: Option<bool>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let indent = match kwargs.get::<Option<Value>>("indent")? {
        None => None,
        Some(value) if value.is_none() => None,
        Some(value) => Some(match value.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(usize::try_from(value)?.min(MAX_INDENT + 1)),
        }),
    };
    if indent.as_ref().is_some_and(|indent| indent.len() > MAX_INDENT) {
        return Err(Error::new(ErrorKind::OutOfFuel, "the indentation is too wide"));
    }
    let separators = kwargs.get::<Option<Value>>("separators")?.filter(|value| !value.is_none());
    let separator = |index: usize, default: &str| -> Result<String, Error> {
        match &separators {
            Some(pair) => Ok(pair.get_item(&Value::from(index))?.as_str().unwrap_or(default).to_owned()),
            None => Ok(default.to_owned()),
        }
    };
    let style = Style {
        ascii: ascii.or(kwargs.get("ensure_ascii")?).unwrap_or(false),
        item: separator(0, if indent.is_some() { "," } else { ", " })?,
        key: separator(1, ": ")?,
        indent,
        sort: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    engine::measured(state, value)?;
    let mut out = String::new();
    write(&mut out, value, &style, 0)?;
    Ok(Value::from(out))
}

fn write(out: &mut String, value: &Value, style: &Style, level: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => drop(write!(out, "{value}")),
        ValueKind::Number => python::write_float(out, f64::try_from(value.clone())?, ["Infinity", "NaN"]),
        ValueKind::String => quote(out, value.as_str().unwrap_or_default(), style.ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut empty = true;
            for item in value.try_iter()? {
                separate(out, style, empty, level + 1);
                empty = false;
                write(out, &item, style, level + 1)?;
            }
            close(out, style, empty, level, ']');
        }
        ValueKind::Map => {
            out.push('{');
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort {
                keys.sort();
            }
            let empty = keys.is_empty();
            for (i, key) in keys.iter().enumerate() {
                separate(out, style, i == 0, level + 1);
                match key.as_str() {
                    Some(text) => quote(out, text, style.ascii),
                    None => {
                        out.push('"');
                        write(out, key, style, level + 1)?;
                        out.push('"');
                    }
                }
                out.push_str(&style.key);
                write(out, &value.get_item(key)?, style, level + 1)?;
            }
            close(out, style, empty, level, '}');
        }
        kind => {
            let what = format!("{kind} cannot be written as JSON");
            return Err(Error::new(ErrorKind::BadSerialization, what));
        }
    }
    Ok(())
}

fn separate(out: &mut String, style: &Style, first: bool, level: usize) {
    if !first {
        out.push_str(&style.item);
    }
    new_line(out, style, level);
}

fn close(out: &mut String, style: &Style, empty: bool, level: usize, bracket: char) {
    if !empty {
        new_line(out, style, level);
    }
    out.push(bracket);
}

fn new_line(out: &mut String, style: &Style, level: usize) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(indent.as_str(), level));
    }
}

fn quote(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => drop(write!(out, "\\u{:04x}", c as u32)),
            c if ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
