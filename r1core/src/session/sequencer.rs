//! The decisions of one sequence: from the logits after its last token to the next tokens and their events. Knows neither
//! the cache nor the forward pass, so that one sequence and a batch of them share it.

use std::time::Duration;

use super::gate::Gate;
use super::profiles::Profiles;
use super::text::Text;
use super::{Done, Event, Finish, GenerateOptions, Provenance, TokenEvent, Usage};
use crate::model::{Model, Wanted};
use crate::reasoning::{InitialPhase, Phase, Plan, ThinkControl, ThinkHandle, Verdict, Words};
use crate::sampler::{Scores, log_prob, top_logprobs};
use crate::tokenizer::{EncodeOptions, TokenKind, Tokenizer};
use crate::{Error, Result};

/// Decides for one sequence until it has ended.
#[derive(Debug)]
pub(super) struct Sequencer {
    model: Model,
    profiles: Profiles,
    control: ThinkControl,
    gate: Gate,
    text: Text,
    usage: Usage,
    max_tokens: usize,
    context: usize,
    charge_prompt: bool,
    logprobs: Option<usize>,
    /// Whether the token that ends the turn has an event, too. Counts leave it out.
    tells_end: bool,
    ignore_end: bool,
    /// The tokens to run next.
    run: Vec<u32>,
    ended: bool,
}

/// What comes after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// These tokens go through the model, in one pass: one that was sampled, or several that were forced. The next
    /// decision is likely to need no more of their last position than this.
    Run(&'a [u32], Wanted),
    /// The sequence has ended.
    End,
}

impl Sequencer {
    /// A sequence of at most `context` positions. `tail` is the text in which an open thought is looked for.
    pub(super) fn new(model: &Model, context: usize, tail: &str, options: &GenerateOptions) -> Result<Sequencer> {
        let initial = match options.thought_open {
            Some(true) => InitialPhase::Open,
            Some(false) => InitialPhase::Closed,
            None => InitialPhase::Auto(tail),
        };
        let tags = options.tags.clone().or_else(|| model.think_tags());
        let tokenizer = model.tokenizer();
        let words = Words {
            encode: &|text| tokenizer.encode_bytes(text, EncodeOptions::default()),
            ends: if options.ignore_end { &[] } else { tokenizer.ends_of_generation() },
            special: &|text| tokenizer.special_id(text),
        };
        let control = ThinkControl::new(tags, initial, &options.think, words)?;
        Ok(Sequencer {
            model: model.clone(),
            profiles: Profiles::new(&options.sampler, options.think.answering.as_ref())?,
            gate: Gate::new(model, &control, options)?,
            control,
            text: Text::new(&options.stop),
            usage: Usage::default(),
            max_tokens: options.max_tokens.unwrap_or(usize::MAX),
            context,
            charge_prompt: options.think.charge_prompt,
            logprobs: options.logprobs,
            tells_end: false,
            ignore_end: options.ignore_end,
            run: Vec::new(),
            ended: false,
        })
    }

    /// The oldest event that has not been taken.
    pub(super) fn pop_event(&mut self) -> Option<Event> {
        self.text.pop()
    }

    /// Whether the sequence has ended; its last events may still wait.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// A handle for other threads.
    pub(super) fn think_handle(&self) -> ThinkHandle {
        self.control.handle()
    }

    /// Notes that the prompt has been read in `time`; `cached` of its tokens came from the cache.
    pub(super) fn prompt_read(&mut self, prompt: &[u32], cached: usize, time: Duration) {
        self.usage = Usage { prompt: prompt.len(), cached, prefill: time, ..self.usage };
        let machine = self.control.machine();
        let piece = |id| self.model.tokenizer().piece(id).unwrap_or_default();
        let charges = self.charge_prompt && machine.phase() == Phase::Thinking;
        let charged = if charges { machine.thought_tokens(prompt, piece) } else { 0 };
        let tokens = self.max_tokens.min(self.context.saturating_sub(prompt.len()));
        self.control.begin(tokens, charged, time);
    }

