//! Which tokens may come: the scripts that thoughts and answers are locked to, and the grammar of the answer.

use std::sync::Arc;

use super::GenerateOptions;
use crate::constraint::{Begun, Parser, ScriptLock, Scripts};
use crate::model::Model;
use crate::reasoning::{Phase, ThinkControl, ToolInThink};
use crate::sampler::{Steer, TokenMask};
use crate::{Error, ErrorKind, Result};

/// Tokens that may come between a thought and an answer that a grammar governs, and belong to neither: line breaks, and
/// marks without a meaning.
const BETWEEN: usize = 16;
const LINE_BREAKS: usize = 2;

/// Reads the phase of one sequence and says which tokens may come next.
#[derive(Debug)]
pub(super) struct Gate {
    thought: Option<Lock>,
    answer: Option<Lock>,
    grammar: Option<Governed>,
    /// The phase of the latest step.
    phase: Phase,
    /// The character that is not finished.
    begun: Begun,
    /// A tag has begun that the rules would not admit as a text: it has to be finished.
    in_tag: bool,
    /// Tokens that stand for tags or parts of them, ascending.
    tags: Vec<u32>,
    /// Ends of the reply; none where they are tokens like others.
    ends: Vec<u32>,
    now: Now,
    mask: TokenMask,
    other: TokenMask,
    keep: Vec<u32>,
}

/// A lock, with the tokens that may come after a finished character.
#[derive(Debug)]
struct Lock {
    lock: Arc<ScriptLock>,
    start: Arc<TokenMask>,
}

/// The grammar of the answer.
#[derive(Debug)]
struct Governed {
    parser: Parser,
    begun: bool,
    /// What may still come before it begins.
    line_breaks: usize,
    between: usize,
    /// All ends of the reply, those that are tokens like others too.
    ends: Vec<u32>,
}

/// Where the mask is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Free,
    /// In the lock of the phase.
    Lock,
    /// In `mask`.
    Own,
}

impl Gate {
    /// The gate for one sequence.
    ///
    /// # Errors
    /// As [`Constraints::parser`](crate::constraint::Constraints::parser); `Argument` where options exclude each other.
    pub(super) fn new(model: &Model, control: &ThinkControl, options: &GenerateOptions) -> Result<Gate> {
        let tags: Vec<u32> = control.machine().tag_tokens().collect();
        let lock = |scripts: &Scripts| {
            let lock = model.script_lock(scripts);
            Lock { start: lock.start(&tags), lock }
        };
        let ends = model.tokenizer().ends_of_generation();
        let grammar = options.grammar.as_ref().map(|grammar| {
            if matches!(options.think.tool_in_think, ToolInThink::ImplicitClose(_)) {
                let what = "a grammar governs the answer, so no tool call can begin it inside a thought";
                return Err(Error::new(ErrorKind::Argument, what).remedy("leave one of grammar and tool_in_think out"));
            }
            let parser = model.parser(grammar)?;
            Ok(Governed { parser, begun: false, line_breaks: LINE_BREAKS, between: BETWEEN, ends: ends.to_vec() })
        });
        let mut gate = Gate {
            thought: options.think.scripts.as_ref().map(lock),
            answer: options.scripts.as_ref().map(lock),
            grammar: grammar.transpose()?,
            phase: control.machine().phase(),
            begun: Begun::default(),
            in_tag: false,
            tags,
            ends: if options.ignore_end { Vec::new() } else { ends.to_vec() },
            now: Now::Free,
            mask: TokenMask::none(0),
            other: TokenMask::none(0),
            keep: Vec::new(),
        };
        if gate.is_shut() {
            gate.mask = TokenMask::none(model.config().vocabulary);
            gate.other = gate.mask.clone();
        }
        Ok(gate)
    }

    /// Whether it has anything to say.
    pub(super) fn is_shut(&self) -> bool {
        self.thought.is_some() || self.answer.is_some() || self.grammar.is_some()
    }

    /// Whether a tag may have begun that is no text.
    pub(super) fn is_in_tag(&self) -> bool {
        self.in_tag
    }

    /// Whether the answer is complete and nothing may follow.
    pub(super) fn is_over(&self) -> bool {
        self.grammar.as_ref().is_some_and(|grammar| grammar.parser.is_over())
    }

    /// Whether the answer satisfies its grammar as it stands; `None` without one.
    pub(super) fn is_complete(&mut self) -> Option<bool> {
        let thinking = self.phase == Phase::Thinking;
        self.grammar.as_mut().map(|grammar| !thinking && grammar.parser.is_accepting().unwrap_or(false))
    }

