//! The decode loop, pulled one event at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::stop::StopFilter;
use super::{Done, Event, Finish, Session, TokenEvent, Usage};
use crate::model::Wanted;
use crate::reasoning::{Channel, InitialPhase, Pieces, ReasoningMachine, ThinkTags};
use crate::sampler::{Sampler, SamplerOptions, top_logprobs};
use crate::tokenizer::{TokenKind, Utf8Stream};
use crate::{ErrorKind, Result};

/// What to generate. `GenerateOptions::default()` samples as the DeepSeek-R1 paper does (temperature 0.6, top-p 0.95)
/// until the model ends its turn or the context is full.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Tokens to generate at most, thought included; `None` goes on until the context is full.
    pub max_tokens: Option<usize>,
    /// The answer ends where one of these texts begins; thoughts are not searched.
    pub stop: Vec<String>,
    /// The tags around thoughts; `None` takes those that the model's vocabulary or chat template has.
    pub tags: Option<ThinkTags>,
    /// Whether the prompt leaves a thought open; `None` tells it from the prompt's end.
    pub thought_open: Option<bool>,
    /// Sends an [`Event::Token`] for every token, with this many of the most probable ones.
    pub logprobs: Option<usize>,
    /// Goes on after the model has ended its turn (for measurements).
    pub ignore_end: bool,
}

/// A running generation: an iterator over [`Event`]s. Dropping it ends the generation; the session keeps what was
/// generated so far. An error ends it, too.
#[derive(Debug)]
pub struct Generation<'a> {
    pub(super) session: &'a mut Session,
    pub(super) state: GenerationState,
}

impl Iterator for Generation<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.state.next_event(self.session)
    }
}

/// A generation without its session, for hosts that keep the two apart (a foreign-language stream, for instance). Use
/// it with the session that it was made from.
#[derive(Debug)]
pub struct GenerationState {
    input: Input,
    sampler: Sampler,
    machine: ReasoningMachine,
    text: Text,
    max_tokens: usize,
    logprobs: Option<usize>,
    ignore_end: bool,
    usage: Usage,
    generated: usize,
    decode_start: Option<Instant>,
    phase: Phase,
}

/// Bytes on their way to events: whole characters, stop texts.
#[derive(Debug)]
struct Text {
    thought: Utf8Stream,
    answer: Utf8Stream,
    stop: StopFilter,
    events: VecDeque<Event>,
}

/// Tokens at a prompt's end among which an opened thought is looked for: the tag and what templates put after it.
const TAIL_TOKENS: usize = 4;

/// What the session's tokens become before the first token is generated.
#[derive(Debug)]
pub(super) enum Input {
    /// These tokens go after those of the session.
    Append(Vec<u32>),
    /// These tokens replace those of the session, which keeps what it already has of them.
    Replace(Vec<u32>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prefill,
    Decode,
    Ended,
}

impl GenerationState {
    /// A generation that first appends `prompt` (which may be empty) to the session's tokens. Nothing is computed before
    /// the first event is asked for.
    ///
    /// # Errors
    /// `State` where neither session nor prompt has a token; `ContextFull` where the prompt does not fit; `Argument`
    /// for options out of range.
    pub fn new(session: &Session, prompt: &[u32], options: &GenerateOptions) -> Result<GenerationState> {
        if prompt.is_empty() {
            session.logits()?;
        }
        session.check_room(session.tokens().len(), prompt.len())?;
        // The host wrote this prompt, so its last tokens are the generation prompt.
        let end = if prompt.is_empty() { session.tokens() } else { prompt };
        let tail = &end[end.len().saturating_sub(TAIL_TOKENS)..];
        let tail = session.model().tokenizer().decode(tail, true);
        GenerationState::with_input(session, Input::Append(prompt.to_vec()), &String::from_utf8_lossy(&tail), options)
    }

    /// As [`GenerationState::new`], with `tail` as the text in which an open thought is looked for.
    pub(super) fn with_input(
        session: &Session,
        input: Input,
        tail: &str,
        options: &GenerateOptions,
    ) -> Result<GenerationState> {
        let initial = match options.thought_open {
            Some(true) => InitialPhase::Open,
            Some(false) => InitialPhase::Closed,
            None => InitialPhase::Auto(tail),
        };
        let tags = options.tags.clone().or_else(|| session.model().think_tags());
        Ok(GenerationState {
            input,
            sampler: Sampler::new(options.sampler.clone())?,
            machine: ReasoningMachine::new(tags, initial),
            text: Text::new(&options.stop),
            max_tokens: options.max_tokens.unwrap_or(usize::MAX),
            logprobs: options.logprobs,
            ignore_end: options.ignore_end,
            usage: Usage::default(),
            generated: 0,
            decode_start: None,
            phase: Phase::Prefill,
        })
    }

