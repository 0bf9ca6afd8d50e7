//! The decisions of one sequence: from the logits after its last token to the next token and its events. Knows neither
//! the cache nor the forward pass, so that one sequence and a batch of them share it.

use std::time::{Duration, Instant};

use super::text::Text;
use super::{Done, Event, Finish, GenerateOptions, TokenEvent, Usage};
use crate::model::Model;
use crate::reasoning::{InitialPhase, ReasoningMachine};
use crate::sampler::{Sampler, top_logprobs};
use crate::tokenizer::TokenKind;
use crate::{Error, Result};

/// Decides for one sequence until it has ended.
#[derive(Debug)]
pub(super) struct Sequencer {
    model: Model,
    sampler: Sampler,
    machine: ReasoningMachine,
    text: Text,
    usage: Usage,
    generated: usize,
    max_tokens: usize,
    context: usize,
    logprobs: Option<usize>,
    ignore_end: bool,
    decode_start: Option<Instant>,
    ended: bool,
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
        Ok(Sequencer {
            model: model.clone(),
            sampler: Sampler::new(options.sampler.clone())?,
            machine: ReasoningMachine::new(tags, initial),
            text: Text::new(&options.stop),
            usage: Usage::default(),
            generated: 0,
            max_tokens: options.max_tokens.unwrap_or(usize::MAX),
            context,
            logprobs: options.logprobs,
            ignore_end: options.ignore_end,
            decode_start: None,
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

    /// Notes that the prompt has been read: `prompt` tokens, `cached` of them from the cache, in `time`.
    pub(super) fn prompt_read(&mut self, prompt: usize, cached: usize, time: Duration) {
        self.usage = Usage { prompt, cached, prefill: time, ..self.usage };
        self.decode_start = Some(Instant::now());
    }

    /// Chooses the token for `position` from the logits before it and queues its events. Returns the token to run
    /// through the model, or `None` when the sequence has ended.
    ///
    /// # Errors
    /// `State` where no token is possible; `Argument` for a bias on a token outside the vocabulary.
    pub(super) fn next(&mut self, logits: &[f32], position: usize) -> Result<Option<u32>> {
        if self.generated >= self.max_tokens {
            self.end(Finish::Length);
            return Ok(None);
        }
        let sampled = self.sampler.sample(logits, position as u64)?;
        let tokenizer = self.model.tokenizer();
        if tokenizer.is_end_of_generation(sampled.id) && !self.ignore_end {
            self.machine.accept_eog();
            self.end(Finish::Stop);
            return Ok(None);
        }
        if position >= self.context {
            self.end(Finish::Context);
            return Ok(None);
        }
        if let Some(count) = self.logprobs {
            let top = top_logprobs(logits, count);
            self.text.queue(Event::Token(TokenEvent { id: sampled.id, logprob: sampled.logprob, top }));
        }
        self.sampler.accept(sampled.id);
        self.generated += 1;
        // Control tokens have no text of their own; tags are known by their ids.
        let control = tokenizer.kind(sampled.id) == Some(TokenKind::Control);
        let bytes = tokenizer.piece(sampled.id).filter(|_| !control).unwrap_or_default();
        if self.text.push(self.machine.accept(sampled.id, bytes)) {
            self.end(Finish::Stop);
            return Ok(None);
        }
        Ok(Some(sampled.id))
    }

    /// Ends the sequence: queues what was held back, the counts and the end.
    pub(super) fn end(&mut self, finish: Finish) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.text.finish(self.machine.finish());
        let counts = self.machine.counters();
        self.usage.reasoning = counts.reasoning as usize;
        self.usage.tag = counts.tag as usize;
        self.usage.forced = counts.forced as usize;
        self.usage.answer = counts.answer as usize;
        self.usage.decode = self.decode_start.map_or(Duration::ZERO, |start| start.elapsed());
        self.text.queue(Event::Usage(self.usage));
        self.text.queue(Event::Done(Done { finish, close: self.machine.close_reason() }));
    }

    /// Ends the sequence because of an error, which takes the place of its last events.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.ended = true;
        error
    }
}