    /// Chooses the tokens from `position` on, from the logits before it, and queues their events.
    ///
    /// # Errors
    /// `State` where no token is possible; `Argument` for a bias on a token outside the vocabulary; `Limit` and
    /// `Internal` where the grammar cannot be followed; as [`Scores::all`].
    pub(super) fn next(&mut self, scores: &mut dyn Scores, position: usize) -> Result<Next<'_>> {
        if self.gate.is_over() {
            return Ok(self.end(Finish::Stop));
        }
        if self.control.machine().counters().generated() >= self.max_tokens as u64 {
            return Ok(self.end(Finish::Length));
        }
        let full = if position >= self.context { Finish::Context } else { Finish::Length };
        let phase = self.control.machine().phase();
        self.gate.prepare(&self.control)?;
        let id = match self.control.plan() {
            Plan::Sample(steer) => self.profiles.choose(phase, scores, position as u64, self.gate.steer(steer))?,
            Plan::Force => return self.force(scores),
            Plan::Full => return Ok(self.end(full)),
            Plan::Late => return Ok(self.end(Finish::Deadline)),
        };
        let bytes = text_of(self.model.tokenizer(), id);
        let is_end = self.model.tokenizer().is_end_of_generation(id) && !self.ignore_end;
        match self.control.judge(id, bytes, is_end) {
            Verdict::Commit => {}
            Verdict::Force => return self.force(scores),
            Verdict::End => {
                if self.tells_end {
                    note(&mut self.text, self.logprobs, id, scores)?;
                }
                self.control.accept_end();
                return Ok(self.end(Finish::Stop));
            }
        }
        if position >= self.context {
            return Ok(self.end(Finish::Context));
        }
        if self.gate.crosses(&self.control, id, bytes) {
            return if self.control.write_tag() { self.force(scores) } else { Ok(self.end(full)) };
        }
        note(&mut self.text, self.logprobs, id, scores)?;
        self.profiles.accept(id);
        self.gate.accept(&mut self.control, id, bytes)?;
        if self.text.push(self.control.accept(id, bytes)) {
            return Ok(self.end(Finish::Stop));
        }
        self.run.clear();
        self.run.push(id);
        Ok(self.run())
    }

    /// The tokens in `run`, and what the next decision needs of them.
    fn run(&self) -> Next<'_> {
        let phase = self.control.machine().phase();
        let looks = self.logprobs.is_some() || self.gate.is_shut() || self.control.may_raise();
        let wanted = if self.profiles.is_greedy(phase) && !looks { Wanted::Best } else { Wanted::Last };
        Next::Run(&self.run, wanted)
    }

    /// The token that [`Sequencer::next`] will most likely choose for `position`, one of those to come, from the logits
    /// before it. Whatever it says, `next` decides. `None` where a rule has a say in it, and at the end of the turn.
    pub(super) fn foresee(&mut self, logits: &[f32], position: usize) -> Option<u32> {
        if self.gate.is_shut() {
            return None;
        }
        let phase = self.control.machine().phase();
        let id = self.profiles.foresee(phase, logits, position as u64)?;
        (self.ignore_end || !self.model.tokenizer().is_end_of_generation(id)).then_some(id)
    }

    /// Makes the token that ends the turn an event like the others.
    pub(super) fn tell_end(&mut self) {
        self.tells_end = true;
    }

    /// Takes the tokens that the controller forces. `scores` are those before the first of them.
    fn force(&mut self, scores: &mut dyn Scores) -> Result<Next<'_>> {
        self.run.clear();
        self.run.extend_from_slice(self.control.forced());
        if self.gate.is_in_tag() {
            self.control.drop_tag(true);
        }
        self.gate.skip();
        for (i, &id) in self.run.iter().enumerate() {
            if let Some(count) = self.logprobs {
                let (logprob, top) = if i == 0 {
                    let logits = scores.all()?;
                    (Some(log_prob(logits, id)), top_logprobs(logits, count))
                } else {
                    (None, Vec::new())
                };
                self.text.queue(Event::Token(TokenEvent { id, logprob, top, provenance: Provenance::Forced }));
            }
            let bytes = text_of(self.model.tokenizer(), id);
            if self.text.push(self.control.accept_forced(id, bytes)) {
                return Ok(self.end(Finish::Stop));
            }
        }
        Ok(self.run())
    }

    /// Ends the sequence: queues what was held back, the counts and the end.
    pub(super) fn end(&mut self, finish: Finish) -> Next<'_> {
        if std::mem::replace(&mut self.ended, true) {
            return Next::End;
        }
        let complete = self.gate.is_complete().map(|complete| complete && !self.text.is_stopped());
        if self.gate.is_in_tag() {
            self.control.drop_tag(false);
        }
        self.text.finish(self.control.finish());
        let counts = self.control.machine().counters();
        let (thinking, answering) = self.control.times();
        self.usage = Usage {
            reasoning: counts.reasoning as usize,
            tag: counts.tag as usize,
            forced: counts.forced as usize,
            answer: counts.answer as usize,
            charged: self.control.charged(),
            decode: thinking + answering,
            thinking,
            answering,
            ..self.usage
        };
        self.text.queue(Event::Usage(self.usage));
        self.text.queue(Event::Done(Done { finish, close: self.control.machine().close_reason(), complete }));
        Next::End
    }

    /// Ends the sequence because of an error, which takes the place of its last events.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.ended = true;
        self.control.finish();
        error
    }
}

/// Tells of a token that the model chose, where log-probabilities are wanted.
fn note(text: &mut Text, logprobs: Option<usize>, id: u32, scores: &mut dyn Scores) -> Result<()> {
    if let Some(count) = logprobs {
        let logits = scores.all()?;
        let (logprob, top) = (Some(log_prob(logits, id)), top_logprobs(logits, count));
        text.queue(Event::Token(TokenEvent { id, logprob, top, provenance: Provenance::Sampled }));
    }
    Ok(())
}

/// The bytes that a token adds to the text. Control tokens have none: tags are known by their tokens.
fn text_of(tokenizer: &Tokenizer, id: u32) -> &[u8] {
    let is_control = tokenizer.kind(id) == Some(TokenKind::Control);
    if is_control { &[] } else { tokenizer.piece(id).unwrap_or_default() }
}
