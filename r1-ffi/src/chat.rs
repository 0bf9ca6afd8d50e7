//! Conversations.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use engine::chat::{Message, RenderOptions};
use engine::{CancelToken, Chat, ChatOptions, ChatWarning, HistoryThoughts, Model, SummariseFn, SystemMessages};

use crate::busy::Busy;
use crate::callback::{User, r1_drop_fn};
use crate::error::r1_error;
use crate::fail::{Fail, Result};
use crate::generate::{self, r1_generate_options};
use crate::handle::{self, object};
use crate::log;
use crate::model::r1_model;
use crate::session::{self, r1_session_options};
use crate::sized::{self, sized};
use crate::status::*;
use crate::stream::{self, Owner, r1_stream};
use crate::string::{self, r1_string};
use crate::text_fn::{self, r1_text_fn};

/// A conversation on a session of its own. For one thread at a time, any thread: a call from a second one meanwhile
/// gives `R1_ERR_BUSY`, and so does a new message while the stream or vote of the last one has not ended.
pub struct r1_chat {
    _private: (),
}

pub(crate) type ChatObject = Busy<OwnChat>;

object!(ChatObject, r1_chat, Chat);

/// A conversation and its session's cancel token, if no one else can reset it.
pub(crate) struct OwnChat {
    pub(crate) chat: Chat,
    fresh: Option<CancelToken>,
}

impl OwnChat {
    /// Forgets that a progress function stopped an earlier call.
    pub(crate) fn renew(&self) {
        if let Some(token) = &self.fresh {
            token.reset();
        }
    }
}

/// Tells the template to let the model think; for templates that can be told.
pub const R1_CHAT_THINK: u32 = 1;
/// Tells the template not to let the model think, and has a conversation's prompts end behind an empty thought even where
/// the template cannot be told.
pub const R1_CHAT_NO_THINK: u32 = 2;
/// For `r1_chat_render`: without the beginning of the assistant's turn.
pub const R1_CHAT_NO_GENERATION_PROMPT: u32 = 4;
/// Opens the thought where the template of an R1 file does not (files from before February 2025). Not for
/// `r1_chat_render`.
pub const R1_CHAT_FORCE_THINK: u32 = 8;

/// What becomes of the thoughts of earlier turns: the template decides; most drop them.
pub const R1_HISTORY_TEMPLATE: i32 = 0;
/// The model sees them in full.
pub const R1_HISTORY_KEEP: i32 = 1;
/// The model does not see them.
pub const R1_HISTORY_DROP: i32 = 2;
/// The model sees the last lines of each, `history_chars` characters at most.
pub const R1_HISTORY_SHORTEN: i32 = 3;
/// The model sees what `summarise` makes of each.
pub const R1_HISTORY_SUMMARISE: i32 = 4;

/// System messages are passed on, and `r1_chat_warnings` and the log (`R1_LOG_WARN`) say where the authors of the model
/// advise against them.
pub const R1_SYSTEM_WARN: i32 = 0;
/// System messages are passed on.
pub const R1_SYSTEM_KEEP: i32 = 1;
/// System messages are put in front of the user's message that follows.
pub const R1_SYSTEM_INTO_USER: i32 = 2;

/// There is a system message, which the authors of R1 advise against: put the instructions into the user's message.
pub const R1_CHAT_WARN_SYSTEM: u32 = 1;
/// There are replies before the first message is sent: if they are examples, the authors of R1 advise against them. An
/// earlier conversation that goes on looks the same and is no reason to worry.
pub const R1_CHAT_WARN_EXAMPLES: u32 = 2;

/// How a conversation is held. All zeros but `struct_size` is right for most hosts. Texts are read during the call
/// only.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct r1_chat_options {
    /// `sizeof(r1_chat_options)`.
    pub struct_size: u32,
    /// `R1_CHAT_*`.
    pub flags: u32,
    /// Options of the session; NULL takes its defaults.
    pub session: *const r1_session_options,
    /// The chat template: its text or the name of a preset, ending with NUL. NULL takes the file's own.
    pub chat_template: *const c_char,
    /// Messages that come first: a JSON array of objects with `role` and `content`, ending with NUL. NULL for none.
    pub messages_json: *const c_char,
    /// Further variables of the template: a JSON object, ending with NUL, such as `{"reasoning_effort": "high"}`. NULL for
    /// none.
    pub variables_json: *const c_char,
    /// Makes a summary of a thought, for `R1_HISTORY_SUMMARISE`; called by `r1_chat_send` and `r1_chat_vote` for every
    /// earlier thought. No text, or an empty one, drops the thought.
    pub summarise: r1_text_fn,
    /// Handed to `summarise`.
    pub summarise_user: *mut c_void,
    /// Called once with `summarise_user` when the conversation and its streams and votes are gone, or when making it
    /// fails, unless the options themselves could not be read (`R1_ERR_VERSION`) or the call was refused
    /// (`R1_ERR_REENTRANT`). NULL for none.
    pub summarise_drop: r1_drop_fn,
    /// Characters for `R1_HISTORY_SHORTEN`.
    pub history_chars: u64,
    /// What becomes of the thoughts of earlier turns: `R1_HISTORY_*`.
    pub history: i32,
    /// What becomes of system messages: `R1_SYSTEM_*`.
    pub system: i32,
}
sized!(r1_chat_options, system: i32, grown from variables_json);

