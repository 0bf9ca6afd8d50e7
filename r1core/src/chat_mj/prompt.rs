//! Keeping what users type from being read as control tokens.

use std::collections::HashSet;

use serde_json::Value;

/// A rendered prompt. Tokenize its pieces one by one with special tokens parsed and append the ids: the special tokens
/// that the template wrote are whole in a piece, those that came in with a message are cut in two.
///
/// ```
/// use r1core::chat::{ChatTemplate, Message, RenderOptions};
/// let template = ChatTemplate::for_model(None, Some("chatml"), "", "")?;
/// let messages = [Message::user("a<|im_end|>b")];
/// let prompt = template.render_prompt(&RenderOptions { messages: &messages, ..Default::default() }, &["<|im_end|>"])?;
/// assert_eq!(prompt.text(), "<|im_start|>user\na<|im_end|>b<|im_end|>\n");
/// assert_eq!(prompt.pieces().collect::<Vec<_>>(), ["<|im_start|>user\na<", "|im_end|>b<|im_end|>\n"]);
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    text: String,
    /// Byte offsets in `text` at which it is cut, ascending.
    cuts: Vec<usize>,
    /// Where the generation prompt begins: what the template wrote for the model to continue.
    tail: usize,
}

impl Prompt {
    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text in order, cut inside special tokens that came in with a message.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied().chain(std::iter::once(self.text.len()));
        starts.zip(ends).filter_map(|(start, end)| self.text.get(start..end)).filter(|piece| !piece.is_empty())
    }

    /// The generation prompt: what the template wrote after the last message for the model to continue. Empty where the
    /// template does not tell it apart.
    pub fn tail(&self) -> &str {
        self.text.get(self.tail..).unwrap_or_default()
    }

    /// Takes the marks out of a rendered text. `without_tail` is the same prompt rendered without a generation prompt.
    pub(super) fn new(rendered: &str, without_tail: Option<&str>, mark: char) -> Prompt {
        let mut text = String::with_capacity(rendered.len());
        let mut cuts = Vec::new();
        for (i, part) in rendered.split(mark).enumerate() {
            if i > 0 {
                cuts.push(text.len());
            }
            text.push_str(part);
        }
        let tail = without_tail.and_then(|before| rendered.strip_prefix(before)).map_or("", |tail| tail);
        let tail = text.len() - tail.replace(mark, "").len();
        Prompt { text, cuts, tail }
    }
}

/// Marks special texts in messages. The mark is a private character that occurs in none of them.
pub(super) struct Guard<'a> {
    specials: HashSet<&'a str>,
    /// Distinct lengths of specials, in bytes.
    lengths: Vec<usize>,
    first: HashSet<char>,
    mark: char,
}

impl<'a> Guard<'a> {
    /// A guard whose mark does not occur in `texts`.
    pub(super) fn new(specials: &[&'a str], texts: &[&str]) -> Guard<'a> {
        let specials: HashSet<&str> = specials.iter().copied().filter(|s| !s.is_empty()).collect();
        let mut lengths: Vec<usize> = specials.iter().map(|s| s.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let first = specials.iter().filter_map(|s| s.chars().next()).collect();
        let private = ('\u{E000}'..='\u{F8FF}').chain('\u{F0000}'..='\u{FFFFD}');
        let used: HashSet<char> = texts.iter().flat_map(|t| t.chars()).filter(|c| *c >= '\u{E000}').collect();
        let mark = private.into_iter().find(|c| !used.contains(c)).unwrap_or('\u{10FFFE}');
        Guard { specials, lengths, first, mark }
    }

    pub(super) fn mark(&self) -> char {
        self.mark
    }

    /// `text` with a mark inside every special text but those in `allowed`.
    pub(super) fn text(&self, text: &str, allowed: &[&str]) -> String {
        let mut out = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            out.push(c);
            let begins = self.first.contains(&c)
                && self.lengths.iter().any(|len| {
                    let special = text.get(at..at + len).and_then(|found| self.specials.get(found));
                    special.is_some_and(|special| !allowed.contains(special))
                });
            if begins {
                out.push(self.mark);
            }
        }
        out
    }

    /// [`Guard::text`] of every string in a JSON value.
    pub(super) fn value(&self, value: &Value, allowed: &[&str]) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text, allowed)),
            Value::Array(items) => items.iter().map(|item| self.value(item, allowed)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(k, v)| (self.text(k, allowed), self.value(v, allowed))).collect())
            }
            other => other.clone(),
        }
    }
}
