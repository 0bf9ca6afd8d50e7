//! The controller: what may come next in a sequence, and what is forced.

use std::time::Duration;

use super::boundary::Ending;
use super::budget::{Budget, Stand};
use super::clock::Stopwatch;
use super::closing::Closing;
use super::masks::Masks;
use super::repetition::Repetition;
use super::room::Room;
use super::symbols::Meaning;
use super::until::Watch;
use super::{
    Channel, CloseReason, GuardEos, InitialPhase, LoopAction, OnBudget, Phase, Pieces, ReasoningMachine, ThinkHandle,
    ThinkOptions, ThinkTags, ToolInThink,
};
use crate::Result;
use crate::sampler::{Raise, Steer};

/// What a controller has to know of the vocabulary.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    /// The tokens of a text.
    pub encode: &'a dyn Fn(&[u8]) -> Vec<u32>,
    /// Tokens that end a reply; none where they shall be tokens like others.
    pub ends: &'a [u32],
    /// The token of a text that is one token with a meaning of its own.
    pub special: &'a dyn Fn(&str) -> Option<u32>,
}

/// What the next step of a sequence is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plan<'a> {
    /// A token is sampled, in this way, and judged.
    Sample(Steer<'a>),
    /// The tokens of [`ThinkControl::forced`] follow, all of them, and nothing is sampled.
    Force,
    /// The sequence ends: no further token is allowed, or none that would help.
    Full,
    /// The sequence ends: the time is over.
    Late,
}

/// What becomes of a sampled token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It joins the sequence.
    Commit,
    /// It is dropped; the tokens of [`ThinkControl::forced`] take its place.
    Force,
    /// It ends the sequence.
    End,
}

/// Decides for one sequence what is sampled and what is forced. Owns its [`ReasoningMachine`]; knows neither logits nor
/// cache, so that a host with its own loop can use it:
///
/// 1. [`begin`](Self::begin) once the prompt has been read;
/// 2. [`plan`](Self::plan); for [`Plan::Sample`] sample and [`judge`](Self::judge) the token, and
///    [`accept`](Self::accept) it if it is committed; for anything forced, [`accept_forced`](Self::accept_forced) for
///    each token of [`forced`](Self::forced), which may all go through the model in one pass;
/// 3. [`finish`](Self::finish).
///
/// Nothing is allocated for a token, but where tokens are forced or a [minimum](ThinkOptions::minimum) is at work.
#[derive(Debug)]
pub struct ThinkControl {
    options: ThinkOptions,
    machine: ReasoningMachine,
    handle: ThinkHandle,
    closing: Closing,
    budget: Budget,
    room: Room,
    watch: Stopwatch,
    ending: Ending,
    repetition: Repetition,
    until: Watch,
    masks: Masks,
    forced: Vec<u32>,
    /// Why the forced tokens close the thought.
    reason: CloseReason,
    /// Replacements of the model's closing tag that are left.
    extensions: usize,
    /// The host has asked for the answer.
    interrupted: bool,
    /// It has asked in some thought of this reply: no further one may begin.
    answer_wanted: bool,
    /// The turn budget that was seen last.
    turn: Option<usize>,
    /// It was changed in this thought.
    changed: bool,
    /// Tokens for which a close has waited until the present character is whole.
    waited: u8,
    /// The thought was closed by force and nothing was sampled since.
    just_forced: bool,
    /// Phase and tokens of the step that runs through the model.
    running: (Phase, usize),
}

/// The longest character has four bytes: after the first, a close waits for at most so many tokens.
const LONGEST_WAIT: u8 = 3;

