//! The paper's consensus on one model: many samples of one prompt share its pages, decode as one batch, and vote.

mod handle;
mod options;
mod result;
mod sample;

pub use handle::VoteHandle;
pub use options::{ExtractFn, VoteOptions, WeighFn};
pub use result::{VoteEvent, VoteProgress, VoteResult, VoteSample};

use std::collections::VecDeque;
use std::time::Instant;

use super::generation::Input;
use super::{Finish, Session, Usage};
use super::{Sequence, pass};
use crate::answer::{extract, normalise};
use crate::cache::KvCache;
use crate::model::Runner;
use crate::reasoning::CloseReason;
use crate::speculation::{Drafter, Suffixes};
use crate::voting::{Ballot, Decision, Tally};
use crate::{Error, ErrorKind, Result};
use sample::Sample;

/// A running vote: an iterator over [`VoteEvent`]s. Dropping it ends the vote. The session holds the prompt, before and
/// afterwards.
#[derive(Debug)]
pub struct Vote<'a> {
    session: &'a mut Session,
    state: VoteState,
}

impl Session {
    /// Appends `prompt` (which may be empty) and votes on what follows it.
    ///
    /// The samples continue one copy of the prompt's cache, decode as one batch, and each is what
    /// [`Session::generate`] gives with [`VoteOptions::sample_options`], bit for bit, whatever the number of samples and
    /// whichever others run beside it. Nothing depends on the clock, so a vote is reproducible. Where it was measured to
    /// save time, tokens of a sample are guessed from what it and the others say
    /// ([`SessionOptions::speculation`](super::SessionOptions::speculation)), which changes no event.
    ///
    /// ```no_run
    /// use r1core::{Model, SessionOptions, VoteOptions};
    /// let model = Model::open("model.gguf")?;
    /// let mut session = model.session(SessionOptions::default())?;
    /// let prompt = model.tokenizer().encode("37 * 24 =", Default::default());
    /// let result = session.vote(&prompt, &VoteOptions { samples: 8, ..Default::default() })?.result()?;
    /// println!("{:?} with {} of {} votes", result.answer, result.votes, result.finished);
    /// # Ok::<(), r1core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Session::generate`]; `Argument` for a number of samples out of range.
    pub fn vote(&mut self, prompt: &[u32], options: &VoteOptions) -> Result<Vote<'_>> {
        let state = VoteState::new(self, prompt, options)?;
        Ok(Vote { session: self, state })
    }
}

impl Vote<'_> {
    /// Pulls the rest of the events and returns the result.
    ///
    /// # Errors
    /// As [`VoteState::next_event`].
    pub fn result(self) -> Result<VoteResult> {
        last_result(self)
    }

    /// A handle by which any thread may watch and steer this vote.
    pub fn handle(&self) -> VoteHandle {
        self.state.handle()
    }

    /// See [`VoteState::cache_bytes`].
    pub fn cache_bytes(&self) -> usize {
        self.state.cache_bytes(self.session)
    }
}

impl Iterator for Vote<'_> {
    type Item = Result<VoteEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.state.next_event(self.session)
    }
}

/// The result at the end of a vote's events.
pub(super) fn last_result(events: impl Iterator<Item = Result<VoteEvent>>) -> Result<VoteResult> {
    for event in events {
        if let VoteEvent::Done(result) = event? {
            return Ok(result);
        }
    }
    Err(Error::new(ErrorKind::State, "the vote was over before"))
}

/// A vote without its session, for hosts that keep the two apart. Use it with the session that it was made from.
#[derive(Debug)]
pub struct VoteState {
    options: VoteOptions,
    /// What the prompt still needs; `None` once it has been read.
    input: Option<Input>,
    /// Text in which an open thought is looked for.
    tail: String,
    started: usize,
    /// Samples that the host has ended.
    cancelled: usize,
    handle: VoteHandle,
    /// The running samples, by index.
    running: Vec<Sample>,
    /// The prompt and the texts of all samples, searched for what to guess.
    texts: Suffixes,
    tally: Tally,
    samples: Vec<VoteSample>,
    usage: Usage,
    decode_start: Option<Instant>,
    events: VecDeque<VoteEvent>,
    over: bool,
}

impl VoteState {
    /// A vote that first appends `prompt` (which may be empty) to the session's tokens. Nothing is computed before the
    /// first event is asked for.
    ///
    /// # Errors
    /// As [`Session::vote`].
    pub fn new(session: &Session, prompt: &[u32], options: &VoteOptions) -> Result<VoteState> {
        let (input, tail) = Input::append(session, prompt)?;
        options.generate.check(session.model())?;
        VoteState::with_input(input, tail, options)
    }

