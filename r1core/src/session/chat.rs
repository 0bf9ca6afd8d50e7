//! A conversation: messages in, thoughts and answers out.

use serde_json::{Map, Value};

use super::generation::Input;
use super::history::{self, ChatWarning, HistoryThoughts, SystemMessages};
use super::vote::{VoteEvent, VoteHandle, VoteOptions, VoteResult, VoteState, last_result};
use super::{Event, GenerateOptions, GenerationState, Session};
use crate::chat::{ChatTemplate, Message, Prompt, RenderOptions};
use crate::reasoning::{ThinkHandle, ThinkTags};
use crate::tokenizer::{EncodeOptions, Tokenizer};
use crate::{Error, ErrorKind, Result};

/// How a conversation is held. `ChatOptions::default()` is right for most hosts.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// The chat template: its text, or the name of a preset. `None` takes the file's own.
    pub template: Option<String>,
    /// Messages that come first.
    pub messages: Vec<Message>,
    /// What the template's `enable_thinking` is. With `Some(false)` the prompt ends behind an empty thought even where the
    /// template does not care.
    pub enable_thinking: Option<bool>,
    /// Opens the thought where the template ends with `<｜Assistant｜>`: R1 files from before February 2025 do not, and
    /// their authors advise it.
    pub force_think: bool,
    /// Further variables of the template, such as `reasoning_effort` for gpt-oss.
    pub variables: Map<String, Value>,
    /// What becomes of the thoughts of earlier turns. Default: what the template does with them.
    pub thoughts: HistoryThoughts,
    /// What becomes of system messages, which models of the R1 family are better off without. Default: nothing, but
    /// [`Chat::warnings`] says so.
    pub systems: SystemMessages,
}

/// A conversation on one session. The whole history is rendered for every turn, as the template wants it (most drop the
/// thoughts of earlier turns); what the cache already holds of it is not computed again.
///
/// ```no_run
/// use r1core::{Chat, ChatOptions, Event, Model, SessionOptions};
/// let model = Model::open("model.gguf")?;
/// let mut chat = Chat::new(model.session(SessionOptions::default())?, ChatOptions::default())?;
/// for event in chat.send("What is 37 * 24?", &Default::default())? {
///     match event? {
///         Event::Thought(text) => eprint!("{text}"),
///         Event::Answer(text) => print!("{text}"),
///         _ => {}
///     }
/// }
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug)]
pub struct Chat {
    session: Session,
    template: ChatTemplate,
    enable_thinking: Option<bool>,
    force_think: bool,
    variables: Map<String, Value>,
    thoughts: HistoryThoughts,
    systems: SystemMessages,
    warnings: Vec<ChatWarning>,
    messages: Vec<Message>,
    /// Texts that must not work as control tokens when a user types them.
    specials: Vec<String>,
    /// What the template ends a conversation with for the model to continue, where one turn tells it for all.
    tail: Option<String>,
    turn: Option<Turn>,
}

/// The turn that is being generated.
#[derive(Debug)]
struct Turn {
    user: Message,
    tags: Option<ThinkTags>,
    thought: String,
    answer: String,
}

/// A running reply: an iterator over [`Event`]s. The turn joins the history with its last event; dropping the reply
/// earlier forgets the turn.
#[derive(Debug)]
pub struct Reply<'a> {
    chat: &'a mut Chat,
    state: GenerationState,
}

impl Reply<'_> {
    /// As [`GenerationState::think_handle`].
    pub fn think_handle(&self) -> ThinkHandle {
        self.state.think_handle()
    }
}

impl Iterator for Reply<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chat.next_event(&mut self.state)
    }
}

/// A running vote on a user's message: an iterator over [`VoteEvent`]s. The turn joins the history with the last event,
/// with the reply that stands for the result ([`VoteResult::reply`]); dropping the vote earlier forgets the turn.
#[derive(Debug)]
pub struct ChatVote<'a> {
    chat: &'a mut Chat,
    state: VoteState,
}

