//! Which tokens may come: the scripts that thoughts and answers are locked to, and the grammar of the answer.

use std::sync::Arc;

use super::GenerateOptions;
use crate::constraint::{Begun, Parser, ScriptLock};
use crate::model::Model;
use crate::reasoning::{Phase, ThinkControl, ToolInThink};
use crate::sampler::{Steer, TokenMask};
use crate::{Error, ErrorKind, Result};

/// Line breaks that may come between a thought and an answer that a grammar governs; they belong to neither.
const LINE_BREAKS: usize = 2;

/// Reads the phase of one sequence and says which tokens may come next.
#[derive(Debug)]
pub(super) struct Gate {
    thought: Option<Arc<ScriptLock>>,
    answer: Option<Arc<ScriptLock>>,
    grammar: Option<Governed>,
    /// The character that is not finished.
    begun: Begun,
    /// The phase of the latest step.
    phase: Phase,
    /// Ends of the reply; none where they are tokens like others.
    ends: Vec<u32>,
    /// Tokens that are tags.
    tags: Vec<u32>,
    open: Option<u32>,
    now: Now,
    mask: TokenMask,
    other: TokenMask,
    keep: Vec<u32>,
    /// A token that may come only as the beginning of a tag.
    offered: Option<u32>,
}

/// The grammar of the answer.
#[derive(Debug)]
struct Governed {
    parser: Parser,
    begun: bool,
    line_breaks: usize,
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
        let lock = |scripts| model.script_lock(scripts);
        let tokenizer = model.tokenizer();
        let grammar = options.grammar.as_ref().map(|grammar| {
            if options.think.tool_in_think != ToolInThink::Text {
                let what = "a grammar governs the answer, so no tool call can begin it inside a thought";
                return Err(Error::new(ErrorKind::Argument, what).remedy("leave one of grammar and tool_in_think out"));
            }
            let (parser, ends) = (model.parser(grammar)?, tokenizer.ends_of_generation().to_vec());
            Ok(Governed { parser, begun: false, line_breaks: LINE_BREAKS, ends })
        });
        let mut gate = Gate {
            thought: options.think.scripts.as_ref().map(lock),
            answer: options.scripts.as_ref().map(lock),
            grammar: grammar.transpose()?,
            begun: Begun::default(),
            phase: control.machine().phase(),
            ends: if options.ignore_end { Vec::new() } else { tokenizer.ends_of_generation().to_vec() },
            tags: control
                .machine()
                .tags()
                .map_or(Vec::new(), |tags| Vec::from_iter([tags.open_id, tags.close_id].into_iter().flatten())),
            open: control.machine().tags().and_then(|tags| tags.open_id),
            now: Now::Free,
            mask: TokenMask::none(0),
            other: TokenMask::none(0),
            keep: Vec::new(),
            offered: None,
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
        let machine = control.machine();
        if machine.phase() != self.phase {
            self.phase = machine.phase();
            self.begun = Begun::default();
        }
        self.offered = None;
        self.keep.clear();
        if self.phase != Phase::Thinking && self.grammar.is_some() {
            return self.prepare_grammar(control);
        }
        let Some(lock) = self.lock() else {
            self.now = Now::Free;
            return Ok(());
        };
        let between = self.begun == Begun::default();
        if !between {
            // The character is finished first; that can be done, or it would not have begun.
            let lock = lock.clone();
            lock.after(self.begun, &mut self.mask);
            self.now = Now::Own;
            return Ok(());
        }
        let tag = control.next_of_tag().filter(|id| !lock.start().contains(*id));
        self.now = Now::Lock;
        self.keep.extend(self.tags.iter().chain(&self.ends).copied().chain(tag));
        self.offered = tag;
        Ok(())
    }

    fn prepare_grammar(&mut self, control: &ThinkControl) -> Result<()> {
        let lock = self.lock().cloned();
        let Some(grammar) = &mut self.grammar else { return Ok(()) };
        self.now = Now::Own;
        grammar.parser.mask(&mut self.mask)?;
        self.tags.iter().chain(&grammar.ends).for_each(|id| self.mask.forbid(*id));
        if let Some(lock) = lock {
            if self.begun == Begun::default() {
                self.mask.intersect(lock.start());
            } else {
                lock.after(self.begun, &mut self.other);
                self.mask.intersect(&self.other);
            }
        }
        let machine = control.machine();
        if grammar.parser.is_accepting()? {
            self.ends.iter().for_each(|id| self.mask.allow(*id));
        }
        if !grammar.begun && machine.phase() == Phase::Outside && machine.blocks() == 0 {
            self.keep.extend(self.open);
            let tag = control.next_of_tag().filter(|id| !self.mask.contains(*id));
            self.keep.extend(tag);
            self.offered = tag;
        } else if !grammar.begun && machine.phase() == Phase::Closed && grammar.line_breaks > 0 {
            grammar.parser.newlines().iter().for_each(|id| self.mask.allow(*id));
        }
        if self.mask.is_none() && self.keep.is_empty() {
            return Err(Error::new(ErrorKind::State, "the grammar of the answer leaves nothing that may come")
                .remedy("let scripts and grammar have texts in common, and the vocabulary the bytes for them"));
        }
        Ok(())
    }

    /// A controller's wishes, within what may come.
    pub(super) fn steer<'a>(&'a self, wishes: Steer<'a>) -> Steer<'a> {
        let mask = match self.now {
            Now::Free => return wishes,
            Now::Lock => self.lock().map(|lock| lock.start()),
            Now::Own => Some(&self.mask),
        };
        Steer { mask, keep: &self.keep, ..wishes }
    }

    /// Whether a sampled token stands for a tag, which has to be written as a whole and alone.
    pub(super) fn is_tag(&self, control: &ThinkControl, id: u32, bytes: &[u8]) -> bool {
        self.is_shut() && (self.offered == Some(id) || control.crosses(id, bytes))
    }

    /// Takes a sampled token, before the controller does.
    ///
    /// # Errors
    /// As [`Parser::accept`].
    pub(super) fn accept(&mut self, control: &mut ThinkControl, id: u32, bytes: &[u8]) -> Result<()> {
        if !self.is_shut() || self.tags.contains(&id) {
            return Ok(());
        }
        if let Some(lock) = self.lock() {
            self.begun = lock.read(self.begun, bytes).unwrap_or_default();
        }
        let answers = self.phase != Phase::Thinking;
        if let Some(grammar) = self.grammar.as_mut().filter(|_| answers) {
            if !grammar.begun {
                if self.phase == Phase::Closed
                    && grammar.parser.newlines().contains(&id)
                    && !grammar.parser.takes(id)?
                {
                    grammar.line_breaks = grammar.line_breaks.saturating_sub(1);
                    return Ok(());
                }
                grammar.begun = true;
                control.seal();
            }
            grammar.parser.accept(id)?;
        }
        Ok(())
    }

    /// Notes that tokens were forced: they are bound by nothing.
    pub(super) fn skip(&mut self) {
        self.begun = Begun::default();
    }

    /// The lock of the phase.
    fn lock(&self) -> Option<&Arc<ScriptLock>> {
        if self.phase == Phase::Thinking { self.thought.as_ref() } else { self.answer.as_ref() }
    }
}