impl ThinkControl {
    /// A controller for one sequence. Without tags everything is answer.
    ///
    /// # Errors
    /// As [`ThinkOptions::validate`].
    pub fn new(
        tags: Option<ThinkTags>,
        initial: InitialPhase<'_>,
        options: &ThinkOptions,
        words: Words<'_>,
    ) -> Result<Self> {
        options.validate()?;
        let tools = match &options.tool_in_think {
            ToolInThink::Text => &[][..],
            ToolInThink::ImplicitClose(texts) | ToolInThink::Forbid(texts) => texts,
        };
        let tags = tags.map(|tags| tags.also_closed_before(tools, words.special));
        let machine = ReasoningMachine::new(tags, initial);
        let closing = Closing::new(machine.tags(), options, words.encode);
        let masks = Masks::new(machine.tags(), &options.tool_in_think, words.ends);
        let handle = ThinkHandle::new(options.budget, machine.phase());
        Ok(Self {
            room: Room::new(usize::MAX, options.answer_reserve, &closing),
            watch: Stopwatch::start(options.clock.clone(), Duration::ZERO),
            budget: Budget::new(options),
            repetition: Repetition::new(options.loops.clone()),
            until: Watch::new(&options.until),
            ending: Ending::EMPTY,
            forced: Vec::new(),
            reason: CloseReason::None,
            extensions: options.max_extensions,
            interrupted: false,
            answer_wanted: false,
            turn: options.budget,
            changed: false,
            waited: 0,
            just_forced: false,
            running: (machine.phase(), 0),
            options: options.clone(),
            machine,
            handle,
            closing,
            masks,
        })
    }

    /// Notes that the prompt has been read, `before` after the host asked: at most `tokens` may follow, and `charged`
    /// thought tokens of the prompt count as spent.
    pub fn begin(&mut self, tokens: usize, charged: usize, before: Duration) {
        self.room = Room::new(tokens, self.options.answer_reserve, &self.closing);
        self.budget.charged = charged;
        self.watch = Stopwatch::start(self.options.clock.clone(), before);
    }