impl ChatVote<'_> {
    /// As [`VoteState::handle`].
    pub fn handle(&self) -> VoteHandle {
        self.state.handle()
    }

    /// Pulls the rest of the events and returns the result.
    ///
    /// # Errors
    /// As [`VoteState::next_event`].
    pub fn result(self) -> Result<VoteResult> {
        last_result(self)
    }
}

impl Iterator for ChatVote<'_> {
    type Item = Result<VoteEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chat.next_vote_event(&mut self.state)
    }
}

impl Chat {
    /// A conversation on `session`, whose tokens are replaced with the first turn.
    ///
    /// # Errors
    /// `NoTemplate` where the file has no template and none is chosen; `Template` where it does not parse.
    pub fn new(session: Session, options: ChatOptions) -> Result<Chat> {
        let template = session.model().chat_template(options.template.as_deref())?;
        let specials = special_texts(session.model().tokenizer());
        let warns = options.systems == SystemMessages::Warn;
        let warnings = match session.model().think_tags() {
            tags if warns && history::is_r1(&template, tags.as_ref()) => history::warnings(&options.messages),
            _ => Vec::new(),
        };
        let mut chat = Chat {
            session,
            template,
            enable_thinking: options.enable_thinking,
            force_think: options.force_think,
            variables: options.variables,
            thoughts: options.thoughts,
            systems: options.systems,
            warnings,
            messages: options.messages,
            specials,
            tail: None,
            turn: None,
        };
        chat.tail = chat.render(&[Message::user("?")], None).ok().map(|prompt| prompt.tail().to_owned());
        Ok(chat)
    }

    /// What the authors of the model advise against in [`ChatOptions::messages`]; empty where
    /// [`ChatOptions::systems`] is not [`SystemMessages::Warn`].
    pub fn warnings(&self) -> &[ChatWarning] {
        &self.warnings
    }