    /// Finds out which tokens may come.
    ///
    /// # Errors
    /// `State` where none may; as [`Parser::mask`].
    pub(super) fn prepare(&mut self, control: &ThinkControl) -> Result<()> {
        if !self.is_shut() {
            return Ok(());
        }
        let phase = control.machine().phase();
        if phase != self.phase {
            self.phase = phase;
            self.begun = Begun::default();
        }
        self.keep.clear();
        self.in_tag &= control.in_tag();
        if self.in_tag {
            self.mask.clear();
            self.now = Now::Own;
            self.keep.extend(control.next_of_tags(true, true));
        } else if phase != Phase::Thinking && self.grammar.is_some() {
            self.prepare_grammar(control)?;
        } else if self.lock().is_none() {
            self.now = Now::Free;
        } else if self.begun != Begun::default() {
            // The character is finished first; that can be done, or it would not have begun.
            self.now = Now::Own;
            let Self { thought, answer, mask, begun, .. } = self;
            if let Some(lock) = if phase == Phase::Thinking { thought } else { answer } {
                lock.lock.after(*begun, mask);
            }
        } else {
            self.now = Now::Lock;
            self.keep.extend_from_slice(&self.ends);
            self.keep.extend(control.next_of_tags(true, true));
        }
        Ok(())
    }

    fn prepare_grammar(&mut self, control: &ThinkControl) -> Result<()> {
        let Self { grammar, answer, mask, other, keep, begun, ends, tags, .. } = self;
        let Some(grammar) = grammar else { return Ok(()) };
        self.now = Now::Own;
        grammar.parser.mask(mask)?;
        tags.iter().chain(&grammar.ends).for_each(|id| mask.forbid(*id));
        if let Some(Lock { lock, start }) = answer {
            if *begun == Begun::default() {
                mask.intersect(start);
            } else {
                lock.after(*begun, other);
                mask.intersect(other);
            }
        }
        if grammar.parser.is_accepting()? {
            ends.iter().for_each(|id| mask.allow(*id));
        }
        let machine = control.machine();
        let closed = machine.phase() == Phase::Closed;
        if !grammar.begun && grammar.between > 0 {
            // A thought may come first, where none has.
            keep.extend(control.next_of_tags(!closed && machine.blocks() == 0, false));
            if closed && grammar.line_breaks > 0 {
                grammar.parser.newlines().iter().for_each(|id| mask.allow(*id));
            }
        }
        if mask.is_none() && keep.is_empty() {
            return Err(Error::new(ErrorKind::State, "the grammar of the answer leaves nothing that may come")
                .remedy("let scripts and grammar have texts in common, and the vocabulary the bytes for them"));
        }
        Ok(())
    }

    /// A controller's wishes, within what may come.
    pub(super) fn steer<'a>(&'a self, wishes: Steer<'a>) -> Steer<'a> {
        let mask = match self.now {
            Now::Free => return wishes,
            Now::Lock => self.lock().map(|lock| &*lock.start),
            Now::Own => Some(&self.mask),
        };
        Steer { mask, keep: &self.keep, ..wishes }
    }

    /// Whether a sampled token ends a tag and goes on with text, so that the tag has to be written alone.
    pub(super) fn crosses(&self, control: &ThinkControl, id: u32, bytes: &[u8]) -> bool {
        self.is_shut() && control.crosses(id, bytes)
    }

    /// Takes a sampled token, before the controller does.
    ///
    /// # Errors
    /// As [`Parser::accept`].
    pub(super) fn accept(&mut self, control: &mut ThinkControl, id: u32, bytes: &[u8]) -> Result<()> {
        let mask = match self.now {
            Now::Free => return Ok(()),
            Now::Lock => self.lock().map(|lock| &*lock.start),
            Now::Own => Some(&self.mask),
        };
        // What only a tag brought in is no text.
        self.in_tag = mask.is_none_or(|mask| !mask.contains(id));
        if self.in_tag {
            self.count_between();
            return Ok(());
        }
        if let Some(lock) = self.lock() {
            self.begun = lock.lock.read(self.begun, bytes).unwrap_or_default();
        }
        let answers = self.phase != Phase::Thinking;
        let Some(grammar) = self.grammar.as_mut().filter(|_| answers) else { return Ok(()) };
        if !grammar.begun {
            if grammar.parser.newlines().contains(&id) && !grammar.parser.takes(id)? {
                grammar.line_breaks = grammar.line_breaks.saturating_sub(1);
                self.count_between();
                return Ok(());
            }
            grammar.begun = true;
            control.seal();
        }
        grammar.parser.accept(id)
    }

    /// Notes that tokens were forced: they are bound by nothing.
    pub(super) fn skip(&mut self) {
        self.begun = Begun::default();
        self.in_tag = false;
    }

    fn count_between(&mut self) {
        if let Some(grammar) = self.grammar.as_mut().filter(|_| self.phase != Phase::Thinking) {
            grammar.between = grammar.between.saturating_sub(1);
        }
    }

    /// The lock of the phase.
    fn lock(&self) -> Option<&Lock> {
        if self.phase == Phase::Thinking { self.thought.as_ref() } else { self.answer.as_ref() }
    }
}
