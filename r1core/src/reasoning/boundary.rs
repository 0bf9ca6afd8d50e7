//! Where a thought can be cut without tearing a character, a word or a sentence.

use super::Boundary;

/// Reads a thought's bytes and knows how its text ends.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// Bytes that the last character still needs.
    needed: u8,
    /// The last character, as far as it has come.
    code: u32,
    /// Characters have come.
    begun: bool,
    /// Line breaks at the end, spaces between them aside.
    newlines: u32,
    /// The text ends with white space.
    space: bool,
    /// The last thing before white space is the end of a sentence, closing quotes and brackets aside.
    sentence: bool,
    /// ... written so that no white space needs to follow.
    wide: bool,
}

impl Ending {
    /// The end of nothing: a new line.
    pub(super) const EMPTY: Ending =
        Ending { needed: 0, code: 0, begun: false, newlines: 2, space: true, sentence: true, wide: false };

    /// Bytes that the last character still needs; 0 where it is whole.
    pub(super) fn needed(&self) -> usize {
        usize::from(self.needed)
    }

    /// Bytes that the last character would need after `bytes`.
    pub(super) fn needed_after(&self, bytes: &[u8]) -> usize {
        let needed = bytes.iter().fold(self.needed, |needed, &byte| match (byte, needed) {
            (0x80..=0xBF, 1..) => needed - 1,
            _ => length(byte) - 1,
        });
        usize::from(needed)
    }

    /// Whether there is any text.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Whether the text ends with a line break, or there is none.
    pub(super) fn at_new_line(&self) -> bool {
        self.newlines > 0
    }

    /// Whether the text can be cut here.
    pub(super) fn at(&self, boundary: Boundary) -> bool {
        self.needed == 0
            && match boundary {
                Boundary::Token => true,
                Boundary::Word => self.space || self.wide,
                Boundary::Sentence => self.newlines > 0 || self.wide || (self.sentence && self.space),
                Boundary::Line => self.newlines > 0,
                Boundary::Paragraph => self.newlines > 1,
            }
    }

    /// Whether the text can be cut here because of what comes next: white space shows that a word or a sentence was whole.
    pub(super) fn at_before(&self, boundary: Boundary, next: &[u8]) -> bool {
        let space = matches!(next.first(), Some(b' ' | b'\t'));
        self.needed == 0
            && space
            && match boundary {
                Boundary::Word => true,
                Boundary::Sentence => self.sentence,
                Boundary::Token | Boundary::Line | Boundary::Paragraph => false,
            }
    }

    /// Takes further bytes of the thought.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.begun = true;
            match (byte, self.needed) {
                (0x80..=0xBF, 1..) => {
                    self.needed -= 1;
                    self.code = self.code << 6 | u32::from(byte & 0x3F);
                }
                _ => {
                    let length = length(byte);
                    self.needed = length - 1;
                    self.code = u32::from(if length == 1 { byte } else { byte & (0x7F >> length) });
                }
            }
            if self.needed == 0 {
                self.character(char::from_u32(self.code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }

    fn character(&mut self, c: char) {
        match c {
            '\n' => (self.newlines, self.space, self.wide) = (self.newlines.saturating_add(1), true, false),
            ' ' | '\t' | '\r' | '\u{3000}' => (self.space, self.wide) = (true, false),
            '.' | '!' | '?' => (self.newlines, self.space, self.sentence, self.wide) = (0, false, true, false),
            '。' | '！' | '？' => (self.newlines, self.space, self.sentence, self.wide) = (0, false, true, true),
            '"' | '\'' | ')' | ']' | '}' | '*' | '”' | '’' | '」' | '』' | '）' if !self.space => {
                self.newlines = 0
            }
            _ => (self.newlines, self.space, self.sentence, self.wide) = (0, false, false, false),
        }
    }
}

/// Length of the character that a byte begins; 1 for a byte that begins none.
fn length(byte: u8) -> u8 {
    match byte {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Boundary::{Line, Paragraph, Sentence, Token, Word};

    #[test]
    fn boundaries_of_texts() {
        let all = [Token, Word, Sentence, Line, Paragraph];
        for (text, expected) in [
            ("", &all[..]),
            ("ab", &[Token]),
            ("ab ", &[Token, Word]),
            ("It is 3.", &[Token]),
            ("It is 3.1", &[Token]),
            ("It is. ", &[Token, Word, Sentence]),
            ("\"Is it?\" ", &[Token, Word, Sentence]),
            ("so (", &[Token]),
            ("He said \"", &[Token]),
            ("是。", &[Token, Word, Sentence]),
            ("a\n", &[Token, Word, Sentence, Line]),
            ("a\n \n", &all),
            ("a\n  b", &[Token]),
        ] {
            let mut ending = Ending::EMPTY;
            ending.push(text.as_bytes());
            let got: Vec<_> = all.into_iter().filter(|b| ending.at(*b)).collect();
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn what_comes_next_ends_words_and_sentences() {
        for (text, next, expected) in [
            ("ab", " c", &[Word][..]),
            ("ab.", " c", &[Word, Sentence]),
            ("3.", "1", &[]),
            ("ab.", "\n", &[]),
            ("ab", "c", &[]),
        ] {
            let mut ending = Ending::EMPTY;
            ending.push(text.as_bytes());
            let got: Vec<_> = [Word, Sentence, Line, Paragraph]
                .into_iter()
                .filter(|b| ending.at_before(*b, next.as_bytes()))
                .collect();
            assert_eq!(got, expected, "{text:?} {next:?}");
        }
    }

    #[test]
    fn characters_are_followed_over_tokens() {
        let mut ending = Ending::EMPTY;
        for (bytes, needed) in
            [(&b"\xF0\x9F"[..], 2), (b"\xA6", 1), (b"\x99", 0), (b"\xE4", 2), (b"\xBD", 1), (b"a", 0), (b"\x80", 0)]
        {
            assert_eq!(ending.needed_after(bytes), needed);
            ending.push(bytes);
            assert_eq!((ending.needed(), ending.at(Token)), (needed, needed == 0));
        }
    }
}
