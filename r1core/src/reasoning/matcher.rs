//! Finds tags in a byte stream that may be cut anywhere.

/// What the matcher says about the bytes it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// They are a whole tag: this one of the list.
    Tag(usize),
    /// They begin a tag: wait for more.
    Prefix,
    /// They begin no tag: the first byte is text.
    Text,
}

/// Compares the held bytes with a list of tags. The shortest tag wins where one is the beginning of another.
pub(super) fn classify<'a>(held: &[u8], tags: impl Iterator<Item = Option<&'a [u8]>>) -> Held {
    let mut answer = Held::Text;
    for (index, tag) in tags.enumerate() {
        let Some(tag) = tag.filter(|tag| !tag.is_empty()) else { continue };
        if tag == held {
            return Held::Tag(index);
        }
        if tag.starts_with(held) {
            answer = Held::Prefix;
        }
    }
    answer
}
