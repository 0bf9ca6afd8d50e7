//! A chat template, parsed once and rendered often.

use serde_json::{Map, Value, json};

use super::engine::Engine;
use super::presets::{PRESETS, preset};
use super::prompt::{Guard, Prompt};
use super::{Message, Role};
use crate::{Error, ErrorKind, Result};

/// Tags that templates look for in a reply's content, and that a reply may therefore hold.
const THINK_TAGS: [&str; 4] = ["<think>", "</think>", "[THINK]", "[/THINK]"];

/// A parsed chat template. Share it freely between threads.
///
/// ```
/// use r1core::chat::{ChatTemplate, Message, RenderOptions};
/// let template = ChatTemplate::for_model(None, Some("deepseek-r1"), "<BOS>", "<EOS>")?;
/// let messages = [Message::user("Hi")];
/// let options = RenderOptions { messages: &messages, add_generation_prompt: true, ..Default::default() };
/// assert_eq!(template.render(&options)?, "<BOS><｜User｜>Hi<｜Assistant｜><think>\n");
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatTemplate {
    engine: Engine,
    bos: String,
    eos: String,
}

/// What to render.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions<'a> {
    /// The conversation, oldest message first.
    pub messages: &'a [Message],
    /// Ends with what makes the model reply.
    pub add_generation_prompt: bool,
    /// The template's variable of that name; `None` leaves it undefined, which templates take as true.
    pub enable_thinking: Option<bool>,
    /// Tools in the form that the template expects (usually a list of JSON schemas).
    pub tools: Option<&'a Value>,
    /// Further variables.
    pub variables: Map<String, Value>,
    /// Adds an opened `<think>` where the prompt ends with `<｜Assistant｜>`, for files that were made before the R1
    /// templates did so themselves.
    pub force_think: bool,
}

impl ChatTemplate {
    /// Parses a template; `bos` and `eos` are what it prints for `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// `Template` with the line where it does not parse; `Limit` where it is too long or too deep.
    pub fn parse(source: &str, bos: &str, eos: &str) -> Result<ChatTemplate> {
        Ok(ChatTemplate { engine: Engine::parse(source)?, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The template to use: `explicit` (the name of one of [`PRESETS`], or template text) where given, else the file's
    /// `own`.
    ///
    /// # Errors
    /// `NoTemplate` where there is neither; as [`ChatTemplate::parse`].
    pub fn for_model(own: Option<&str>, explicit: Option<&str>, bos: &str, eos: &str) -> Result<ChatTemplate> {
        let names = || PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let source = match (explicit, own) {
            (Some(choice), _) => match preset(choice) {
                Some(text) => text,
                None if choice.contains('{') => choice,
                None => {
                    return Err(Error::new(ErrorKind::NoTemplate, format!("there is no chat template '{choice}'"))
                        .remedy(format!("give a template's text, or choose one of: {}", names())));
                }
            },
            (None, Some(own)) => own,
            (None, None) => {
                return Err(Error::new(ErrorKind::NoTemplate, "the file has no chat template")
                    .key("tokenizer.chat_template")
                    .remedy(format!("choose one of: {}; or prompt without a template", names())));
            }
        };
        ChatTemplate::parse(source, bos, eos)
    }

    /// The prompt as text.
    ///
    /// # Errors
    /// `Template` with the line and the template's own message where it refuses the conversation; `Limit` where it runs
    /// over its fuel.
    pub fn render(&self, options: &RenderOptions<'_>) -> Result<String> {
        self.run(options, options.add_generation_prompt, &|message| message_json(message, &|v| v.clone()))
    }

    /// The prompt cut so that special texts in messages stay text. `specials` are the texts of the vocabulary's special
    /// tokens. In a reply's own content the think tags keep their meaning, since templates look for them.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_prompt(&self, options: &RenderOptions<'_>, specials: &[&str]) -> Result<Prompt> {
        let mut texts = Vec::new();
        for message in options.messages {
            texts.push(message.content.as_str());
            message.extra.iter().for_each(|(key, value)| {
                texts.push(key);
                collect(value, &mut texts);
            });
        }
        let guard = Guard::new(specials, &texts);
        let guarded = |message: &Message| {
            let allowed: &[&str] = if message.role == Role::Assistant { &THINK_TAGS } else { &[] };
            message_json(message, &|value| guard.value(value, allowed))
        };
        let rendered = self.run(options, options.add_generation_prompt, &guarded)?;
        // Some templates refuse a conversation that ends with a user's message unless a reply is asked for.
        let before = if options.add_generation_prompt { self.run(options, false, &guarded).ok() } else { None };
        Ok(Prompt::new(&rendered, before.as_deref(), guard.mark()))
    }

    fn run(
        &self,
        options: &RenderOptions<'_>,
        add_generation_prompt: bool,
        message: &dyn Fn(&Message) -> Value,
    ) -> Result<String> {
        let mut context = options.variables.clone();
        context.insert("messages".into(), options.messages.iter().map(message).collect());
        context.insert("add_generation_prompt".into(), json!(add_generation_prompt));
        context.insert("bos_token".into(), json!(self.bos));
        context.insert("eos_token".into(), json!(self.eos));
        if let Some(thinking) = options.enable_thinking {
            context.insert("enable_thinking".into(), json!(thinking));
        }
        if let Some(tools) = options.tools {
            context.insert("tools".into(), tools.clone());
        }
        let context = Value::Object(context);
        let bytes = text_bytes(&context);
        let mut text = self.engine.render(&context, bytes)?;
        if options.force_think && add_generation_prompt && text.ends_with("<｜Assistant｜>") {
            text.push_str("<think>\n");
        }
        Ok(text)
    }
}

/// A message as templates see it. `content` comes from the further fields where it is there (null, or a list of parts).
fn message_json(message: &Message, map: &dyn Fn(&Value) -> Value) -> Value {
    let mut fields = Map::new();
    fields.insert("role".into(), json!(message.role.as_str()));
    fields.insert("content".into(), map(&json!(message.content)));
    for (key, value) in &message.extra {
        fields.insert(key.clone(), map(value));
    }
    Value::Object(fields)
}

fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            texts.push(key);
            collect(value, texts);
        }),
        _ => {}
    }
}

/// Bytes of all texts in a value.
fn text_bytes(value: &Value) -> usize {
    let mut texts = Vec::new();
    collect(value, &mut texts);
    texts.iter().map(|text| text.len()).sum()
}