    pub(super) fn with_input(input: Input, tail: String, options: &VoteOptions) -> Result<VoteState> {
        options.validate()?;
        Ok(VoteState {
            options: options.clone(),
            input: Some(input),
            tail,
            started: 0,
            cancelled: 0,
            handle: VoteHandle::default(),
            running: Vec::new(),
            texts: Suffixes::default(),
            tally: Tally::with_voters(options.voters),
            samples: Vec::new(),
            usage: Usage::default(),
            decode_start: None,
            events: VecDeque::new(),
            over: false,
        })
    }

    /// The next event, or `None` after [`VoteEvent::Done`] and after an error. Computes at most the prompt or one token
    /// of every running sample before it returns.
    ///
    /// # Errors
    /// As [`GenerationState::next_event`](super::GenerationState::next_event). Cancelling is not an error: the result
    /// so far follows.
    pub fn next_event(&mut self, session: &mut Session) -> Option<Result<VoteEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            match self.advance(session) {
                Ok(None) => {
                    self.publish();
                    self.events.push_back(VoteEvent::Progress(self.progress()));
                }
                Ok(Some(decision)) => self.end(Some(decision)),
                Err(e) if e.kind() == ErrorKind::Cancelled => self.end(None),
                Err(e) => {
                    self.over = true;
                    self.running.clear();
                    self.publish();
                    return Some(Err(e));
                }
            }
        }
    }

    /// A handle by which any thread may watch and steer this vote.
    pub fn handle(&self) -> VoteHandle {
        self.handle.clone()
    }

    fn publish(&self) {
        self.handle.publish(self.progress(), |index| self.running.iter().any(|sample| sample.index() == index));
    }

    /// How far the vote is.
    pub fn progress(&self) -> VoteProgress {
        let ended: usize = self.samples.iter().map(|sample| sample.usage.generated()).sum();
        let tokens = ended + self.running.iter().map(Sample::len).sum::<usize>();
        VoteProgress { running: self.running.len(), finished: self.tally.finished(), tokens }
    }

    /// Memory of the cache, in bytes: the session's and that of all running samples, with shared pages counted once.
    pub fn cache_bytes(&self, session: &Session) -> usize {
        let sequences = self.running.iter().map(Sample::sequence).chain([&session.sequence]);
        KvCache::bytes_together(sequences.map(Sequence::cache))
    }

    /// Reads the prompt, or runs every sample one step; then starts the samples that are wanted.
    fn advance(&mut self, session: &mut Session) -> Result<Option<Decision>> {
        if let Some(input) = self.input.take() {
            self.read_prompt(input, session)?;
        } else {
            session.cancel_token().check()?;
            self.end_cancelled();
            if let Some(decision) = self.step(session)? {
                return Ok(Some(decision));
            }
        }
        let decision = self.start_samples(session)?;
        // A host may have ended the last samples, or asked for no more.
        let over = decision.is_none() && self.running.is_empty();
        Ok(if over { self.options.early_stop.decide(&self.tally, 0) } else { decision })
    }

    /// Ends the samples that the host wants ended.
    fn end_cancelled(&mut self) {
        for index in self.handle.take_cancelled() {
            if let Some(at) = self.running.iter().position(|sample| sample.index() == index) {
                self.cancelled += 1;
                self.samples.push(self.running.remove(at).finish());
            }
        }
    }

    fn read_prompt(&mut self, input: Input, session: &mut Session) -> Result<()> {
        let start = Instant::now();
        let read = input.read(session);
        self.usage.prompt = session.tokens().len();
        self.usage.cached = *read.as_ref().unwrap_or(&0);
        self.usage.prefill = start.elapsed();
        self.decode_start = Some(Instant::now());
        if session.drafter.is_some() {
            self.texts.follow(0, session.tokens());
        }
        read?;
        // Later samples begin with them, too, when the runner has run others.
        session.logits().map(|_| ())
    }

    fn step(&mut self, session: &mut Session) -> Result<Option<Decision>> {
        if self.running.is_empty() {
            return Ok(None);
        }
        let Session { runner, drafter, .. } = session;
        self.pass(runner, drafter.as_mut())?;
        let mut decision = None;
        let before = std::mem::take(&mut self.running);
        for mut sample in before {
            // Once the vote is decided the others are not asked any more.
            if decision.is_none() {
                sample.advance(runner)?;
            }
            if sample.ended() {
                if let (Some(drafter), Some(outcome)) = (drafter.as_mut(), sample.sequence_mut().end()) {
                    drafter.learn(outcome);
                }
                decision = self.count(sample)?;
            } else {
                self.running.push(sample);
            }
        }
        Ok(decision)
    }

    /// Runs the model where a sample waits for it. Each sample then goes one step on, wherever its logits come from, so that
    /// what was guessed changes no decision.
    fn pass(&mut self, runner: &mut Runner, mut drafter: Option<&mut Drafter>) -> Result<()> {
        if !self.running.iter().any(|sample| sample.sequence().is_waiting()) {
            return Ok(());
        }
        if let Some(drafter) = &mut drafter {
            self.running.iter_mut().for_each(Sample::lead);
            pass::guess(drafter, &mut self.texts, self.running.iter_mut().map(Sample::sequence_mut));
        }
        pass::run(runner, drafter, self.running.iter_mut().map(Sample::sequence_mut))
    }

    /// Starts samples until enough run to end the vote if they agree.
    fn start_samples(&mut self, session: &mut Session) -> Result<Option<Decision>> {
        let most = self.options.batch.unwrap_or(usize::MAX);
        while self.started < self.limit() && self.running.len() < most.min(self.wanted()) {
            let options = self.options.sample_options(self.started);
            if session.drafter.is_some() {
                self.texts.branch(self.started + 1, 0);
            }
            let sample = Sample::start(session, &self.tail, self.started, &options, &self.handle)?;
            self.started += 1;
            if !sample.ended() {
                self.running.push(sample);
            } else if let Some(decision) = self.count(sample)? {
                return Ok(Some(decision));
            }
        }
        Ok(None)
    }

    /// Samples that ought to run.
    fn wanted(&self) -> usize {
        let remaining = self.remaining();
        if self.options.eager { remaining } else { self.options.early_stop.fewest(&self.tally, remaining) }
    }

    /// Samples that may be started: in a hurry those that have been, but at least one.
    fn limit(&self) -> usize {
        if self.handle.is_hurried() { self.started.max(1) } else { self.options.samples }
    }

    /// Samples that have not ended, started or not.
    fn remaining(&self) -> usize {
        self.limit() - self.tally.finished() - self.cancelled
    }

    /// Takes the vote of a sample that has ended, and asks whether that decides.
    ///
    /// # Errors
    /// `Argument` for a weight of the host's that is none.
    fn count(&mut self, sample: Sample) -> Result<Option<Decision>> {
        if !self.texts.is_empty() {
            self.texts.follow(sample.sequence().text(), sample.sequence().tokens());
        }
        let mut sample = sample.finish();
        sample.answer = self.answer(&sample.text);
        let natural = matches!(sample.close, CloseReason::Natural | CloseReason::None);
        let mut ballot = Ballot::new(sample.index, sample.answer.as_deref()).tokens(sample.usage.reasoning as u64);
        if !natural || sample.finish != Finish::Stop {
            ballot = ballot.cut();
        }
        if let Some(host) = &self.options.weigh {
            ballot = ballot.weight(host.weigh(&sample));
        }
        self.tally.add(ballot)?;
        self.events.push_back(VoteEvent::Sample(sample.clone()));
        self.samples.push(sample);
        Ok(self.options.early_stop.decide(&self.tally, self.remaining()))
    }

    fn answer(&self, text: &str) -> Option<String> {
        match &self.options.extract {
            Some(host) => host.find(text),
            None => extract(&self.options.kind, text).map(|answer| normalise(&self.options.kind, &answer)),
        }
    }

    /// Ends the vote: cancels what runs, frees its pages, and queues the result.
    fn end(&mut self, decision: Option<Decision>) {
        self.over = true;
        let finished = self.tally.finished();
        let taken: usize = self.samples.iter().map(|sample| sample.usage.generated()).sum();
        self.samples.extend(std::mem::take(&mut self.running).into_iter().map(Sample::finish));
        self.publish();
        for sample in &self.samples {
            self.usage.add_generated(&sample.usage);
        }
        let tokens = self.usage.generated();
        self.usage.decode = self.decode_start.map(|start| start.elapsed()).unwrap_or_default();
        let unfinished = if decision.is_some() { self.options.samples - finished } else { 0 };
        let expected = (taken * unfinished).checked_div(finished).unwrap_or(0);
        self.samples.sort_by_key(|sample| sample.index);

        let counts = self.tally.counts();
        let (answer, confidence, reason) = match decision {
            Some(decision) => (decision.answer, decision.confidence, Some(decision.reason)),
            None => (self.tally.winner(), self.tally.confidence(), None),
        };
        let votes = counts.iter().find(|count| Some(&count.answer) == answer.as_ref()).map_or(0, |count| count.votes);
        self.events.push_back(VoteEvent::Done(VoteResult {
            winner: answer.as_deref().and_then(|answer| representative(&self.tally, answer)),
            answer,
            votes,
            confidence,
            reason,
            counts,
            limit: self.options.samples,
            finished,
            samples: std::mem::take(&mut self.samples),
            usage: self.usage,
            tokens,
            saved: expected.saturating_sub(tokens - taken),
        }));
    }
}

/// The sample that stands for `answer`: the first that closed its thought naturally, else the first.
fn representative(tally: &Tally, answer: &str) -> Option<usize> {
    let with_answer = tally.ballots().iter().filter(|ballot| ballot.answer.as_deref() == Some(answer));
    with_answer.min_by_key(|ballot| (!ballot.natural, ballot.sample)).map(|ballot| ballot.sample)
}
