//! Reads a template before minijinja does, to bound what a hostile one can make it do.
//!
//! minijinja's fuel bounds steps and bytes, but its parser, its code generator and its values recurse: `x+x+x+...` or a
//! list that is put into itself exhausts the stack, and a list that holds itself twice, sixty times over, takes for ever
//! to compare. So this pass
//! * refuses templates that nest too deeply or chain too many operators, and
//! * wraps every list, dictionary and tuple that is written and every value that is stored in a call of
//!   [`BOUND`] or [`STORE`], which measure it.
//!
//! It also maps the `generation` blocks of Hugging Face's dialect, which only mark text for training, to `if true`.
//!
//! Tags, strings, comments and raw blocks are told apart exactly as minijinja does. Line numbers stay.

use crate::{Error, ErrorKind, Result};

/// The function that measures a container.
pub(super) const BOUND: &str = "__r1_bound";
/// The function that measures what a namespace is given.
pub(super) const STORE: &str = "__r1_store";

/// Longest template.
const MAX_SOURCE: usize = 1 << 20;
/// Deepest nesting of blocks, counting `elif` as one. Real templates stay below 20.
const MAX_BLOCKS: usize = 64;
/// Deepest nesting of brackets in one tag.
const MAX_BRACKETS: usize = 32;
/// Most operators that apply to each other in one tag, brackets around them included.
const MAX_CHAIN: u32 = 160;

/// The kind of the token before the one being read, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A value is complete: `[` is a subscript and `(` a call.
    Value,
    /// A value must follow.
    Operator,
    /// `is` or `is not`: a name follows.
    Is,
    /// The name of a test: what may follow is ambiguous.
    Test,
    /// A dot: a name follows, whatever its spelling.
    Dot,
}

struct Bracket {
    kind: u8,
    /// Where a literal begins that must be wrapped.
    literal: Option<usize>,
    comma: bool,
    chain: u32,
}

/// One replacement in the source: (offset, bytes removed, text put there).
type Edit = (usize, usize, &'static str);

struct Scan<'s> {
    source: &'s str,
    at: usize,
    blocks: Vec<&'s str>,
    edits: Vec<Edit>,
}

/// Checks `source` and returns it with its containers bounded.
///
/// # Errors
/// [`ErrorKind::Limit`] and [`ErrorKind::Template`], with the line.
pub(super) fn prepare(source: &str) -> Result<String> {
    if source.len() > MAX_SOURCE {
        let what = format!("chat template: {} bytes, more than the {MAX_SOURCE} that are allowed", source.len());
        return Err(Error::new(ErrorKind::Limit, what));
    }
    // Jinja reads every newline as \n.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.contains("__r1_") {
        return Err(Error::new(ErrorKind::Template, "chat template: names with '__r1_' are reserved"));
    }
    let mut scan = Scan { source: &source, at: 0, blocks: Vec::new(), edits: Vec::new() };
    scan.template()?;
    let mut edits = std::mem::take(&mut scan.edits);
    edits.sort_by_key(|edit| edit.0);
    let mut out = String::with_capacity(source.len() + 16 * edits.len());
    let mut from = 0;
    for (at, removed, text) in edits {
        out.push_str(&source[from..at]);
        out.push_str(text);
        from = at + removed;
    }
    out.push_str(&source[from..]);
    Ok(out)
}

