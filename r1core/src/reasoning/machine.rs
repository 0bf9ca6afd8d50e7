//! The machine.

use std::ops::Range;

use super::matcher::{Held, classify};
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
    tags: Option<ThinkTags>,
    initial: Phase,
    phase: Phase,
    /// Nothing but newlines has come since the phase began.
    fresh: bool,
    /// Bytes that may still become a tag.
    held: Vec<u8>,
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
            tags,
            initial,
            phase: initial,
            fresh: true,
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
        self.held.clear();
        self.starts.clear();
        self.counters = Counters::default();
        self.close_reason = CloseReason::None;
        self.blocks = u32::from(self.initial == Phase::Thinking);
    }

    /// Takes a sampled token and its bytes and returns what can be streamed now.
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
        if self.phase == Phase::Thinking {
            self.close_reason = CloseReason::Eos;
        }
    }

    /// Ends the sequence: bytes that waited for the rest of a tag are text after all.
    pub fn finish(&mut self) -> Pieces<'_> {
        self.begin_output();
        self.release_all();
        self.output()
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

    /// The tags it looks for.
    pub fn tags(&self) -> Option<&ThinkTags> {
        self.tags.as_ref()
    }

    /// Bytes of a close tag that have come already: a forced close continues from here.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    fn take(&mut self, id: u32, bytes: &[u8], origin: Origin) -> Pieces<'_> {
        self.begin_output();
        let (is_open, is_close) = match &self.tags {
            Some(tags) => (tags.open_id == Some(id), tags.close_id == Some(id)),
            None => (false, false),
        };
        if is_open || is_close {
            // A tag that is one token cannot continue another tag's bytes.
            self.release_all();
            self.count_tag(origin);
            if is_open { self.open() } else { self.close(origin) }
        } else if bytes.is_empty() {
            self.count_text(origin);
        } else {
            self.read(bytes, origin);
        }
        self.output()
    }

    fn read(&mut self, bytes: &[u8], origin: Origin) {
        let mut first = true;
        for &byte in bytes {
            if first {
                self.starts.push((self.held.len(), origin));
                first = false;
            }
            self.held.push(byte);
            loop {
                match self.classify() {
                    _ if self.held.is_empty() => break,
                    Held::Prefix => break,
                    Held::Text => self.release(1),
                    Held::Tag(index) => {
                        for i in 0..self.starts.len() {
                            let (_, origin) = self.starts[i];
                            self.count_tag(origin);
                        }
                        self.starts.clear();
                        self.held.clear();
                        if index == 0 { self.open() } else { self.close(origin) }
                    }
                }
            }
        }
    }

    /// Compares what is held with the tags that mean something here: the open tag first, then the close tags.
    fn classify(&self) -> Held {
        let Some(tags) = &self.tags else { return Held::Text };
        let thinking = self.phase == Phase::Thinking;
        let open_by_bytes = tags.open_id.is_none() && (!thinking || self.fresh);
        let close_by_bytes = thinking || self.fresh;
        let open = std::iter::once(open_by_bytes.then_some(tags.open.as_slice()));
        let close = tags.close.iter().enumerate().map(|(i, tag)| {
            let by_id = i == 0 && tags.close_id.is_some();
            (close_by_bytes && !by_id).then_some(tag.as_slice())
        });
        classify(&self.held, open.chain(close))
    }

    fn open(&mut self) {
        if self.phase != Phase::Thinking {
            self.phase = Phase::Thinking;
            self.blocks = self.blocks.saturating_add(1);
            self.fresh = true;
        }
    }

    fn close(&mut self, origin: Origin) {
        if self.phase == Phase::Thinking {
            self.phase = Phase::Closed;
            self.fresh = true;
            self.close_reason = match origin {
                Origin::Sampled => CloseReason::Natural,
                Origin::Forced(reason) => reason,
            };
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
        let channel = if self.phase == Phase::Thinking { Channel::Thought } else { Channel::Answer };
        for byte in self.held.drain(..n) {
            let newline = matches!(byte, b'\n' | b'\r');
            if self.fresh && newline && self.tags.is_some() {
                continue;
            }
            self.fresh = false;
            let at = self.out.len();
            self.out.push(byte);
            match self.spans.last_mut() {
                Some((last, range)) if *last == channel && range.end == at => range.end = at + 1,
                _ => self.spans.push((channel, at..at + 1)),
            }
        }
    }

    fn count_text(&mut self, origin: Origin) {
        match (origin, self.phase) {
            (Origin::Forced(_), _) => self.counters.forced += 1,
            (Origin::Sampled, Phase::Thinking) => self.counters.reasoning += 1,
            (Origin::Sampled, _) => self.counters.answer += 1,
        }
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

    fn output(&self) -> Pieces<'_> {
        Pieces { bytes: &self.out, spans: self.spans.iter() }
    }
}