    /// Decides on the next step.
    pub fn plan(&mut self) -> Plan<'_> {
        let phase = self.machine.phase();
        let (ran, tokens) = std::mem::replace(&mut self.running, (phase, 1));
        self.watch.lap(ran == Phase::Thinking, tokens);
        if phase != Phase::Thinking {
            self.handle.take_close();
            let late = self.options.deadline_total.is_some_and(|deadline| self.watch.total() >= deadline);
            return if late { Plan::Late } else { Plan::Sample(self.steer_answer()) };
        }
        let stand = self.stand();
        match self.due(stand) {
            Some(CloseReason::Budget) if self.options.on_budget == OnBudget::Truncate => self.cut(CloseReason::Budget),
            Some(CloseReason::Loop) if self.options.loops.action == LoopAction::Stop => self.cut(CloseReason::Loop),
            Some(reason) if !self.waits(reason, stand) => {
                if self.close(reason) {
                    Plan::Force
                } else {
                    self.cut(CloseReason::Length)
                }
            }
            _ => Plan::Sample(self.steer_thought(stand)),
        }
    }

    /// Decides on a sampled token; `is_end` for one that ends the reply.
    pub fn judge(&mut self, id: u32, bytes: &[u8], is_end: bool) -> Verdict {
        if self.machine.phase() != Phase::Thinking {
            return if is_end { Verdict::End } else { Verdict::Commit };
        }
        if is_end && !self.machine.tags().is_some_and(|tags| tags.knows(id)) {
            let guarded = self.options.guard_eos != GuardEos::Allow;
            return if guarded && self.close(CloseReason::Eos) { Verdict::Force } else { Verdict::End };
        }
        let stand = self.stand();
        let replaced = self.cuts_before(bytes, stand) && self.close(CloseReason::Budget)
            || self.closes_early(id, bytes, stand) && self.extend()
            || self.calls(id, bytes) && self.break_line();
        if replaced { Verdict::Force } else { Verdict::Commit }
    }

    /// The tokens with which tags may begin or go on now, several times if several may. A mask that would forbid them
    /// should let them come, and only them while [`in_tag`](Self::in_tag). `open` tells whether a thought may begin,
    /// `stray` whether a close tag may come that closes nothing.
    pub fn next_of_tags(&self, open: bool, stray: bool) -> impl Iterator<Item = u32> {
        let thinking = self.machine.phase() == Phase::Thinking;
        let open = open && (thinking || !self.is_spent());
        let means = move |meaning, length, by_token| {
            let wanted = match meaning {
                Meaning::Open => open,
                // A tag of several tokens may have to come between a thought and its answer: the name of a channel.
                Meaning::Close => thinking || stray || (by_token && length > 1),
                _ => true,
            };
            wanted && self.machine.means(meaning, by_token)
        };
        self.closing.next(self.machine.held(), means)
    }

    /// Whether a tag may have begun.
    pub fn in_tag(&self) -> bool {
        !self.machine.held().is_empty()
    }

    /// Whether this token, sampled next, would end a thought or begin one and go on with text. Where that text has to
    /// keep other rules, [`write_tag`](Self::write_tag) writes the tag alone.
    pub fn crosses(&self, id: u32, bytes: &[u8]) -> bool {
        self.machine.would_cross(id, bytes)
    }

    /// Makes the forced tokens the rest of the tag that may come now, as if the model itself had written it (or those that
    /// keep a thought open, where it comes too early); false where there is none, or no room for it.
    pub fn write_tag(&mut self) -> bool {
        let early = self.extensions > 0 || self.is_below_minimum();
        let thinking = self.machine.phase() == Phase::Thinking;
        if thinking && early && self.extend() {
            return true;
        }
        let held = self.machine.held();
        let rest = if thinking { self.closing.tag(held) } else { self.closing.open_tag(held).unwrap_or_default() };
        if rest.is_empty() || rest.len() > self.room.free(self.machine.counters().generated()) {
            return false;
        }
        self.forced.clear();
        self.forced.extend_from_slice(rest);
        self.reason = CloseReason::Natural;
        true
    }

    /// Leaves a tag that has begun out of the text, unless it is `continued` by the tokens to force. For tags that no mask
    /// would admit as texts.
    pub fn drop_tag(&mut self, continued: bool) {
        if !continued || self.forced != self.closing.tag(self.machine.held()) {
            self.machine.forget();
        }
    }

    /// The answer has begun, and nothing in it shall be a tag.
    pub fn seal(&mut self) {
        self.machine.seal();
    }

    /// Takes a sampled token that was committed and returns what can be streamed now.
    pub fn accept(&mut self, id: u32, bytes: &[u8]) -> Pieces<'_> {
        if self.machine.phase() == Phase::Thinking {
            self.repetition.push(id);
        }
        self.just_forced = false;
        let blocks = self.machine.blocks();
        self.machine.accept(id, bytes);
        self.follow(blocks)
    }

    /// The tokens to force.
    pub fn forced(&self) -> &[u32] {
        &self.forced
    }

    /// Takes one of the forced tokens and returns what can be streamed now.
    pub fn accept_forced(&mut self, id: u32, bytes: &[u8]) -> Pieces<'_> {
        let blocks = self.machine.blocks();
        self.machine.accept_forced(id, bytes, self.reason);
        self.running.1 = self.forced.len();
        self.just_forced = self.machine.phase() != Phase::Thinking;
        self.follow(blocks)
    }

    /// Takes a token that ends the reply.
    pub fn accept_end(&mut self) {
        self.machine.accept_eog();
    }

    /// Ends the sequence: bytes that waited for the rest of a tag are text after all.
    pub fn finish(&mut self) -> Pieces<'_> {
        let (ran, _) = self.running;
        self.watch.lap(ran == Phase::Thinking, 0);
        self.machine.end();
        self.handle.publish(Phase::Ended, self.machine.counters());
        self.machine.latest()
    }

    /// The machine.
    pub fn machine(&self) -> &ReasoningMachine {
        &self.machine
    }

    /// A handle for other threads.
    pub fn handle(&self) -> ThinkHandle {
        self.handle.clone()
    }

    /// Time in thoughts and in the answer, up to the latest plan.
    pub fn times(&self) -> (Duration, Duration) {
        (self.watch.thinking, self.watch.answering)
    }

    /// Thought tokens of the prompt that count as spent.
    pub fn charged(&self) -> usize {
        self.budget.charged
    }

    fn follow(&mut self, blocks: u32) -> Pieces<'_> {
        let counters = self.machine.counters();
        if self.machine.blocks() != blocks {
            self.budget.begin_block(&counters);
            self.ending = Ending::EMPTY;
            self.repetition.clear();
            self.until.clear();
        }
        for (channel, bytes) in self.machine.latest() {
            if channel == Channel::Thought {
                self.ending.push(bytes);
                self.until.push(bytes);
            }
        }
        if self.ending.needed() == 0 {
            self.waited = 0;
        }
        let phase = self.machine.phase();
        if phase != Phase::Thinking {
            (self.interrupted, self.changed) = (false, false);
        }
        self.handle.publish(phase, counters);
        self.machine.latest()
    }

    /// The budget that ends first.
    fn stand(&mut self) -> Option<Stand> {
        let turn = self.handle.budget();
        self.changed |= turn != self.turn;
        self.turn = turn;
        self.budget.stand(turn, &self.machine.counters())
    }

    /// Why the thought should end now, the most urgent reason first.
    fn due(&mut self, stand: Option<Stand>) -> Option<CloseReason> {
        self.interrupted |= self.handle.take_close();
        self.answer_wanted |= self.interrupted;
        let reasons = [
            (self.interrupted, CloseReason::Interrupt),
            (self.is_late(), CloseReason::Deadline),
            (self.is_surplus() || stand.is_some_and(|stand| stand.is_due()), CloseReason::Budget),
            (self.room.is_short(self.machine.counters().generated()), CloseReason::Length),
            (self.repetition.found(), CloseReason::Loop),
        ];
        let urgent = reasons.into_iter().find(|(due, _)| *due).map(|(_, reason)| reason);
        urgent.or_else(|| self.until.found())
    }

    /// Whether a close that is due has a reason to wait for the next token.
    fn waits(&mut self, reason: CloseReason, stand: Option<Stand>) -> bool {
        let left = stand.map_or(usize::MAX, |stand| stand.left());
        if reason == CloseReason::Budget && left > 0 && !self.is_surplus() {
            return !self.ending.at(self.options.boundary);
        }
        // Other limits come without warning, perhaps amid a character.
        let waits = self.ending.needed() > 0 && self.waited < LONGEST_WAIT && (left > 0 || self.changed);
        self.waited += u8::from(waits);
        waits
    }

    /// Whether time presses: the thought's own, or that of the whole reply, of which the answer needs its part.
    fn is_late(&self) -> bool {
        let think = self.options.deadline_think;
        let total = self.options.deadline_total;
        think.is_some_and(|deadline| self.watch.thinking.saturating_add(self.watch.predict(1)) >= deadline)
            || total.is_some_and(|deadline| {
                let answer = self.watch.predict(self.room.closing_tokens()).min(deadline / 4);
                self.watch.total().saturating_add(answer) >= deadline
            })
    }

    /// Whether this thought is one too many.
    fn is_surplus(&self) -> bool {
        let blocks = self.machine.blocks() as usize;
        (!self.options.reopen && blocks > 1) || self.options.max_blocks.is_some_and(|most| blocks > most)
    }

    /// Whether a used-up budget cuts before this token rather than after it.
    fn cuts_before(&self, bytes: &[u8], stand: Option<Stand>) -> bool {
        let Some(stand) = stand.filter(|_| self.options.on_budget == OnBudget::Force) else { return false };
        // A character that could not be finished within the bound is not begun.
        let needed = if self.ending.needed() == 0 { self.ending.needed_after(bytes) } else { 0 };
        let torn = needed > 0 && needed >= stand.left();
        torn || (stand.is_due() && !self.machine.is_holding() && self.ending.at_before(self.options.boundary, bytes))
    }

    /// Whether this token would close the thought before it may be closed.
    fn closes_early(&self, id: u32, bytes: &[u8], stand: Option<Stand>) -> bool {
        let by_bytes = self.machine.tags().is_some_and(|tags| tags.of(Meaning::Close).count() > self.masks.closes());
        let early = self.extensions > 0 || (self.is_below_minimum() && by_bytes);
        early && !stand.is_some_and(|stand| stand.is_due()) && self.machine.would_close(id, bytes)
    }

    /// Whether this token would begin a tool call where none may begin.
    fn calls(&self, id: u32, bytes: &[u8]) -> bool {
        matches!(self.options.tool_in_think, ToolInThink::Forbid(_))
            && self.machine.would_be(Meaning::Implicit, id, bytes)
    }

    fn is_below_minimum(&self) -> bool {
        self.machine.counters().reasoning < self.options.minimum as u64
    }

    /// Ends the sequence inside the thought.
    fn cut(&mut self, reason: CloseReason) -> Plan<'_> {
        self.machine.cut(reason);
        Plan::Full
    }

    /// Makes the forced tokens those that close the thought; false where there is no room for them.
    fn close(&mut self, reason: CloseReason) -> bool {
        let held = self.machine.held();
        let tag = self.closing.tag(held);
        let free = self.room.free(self.machine.counters().generated());
        if tag.is_empty() || tag.len() > free {
            return false;
        }
        let message = self.closing.message(self.ending.at_new_line() && held.is_empty());
        let wanted = reason != CloseReason::Eos && self.ending.begun() && !self.closing.begins_tag(held);
        let fits = (message.len() + tag.len()).saturating_add(self.room.reserve()) <= free;
        self.forced.clear();
        self.forced.extend_from_slice(if wanted && fits { message } else { &[] });
        self.forced.extend_from_slice(tag);
        self.reason = reason;
        true
    }

    /// Makes the forced tokens those that keep the thought open; false where there is no room for them.
    fn extend(&mut self) -> bool {
        let wait = self.closing.wait(self.ending.at_new_line() && self.machine.held().is_empty());
        let needed = (wait.len() + 1).saturating_add(self.room.closing_tokens());
        if wait.is_empty() || needed > self.room.free(self.machine.counters().generated()) {
            return false;
        }
        self.forced.clear();
        self.forced.extend_from_slice(wait);
        self.reason = CloseReason::None;
        self.extensions = self.extensions.saturating_sub(1);
        true
    }

    /// Makes the forced token a line break, which no tool call has in its name.
    fn break_line(&mut self) -> bool {
        let line = self.closing.line();
        if line.is_empty() || line.len() > self.room.free(self.machine.counters().generated()) {
            return false;
        }
        self.forced.clear();
        self.forced.extend_from_slice(line);
        self.reason = CloseReason::None;
        true
    }

    fn steer_thought(&self, stand: Option<Stand>) -> Steer<'_> {
        let stays = self.extensions == 0 && self.is_below_minimum();
        let ends = match self.options.guard_eos {
            GuardEos::Mask => true,
            GuardEos::Redirect => stays,
            GuardEos::Allow => false,
        };
        let ramp = self.options.ramp.as_ref().zip(stand).filter(|_| !stays);
        let raise = ramp.and_then(|(ramp, stand)| {
            let &id = self.closing.tag(self.machine.held()).first()?;
            let strength = ramp.strength * stand.progress(ramp);
            (strength > 0.0).then_some(Raise { id, strength, margin: ramp.margin })
        });
        Steer { forbid: self.masks.thinking(stays, ends), raise, ..self.masks.keep() }
    }

    /// Whether a step that is sampled now may wish for more than to forbid tokens.
    pub(crate) fn may_raise(&self) -> bool {
        self.options.ramp.is_some() && self.machine.phase() == Phase::Thinking
    }

    /// Whether no further thought may begin.
    fn is_spent(&self) -> bool {
        let blocks = self.machine.blocks() as usize;
        let enough = !self.options.reopen || self.options.max_blocks.is_some_and(|most| blocks >= most);
        let spent = self.machine.counters().reasoning as usize + self.budget.charged;
        let spent = self.handle.budget().is_some_and(|budget| spent >= budget);
        blocks > 0 && (enough || spent || self.answer_wanted)
    }

    fn steer_answer(&self) -> Steer<'_> {
        let open = self.is_spent();
        // After a forced close, models tend to repeat the tag or to end at once.
        let ends = self.just_forced && self.options.guard_eos != GuardEos::Allow;
        Steer { forbid: self.masks.answering(open, self.just_forced, ends), ..self.masks.keep() }
    }
}