impl<'s> Scan<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn error(&self, kind: ErrorKind, what: impl std::fmt::Display) -> Error {
        let line = 1 + self.source.as_bytes()[..self.at].iter().filter(|b| **b == b'\n').count();
        Error::new(kind, format!("chat template, line {line}: {what}"))
    }

    fn template(&mut self) -> Result<()> {
        while let Some(start) = find_tag(self.rest()) {
            self.at += start;
            let tag = self.rest().as_bytes();
            let open = 2 + usize::from(matches!(tag.get(2), Some(b'-' | b'+')));
            match tag[1] {
                b'#' => {
                    let Some(end) = self.rest()[open..].find("#}") else {
                        return Err(self.error(ErrorKind::Template, "a comment is not closed"));
                    };
                    self.at += open + end + 2;
                }
                b'%' => match keyword_tag(&self.rest()[open..], "raw") {
                    Some(length) => self.raw(open + length)?,
                    None => {
                        self.at += open;
                        self.tag(false)?;
                    }
                },
                _ => {
                    self.at += open;
                    self.tag(true)?;
                }
            }
        }
        Ok(())
    }

    fn raw(&mut self, open: usize) -> Result<()> {
        let rest = self.rest();
        let mut from = open;
        while let Some(found) = rest[from..].find("{%") {
            from += found + 2;
            let sign = usize::from(rest[from..].starts_with(['-', '+']));
            if let Some(length) = keyword_tag(&rest[from + sign..], "endraw") {
                self.at += from + sign + length;
                return Ok(());
            }
        }
        Err(self.error(ErrorKind::Template, "a raw block is not closed"))
    }

    /// The inside of a tag and its end.
    fn tag(&mut self, print: bool) -> Result<()> {
        let outermost = Bracket { kind: 0, literal: None, comma: false, chain: 0 };
        let mut brackets = vec![outermost];
        let mut before = Before::Operator;
        let mut keyword = "";
        let mut first = true;
        let mut keyword_read = false;
        // In `for` and `set`, what stands before `in` or `=` are names that get values.
        let mut target = false;
        let mut dotted_target = false;
        let mut stored = false;
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
            self.at += space;
            let rest = self.rest();
            let Some(&byte) = rest.as_bytes().first() else {
                return Err(
                    self.error(ErrorKind::Template, if print { "'{{' is not closed" } else { "'{%' is not closed" })
                );
            };
            if brackets.len() == 1 {
                let mark = if print { "}}" } else { "%}" };
                let sign = usize::from(matches!(byte, b'-' | b'+'));
                if rest[sign..].starts_with(mark) {
                    if stored {
                        self.edits.push((self.at, 0, ")"));
                    }
                    self.at += sign + mark.len();
                    return Ok(());
                }
            }
            let is_first = std::mem::take(&mut first);
            let after_keyword = std::mem::replace(&mut keyword_read, is_first);
            match byte {
                b'"' | b'\'' => {
                    self.string(byte)?;
                    before = Before::Value;
                }
                b'0'..=b'9' => {
                    self.at += rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                    before = Before::Value;
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                    let word = &rest[..length];
                    if is_first && !print {
                        keyword = word;
                        self.block(word)?;
                        target = matches!(word, "for" | "set");
                        before = Before::Operator;
                    } else if before == Before::Dot {
                        before = Before::Value;
                    } else {
                        before = match word {
                            "in" | "and" | "or" | "if" | "else" | "recursive" => Before::Operator,
                            "not" if before == Before::Is => Before::Is,
                            "not" => Before::Operator,
                            "is" => Before::Is,
                            _ if before == Before::Is => Before::Test,
                            _ => Before::Value,
                        };
                        if matches!(word, "in" | "and" | "or" | "if" | "else" | "not" | "is") {
                            self.link(&mut brackets)?;
                        }
                        if word == "in" {
                            target = false;
                        }
                    }
                    self.at += length;
                }
                b'(' | b'[' | b'{' => {
                    if before == Before::Test && byte != b'(' {
                        return Err(self.error(ErrorKind::Template, "write the argument of a test in round brackets"));
                    }
                    if brackets.len() > MAX_BRACKETS {
                        return Err(self.error(ErrorKind::Limit, "brackets are nested too deeply"));
                    }
                    let parameters = keyword == "call" && after_keyword;
                    let literal = before == Before::Operator && !target && !parameters;
                    if !literal {
                        self.link(&mut brackets)?;
                    }
                    // Round brackets are a tuple only if a comma comes.
                    if literal && byte != b'(' {
                        self.edits.push((self.at, 0, "__r1_bound("));
                    }
                    let literal = literal.then_some(self.at);
                    brackets.push(Bracket { kind: byte, literal, comma: false, chain: 0 });
                    self.at += 1;
                    before = Before::Operator;
                }
                b')' | b']' | b'}' => {
                    let expected = match byte {
                        b')' => b'(',
                        b']' => b'[',
                        _ => b'{',
                    };
                    let closed = if brackets.len() > 1 { brackets.pop() } else { None };
                    let Some(closed) = closed.filter(|bracket| bracket.kind == expected) else {
                        return Err(self.error(ErrorKind::Template, format!("unexpected '{}'", byte as char)));
                    };
                    self.at += 1;
                    if let Some(start) = closed.literal {
                        if byte != b')' {
                            self.edits.push((self.at, 0, ")"));
                        } else if closed.comma {
                            self.edits.push((start, 0, "__r1_bound("));
                            self.edits.push((self.at, 0, ")"));
                        }
                    }
                    before = Before::Value;
                }
                b',' => {
                    if let Some(bracket) = brackets.last_mut() {
                        bracket.comma = true;
                        bracket.chain = 0;
                    }
                    if stored && brackets.len() == 1 {
                        return Err(self.error(ErrorKind::Template, "write round brackets around a tuple"));
                    }
                    self.at += 1;
                    before = Before::Operator;
                }
                b'=' if !rest.starts_with("==") => {
                    self.at += 1;
                    before = Before::Operator;
                    if keyword == "set" && target && brackets.len() == 1 {
                        target = false;
                        stored = true;
                        self.edits.push((self.at, 0, if dotted_target { "__r1_store(" } else { "__r1_bound(" }));
                    }
                }
                _ => {
                    let Some(c) = rest.chars().next() else { return Ok(()) };
                    self.link(&mut brackets)?;
                    dotted_target |= byte == b'.' && target;
                    before = if byte == b'.' { Before::Dot } else { Before::Operator };
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// Counts an operator.
    fn link(&self, brackets: &mut [Bracket]) -> Result<()> {
        if let Some(bracket) = brackets.last_mut() {
            bracket.chain += 1;
        }
        if brackets.iter().map(|bracket| bracket.chain).sum::<u32>() > MAX_CHAIN {
            return Err(self.error(ErrorKind::Limit, "too many operators in one expression"));
        }
        Ok(())
    }

    /// Follows the nesting of blocks. Whether ends match is minijinja's business.
    fn block(&mut self, word: &'s str) -> Result<()> {
        match word {
            "if" | "for" | "macro" | "call" | "filter" | "with" | "set" | "autoescape" | "elif" | "generation" => {
                // A `set` with `=` has no end, so it does not nest; minijinja guards its block form itself.
                if word != "set" {
                    self.blocks.push(word);
                }
                if word == "generation" {
                    self.edits.push((self.at, word.len(), "if true"));
                }
            }
            "endif" | "endgeneration" => {
                while self.blocks.last() == Some(&"elif") {
                    self.blocks.pop();
                }
                self.blocks.pop();
                if word == "endgeneration" {
                    self.edits.push((self.at, word.len(), "endif"));
                }
            }
            "endfor" | "endmacro" | "endcall" | "endfilter" | "endwith" | "endautoescape" => {
                self.blocks.pop();
            }
            _ => {}
        }
        if self.blocks.len() > MAX_BLOCKS {
            return Err(self.error(ErrorKind::Limit, "blocks are nested too deeply"));
        }
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<()> {
        let mut escaped = false;
        let end = self.rest().bytes().skip(1).position(|b| {
            let ends = !escaped && b == quote;
            escaped = !escaped && b == b'\\';
            ends
        });
        match end {
            Some(end) => {
                self.at += end + 2;
                Ok(())
            }
            None => Err(self.error(ErrorKind::Template, "a string is not closed")),
        }
    }
}

fn find_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = bytes.get(from..)?.iter().position(|b| *b == b'{') {
        let at = from + found;
        if matches!(bytes.get(at + 1), Some(b'{' | b'%' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Length of ` keyword %}` at the start of `text`.
fn keyword_tag(text: &str, keyword: &str) -> Option<usize> {
    let space = |c: char| c.is_ascii_whitespace();
    let inner = text.trim_start_matches(space).strip_prefix(keyword)?.trim_start_matches(space);
    let end = inner.strip_prefix(['-', '+']).unwrap_or(inner).strip_prefix("%}")?;
    Some(text.len() - end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_stored_values_are_wrapped() {
        for (source, expected) in [
            ("a [b] {c} (d)", "a [b] {c} (d)"),
            ("{{ x[0] }}{{ f(a, b) }}", "{{ x[0] }}{{ f(a, b) }}"),
            ("{{ [1, {'a': 2}] }}", "{{ __r1_bound([1, __r1_bound({'a': 2})]) }}"),
            ("{{ (a, b)[0] ~ (c) }}", "{{ __r1_bound((a, b))[0] ~ (c) }}"),
            ("{% if x in ['}}'] -%}", "{% if x in __r1_bound(['}}']) -%}"),
            ("{% set x = y -%}", "{% set x =__r1_bound( y )-%}"),
            ("{% set ns.x = [y] %}", "{% set ns.x =__r1_store( __r1_bound([y]) )%}"),
            ("{% set x %}[1]{% endset %}", "{% set x %}[1]{% endset %}"),
            ("{% for (a, b) in (x, y) %}", "{% for (a, b) in __r1_bound((x, y)) %}"),
            ("{% call(a, b) m([a]) %}", "{% call(a, b) m(__r1_bound([a])) %}"),
            ("{% macro m(a, b=[]) %}", "{% macro m(a, b=__r1_bound([])) %}"),
            ("{%- generation %}x{% endgeneration -%}", "{%- if true %}x{% endif -%}"),
            ("{# [ #}{% raw %}{{ [ }}{% endraw %}", "{# [ #}{% raw %}{{ [ }}{% endraw %}"),
            ("{{ x.if[0] }}", "{{ x.if[0] }}"),
        ] {
            assert_eq!(prepare(source).unwrap(), expected);
        }
    }
}
