//! One running sample.

use std::time::Duration;

use super::super::sequencer::{Next, Sequencer};
use super::super::{Done, Event, Finish, GenerateOptions, Session, SessionScores, TokenEvent, Usage};
use super::{VoteHandle, VoteSample};
use crate::Result;
use crate::cache::KvCache;
use crate::model::{Step, Wanted};
use crate::reasoning::CloseReason;
use crate::sampler::Scores;

/// A sequence that continues the session's prompt on pages of its own.
#[derive(Debug)]
pub(super) struct Sample {
    index: usize,
    sequencer: Sequencer,
    cache: KvCache,
    /// Tokens that the model has not read yet: those after `run` in `tokens`.
    run: usize,
    tokens: Vec<u32>,
    /// What is wanted of the last of them.
    wanted: Wanted,
    chosen: Vec<TokenEvent>,
    thought: String,
    text: String,
    usage: Usage,
    end: Option<Done>,
}

impl Sample {
    /// A sample right behind the prompt that `session` holds, made known to `handle` and with its first token chosen.
    pub(super) fn start(
        session: &mut Session,
        tail: &str,
        index: usize,
        options: &GenerateOptions,
        handle: &VoteHandle,
    ) -> Result<Sample> {
        let mut sequencer = Sequencer::new(session.model(), session.context(), tail, options)?;
        sequencer.tell_end();
        handle.enter(index, sequencer.think_handle());
        sequencer.prompt_read(session.tokens(), session.tokens().len(), Duration::ZERO);
        let mut sample = Sample {
            index,
            sequencer,
            cache: session.cache.fork(),
            run: 0,
            tokens: Vec::new(),
            wanted: Wanted::Last,
            chosen: Vec::new(),
            thought: String::new(),
            text: String::new(),
            usage: Usage::default(),
            end: None,
        };
        sample.choose(&mut SessionScores(session))?;
        Ok(sample)
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// Tokens generated so far.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn ended(&self) -> bool {
        self.sequencer.ended()
    }

    /// What the model reads next, in a batch with other samples.
    pub(super) fn step(&mut self) -> Step<'_> {
        Step { cache: &mut self.cache, tokens: &self.tokens[self.run..], wanted: self.wanted }
    }

    /// After the step has run: takes its scores and chooses what comes next.
    pub(super) fn advance(&mut self, scores: &mut dyn Scores) -> Result<()> {
        self.run = self.tokens.len();
        self.choose(scores)
    }

    fn choose(&mut self, scores: &mut dyn Scores) -> Result<()> {
        if let Next::Run(tokens, wanted) = self.sequencer.next(scores, self.cache.len())? {
            self.tokens.extend_from_slice(tokens);
            self.wanted = wanted;
        }
        self.take_events();
        Ok(())
    }

    fn take_events(&mut self) {
        while let Some(event) = self.sequencer.pop_event() {
            match event {
                Event::Thought(text) => self.thought += &text,
                Event::Answer(text) => self.text += &text,
                Event::Token(token) => self.chosen.push(token),
                Event::Usage(usage) => self.usage = usage,
                Event::Done(done) => self.end = Some(done),
            }
        }
    }

    /// Frees the pages and keeps the rest; a sample that still runs is cancelled.
    pub(super) fn finish(mut self) -> VoteSample {
        self.sequencer.end(Finish::Cancelled);
        self.take_events();
        let cancelled = Done { finish: Finish::Cancelled, close: CloseReason::None, complete: None };
        let Done { finish, close, complete } = self.end.unwrap_or(cancelled);
        VoteSample {
            index: self.index,
            answer: None,
            thought: self.thought,
            text: self.text,
            tokens: self.tokens,
            chosen: self.chosen,
            usage: self.usage,
            finish,
            close,
            complete,
        }
    }
}
