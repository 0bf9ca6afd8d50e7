//! Values as Python prints them.

use std::fmt::Write as _;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::engine;

/// The filter `string`.
pub(super) fn string(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(_) => Ok(value.clone()),
        None => text(state, value).map(Value::from),
    }
}

/// `str(value)`.
pub(super) fn text(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::String => out.push_str(value.as_str().unwrap_or_default()),
        ValueKind::Invalid => {
            value.try_iter()?;
        }
        _ => {
            engine::measured(state, value)?;
            repr(&mut out, value)?;
        }
    }
    Ok(out)
}

/// `repr(value)` of a value that was measured.
fn repr(out: &mut String, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if value.is_integer() => drop(write!(out, "{value}")),
        ValueKind::Number => write_float(out, f64::try_from(value.clone())?, ["inf", "nan"]),
        ValueKind::String => quote(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let tuple = value.as_object().is_some_and(|object| object.type_name().ends_with("::Tuple"));
            out.push(if tuple { '(' } else { '[' });
            let mut length = 0;
            for item in value.try_iter()? {
                if length > 0 {
                    out.push_str(", ");
                }
                repr(out, &item)?;
                length += 1;
            }
            if tuple && length == 1 {
                out.push(',');
            }
            out.push(if tuple { ')' } else { ']' });
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                repr(out, &key)?;
                out.push_str(": ");
                repr(out, &value.get_item(&key)?)?;
            }
            out.push('}');
        }
        _ => drop(write!(out, "{value}")),
    }
    Ok(())
}

/// The shortest decimal form that reads back as the same number; `names` are those of infinity and not-a-number.
pub(super) fn write_float(out: &mut String, value: f64, names: [&str; 2]) {
    if value.is_nan() {
        return out.push_str(names[1]);
    }
    if value.is_infinite() {
        out.push_str(if value < 0.0 { "-" } else { "" });
        return out.push_str(names[0]);
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        out.push_str(&plain);
        out.push_str(if plain.contains('.') { "" } else { ".0" });
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
    }
}

fn quote(out: &mut String, text: &str) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == mark => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) || c == '\u{ad}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            // Python escapes what it does not count as printable, white space other than ' ' among it.
            c if c != ' ' && c.is_whitespace() => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(mark);
}