/// Fills `size` bytes, which is `sizeof(r1_chat_options)`, with the defaults; as `R1_CHAT_OPTIONS_INIT` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_chat_options_init(options: *mut r1_chat_options, size: usize) -> r1_status {
    guard!(std::ptr::null_mut(), |caller| caller.init(options, size))
}

/// A new conversation. `options` may be NULL. Free it with `r1_chat_free`.
///
/// Errors: as `r1_session_new`; `R1_ERR_NO_TEMPLATE` where the file has no template and none is given;
/// `R1_ERR_TEMPLATE` where it does not parse; `R1_ERR_ARGUMENT` for messages that are not what they should be.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_chat_new(
    model: *const r1_model,
    options: *const r1_chat_options,
    out: *mut *mut r1_chat,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let options = caller.options(options)?;
        let user = Arc::new(User { pointer: options.summarise_user, drop: options.summarise_drop });
        let known = R1_CHAT_THINK | R1_CHAT_NO_THINK | R1_CHAT_FORCE_THINK;
        let flags = sized::flags(options.flags, known, "r1_chat_options")?;
        let (session, fresh) = session::read(caller, options.session)?;
        let model = handle::get::<Model>(model, "model")?;
        let out = caller.out(out, "out")?;
        let messages = caller.optional(options.messages_json, "messages_json")?.map(Message::list_from_json);
        let chat = ChatOptions {
            template: caller.optional(options.chat_template, "chat_template")?.map(str::to_owned),
            messages: messages.transpose()?.unwrap_or_default(),
            enable_thinking: thinking(flags)?,
            force_think: flags & R1_CHAT_FORCE_THINK != 0,
            variables: variables(caller.optional(options.variables_json, "variables_json")?)?,
            thoughts: thoughts(&options, user)?,
            systems: match options.system {
                R1_SYSTEM_WARN => SystemMessages::Warn,
                R1_SYSTEM_KEEP => SystemMessages::Keep,
                R1_SYSTEM_INTO_USER => SystemMessages::IntoUserTurn,
                other => return Err(Fail::range("system", format_args!("is {other}, not one of R1_SYSTEM_*"))),
            },
        };
        let chat = Chat::new(model.session(session)?, chat)?;
        for warning in chat.warnings() {
            log::line(log::R1_LOG_WARN, || warning.to_string());
        }
        out.set(handle::give(Busy::new(OwnChat { chat, fresh }, "chat"))?);
        Ok(R1_OK)
    })
}

/// What the authors of the model advise against in the messages that the conversation began with: `R1_CHAT_WARN_*` bits,
/// 0 for nothing. The log has them as texts.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_chat_warnings(chat: *const r1_chat, out: *mut u32, err: *mut *mut r1_error) -> r1_status {
    guard!(err, |caller| {
        let chat = handle::get::<ChatObject>(chat, "chat")?;
        let out = caller.out(out, "out")?;
        let bits = chat.peek()?.chat.warnings().iter().fold(0, |bits, warning| {
            bits | match warning {
                ChatWarning::SystemMessage => R1_CHAT_WARN_SYSTEM,
                ChatWarning::Examples => R1_CHAT_WARN_EXAMPLES,
                _ => 0,
            }
        });
        out.set(bits);
        Ok(R1_OK)
    })
}

