//! Tags in the alphabet of the machine: bytes, and tokens that stand for a part of a tag.

use super::ThinkTags;

/// A byte, or, from 256 on, a token's id and 256.
pub(super) type Symbol = u32;

/// The symbol of a token.
pub(super) fn of_token(id: u32) -> Symbol {
    id.saturating_add(256)
}

/// What a text does where it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Opens a thought.
    Open,
    /// Closes it.
    Close,
    /// Closes it and belongs to the answer.
    Implicit,
    /// Nothing.
    Silent,
}

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) meaning: Meaning,
    pub(super) symbols: Vec<Symbol>,
    /// It has a token in it, so that nobody can have typed it.
    pub(super) by_token: bool,
}

/// All tags of a sequence.
#[derive(Debug, Clone, Default)]
pub(super) struct Tags {
    /// By meaning, in the order in which [`Meaning`] names them.
    pub(super) all: Vec<Tag>,
    /// What is written to close a thought.
    pub(super) closing: Vec<Symbol>,
    /// Tokens that stand for parts of tags, ascending, with their texts.
    tokens: Vec<(u32, String)>,
    /// First bytes of the tags that begin with a byte.
    beginnings: Vec<u8>,
}

impl Tags {
    pub(super) fn new(tags: &ThinkTags) -> Self {
        let mut tokens: Vec<(u32, String)> = tags.tokens.iter().map(|(text, id)| (*id, text.clone())).collect();
        tokens.retain(|(_, text)| !text.is_empty());
        tokens.sort();
        tokens.dedup_by_key(|(id, _)| *id);
        let mut this = Self { tokens, ..Self::default() };
        let lists = [
            (Meaning::Open, &tags.open),
            (Meaning::Close, &tags.close),
            (Meaning::Implicit, &tags.implicit),
            (Meaning::Silent, &tags.silent),
        ];
        for (meaning, texts) in lists {
            for text in texts.iter().filter(|text| !text.is_empty()) {
                let symbols = this.symbols(text);
                let by_token = symbols.iter().any(|symbol| *symbol > 255);
                this.all.push(Tag { meaning, symbols, by_token });
            }
        }
        this.closing = match (&tags.closing, tags.close.first()) {
            (Some(text), _) | (None, Some(text)) => this.symbols(text),
            (None, None) => Vec::new(),
        };
        let first = |tag: &Tag| tag.symbols.first().and_then(|symbol| u8::try_from(*symbol).ok());
        this.beginnings = this.all.iter().filter_map(first).collect();
        this.beginnings.sort_unstable();
        this.beginnings.dedup();
        this
    }

    /// A text in symbols, the longest token first at each place.
    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let (mut symbols, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((&byte, after)) = rest.split_first() {
            let here = self.tokens.iter().filter(|(_, text)| rest.starts_with(text.as_bytes()));
            match here.max_by_key(|(_, text)| text.len()) {
                Some((id, text)) => {
                    symbols.push(of_token(*id));
                    rest = rest.get(text.len()..).unwrap_or_default();
                }
                None => {
                    symbols.push(Symbol::from(byte));
                    rest = after;
                }
            }
        }
        symbols
    }

    /// The text of a token that stands for a part of a tag.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        let at = self.tokens.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.tokens.get(at).map(|(_, text)| text.as_str())
    }

    /// The tokens that stand for parts of tags, ascending.
    pub(super) fn tokens(&self) -> impl Iterator<Item = u32> {
        self.tokens.iter().map(|(id, _)| *id)
    }

    /// Whether a token stands for a part of a tag.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.text(id).is_some()
    }

    /// Whether a tag may begin somewhere in these bytes.
    pub(super) fn may_begin_in(&self, bytes: &[u8]) -> bool {
        bytes.iter().any(|byte| self.beginnings.contains(byte))
    }

    /// The tags of one meaning.
    pub(super) fn of(&self, meaning: Meaning) -> impl Iterator<Item = &Tag> {
        self.all.iter().filter(move |tag| tag.meaning == meaning)
    }

    /// Tags of one meaning that are one token.
    pub(super) fn ids(&self, meaning: Meaning) -> impl Iterator<Item = u32> {
        self.of(meaning).filter_map(|tag| match tag.symbols[..] {
            [symbol] if symbol > 255 => Some(symbol - 256),
            _ => None,
        })
    }

    /// Symbols as tokens.
    pub(super) fn encode(symbols: &[Symbol], encode: &dyn Fn(&[u8]) -> Vec<u32>) -> Vec<u32> {
        let mut tokens = Vec::new();
        for run in symbols.chunk_by(|a, b| *a < 256 && *b < 256) {
            match run {
                [symbol] if *symbol > 255 => tokens.push(symbol - 256),
                bytes => tokens.extend(encode(&bytes.iter().map(|byte| *byte as u8).collect::<Vec<_>>())),
            }
        }
        tokens
    }

    /// How many tokens follow the last open tag of a prompt; 0 where it has none.
    pub(super) fn thought_tokens<'a>(&self, prompt: &[u32], piece: impl Fn(u32) -> &'a [u8]) -> usize {
        let (mut text, mut starts) = (Vec::new(), Vec::new());
        for &id in prompt {
            starts.push(text.len());
            if self.knows(id) {
                text.push(of_token(id));
            } else {
                text.extend(piece(id).iter().map(|byte| Symbol::from(*byte)));
            }
        }
        let end = |tag: &Tag| {
            let length = tag.symbols.len();
            text.windows(length).rposition(|window| window == tag.symbols).map(|at| at + length)
        };
        let end = self.of(Meaning::Open).filter_map(end).max();
        end.map_or(0, |end| starts.iter().filter(|start| **start >= end).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_prompts_thought_are_those_after_its_last_tag() {
        let pieces = [&b"<think>"[..], b"<th", b"ink>\n", b"a", b"b"];
        let by_bytes = ThinkTags::from_text("<think>", "</think>");
        let by_id = ThinkTags { tokens: vec![("<think>".into(), 0)], ..by_bytes.clone() };
        for (prompt, bytes, id) in
            [(&[0, 3, 4][..], 2, 2), (&[3, 1, 2, 3, 4, 3], 3, 0), (&[0, 3, 0, 4], 1, 1), (&[3, 4], 0, 0), (&[], 0, 0)]
        {
            let count = |tags: &ThinkTags| Tags::new(tags).thought_tokens(prompt, |id| pieces[id as usize]);
            assert_eq!((count(&by_bytes), count(&by_id)), (bytes, id), "{prompt:?}");
        }
    }

    #[test]
    fn texts_are_written_in_tokens_where_they_have_them() {
        let tags = ThinkTags { tokens: vec![("<|a|>".into(), 7), ("<|ab|>".into(), 8)], ..Default::default() };
        let tags = Tags::new(&ThinkTags { closing: Some("<|a|>hi<|ab|><|a|>".into()), ..tags });
        let encode = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte) + 1000).collect::<Vec<u32>>();
        assert_eq!(Tags::encode(&tags.closing, &encode), [7, 1000 + 104, 1000 + 105, 8, 7]);
        assert_eq!(Tags::encode(&tags.closing[2..], &encode), [1000 + 105, 8, 7]);
        assert_eq!((tags.text(8), tags.text(9)), (Some("<|ab|>"), None));
    }
}
