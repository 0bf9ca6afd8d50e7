//! Looks at characters and their classes at byte offsets of a text.

use super::super::classes::{Class, Classes};

/// A text with the class table.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    classes: &'static Classes,
}

/// A character at an offset.
#[derive(Clone, Copy)]
pub(super) struct Char {
    /// Code point; [`Char::END`] has one that is no character.
    pub(super) code: u32,
    /// Bytes in UTF-8; 0 at the end.
    pub(super) len: usize,
    pub(super) class: Class,
}

impl Char {
    /// What follows the last character: of no class.
    const END: Self = Self { code: u32::MAX, len: 0, class: Class::NONE };

    #[inline]
    pub(super) fn is(self, class: Class) -> bool {
        self.class.is(class)
    }

    #[inline]
    pub(super) fn is_ascii(self, character: u8) -> bool {
        self.code == u32::from(character)
    }

    #[inline]
    pub(super) fn is_newline(self) -> bool {
        self.is_ascii(b'\n') || self.is_ascii(b'\r')
    }

    #[inline]
    pub(super) fn is_end(self) -> bool {
        self.len == 0
    }

    /// `[^...]` for the classes given: a character of none of them.
    #[inline]
    pub(super) fn is_other(self, than: Class) -> bool {
        !self.is_end() && !self.is(than)
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, classes: &'static Classes) -> Self {
        Self { text, classes }
    }

    /// Another text with the same table.
    pub(super) fn with(&self, text: &'a str) -> Self {
        Self { text, classes: self.classes }
    }

    /// Bytes of the text.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The character at `at`, a character boundary.
    #[inline]
    pub(super) fn at(&self, at: usize) -> Char {
        match self.text.as_bytes().get(at) {
            None => Char::END,
            Some(&byte) if byte < 128 => Char { code: u32::from(byte), len: 1, class: self.classes.ascii(byte) },
            Some(_) => self.wide(at),
        }
    }

    #[inline]
    fn wide(&self, at: usize) -> Char {
        match self.text.get(at..).and_then(|rest| rest.chars().next()) {
            None => Char::END,
            Some(c) => Char { code: c as u32, len: c.len_utf8(), class: self.classes.of(c as u32) },
        }
    }

    /// End of the longest run from `at` of characters for which `pred` holds.
    #[inline]
    pub(super) fn run(&self, mut at: usize, mut pred: impl FnMut(Char) -> bool) -> usize {
        loop {
            let c = self.at(at);
            if c.is_end() || !pred(c) {
                return at;
            }
            at += c.len;
        }
    }

    /// The bytes between two offsets.
    #[inline]
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// `'s|'t|'m|'d|'re|'ve|'ll` at `at`: its end.
    #[inline]
    pub(super) fn contraction(&self, at: usize, any_case: bool) -> Option<usize> {
        let bytes = self.text.as_bytes();
        if bytes.get(at) != Some(&b'\'') {
            return None;
        }
        let letter = |i: usize| {
            let byte = bytes.get(i).copied().unwrap_or_default();
            if any_case { byte.to_ascii_lowercase() } else { byte }
        };
        match (letter(at + 1), letter(at + 2)) {
            (b's' | b't' | b'm' | b'd', _) => Some(at + 2),
            (b'r' | b'v', b'e') | (b'l', b'l') => Some(at + 3),
            _ => None,
        }
    }

    /// `\s+(?!\S)|\s+` at `at`, or with `newlines` `\s*[\r\n]+|\s+(?!\S)|\s+`: its end, `at` when there is no space.
    ///
    /// A run of white space ends after its last newline, if these count; else before its last character, which
    /// leads the next piece; else, when it ends the text or is one character long, at its end.
    #[inline]
    pub(super) fn space(&self, at: usize, newlines: bool) -> usize {
        let mut after_newline = at;
        let mut last = at;
        let mut end = at;
        let next = loop {
            let c = self.at(end);
            if !c.is(Class::SPACE) {
                break c;
            }
            last = end;
            end += c.len;
            if newlines && c.is_newline() {
                after_newline = end;
            }
        };
        if after_newline > at {
            after_newline
        } else if last > at && !next.is_end() {
            last
        } else {
            end
        }
    }
}

/// Cuts the text into matches of `[class]{1,most}` and the gaps between them.
#[inline]
pub(super) fn runs<'a>(
    text: Cursor<'a>,
    mut class: impl FnMut(u32, Class) -> bool,
    most: usize,
    piece: &mut impl FnMut(&'a str),
) {
    let mut start = 0;
    while start < text.len() {
        let gap = text.run(start, |c| !class(c.code, c.class));
        if gap > start {
            piece(text.slice(start, gap));
        }
        let mut left = most;
        let end = text.run(gap, |c| {
            let take = left > 0 && class(c.code, c.class);
            left = left.saturating_sub(1);
            take
        });
        if end > gap {
            piece(text.slice(gap, end));
        }
        start = end;
    }
}
