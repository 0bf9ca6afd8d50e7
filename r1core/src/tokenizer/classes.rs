//! Character classes of the splitters: letter, number, punctuation, symbol, mark, white space.

use super::unicode_tables::RUNS;
use std::collections::HashMap;
use std::ops::BitOr;
use std::sync::LazyLock;

/// A set of Unicode classes. A character has at most one of the first five and may be white space besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// No class: past the end of the text, a control character or an unassigned code point.
    pub(super) const NONE: Self = Self(0);
    /// `\p{L}`
    pub(super) const LETTER: Self = Self(1);
    /// `\p{N}`
    pub(super) const NUMBER: Self = Self(2);
    /// `\p{P}`
    pub(super) const PUNCTUATION: Self = Self(4);
    /// `\p{S}`
    pub(super) const SYMBOL: Self = Self(8);
    /// `\p{M}`
    pub(super) const MARK: Self = Self(16);
    /// `\s`: the White_Space property.
    pub(super) const SPACE: Self = Self(32);

    /// Whether the two sets share a class.
    #[inline]
    pub(super) fn is(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }
}

impl BitOr for Class {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The class of every code point, in blocks of 256 that are shared when equal.
pub(super) struct Classes {
    ascii: [Class; 128],
    /// Block of each `code >> 8`.
    index: Vec<u16>,
    blocks: Vec<[Class; 256]>,
}

impl Classes {
    /// The one table, expanded on first use.
    pub(super) fn get() -> &'static Self {
        static TABLE: LazyLock<Classes> = LazyLock::new(Classes::expand);
        &TABLE
    }

    /// Class of an ASCII byte; `byte < 128`.
    #[inline]
    pub(super) fn ascii(&self, byte: u8) -> Class {
        self.ascii[usize::from(byte & 0x7F)]
    }

    /// Class of a code point.
    #[inline]
    pub(super) fn of(&self, code: u32) -> Class {
        let block = self.index.get(code as usize >> 8).and_then(|&block| self.blocks.get(usize::from(block)));
        block.map_or(Class::NONE, |block| block[code as usize & 0xFF])
    }

    fn expand() -> Self {
        let mut known = HashMap::new();
        let mut blocks = Vec::new();
        let mut index = Vec::new();
        let mut runs = RUNS.iter().peekable();
        let mut class = Class::NONE;
        for first in (0..0x11_0000u32).step_by(256) {
            let mut block = [0; 256];
            for (code, slot) in (first..).zip(&mut block) {
                if let Some(run) = runs.next_if(|&&run| run >> 8 == code) {
                    class = Class(*run as u8);
                }
                *slot = class.0;
            }
            let number = *known.entry(block).or_insert_with(|| {
                blocks.push(block.map(Class));
                blocks.len() as u16 - 1
            });
            index.push(number);
        }
        let mut ascii = [Class::NONE; 128];
        ascii.copy_from_slice(&blocks[usize::from(index[0])][..128]);
        Self { ascii, index, blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_have_their_unicode_classes() {
        let classes = Classes::get();
        for (character, class) in [
            ('a', Class::LETTER),
            ('é', Class::LETTER),
            ('世', Class::LETTER),
            ('\u{10FFFF}', Class::NONE),
            ('½', Class::NUMBER),
            ('٣', Class::NUMBER),
            ('！', Class::PUNCTUATION),
            ('_', Class::PUNCTUATION),
            ('€', Class::SYMBOL),
            ('🦙', Class::SYMBOL),
            ('\u{301}', Class::MARK),
            ('\u{3000}', Class::SPACE),
            ('\u{85}', Class::SPACE),
            ('\u{B}', Class::SPACE),
            ('\u{200B}', Class::NONE),
            ('\0', Class::NONE),
            // Assigned in Unicode 16.
            ('\u{1C89}', Class::NONE),
        ] {
            assert_eq!(classes.of(character as u32), class, "{character:?}");
        }
        assert_eq!(classes.of(u32::MAX), Class::NONE);
    }

    #[test]
    fn ascii_shortcut_agrees_with_the_table() {
        let classes = Classes::get();
        for byte in 0..128u8 {
            assert_eq!(classes.ascii(byte), classes.of(u32::from(byte)));
        }
    }
}
