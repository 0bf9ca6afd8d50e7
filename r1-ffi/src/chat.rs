//! Conversations.

use std::ffi::c_char;

use engine::chat::{Message, RenderOptions};
use engine::{CancelToken, Chat, ChatOptions, Model};

use crate::busy::Busy;
use crate::error::r1_error;
use crate::fail::{Fail, Result};
use crate::generate::{self, r1_generate_options};
use crate::handle::{self, object};
use crate::model::r1_model;
use crate::session::{self, r1_session_options};
use crate::sized::{self, sized};
use crate::status::*;
use crate::stream::{self, Owner, r1_stream};
use crate::string::{self, r1_string};

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
/// Tells the template not to let the model think; for templates that can be told.
pub const R1_CHAT_NO_THINK: u32 = 2;
/// For `r1_chat_render`: without the beginning of the assistant's turn.
pub const R1_CHAT_NO_GENERATION_PROMPT: u32 = 4;

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
    /// Messages that come first: a JSON array of objects with `role` and `content`, ending with NUL. NULL for none. For
    /// the R1 family put instructions into the user's turn instead of a system message, as the authors advise.
    pub messages_json: *const c_char,
}
sized!(r1_chat_options, messages_json: *const c_char);

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
        let flags = sized::flags(options.flags, R1_CHAT_THINK | R1_CHAT_NO_THINK, "r1_chat_options")?;
        let (session, fresh) = session::read(caller, options.session)?;
        let model = handle::get::<Model>(model, "model")?;
        let out = caller.out(out, "out")?;
        let messages = caller.optional(options.messages_json, "messages_json")?.map(Message::list_from_json);
        let chat = ChatOptions {
            template: caller.optional(options.chat_template, "chat_template")?.map(str::to_owned),
            messages: messages.transpose()?.unwrap_or_default(),
            enable_thinking: thinking(flags)?,
            ..ChatOptions::default()
        };
        let chat = Chat::new(model.session(session)?, chat)?;
        out.set(handle::give(Busy::new(OwnChat { chat, fresh }, "chat"))?);
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

fn thinking(flags: u32) -> Result<Option<bool>> {
    match flags & (R1_CHAT_THINK | R1_CHAT_NO_THINK) {
        0 => Ok(None),
        R1_CHAT_THINK => Ok(Some(true)),
        R1_CHAT_NO_THINK => Ok(Some(false)),
        _ => Err(Fail::range("flags", "has both R1_CHAT_THINK and R1_CHAT_NO_THINK")),
    }
}
