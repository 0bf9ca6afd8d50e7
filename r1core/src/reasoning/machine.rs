//! The machine.

use std::ops::Range;
use std::sync::Arc;

use super::matcher::{Held, classify};
use super::symbols::{Meaning, Symbol, Tag, Tags, of_token};
use super::{Counters, ThinkTags};

/// Which stream bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// What the model thinks.
    Thought,
    /// What it says.
    Answer,
}

/// Where a sequence is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before any thought; text is answer.
    Outside,
    /// Inside a thought.
    Thinking,
    /// After a thought; text is answer.
    Closed,
    /// The sequence is over. Only a [`ThinkHandle`](super::ThinkHandle) shows it.
    Ended,
}

impl Phase {
    const ALL: [Phase; 4] = [Phase::Outside, Phase::Thinking, Phase::Closed, Phase::Ended];

    /// Its place in a byte, for [`from_code`](Self::from_code).
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    pub(super) fn from_code(code: u8) -> Phase {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Phase::Ended)
    }
}

/// Where a sequence begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialPhase<'a> {
    /// The prompt has opened a thought.
    Open,
    /// The prompt has not.
    Closed,
    /// To be seen from the generation prompt: the text that the template appended for the model to continue. Never pass
    /// the whole prompt: it holds what users typed.
    Auto(&'a str),
}

/// Why the latest thought ended.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// None has ended.
    #[default]
    None,
    /// The model closed it.
    Natural,
    /// A token budget was used up.
    Budget,
    /// A deadline came.
    Deadline,
    /// The host asked for the answer.
    Interrupt,
    /// The thought went in circles.
    Loop,
    /// The model ended the whole reply inside the thought.
    Eos,
    /// The rest of the allowed tokens was kept for the answer.
    Length,
    /// The model began a tool call inside the thought.
    Tool,
    /// A text or a line came that the host waits for ([`Sign`](super::Sign)).
    Pattern,
    /// The thought came to the same answer often enough.
    Settled,
}

impl CloseReason {
    /// The name that streams of events use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Natural => "natural",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
            Self::Interrupt => "interrupt",
            Self::Loop => "loop",
            Self::Eos => "eos",
            Self::Length => "length",
            Self::Tool => "tool",
            Self::Pattern => "pattern",
            Self::Settled => "settled",
        }
    }
}

/// The bytes that one call released, in order, as (channel, bytes). Borrowed from the machine: nothing is allocated per
/// token. A channel's bytes may end inside a UTF-8 sequence.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, (Channel, Range<usize>)>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (Channel, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (channel, range) = self.spans.next()?;
        Some((*channel, self.bytes.get(range.clone()).unwrap_or_default()))
    }
}

/// How a token came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Sampled,
    Forced(CloseReason),
}

/// Splits the tokens of one sequence into thoughts and answer. See the [module](super) for its rules.
///
/// ```
/// use r1core::reasoning::{Channel, InitialPhase, ReasoningMachine, ThinkTags};
/// let tags = ThinkTags::from_text("<think>", "</think>");
/// let mut machine = ReasoningMachine::new(Some(tags), InitialPhase::Auto("<｜Assistant｜><think>\n"));
/// let pieces: Vec<_> = machine.accept(9, b"2+2=4</think>\n\n4").map(|(c, b)| (c, b.to_vec())).collect();
/// assert_eq!(pieces, [(Channel::Thought, b"2+2=4".to_vec()), (Channel::Answer, b"4".to_vec())]);
/// ```
#[derive(Debug, Clone)]
pub struct ReasoningMachine {
    tags: Option<Arc<Tags>>,
    initial: Phase,
    phase: Phase,
    /// Nothing but newlines has come since the phase began.
    fresh: bool,
    /// The thought was closed by force: the close tag that the model itself may still write is no text.
    stray: bool,
    /// Everything from here on is answer.
    sealed: bool,
    /// What may still become a tag.
    held: Vec<Symbol>,
    /// Offsets in `held` where tokens begin, ascending.
    starts: Vec<(usize, Origin)>,
    counters: Counters,
    close_reason: CloseReason,
    blocks: u32,
    out: Vec<u8>,
    spans: Vec<(Channel, Range<usize>)>,
}