    /// The messages so far, whatever the template gets to see of them. A reply's content holds its thought, in tags, and
    /// its answer; models that think in channels have the thought in the fields `thinking` and `reasoning_content`.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The session that the conversation is held on.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Gives the session back.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// Sends a user's message and streams the reply.
    ///
    /// # Errors
    /// `Template` where the template refuses the conversation; `ContextFull` where it does not fit; `Argument` for
    /// options out of range.
    pub fn send(&mut self, text: &str, options: &GenerateOptions) -> Result<Reply<'_>> {
        let state = self.begin(text, options)?;
        Ok(Reply { chat: self, state })
    }

    /// As [`Chat::send`], for hosts that keep the generation apart; pull its events with [`Chat::next_event`].
    ///
    /// # Errors
    /// As [`Chat::send`].
    pub fn begin(&mut self, text: &str, options: &GenerateOptions) -> Result<GenerationState> {
        let (turn, input, tail) = self.open_turn(text, options)?;
        let state = GenerationState::with_input(&self.session, input, &tail, options)?;
        self.turn = Some(turn);
        Ok(state)
    }

    /// Sends a user's message and votes on the reply; see [`Session::vote`].
    ///
    /// # Errors
    /// As [`Chat::send`]; `Argument` for a number of samples out of range.
    pub fn vote(&mut self, text: &str, options: &VoteOptions) -> Result<ChatVote<'_>> {
        let state = self.begin_vote(text, options)?;
        Ok(ChatVote { chat: self, state })
    }

    /// As [`Chat::vote`], for hosts that keep the vote apart; pull its events with [`Chat::next_vote_event`].
    ///
    /// # Errors
    /// As [`Chat::vote`].
    pub fn begin_vote(&mut self, text: &str, options: &VoteOptions) -> Result<VoteState> {
        let (turn, input, tail) = self.open_turn(text, &options.generate)?;
        options.generate.check(self.session.model())?;
        let state = VoteState::with_input(input, tail, options)?;
        self.turn = Some(turn);
        Ok(state)
    }

    /// The turn that a user's message opens, its prompt, and the prompt's end.
    fn open_turn(&mut self, text: &str, options: &GenerateOptions) -> Result<(Turn, Input, String)> {
        let tags = options.tags.clone().or_else(|| self.session.model().think_tags());
        self.messages.push(Message::user(text));
        let prompt = self.prompt(tags.as_ref());
        let user = self.messages.pop().unwrap_or_else(|| Message::user(text));
        let (tokens, tail) = prompt?;
        self.session.check_room(0, tokens.len())?;
        Ok((Turn { user, tags, thought: String::new(), answer: String::new() }, Input::Replace(tokens), tail))
    }

    /// The next event of the generation that [`Chat::begin`] began; see [`GenerationState::next_event`].
    pub fn next_event(&mut self, state: &mut GenerationState) -> Option<Result<Event>> {
        let event = state.next_event(&mut self.session);
        match (&event, &mut self.turn) {
            (Some(Ok(Event::Thought(text))), Some(turn)) => turn.thought += text,
            (Some(Ok(Event::Answer(text))), Some(turn)) => turn.answer += text,
            (Some(Ok(Event::Done(_))), Some(_)) => self.record_turn(),
            _ => {}
        }
        event
    }

    /// The next event of the vote that [`Chat::begin_vote`] began; see [`VoteState::next_event`].
    pub fn next_vote_event(&mut self, state: &mut VoteState) -> Option<Result<VoteEvent>> {
        let event = state.next_event(&mut self.session);
        if let (Some(Ok(VoteEvent::Done(result))), Some(turn)) = (&event, &mut self.turn)
            && let Some(reply) = result.reply()
        {
            turn.thought.clone_from(&reply.thought);
            turn.answer.clone_from(&reply.text);
            self.record_turn();
        }
        event
    }

    fn record_turn(&mut self) {
        if let Some(Turn { user, tags, thought, answer }) = self.turn.take() {
            self.messages.extend([user, history::reply(tags.as_ref(), &thought, answer)]);
        }
    }

    /// The tokens of the conversation up to the assistant's turn, and the generation prompt at its end.
    fn prompt(&self, tags: Option<&ThinkTags>) -> Result<(Vec<u32>, String)> {
        let messages = history::prepare(&self.messages, tags, &self.thoughts, self.systems);
        let mut prompt = self.render(&messages, self.tail.as_deref())?;
        if self.enable_thinking == Some(false)
            && let Some(tags) = tags
        {
            prompt.append(&tags.no_thought(prompt.tail()));
        }
        let tokenizer = self.session.model().tokenizer();
        let mut tokens = Vec::new();
        for piece in prompt.pieces() {
            tokens.extend(tokenizer.encode(piece, EncodeOptions { add_bos: false, parse_special: true }));
        }
        if tokens.is_empty() {
            return Err(Error::new(ErrorKind::Template, "the template renders to nothing"));
        }
        with_one_bos(tokenizer, &mut tokens);
        Ok((tokens, prompt.tail().to_owned()))
    }

    fn render(&self, messages: &[Message], tail: Option<&str>) -> Result<Prompt> {
        let options = RenderOptions {
            enable_thinking: self.enable_thinking,
            force_think: self.force_think && self.enable_thinking != Some(false),
            variables: Some(&self.variables),
            // A template that cuts thoughts off would cut off what the host made of them as well.
            keep_thoughts: !matches!(self.thoughts, HistoryThoughts::Template | HistoryThoughts::Drop),
            tail,
            ..RenderOptions::new(messages)
        };
        let specials: Vec<&str> = self.specials.iter().map(String::as_str).collect();
        self.template.render_prompt(&options, &specials)
    }
}

/// Exactly one BOS where the model wants one, whether or not the template prints it.
fn with_one_bos(tokenizer: &Tokenizer, tokens: &mut Vec<u32>) {
    let Some(bos) = tokenizer.bos() else { return };
    let printed = tokens.iter().take_while(|t| **t == bos).count();
    if printed == 0 && tokenizer.add_bos() {
        tokens.insert(0, bos);
    } else if printed > 1 {
        tokens.drain(1..printed);
    }
}

/// Texts of all tokens that have a meaning of their own.
fn special_texts(tokenizer: &Tokenizer) -> Vec<String> {
    (0..tokenizer.len() as u32).filter_map(|id| tokenizer.special_text(id)).map(str::to_owned).collect()
}
