//! The decode loop of one session, pulled one event at a time.

use std::time::Instant;

use super::sequencer::{Next, Sequencer};
use super::{Event, Finish, GenerateOptions, Session, SessionScores, no_logits};
use crate::reasoning::ThinkHandle;
use crate::{ErrorKind, Result};

/// A running generation: an iterator over [`Event`]s. Dropping it ends the generation; the session keeps what was
/// generated so far. An error ends it, too.
#[derive(Debug)]
pub struct Generation<'a> {
    pub(super) session: &'a mut Session,
    pub(super) state: GenerationState,
}

impl Generation<'_> {
    /// As [`GenerationState::think_handle`].
    pub fn think_handle(&self) -> ThinkHandle {
        self.state.think_handle()
    }
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
    /// What the prompt still needs; `None` once it has been read.
    input: Option<Input>,
    sequencer: Sequencer,
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

impl Input {
    /// The input that appends `prompt`, and the text in which an open thought is looked for.
    ///
    /// # Errors
    /// As [`GenerationState::new`].
    pub(super) fn append(session: &Session, prompt: &[u32]) -> Result<(Input, String)> {
        if prompt.is_empty() && !session.sequence.outlook().is_known() {
            return Err(no_logits());
        }
        session.check_room(session.tokens().len(), prompt.len())?;
        // The host wrote this prompt, so its last tokens are the generation prompt.
        let end = if prompt.is_empty() { session.tokens() } else { prompt };
        let tail = &end[end.len().saturating_sub(TAIL_TOKENS)..];
        let tail = session.model().tokenizer().decode(tail, true);
        Ok((Input::Append(prompt.to_vec()), String::from_utf8_lossy(&tail).into_owned()))
    }

    /// Has the session read it; returns how many tokens were in the cache.
    pub(super) fn read(self, session: &mut Session) -> Result<usize> {
        match self {
            Input::Append(tokens) => session.prefill(&tokens).map(|()| 0),
            Input::Replace(tokens) => session.set_prompt(&tokens),
        }
    }
}

impl GenerationState {
    /// A generation that first appends `prompt` (which may be empty) to the session's tokens. Nothing is computed before
    /// the first event is asked for.
    ///
    /// # Errors
    /// `State` where neither session nor prompt has a token; `ContextFull` where the prompt does not fit; `Argument`
    /// for options out of range.
    pub fn new(session: &Session, prompt: &[u32], options: &GenerateOptions) -> Result<GenerationState> {
        let (input, tail) = Input::append(session, prompt)?;
        GenerationState::with_input(session, input, &tail, options)
    }

    /// As [`GenerationState::new`], with `tail` as the text in which an open thought is looked for.
    pub(super) fn with_input(
        session: &Session,
        input: Input,
        tail: &str,
        options: &GenerateOptions,
    ) -> Result<GenerationState> {
        let sequencer = Sequencer::new(session.model(), session.context(), tail, options)?;
        Ok(GenerationState { input: Some(input), sequencer })
    }

    /// A handle by which any thread may watch and steer this generation's thoughts.
    pub fn think_handle(&self) -> ThinkHandle {
        self.sequencer.think_handle()
    }

    /// The next event, or `None` after [`Event::Done`] and after an error. Computes at most the prompt, one token, or
    /// the tokens that close a thought before it returns.
    ///
    /// # Errors
    /// `Argument` for a token outside the vocabulary, `OutOfMemory`. Cancelling is not an error: the events of an end
    /// with [`Finish::Cancelled`] follow.
    pub fn next_event(&mut self, session: &mut Session) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.sequencer.pop_event() {
                return Some(Ok(event));
            }
            if self.sequencer.ended() {
                return None;
            }
            match self.advance(session) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Cancelled => {
                    self.sequencer.end(Finish::Cancelled);
                }
                Err(e) => return Some(Err(self.sequencer.fail(e))),
            }
        }
    }

    /// Reads the prompt, or generates one token, or takes those that are forced.
    fn advance(&mut self, session: &mut Session) -> Result<()> {
        if let Some(input) = self.input.take() {
            let start = Instant::now();
            let read = input.read(session);
            let cached = *read.as_ref().unwrap_or(&0);
            self.sequencer.prompt_read(session.tokens(), cached, start.elapsed());
            return read.map(|_| ());
        }
        session.cancel_token().check()?;
        let position = session.tokens().len();
        match self.sequencer.next(&mut SessionScores(session), position)? {
            Next::Run(tokens, wanted) => session.append(tokens, wanted),
            Next::End => Ok(()),
        }
    }
}
