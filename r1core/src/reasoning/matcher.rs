//! Finds tags in a stream that may be cut anywhere.

use super::symbols::{Meaning, Symbol, Tag};

/// What the matcher says about the symbols it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// They are a whole tag.
    Tag(Meaning),
    /// They begin a tag: wait for more.
    Prefix,
    /// They begin no tag: the first one is text.
    Text,
}

/// Compares the held symbols with some tags. The shortest tag wins where one is the beginning of another.
pub(super) fn classify<'a>(held: &[Symbol], tags: impl Iterator<Item = &'a Tag>) -> Held {
    let mut answer = Held::Text;
    for tag in tags {
        if tag.symbols == held {
            return Held::Tag(tag.meaning);
        }
        if tag.symbols.starts_with(held) {
            answer = Held::Prefix;
        }
    }
    answer
}
