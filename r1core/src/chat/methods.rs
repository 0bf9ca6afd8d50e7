//! Python's methods, beyond those that minijinja-contrib has.

use minijinja::value::{Tuple, Value};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Calls a method that minijinja itself does not know.
pub(super) fn call(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let text_arg = |i: usize| args.get(i).and_then(Value::as_str);
        match name {
            "removeprefix" if args.len() == 1 => {
                return Ok(Value::from(text_arg(0).and_then(|prefix| text.strip_prefix(prefix)).unwrap_or(text)));
            }
            "removesuffix" if args.len() == 1 => {
                return Ok(Value::from(text_arg(0).and_then(|suffix| text.strip_suffix(suffix)).unwrap_or(text)));
            }
            "partition" | "rpartition" if args.len() == 1 => {
                let mark = text_arg(0).filter(|mark| !mark.is_empty());
                let mark = mark.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the separator is empty"))?;
                let found = if name == "partition" { text.split_once(mark) } else { text.rsplit_once(mark) };
                let parts = match found {
                    Some((before, after)) => [before, mark, after],
                    None if name == "partition" => [text, "", ""],
                    None => ["", "", text],
                };
                return Ok(Value::from(Tuple::from(parts.map(Value::from))));
            }
            "rsplit" => {
                let mark = text_arg(0).filter(|mark| !mark.is_empty());
                let mark = mark.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "rsplit() needs a separator"))?;
                let limit = args.get(1).and_then(Value::as_usize).map_or(usize::MAX, |limit| limit.saturating_add(1));
                let mut parts: Vec<&str> = text.rsplitn(limit, mark).collect();
                parts.reverse();
                return Ok(parts.into_iter().map(Value::from).collect());
            }
            "ljust" | "rjust" if args.len() <= 2 => {
                let width = args.first().and_then(Value::as_usize).unwrap_or(0);
                let missing = width.saturating_sub(text.chars().count());
                // Paid for before it is made.
                state.consume_fuel(missing as u64 / 16)?;
                let fill = text_arg(1).unwrap_or(" ").chars().next().unwrap_or(' ').to_string().repeat(missing);
                return Ok(Value::from(if name == "ljust" {
                    format!("{text}{fill}")
                } else {
                    format!("{fill}{text}")
                }));
            }
            // minijinja-contrib pads before it asks for fuel.
            "format" if wide_field(text) => {
                return Err(Error::new(ErrorKind::OutOfFuel, "a format field is too wide"));
            }
            // Python's white space has four characters more than Unicode's.
            "strip" | "lstrip" | "rstrip" if args.is_empty() => {
                let space = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
                let text = if name == "rstrip" { text } else { text.trim_start_matches(space) };
                return Ok(Value::from(if name == "lstrip" { text } else { text.trim_end_matches(space) }));
            }
            _ => {}
        }
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

/// Whether a `str.format` pattern asks for a width of five digits or one that is computed.
fn wide_field(pattern: &str) -> bool {
    let digits = pattern.as_bytes().windows(5).any(|window| window.iter().all(u8::is_ascii_digit));
    digits || pattern.split(':').skip(1).any(|spec| spec.split('}').next().is_some_and(|spec| spec.contains('{')))
}