    /// The next event, or `None` after [`Event::Done`] and after an error. Computes at most the prompt or one token
    /// before it returns.
    ///
    /// # Errors
    /// `Argument` for a token outside the vocabulary, `OutOfMemory`. Cancelling is not an error: the events of an end
    /// with [`Finish::Cancelled`] follow.
    pub fn next_event(&mut self, session: &mut Session) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.text.events.pop_front() {
                return Some(Ok(event));
            }
            let advanced = match self.phase {
                Phase::Prefill => self.prefill(session).map(|()| None),
                Phase::Decode => self.decode(session),
                Phase::Ended => return None,
            };
            match advanced {
                Ok(None) => {}
                Ok(Some(finish)) => self.finish(finish),
                Err(e) if e.kind() == ErrorKind::Cancelled => self.finish(Finish::Cancelled),
                Err(e) => {
                    self.phase = Phase::Ended;
                    return Some(Err(e));
                }
            }
        }
    }

    /// Reads the prompt.
    fn prefill(&mut self, session: &mut Session) -> Result<()> {
        let start = Instant::now();
        let result = match std::mem::replace(&mut self.input, Input::Append(Vec::new())) {
            Input::Append(tokens) => session.prefill(&tokens),
            Input::Replace(tokens) => session.set_prompt(&tokens).map(|kept| self.usage.cached = kept),
        };
        self.usage.prompt = session.tokens().len();
        self.usage.prefill = start.elapsed();
        self.decode_start = Some(Instant::now());
        self.phase = Phase::Decode;
        result
    }

    /// Chooses the next token, turns it into events and runs it through the model.
    fn decode(&mut self, session: &mut Session) -> Result<Option<Finish>> {
        if self.generated >= self.max_tokens {
            return Ok(Some(Finish::Length));
        }
        session.cancel_token().check()?;
        let position = session.tokens().len();
        let logits = session.logits()?;
        let sampled = self.sampler.sample(logits, position as u64)?;
        if session.model().tokenizer().is_end_of_generation(sampled.id) && !self.ignore_end {
            self.machine.accept_eog();
            return Ok(Some(Finish::Stop));
        }
        if position >= session.context() {
            return Ok(Some(Finish::Context));
        }
        if let Some(count) = self.logprobs {
            let top = top_logprobs(logits, count);
            self.text.events.push_back(Event::Token(TokenEvent { id: sampled.id, logprob: sampled.logprob, top }));
        }
        self.sampler.accept(sampled.id);
        self.generated += 1;
        // Control tokens have no text of their own; tags are known by their ids.
        let tokenizer = session.model().tokenizer();
        let control = tokenizer.kind(sampled.id) == Some(TokenKind::Control);
        let bytes = tokenizer.piece(sampled.id).filter(|_| !control).unwrap_or_default();
        if self.text.push(self.machine.accept(sampled.id, bytes)) {
            return Ok(Some(Finish::Stop));
        }
        session.step(&[sampled.id], Wanted::Last)?;
        Ok(None)
    }

    /// Queues what was held back, the counts and the end.
    fn finish(&mut self, finish: Finish) {
        self.text.finish(self.machine.finish());
        let counts = self.machine.counters();
        self.usage.reasoning = counts.reasoning as usize;
        self.usage.tag = counts.tag as usize;
        self.usage.forced = counts.forced as usize;
        self.usage.answer = counts.answer as usize;
        self.usage.decode = self.decode_start.map_or(Duration::ZERO, |start| start.elapsed());
        self.text.events.push_back(Event::Usage(self.usage));
        self.text.events.push_back(Event::Done(Done { finish, close: self.machine.close_reason() }));
        self.phase = Phase::Ended;
    }
}

impl Text {
    fn new(stops: &[String]) -> Text {
        Text {
            thought: Utf8Stream::new(),
            answer: Utf8Stream::new(),
            stop: StopFilter::new(stops),
            events: VecDeque::new(),
        }
    }

    /// Queues the text of some pieces; true when a stop text was reached.
    fn push(&mut self, pieces: Pieces<'_>) -> bool {
        for (channel, bytes) in pieces {
            match channel {
                Channel::Thought => {
                    let text = self.thought.push(bytes).to_owned();
                    self.queue(Event::Thought, text);
                }
                Channel::Answer => {
                    let (text, stopped) = self.stop.push(self.answer.push(bytes));
                    self.queue(Event::Answer, text);
                    if stopped {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Queues the last pieces and everything held back, unless a stop text has ended the text.
    fn finish(&mut self, pieces: Pieces<'_>) {
        if self.stop.reached() || self.push(pieces) {
            return;
        }
        let thought = self.thought.flush().to_owned();
        self.queue(Event::Thought, thought);
        let (answer, stopped) = self.stop.push(self.answer.flush());
        self.queue(Event::Answer, answer);
        if !stopped {
            let held = self.stop.flush();
            self.queue(Event::Answer, held);
        }
    }

    fn queue(&mut self, event: fn(String) -> Event, text: String) {
        if !text.is_empty() {
            self.events.push_back(event(text));
        }
    }
}
