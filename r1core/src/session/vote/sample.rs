//! One running sample.

use std::time::Duration;

use super::super::sequence::Sequence;
use super::super::sequencer::{Next, Sequencer};
use super::super::{Done, Event, Finish, GenerateOptions, Session, SessionScores, TokenEvent, Usage};
use super::{VoteHandle, VoteSample};
use crate::Result;
use crate::model::Runner;
use crate::reasoning::CloseReason;
use crate::sampler::Scores;

/// A sequence that continues the session's prompt on pages of its own.
#[derive(Debug)]
pub(super) struct Sample {
    index: usize,
    sequencer: Sequencer,
    sequence: Sequence,
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
        let most = options.max_tokens.unwrap_or(usize::MAX);
        let mut sample = Sample {
            index,
            sequencer,
            sequence: Sequence::new(session.sequence.cache().fork(), index + 1, most),
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

    pub(super) fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    pub(super) fn sequence_mut(&mut self) -> &mut Sequence {
        &mut self.sequence
    }

    /// Tokens generated so far.
    pub(super) fn len(&self) -> usize {
        self.sequence.tokens().len() + self.sequence.unread().len()
    }

    pub(super) fn ended(&self) -> bool {
        self.sequencer.ended()
    }

    /// Has the next pass of the others read on here, too, where it is known what; see [`Sequence::lead`].
    pub(super) fn lead(&mut self) {
        let Sample { sequence, sequencer, .. } = self;
        sequence.lead(|logits, position| sequencer.foresee(logits, position));
    }

    /// Chooses what comes next, from what the runner's last run gave or what the sequence has kept.
    pub(super) fn advance(&mut self, runner: &mut Runner) -> Result<()> {
        match self.sequence.scored_step() {
            Some(step) => self.choose(&mut runner.scores(step)),
            None => {
                let Sample { sequence, sequencer, .. } = self;
                let mut kept = sequence.outlook().logits().unwrap_or_default();
                let next = sequencer.next(&mut kept, sequence.position())?;
                Self::go_on(sequence, next);
                self.take_events();
                Ok(())
            }
        }
    }

    fn choose(&mut self, scores: &mut dyn Scores) -> Result<()> {
        let next = self.sequencer.next(scores, self.sequence.position())?;
        Self::go_on(&mut self.sequence, next);
        self.take_events();
        Ok(())
    }

    fn go_on(sequence: &mut Sequence, next: Next<'_>) {
        if let Next::Run(tokens, wanted) = next {
            let rest = sequence.take(tokens);
            sequence.expect(rest, wanted);
        }
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
            tokens: self.sequence.into_tokens(),
            chosen: self.chosen,
            usage: self.usage,
            finish,
            close,
            complete,
        }
    }
}
