//! A model that says what a script says, and the loop that a host would run around it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::time::Duration;

use r1core::CloseReason;
use r1core::reasoning::{
    Channel, Counters, InitialPhase, Phase, Pieces, Plan, ThinkControl, ThinkOptions, ThinkTags, Verdict, Words,
};

/// One token for each byte, and some of their own.
pub const OPEN: u32 = 256;
pub const CLOSE: u32 = 257;
pub const END: u32 = 258;
pub const WORDS: [&[u8]; 12] =
    [b"</", b"think", b">", b"<", b"</think", b"think>", b"hm", b" so", b".", b"\n", "日".as_bytes(), b"</think>\n"];

pub fn bytes_of(id: u32) -> Vec<u8> {
    match id {
        0..=255 => vec![id as u8],
        OPEN => b"<think>".to_vec(),
        CLOSE => b"</think>".to_vec(),
        END => Vec::new(),
        _ => WORDS[id as usize - 259].to_vec(),
    }
}

pub fn word(text: &str) -> u32 {
    match text {
        "OPEN" => OPEN,
        "CLOSE" => CLOSE,
        "END" => END,
        _ => WORDS.iter().position(|word| *word == text.as_bytes()).map_or_else(
            || {
                assert_eq!(text.len(), 1, "{text:?} is no token");
                u32::from(text.as_bytes()[0])
            },
            |i| 259 + i as u32,
        ),
    }
}

/// The tokens of a text: single bytes.
pub fn encode(text: &[u8]) -> Vec<u32> {
    text.iter().map(|byte| u32::from(*byte)).collect()
}

/// The token of a text that has one of its own.
pub fn special(text: &str) -> Option<u32> {
    [("<think>", OPEN), ("</think>", CLOSE)].into_iter().find(|(tag, _)| *tag == text).map(|(_, id)| id)
}

/// Tokens that belong together: when the first is refused, the model does not say the rest.
pub type Group = Vec<u32>;

pub fn script(tokens: &[&str]) -> Vec<Group> {
    tokens.iter().map(|token| vec![word(token)]).collect()
}

/// What a script consists of when characters are cut over tokens.
pub fn characters(text: &str) -> Vec<Group> {
    text.chars().map(|c| encode(c.to_string().as_bytes())).collect()
}

#[derive(Debug, Clone)]
pub struct Case {
    pub by_id: bool,
    /// The tags are a token and some bytes each: `<think>hm` and `</think> so`.
    pub rows: bool,
    pub open: bool,
    pub options: ThinkOptions,
    /// Tokens that may be generated.
    pub tokens: usize,
    /// What a host does before the plan of this number.
    pub acts: Vec<(usize, Act)>,
}

#[derive(Debug, Clone, Copy)]
pub enum Act {
    Close,
    Budget(Option<usize>),
}

impl Case {
    pub fn new(options: ThinkOptions) -> Case {
        Case { by_id: true, rows: false, open: true, options, tokens: 100_000, acts: Vec::new() }
    }

    pub fn by_bytes(self) -> Case {
        Case { by_id: false, ..self }
    }
}

pub fn budget(budget: usize) -> ThinkOptions {
    ThinkOptions { budget: Some(budget), message: None, ..Default::default() }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub thought: Vec<u8>,
    pub answer: Vec<u8>,
    pub counters: Counters,
    pub close: CloseReason,
    pub phase: Phase,
    /// Thoughts that were opened, and thoughts that were closed.
    pub blocks: (u32, u32),
    /// Tokens of the sequence, and whether they were forced.
    pub tokens: Vec<(u32, bool)>,
    /// What the handle said to each act.
    pub observed: Vec<Phase>,
    /// The sequence was ended by the controller or by an end token.
    pub ended: Option<&'static str>,
}

impl Run {
    pub fn thought(&self) -> &str {
        std::str::from_utf8(&self.thought).unwrap()
    }

    pub fn answer(&self) -> &str {
        std::str::from_utf8(&self.answer).unwrap()
    }

    pub fn forced(&self) -> Vec<u8> {
        self.tokens.iter().filter(|(_, forced)| *forced).flat_map(|(id, _)| bytes_of(*id)).collect()
    }
}

pub fn run(case: &Case, script: &[Group]) -> Run {
    let (open, close) = if case.rows { ("<think>hm", "</think> so") } else { ("<think>", "</think>") };
    let mut tags = ThinkTags::from_text(open, close);
    if case.by_id {
        tags = tags.bound(&special);
    }
    let initial = if case.open { InitialPhase::Open } else { InitialPhase::Closed };
    let words = Words { encode: &encode, ends: &[END], special: &special };
    let mut control = ThinkControl::new(Some(tags), initial, &case.options, words).unwrap();
    control.begin(case.tokens, 0, Duration::ZERO);
    let handle = control.handle();
    let (mut thought, mut answer, mut tokens, mut observed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut ended = None;
    let (mut steps, mut closes) = (0, 0);
    let mut groups = script.iter();
    let mut group: &[u32] = &[];
    while tokens.len() < case.tokens {
        for (_, act) in case.acts.iter().filter(|(at, _)| *at == steps) {
            observed.push(match act {
                Act::Close => handle.close(),
                Act::Budget(budget) => handle.set_budget(*budget),
            });
        }
        steps += 1;
        let mut take = |pieces: Pieces<'_>| {
            for (channel, bytes) in pieces {
                if channel == Channel::Thought { &mut thought } else { &mut answer }.extend_from_slice(bytes);
            }
        };
        let before = control.machine().phase();
        let id = match control.plan() {
            Plan::Force => None,
            Plan::Full => {
                ended = Some("full");
                break;
            }
            Plan::Late => {
                ended = Some("late");
                break;
            }
            Plan::Sample(steer) => {
                let allowed = |id: u32| !steer.forbid.contains(&id);
                let next = loop {
                    match group.split_first() {
                        Some((id, rest)) => {
                            group = rest;
                            if allowed(*id) {
                                break Some(*id);
                            }
                        }
                        None => match groups.next() {
                            Some(next) => group = next,
                            None => break None,
                        },
                    }
                };
                let Some(id) = next else { break };
                Some(id)
            }
        };
        let verdict = id.map_or(Verdict::Force, |id| control.judge(id, &bytes_of(id), id == END));
        match (verdict, id) {
            (Verdict::Commit, Some(id)) => {
                tokens.push((id, false));
                take(control.accept(id, &bytes_of(id)));
            }
            (Verdict::End, _) => {
                control.accept_end();
                ended = Some("end");
                break;
            }
            _ => {
                group = if id.is_some() { &[] } else { group };
                assert!(!control.forced().is_empty());
                for id in control.forced().to_vec() {
                    tokens.push((id, true));
                    take(control.accept_forced(id, &bytes_of(id)));
                }
            }
        }
        closes += u32::from(before == Phase::Thinking && control.machine().phase() != Phase::Thinking);
        assert_eq!(handle.phase(), control.machine().phase());
        assert_eq!(handle.counters(), control.machine().counters());
    }
    for (channel, bytes) in control.finish() {
        if channel == Channel::Thought { &mut thought } else { &mut answer }.extend_from_slice(bytes);
    }
    assert_eq!(handle.phase(), Phase::Ended);
    let machine = control.machine();
    Run {
        thought,
        answer,
        counters: machine.counters(),
        close: machine.close_reason(),
        phase: machine.phase(),
        blocks: (machine.blocks(), closes),
        tokens,
        observed,
        ended,
    }
}

/// Whether bytes are UTF-8 up to a character that has not been finished.
pub fn whole(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}