impl ReasoningMachine {
    /// A machine for one sequence. Without tags everything is answer.
    pub fn new(tags: Option<ThinkTags>, initial: InitialPhase<'_>) -> Self {
        let initial = match (&tags, initial) {
            (None, _) | (Some(_), InitialPhase::Closed) => Phase::Outside,
            (Some(_), InitialPhase::Open) => Phase::Thinking,
            (Some(tags), InitialPhase::Auto(tail)) if tags.left_open(tail) => Phase::Thinking,
            (Some(tags), InitialPhase::Auto(tail)) if tags.left_closed(tail) => Phase::Closed,
            (Some(_), InitialPhase::Auto(_)) => Phase::Outside,
        };
        let mut machine = Self {
            tags: tags.as_ref().map(Tags::new).map(Arc::new),
            initial,
            phase: initial,
            fresh: true,
            stray: false,
            sealed: false,
            held: Vec::new(),
            starts: Vec::new(),
            counters: Counters::default(),
            close_reason: CloseReason::None,
            blocks: 0,
            out: Vec::new(),
            spans: Vec::new(),
        };
        machine.reset();
        machine
    }

    /// Back to the beginning, including a thought that the prompt had opened.
    pub fn reset(&mut self) {
        self.phase = self.initial;
        self.fresh = true;
        self.stray = false;
        self.sealed = false;
        self.held.clear();
        self.starts.clear();
        self.counters = Counters::default();
        self.close_reason = CloseReason::None;
        self.blocks = u32::from(self.initial == Phase::Thinking);
    }

