//! The tokens that close a thought, or keep it open.

use super::{ThinkOptions, ThinkTags};

/// All that may be forced, as tokens. Made once for a sequence.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    /// For each number of bytes of the close tag that have come: the rest of it.
    tag: Vec<Vec<u32>>,
    /// The tag's text; empty where it is one token, which continues no other.
    text: Vec<u8>,
    message: Option<Lines>,
    wait: Lines,
}

/// A text at the beginning of a line and elsewhere.
#[derive(Debug, Clone)]
struct Lines {
    at_start: Vec<u32>,
    elsewhere: Vec<u32>,
}

impl Lines {
    fn new(text: &str, encode: &dyn Fn(&[u8]) -> Vec<u32>) -> Self {
        Self { at_start: encode(text.as_bytes()), elsewhere: encode(format!("\n{text}").as_bytes()) }
    }

    fn get(&self, at_new_line: bool) -> &[u32] {
        if at_new_line { &self.at_start } else { &self.elsewhere }
    }
}

/// The open tag, where it is known by its bytes.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    text: Vec<u8>,
    /// For each number of its bytes that have come: the rest of it.
    rest: Vec<Vec<u32>>,
}

impl Opening {
    pub(super) fn new(tags: Option<&ThinkTags>, encode: &dyn Fn(&[u8]) -> Vec<u32>) -> Self {
        let text = tags.filter(|tags| tags.open_id.is_none()).map(|tags| tags.open.clone()).unwrap_or_default();
        let rest = (0..text.len()).map(|come| encode(text.get(come..).unwrap_or_default())).collect();
        Self { text, rest }
    }

    /// The rest of the tag when `held` has come; `None` where `held` does not begin it.
    pub(super) fn rest(&self, held: &[u8]) -> Option<&[u32]> {
        let rest = self.rest.get(held.len()).filter(|_| self.text.starts_with(held))?;
        Some(rest.as_slice())
    }
}

impl Closing {
    pub(super) fn new(tags: Option<&ThinkTags>, options: &ThinkOptions, encode: &dyn Fn(&[u8]) -> Vec<u32>) -> Self {
        let close_id = tags.and_then(|tags| tags.close_id);
        let text = tags.and_then(|tags| tags.close.first()).filter(|_| close_id.is_none()).cloned().unwrap_or_default();
        let tag = match close_id {
            Some(id) => vec![vec![id]],
            None => (0..text.len().max(1)).map(|come| encode(text.get(come..).unwrap_or_default())).collect(),
        };
        let message = options.message.as_ref().map(|message| Lines::new(message, encode));
        Self { tag, text, message, wait: Lines::new(&options.wait, encode) }
    }

    /// The rest of the close tag when `held` has come; the whole tag where `held` does not begin it.
    pub(super) fn tag(&self, held: &[u8]) -> &[u32] {
        let come = if self.begins_tag(held) { held.len() } else { 0 };
        self.tag.get(come).map_or(&[], Vec::as_slice)
    }

    /// Whether `held` is a part of the close tag that can be continued.
    pub(super) fn begins_tag(&self, held: &[u8]) -> bool {
        !held.is_empty() && held.len() < self.text.len() && self.text.starts_with(held)
    }

    /// The message; empty where there is none.
    pub(super) fn message(&self, at_new_line: bool) -> &[u32] {
        self.message.as_ref().map_or(&[], |message| message.get(at_new_line))
    }

    /// What keeps a thought open.
    pub(super) fn wait(&self, at_new_line: bool) -> &[u32] {
        self.wait.get(at_new_line)
    }

    /// Tokens that the longest close takes, with and without the message.
    pub(super) fn longest(&self, with_message: bool) -> usize {
        let message = self.message(false).len().max(self.message(true).len());
        self.tag(b"").len() + if with_message { message } else { 0 }
    }
}