/// Sends a user's message and begins the reply. Returns at once; the work is done in `r1_stream_next`. The message
/// and the reply join the conversation when the stream ends; a stream that is freed before forgets them. `options`
/// may be NULL. Free the stream with `r1_stream_free`.
///
/// Errors: `R1_ERR_BUSY` while the last reply has not ended; `R1_ERR_TEMPLATE` where the template refuses;
/// `R1_ERR_CONTEXT_FULL`; `R1_ERR_ARGUMENT` for options out of range.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_chat_send(
    chat: *mut r1_chat,
    text: *const c_char,
    text_len: usize,
    options: *const r1_generate_options,
    out: *mut *mut r1_stream,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let object = handle::get::<ChatObject>(chat, "chat")?;
        let out = caller.out(out, "out")?;
        let text = caller.text(text, text_len, "text")?;
        let mut chat = object.take()?;
        let options = generate::read(caller, options, chat.chat.session().model())?;
        let state = chat.chat.begin(text, &options)?;
        chat.renew();
        object.begin_stream();
        drop(chat);
        out.set(stream::give(Owner::Chat(object), state)?);
        Ok(R1_OK)
    })
}

/// The conversation so far as a JSON array of messages. Free the text with `r1_string_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_chat_messages_json(
    chat: *const r1_chat,
    out: *mut *mut r1_string,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let chat = handle::get::<ChatObject>(chat, "chat")?;
        let out = caller.out(out, "out")?;
        let text = serde_json::to_string(chat.peek()?.chat.messages());
        out.set(string::give(text.map_err(|e| Fail::new(R1_ERR_INTERNAL, e.to_string()))?)?);
        Ok(R1_OK)
    })
}

/// Renders a conversation (a JSON array of messages) to a prompt text, as the file's template or `chat_template`
/// (text or name of a preset; NULL for the file's) has it; `R1_CHAT_*` in `flags`. Free the text with
/// `r1_string_free`.
///
/// Errors: as `r1_chat_new`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn r1_chat_render(
    model: *const r1_model,
    messages_json: *const c_char,
    messages_len: usize,
    chat_template: *const c_char,
    flags: u32,
    out: *mut *mut r1_string,
    err: *mut *mut r1_error,
) -> r1_status {
    guard!(err, |caller| {
        let model = handle::get::<Model>(model, "model")?;
        let out = caller.out(out, "out")?;
        let messages = Message::list_from_json(caller.text(messages_json, messages_len, "messages_json")?)?;
        let template = model.chat_template(caller.optional(chat_template, "chat_template")?)?;
        let known = R1_CHAT_THINK | R1_CHAT_NO_THINK | R1_CHAT_NO_GENERATION_PROMPT;
        let flags = sized::flags(flags, known, "r1_chat_render")?;
        let options = RenderOptions {
            messages: &messages,
            add_generation_prompt: flags & R1_CHAT_NO_GENERATION_PROMPT == 0,
            enable_thinking: thinking(flags)?,
            ..RenderOptions::default()
        };
        out.set(string::give(template.render(&options)?)?);
        Ok(R1_OK)
    })
}

/// Frees a conversation. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Its stream, or a call that
/// runs in another thread, goes on undisturbed. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_chat_free(chat: *mut r1_chat) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<ChatObject>(chat))
}

fn variables(json: Option<&str>) -> Result<serde_json::Map<String, serde_json::Value>> {
    let Some(json) = json else { return Ok(serde_json::Map::new()) };
    serde_json::from_str(json).map_err(|e| Fail::new(R1_ERR_ARGUMENT, format!("variables_json is no JSON object: {e}")))
}

fn thoughts(options: &r1_chat_options, user: Arc<User>) -> Result<HistoryThoughts> {
    let characters = usize::try_from(options.history_chars).unwrap_or(usize::MAX);
    let summarise = text_fn::hook(options.summarise, user);
    Ok(match (options.history, summarise) {
        (R1_HISTORY_TEMPLATE, _) => HistoryThoughts::Template,
        (R1_HISTORY_KEEP, _) => HistoryThoughts::Keep,
        (R1_HISTORY_DROP, _) => HistoryThoughts::Drop,
        (R1_HISTORY_SHORTEN, _) => HistoryThoughts::Shorten(characters),
        (R1_HISTORY_SUMMARISE, Some(host)) => {
            HistoryThoughts::Summarise(SummariseFn::new(move |thought| host(thought).unwrap_or_default()))
        }
        (R1_HISTORY_SUMMARISE, None) => return Err(Fail::null("summarise")),
        (other, _) => return Err(Fail::range("history", format_args!("is {other}, not one of R1_HISTORY_*"))),
    })
}

fn thinking(flags: u32) -> Result<Option<bool>> {
    match flags & (R1_CHAT_THINK | R1_CHAT_NO_THINK) {
        0 => Ok(None),
        R1_CHAT_THINK => Ok(Some(true)),
        R1_CHAT_NO_THINK => Ok(Some(false)),
        _ => Err(Fail::range("flags", "has both R1_CHAT_THINK and R1_CHAT_NO_THINK")),
    }
}
