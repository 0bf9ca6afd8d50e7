//! A rendered prompt that keeps apart what the template wrote and what somebody typed.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::RenderOptions;
use crate::{Error, ErrorKind, Result};

/// A prompt ready for the tokenizer: its pieces are tokenised one by one *with* special tokens, and the ids put together.
///
/// A piece ends inside every special-token text that somebody typed, so that no tokenizer can take it for the token.
/// Where nobody typed any there is one piece, and the ids are those of the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    pieces: Vec<String>,
    tail: String,
}

impl Prompt {
    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(String::as_str)
    }

    /// Adds to the end of the template's own text.
    pub fn append(&mut self, text: &str) {
        self.tail.push_str(text);
        match self.pieces.last_mut() {
            Some(last) => last.push_str(text),
            None => self.pieces.push(text.to_owned()),
        }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    /// What the template added for the model to continue; holds nothing that a user typed. This, not the whole prompt,
    /// tells whether a thought is open already.
    pub fn tail(&self) -> &str {
        &self.tail
    }
}

/// Marks special-token text inside messages with a character that occurs nowhere else, so that after rendering it can
/// be told from the template's own. The mark goes after the first character: trimming, splitting at white space and
/// looking at the ends of a message work as before.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    /// By their first byte, as some vocabularies have thousands.
    specials: HashMap<u8, Vec<&'a str>>,
    mark: char,
    /// Stands in think tags that the template shall not see; they count all the same.
    veil: char,
    keep_thoughts: bool,
}

/// Tags that templates look for in assistant messages.
const THINK_TAGS: [&str; 8] =
    ["<think>", "</think>", "[THINK]", "[/THINK]", "<seed:think>", "</seed:think>", "<|channel>thought", "<channel|>"];

impl<'a> Guard<'a> {
    pub(super) fn new(specials: &[&'a str], template: &str, options: &RenderOptions<'_>) -> Result<Self> {
        // White space and single characters are ordinary text even where a vocabulary has tokens of their own for them.
        let structural = |text: &&&str| text.chars().count() > 1 && !text.chars().all(char::is_whitespace);
        let structural = specials.iter().filter(structural).copied();
        let mut specials: HashMap<u8, Vec<&str>> = HashMap::new();
        for text in structural {
            specials.entry(text.as_bytes()[0]).or_default().push(text);
        }
        // The noncharacters of Unicode, made for private use like this.
        let mut marks = ('\u{fdd0}'..='\u{fdef}').filter(|mark| {
            let absent = |text: &str| !text.contains(*mark);
            absent(template)
                && specials.values().flatten().all(|text| absent(text))
                && options.messages.iter().all(|message| {
                    absent(&message.content) && absent(message.role.as_str()) && map_all(&message.extra, &absent)
                })
                && options.tools.is_none_or(|tools| json_all(tools, &absent))
                && options.variables.is_none_or(|variables| map_all(variables, &absent))
        });
        let (Some(mark), Some(veil)) = (marks.next(), marks.next()) else {
            return Err(Error::new(ErrorKind::Limit, "the messages use every noncharacter of Unicode"));
        };
        Ok(Self { specials, mark, veil, keep_thoughts: options.keep_thoughts })
    }

    fn beginning_like(&self, text: &str) -> impl Iterator<Item = &'a str> {
        let list = text.as_bytes().first().and_then(|byte| self.specials.get(byte));
        list.into_iter().flatten().copied()
    }

    /// Marks every special text, and every beginning of one at the end of the text, which more text could complete.
    pub(super) fn protect(&self, text: &str, keep_think_tags: bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let kept = THINK_TAGS.iter().find(|tag| keep_think_tags && rest.starts_with(**tag));
            if let Some(tag) = kept {
                let first = tag.chars().next().map_or(0, char::len_utf8);
                out.push_str(&tag[..first]);
                if self.keep_thoughts {
                    out.push(self.veil);
                }
                out.push_str(&tag[first..]);
                rest = &rest[tag.len()..];
                continue;
            }
            let width = first.len_utf8();
            out.push(first);
            if self.beginning_like(rest).any(|special| rest.starts_with(special) || special.starts_with(rest)) {
                out.push(self.mark);
            }
            rest = &rest[width..];
        }
        out
    }

    pub(super) fn protect_json(&self, json: &Json) -> Json {
        match json {
            Json::String(text) => Json::String(self.protect(text, false)),
            Json::Array(items) => Json::Array(items.iter().map(|item| self.protect_json(item)).collect()),
            Json::Object(map) => {
                let entry = |(key, value): (&String, &Json)| (self.protect(key, false), self.protect_json(value));
                Json::Object(map.iter().map(entry).collect())
            }
            other => other.clone(),
        }
    }

    /// Takes the marks out of rendered text, cutting where one breaks a special text.
    pub(super) fn prompt(&self, text: &str, tail: &str) -> Prompt {
        let text = text.replace(self.veil, "");
        let plain: String = text.chars().filter(|c| *c != self.mark).collect();
        let mut pieces = Vec::new();
        let (mut start, mut marks) = (0, 0);
        for (at, mark) in text.match_indices(self.mark) {
            let at = at - marks;
            marks += mark.len();
            // The mark follows the first character of what it protects.
            let first = plain[..at].chars().next_back().map_or(0, char::len_utf8);
            let breaks =
                self.beginning_like(&plain[at - first..]).any(|special| plain[at - first..].starts_with(special));
            if breaks && at > start {
                pieces.push(plain[start..at].to_owned());
                start = at;
            }
        }
        if start < plain.len() {
            pieces.push(plain[start..].to_owned());
        }
        Prompt { pieces, tail: tail.replace([self.mark, self.veil], "") }
    }
}

fn json_all(json: &Json, test: &impl Fn(&str) -> bool) -> bool {
    match json {
        Json::String(text) => test(text),
        Json::Array(items) => items.iter().all(|item| json_all(item, test)),
        Json::Object(map) => map_all(map, test),
        _ => true,
    }
}

fn map_all(map: &Map<String, Json>, test: &impl Fn(&str) -> bool) -> bool {
    map.iter().all(|(key, value)| test(key) && json_all(value, test))
}
