//! The tokens that close a thought, or keep it open.

use super::ThinkOptions;
use super::symbols::{Meaning, Symbol, Tags};

/// All that may be forced, and all tags, as tokens. Made once for a sequence.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    /// What is written to close a thought, then the other close tags, which are only ever continued.
    tags: Vec<Rest>,
    open: Vec<Rest>,
    silent: Vec<Rest>,
    message: Option<Lines>,
    wait: Lines,
    line: Vec<u32>,
}

/// A close tag that may have begun.
#[derive(Debug, Clone)]
struct Rest {
    symbols: Vec<Symbol>,
    /// For each number of symbols that have come: the rest of it.
    tokens: Vec<Vec<u32>>,
}

impl Rest {
    fn new(symbols: &[Symbol], encode: &dyn Fn(&[u8]) -> Vec<u32>) -> Self {
        let rest = |come| Tags::encode(symbols.get(come..).unwrap_or_default(), encode);
        Self { symbols: symbols.to_vec(), tokens: (0..symbols.len().max(1)).map(rest).collect() }
    }

    fn after(&self, held: &[Symbol]) -> Option<&[u32]> {
        self.tokens.get(held.len()).filter(|_| self.symbols.starts_with(held)).map(Vec::as_slice)
    }
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

impl Closing {
    pub(super) fn new(tags: Option<&Tags>, options: &ThinkOptions, encode: &dyn Fn(&[u8]) -> Vec<u32>) -> Self {
        let closing = tags.map_or(&[][..], |tags| &tags.closing);
        let others = tags.into_iter().flat_map(|tags| tags.of(Meaning::Close)).map(|tag| tag.symbols.as_slice());
        let all = |meaning| -> Vec<Rest> {
            let tags = tags.into_iter().flat_map(|tags| tags.of(meaning));
            tags.map(|tag| Rest::new(&tag.symbols, encode)).collect()
        };
        let (open, silent) = (all(Meaning::Open), all(Meaning::Silent));
        let tags = [closing].into_iter().chain(others.filter(|tag| *tag != closing));
        let message = options.message.as_ref().map(|message| Lines::new(message, encode));
        Self {
            tags: tags.map(|tag| Rest::new(tag, encode)).collect(),
            open,
            silent,
            message,
            wait: Lines::new(&options.wait, encode),
            line: encode(b"\n"),
        }
    }

    /// The rest of a close tag when `held` has come; what closes a thought where `held` begins none.
    pub(super) fn tag(&self, held: &[Symbol]) -> &[u32] {
        let begun = self.tags.iter().find_map(|tag| tag.after(held));
        begun.or_else(|| self.tags.first()?.after(&[])).unwrap_or_default()
    }

    /// Whether `held` is a part of a close tag that can be continued.
    pub(super) fn begins_tag(&self, held: &[Symbol]) -> bool {
        !held.is_empty() && self.tags.iter().any(|tag| tag.after(held).is_some())
    }

    /// The rest of an open tag when `held` has come; `None` where `held` begins none.
    pub(super) fn open_tag(&self, held: &[Symbol]) -> Option<&[u32]> {
        self.open.iter().find_map(|tag| tag.after(held))
    }

    /// The next tokens of the tags for which `means` holds (by meaning, by the number of symbols, and whether there is a
    /// token among them), when `held` has come.
    pub(super) fn next(
        &self,
        held: &[Symbol],
        means: impl Fn(Meaning, usize, bool) -> bool,
    ) -> impl Iterator<Item = u32> {
        let lists = [(Meaning::Close, &self.tags), (Meaning::Open, &self.open), (Meaning::Silent, &self.silent)];
        let all = lists.into_iter().flat_map(|(meaning, tags)| tags.iter().map(move |tag| (meaning, tag)));
        all.filter_map(move |(meaning, tag)| {
            let by_token = tag.symbols.iter().any(|symbol| *symbol > 255);
            if means(meaning, tag.symbols.len(), by_token) { tag.after(held)?.first().copied() } else { None }
        })
    }

    /// A line break.
    pub(super) fn line(&self) -> &[u32] {
        &self.line
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
        self.tag(&[]).len() + if with_message { message } else { 0 }
    }
}