    /// Takes a sampled token and its bytes and returns what can be streamed now. The bytes of a token that the tags name
    /// are not looked at.
    pub fn accept(&mut self, id: u32, bytes: &[u8]) -> Pieces<'_> {
        self.take(id, bytes, Origin::Sampled)
    }

    /// Takes a token that was forced rather than sampled; `reason` is recorded if it closes the thought.
    pub fn accept_forced(&mut self, id: u32, bytes: &[u8], reason: CloseReason) -> Pieces<'_> {
        self.take(id, bytes, Origin::Forced(reason))
    }

    /// Takes a token that ends generation. It has no bytes; inside a thought it is recorded as [`CloseReason::Eos`].
    pub fn accept_eog(&mut self) {
        self.counters.eog += 1;
        self.cut(CloseReason::Eos);
    }

    /// Notes why the sequence ends inside a thought; outside it changes nothing.
    pub fn cut(&mut self, reason: CloseReason) {
        if self.phase == Phase::Thinking {
            self.close_reason = reason;
        }
    }

    /// Whether this token, sampled next, would make the model close its thought. Most tokens are told at a glance.
    pub fn would_close(&self, id: u32, bytes: &[u8]) -> bool {
        self.would_be(Meaning::Close, id, bytes)
    }

    /// Whether this token, sampled next, would complete a tag that ends the thought and has this meaning.
    pub(super) fn would_be(&self, meaning: Meaning, id: u32, bytes: &[u8]) -> bool {
        let Some(tags) = self.tags.as_ref().filter(|_| self.phase == Phase::Thinking) else { return false };
        let completes = |symbol: Symbol| match u8::try_from(symbol) {
            Ok(byte) => bytes.contains(&byte),
            Err(_) => symbol == of_token(id),
        };
        if !tags.of(meaning).filter_map(|tag| tag.symbols.last()).any(|last| completes(*last)) {
            return false;
        }
        let mut ahead = self.clone();
        ahead.close_reason = CloseReason::None;
        ahead.accept(id, bytes);
        ahead.close_reason == if meaning == Meaning::Close { CloseReason::Natural } else { CloseReason::Tool }
    }

    /// Whether this token, sampled next, would end a thought or begin one with a tag that is known by its bytes, and go on
    /// with text, newlines aside.
    pub fn would_cross(&self, id: u32, bytes: &[u8]) -> bool {
        let Some(tags) = self.tags.as_ref().filter(|tags| !self.sealed && !tags.knows(id)) else { return false };
        let completes =
            |tag: &Tag| tag.symbols.last().is_some_and(|last| bytes.iter().any(|b| Symbol::from(*b) == *last));
        if !tags.of(Meaning::Open).chain(tags.of(Meaning::Close)).any(completes) {
            return false;
        }
        let mut ahead = self.clone();
        ahead.close_reason = CloseReason::None;
        ahead.accept(id, bytes);
        ahead.phase != self.phase && ahead.close_reason != CloseReason::Tool && !(ahead.fresh && ahead.held.is_empty())
    }

    /// Takes what may still become a tag for one, without a meaning: it is not text.
    pub(super) fn forget(&mut self) {
        self.count_held_tag();
        self.held.clear();
    }

    /// Makes everything that follows answer, whatever it looks like: no tag is looked for, no newline swallowed. For
    /// answers that a grammar governs. Inside a thought it does nothing.
    pub fn seal(&mut self) {
        if self.phase != Phase::Thinking {
            self.sealed = true;
            self.fresh = false;
        }
    }

    /// Ends the sequence: bytes that waited for the rest of a tag are text after all.
    pub fn finish(&mut self) -> Pieces<'_> {
        self.end();
        self.latest()
    }

    /// As [`finish`](Self::finish), for who reads [`latest`](Self::latest).
    pub(super) fn end(&mut self) {
        self.begin_output();
        self.release_all();
    }

    /// Where the sequence is. Bytes held back belong to the phase before them.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Token counts so far.
    pub fn counters(&self) -> Counters {
        Counters { pending: self.starts.len() as u64, ..self.counters }
    }

    /// Why the latest thought ended.
    pub fn close_reason(&self) -> CloseReason {
        self.close_reason
    }

    /// How many thoughts were opened, a prompt's own included.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Whether something waits because it may still become a tag.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// How many tokens of a prompt come after its last open tag; 0 where it has none. `piece` gives a token's bytes.
    pub fn thought_tokens<'a>(&self, prompt: &[u32], piece: impl Fn(u32) -> &'a [u8]) -> usize {
        self.tags.as_ref().map_or(0, |tags| tags.thought_tokens(prompt, piece))
    }

    /// The tokens that stand for tags or parts of them, ascending.
    pub fn tag_tokens(&self) -> impl Iterator<Item = u32> {
        self.tags.iter().flat_map(|tags| tags.tokens())
    }

    /// The tags it looks for.
    pub(super) fn tags(&self) -> Option<&Tags> {
        self.tags.as_deref()
    }

    /// What may still become a tag; if it begins a close tag, a forced close goes on from there.
    pub(super) fn held(&self) -> &[Symbol] {
        &self.held
    }

    fn take(&mut self, id: u32, bytes: &[u8], origin: Origin) -> Pieces<'_> {
        self.begin_output();
        let begins = self.held.len();
        match &self.tags {
            Some(tags) if tags.knows(id) && !self.sealed => {
                self.starts.push((begins, origin));
                self.push(of_token(id), origin);
            }
            _ if bytes.is_empty() => self.count_text(origin),
            Some(tags) if begins > 0 || !self.sealed && (self.fresh || tags.may_begin_in(bytes)) => {
                self.starts.push((begins, origin));
                for &byte in bytes {
                    self.push(Symbol::from(byte), origin);
                }
            }
            _ => {
                self.fresh = false;
                self.count_text(origin);
                self.out.extend_from_slice(bytes);
                self.spans.push((self.channel(), 0..bytes.len()));
            }
        }
        self.latest()
    }

    /// Reads one symbol.
    fn push(&mut self, symbol: Symbol, origin: Origin) {
        self.held.push(symbol);
        while !self.held.is_empty() {
            match self.classify() {
                Held::Prefix => break,
                Held::Text => self.release(1),
                Held::Tag(meaning) => {
                    self.count_held_tag();
                    self.turn(meaning, origin);
                }
            }
        }
    }

    /// Acts on the held tag.
    fn turn(&mut self, meaning: Meaning, origin: Origin) {
        match meaning {
            Meaning::Open => self.open(),
            Meaning::Close => self.close(origin),
            Meaning::Implicit => {
                self.close(Origin::Forced(CloseReason::Tool));
                self.release_all();
            }
            Meaning::Silent => {}
        }
        self.held.clear();
    }

    /// Compares what is held with the tags that mean something here.
    fn classify(&self) -> Held {
        let Some(tags) = self.tags.as_ref().filter(|_| !self.sealed) else { return Held::Text };
        classify(&self.held, tags.all.iter().filter(|tag| self.means(tag.meaning, tag.by_token)))
    }

    /// Whether tags of a meaning are tags here, and not text.
    pub(super) fn means(&self, meaning: Meaning, by_token: bool) -> bool {
        let thinking = self.phase == Phase::Thinking;
        match meaning {
            Meaning::Open => by_token || !thinking || self.fresh,
            Meaning::Close => by_token || thinking || self.fresh || self.stray,
            Meaning::Implicit => thinking,
            Meaning::Silent => true,
        }
    }

    fn open(&mut self) {
        if self.phase != Phase::Thinking {
            self.phase = Phase::Thinking;
            self.stray = false;
            self.blocks = self.blocks.saturating_add(1);
            self.fresh = true;
        }
    }

    fn close(&mut self, origin: Origin) {
        if self.phase == Phase::Thinking {
            self.phase = Phase::Closed;
            self.fresh = true;
            self.stray = matches!(origin, Origin::Forced(_));
            self.close_reason = match origin {
                Origin::Sampled => CloseReason::Natural,
                Origin::Forced(reason) => reason,
            };
        } else {
            self.stray = false;
        }
    }

    fn release_all(&mut self) {
        self.release(self.held.len());
    }

    /// Lets the first `n` held bytes go as text of the present phase, and counts the tokens that begin among them.
    fn release(&mut self, n: usize) {
        let begun = self.starts.iter().take_while(|(start, _)| *start < n).count();
        for i in 0..begun {
            let (_, origin) = self.starts[i];
            self.count_text(origin);
        }
        self.starts.drain(..begun);
        for (start, _) in &mut self.starts {
            *start -= n;
        }
        let channel = self.channel();
        for i in 0..n {
            let symbol = self.held[i];
            match u8::try_from(symbol) {
                Ok(b'\n' | b'\r') if self.fresh => {}
                Ok(byte) => self.show(channel, &[byte]),
                Err(_) => {
                    // A token of some tag that has come without the rest of it.
                    let tags = self.tags.clone();
                    let text = tags.as_ref().and_then(|tags| tags.text(symbol - 256));
                    self.show(channel, text.unwrap_or_default().as_bytes());
                }
            }
        }
        self.held.drain(..n);
    }

    fn show(&mut self, channel: Channel, bytes: &[u8]) {
        self.fresh = false;
        let at = self.out.len();
        self.out.extend_from_slice(bytes);
        match self.spans.last_mut() {
            Some((last, range)) if *last == channel && range.end == at => range.end = self.out.len(),
            _ => self.spans.push((channel, at..self.out.len())),
        }
    }

    fn channel(&self) -> Channel {
        if self.phase == Phase::Thinking { Channel::Thought } else { Channel::Answer }
    }

    fn count_text(&mut self, origin: Origin) {
        match (origin, self.phase) {
            (Origin::Forced(_), _) => self.counters.forced += 1,
            (Origin::Sampled, Phase::Thinking) => self.counters.reasoning += 1,
            (Origin::Sampled, _) => self.counters.answer += 1,
        }
    }

    /// Counts the tokens that begin in what is held.
    fn count_held_tag(&mut self) {
        for i in 0..self.starts.len() {
            let (_, origin) = self.starts[i];
            self.count_tag(origin);
        }
        self.starts.clear();
    }

    fn count_tag(&mut self, origin: Origin) {
        match origin {
            Origin::Forced(_) => self.counters.forced += 1,
            Origin::Sampled => self.counters.tag += 1,
        }
    }

    fn begin_output(&mut self) {
        self.out.clear();
        self.spans.clear();
    }

    /// What the latest call released.
    pub(super) fn latest(&self) -> Pieces<'_> {
        Pieces { bytes: &self.out, spans: self.spans.iter() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: u32 = 1000;
    const CLOSE: u32 = 1001;

    fn by_bytes() -> Option<ThinkTags> {
        Some(ThinkTags::from_text("<think>", "</think>"))
    }

    fn by_id() -> Option<ThinkTags> {
        let tokens = vec![("<think>".into(), OPEN), ("</think>".into(), CLOSE)];
        Some(ThinkTags { tokens, ..ThinkTags::from_text("<think>", "</think>") })
    }

    /// Feeds texts as tokens (`OPEN` and `CLOSE` by their names) and returns thought and answer.
    fn run(machine: &mut ReasoningMachine, tokens: &[&str]) -> (String, String) {
        let (mut thought, mut answer) = (Vec::new(), Vec::new());
        let mut take = |pieces: Pieces<'_>| {
            for (channel, bytes) in pieces {
                if channel == Channel::Thought { &mut thought } else { &mut answer }.extend_from_slice(bytes);
            }
        };
        for token in tokens {
            match *token {
                "OPEN" => take(machine.accept(OPEN, b"<think>")),
                "CLOSE" => take(machine.accept(CLOSE, b"</think>")),
                text => take(machine.accept(0, text.as_bytes())),
            }
        }
        take(machine.finish());
        let counters = machine.counters();
        assert_eq!(counters.generated(), tokens.len() as u64);
        assert_eq!(counters.pending, 0);
        (String::from_utf8(thought).unwrap(), String::from_utf8(answer).unwrap())
    }

    #[test]
    fn cases() {
        use InitialPhase::{Auto, Closed, Open};
        let bytes = by_bytes;
        let ids = by_id;
        type Row<'a> = (Option<ThinkTags>, InitialPhase<'a>, &'a [&'a str], &'a str, &'a str, CloseReason);
        let rows: &[Row<'_>] = &[
            // Plain.
            (bytes(), Closed, &["<think>a</think>b"], "a", "b", CloseReason::Natural),
            (ids(), Closed, &["OPEN", "\n", "a", "\n", "CLOSE", "\n\n", "b"], "a\n", "b", CloseReason::Natural),
            // A prompt that opened the thought: only the close tag comes.
            (bytes(), Auto("<｜Assistant｜><think>\n"), &["a</think>\n\nb"], "a", "b", CloseReason::Natural),
            (bytes(), Auto("<｜Assistant｜>"), &["a"], "", "a", CloseReason::None),
            (bytes(), Auto("<think>\n\n</think>\n\n"), &["a"], "", "a", CloseReason::None),
            // ... and a model that opens it again.
            (ids(), Open, &["OPEN", "\n", "a", "CLOSE", "b"], "a", "b", CloseReason::Natural),
            (bytes(), Open, &["<think>\na</think>b"], "a", "b", CloseReason::Natural),
            // Tags cut over tokens, and text that only begins like one.
            (bytes(), Closed, &["<", "th", "ink", ">a<", "/", "think", ">b"], "a", "b", CloseReason::Natural),
            (bytes(), Open, &["1 </", "thin", "g> 2", "</think>x"], "1 </thing> 2", "x", CloseReason::Natural),
            (bytes(), Open, &["a<</think>b"], "a<", "b", CloseReason::Natural),
            (bytes(), Open, &["a</</think>b"], "a</", "b", CloseReason::Natural),
            (bytes(), Open, &["a</think"], "a</think", "", CloseReason::None),
            // A second close tag before the answer is swallowed; in the answer's prose it is text.
            (bytes(), Open, &["a</think></think>\n</think>\n\nb"], "a", "b", CloseReason::Natural),
            (bytes(), Open, &["a</think>b </think> c"], "a", "b </think> c", CloseReason::Natural),
            (ids(), Open, &["a", "CLOSE", "CLOSE", "b", "CLOSE", "c"], "a", "bc", CloseReason::Natural),
            // Tags typed out are text where the vocabulary has them as tokens.
            (
                ids(),
                Open,
                &["say </think> or <think>", "CLOSE", "b"],
                "say </think> or <think>",
                "b",
                CloseReason::Natural,
            ),
            // Further blocks.
            (bytes(), Closed, &["<think>a</think>b<think>c</think>d"], "ac", "bd", CloseReason::Natural),
            (ids(), Closed, &["OPEN", "a", "CLOSE", "OPEN", "b", "CLOSE", "c"], "ab", "c", CloseReason::Natural),
            // No close tag at all, no tags at all.
            (bytes(), Open, &["a", "b"], "ab", "", CloseReason::None),
            (None, Open, &["\n<think>a</think>"], "", "\n<think>a</think>", CloseReason::None),
            // An id tag interrupts what could have been another.
            (ids(), Open, &["a</th", "CLOSE", "b"], "a</th", "b", CloseReason::Natural),
            (bytes(), Closed, &["", "\n", "\r\n", "a\n"], "", "a\n", CloseReason::None),
        ];
        for (i, (tags, initial, tokens, thought, answer, reason)) in rows.iter().enumerate() {
            let mut machine = ReasoningMachine::new(tags.clone(), *initial);
            for round in 0..2 {
                let got = run(&mut machine, tokens);
                assert_eq!(got, ((*thought).to_owned(), (*answer).to_owned()), "row {i}, round {round}");
                assert_eq!(machine.close_reason(), *reason, "row {i}");
                machine.reset();
            }
        }
    }

    #[test]
    fn tokens_count_for_the_phase_of_their_first_byte() {
        let mut machine = ReasoningMachine::new(by_bytes(), InitialPhase::Open);
        for (token, expected) in [
            ("ab", (1, 0, 0, 0)),
            ("</", (1, 0, 0, 1)),
            ("thin", (1, 0, 0, 2)),
            ("g", (4, 0, 0, 0)),
            (".</th", (5, 0, 0, 0)),
            ("ink", (5, 0, 0, 1)),
            (">\n\nyes", (5, 2, 0, 0)),
            (" and", (5, 2, 1, 0)),
            ("", (5, 2, 2, 0)),
        ] {
            machine.accept(0, token.as_bytes());
            let c = machine.counters();
            assert_eq!((c.reasoning, c.tag, c.answer, c.pending), expected, "after {token:?}");
        }
        machine.accept_eog();
        assert_eq!((machine.counters().eog, machine.counters().generated()), (1, 10));
    }

    #[test]
    fn forced_tokens_are_counted_apart_and_name_their_reason() {
        let mut machine = ReasoningMachine::new(by_id(), InitialPhase::Open);
        machine.accept(0, b"hm");
        machine.accept_forced(0, b"\nEnough.", CloseReason::Budget);
        machine.accept_forced(CLOSE, b"</think>", CloseReason::Budget);
        machine.accept(0, b"7");
        let c = machine.counters();
        assert_eq!((c.reasoning, c.forced, c.tag, c.answer), (1, 2, 0, 1));
        assert_eq!(
            (machine.close_reason(), machine.phase(), machine.blocks()),
            (CloseReason::Budget, Phase::Closed, 1)
        );
    }

    #[test]
    fn the_end_inside_a_thought_is_recorded() {
        let mut machine = ReasoningMachine::new(by_bytes(), InitialPhase::Open);
        machine.accept_eog();
        assert_eq!(machine.close_reason(), CloseReason::Eos);
        machine.reset();
        assert_eq!((machine.close_reason(), machine.phase()), (CloseReason::None, Phase::Thinking));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_streams(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<think>", "</think>", "<", "/", "think>", "</thi", "nk>", "\n", "a", "é", "[/THINK]", "[/TH", "\r", " ",
            ]), 0..24),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
            open in any::<bool>(),
        ) {
            let text = parts.concat();
            let bytes = text.as_bytes();
            let tags = ThinkTags::from_text("<think>", "</think>").also_closed_by("[/THINK]");
            let initial = if open { InitialPhase::Open } else { InitialPhase::Closed };
            let stream = |cuts: &[usize]| {
                let mut machine = ReasoningMachine::new(Some(tags.clone()), initial);
                let mut out: Vec<(Channel, u8)> = Vec::new();
                let mut from = 0;
                for &cut in cuts.iter().chain([&bytes.len()]) {
                    let pieces = machine.accept(0, &bytes[from..cut]);
                    out.extend(pieces.flat_map(|(channel, bytes)| bytes.iter().map(move |b| (channel, *b))));
                    from = cut;
                }
                out.extend(machine.finish().flat_map(|(channel, bytes)| bytes.iter().map(move |b| (channel, *b))));
                prop_assert_eq!(machine.counters().generated(), cuts.len() as u64 + 1);
                Ok((out, machine.phase(), machine.blocks(), machine.close_reason()))
            };
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let every: Vec<usize> = (0..bytes.len()).collect();
            let whole = stream(&[])?;
            prop_assert_eq!(&stream(&cuts)?, &whole);
            prop_assert_eq!(&stream(&every)?, &whole);
        }
    }
}
