//! A compiled chat template.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Environment, Value};
use serde_json::{Map, Value as Json};

use super::presets::PRESETS;
use super::prompt::{Guard, Prompt};
use super::stack::on_deep_stack;
use super::{Message, Role, engine, scan};
use crate::{Error, ErrorKind, Result};

/// What [`ChatTemplate::render`] renders.
#[derive(Debug, Clone, Copy, Default)]
pub struct RenderOptions<'a> {
    /// The conversation, oldest first.
    pub messages: &'a [Message],
    /// Ends with what makes the model reply. [`RenderOptions::new`] sets it.
    pub add_generation_prompt: bool,
    /// The template's `enable_thinking`; left undefined when `None`. Templates without it ignore it.
    pub enable_thinking: Option<bool>,
    /// Appends `<think>` and a newline when the prompt ends with `<｜Assistant｜>`: R1 files from before February 2025
    /// lack it, and DeepSeek advises it.
    pub force_think: bool,
    /// Shows the thoughts that earlier assistant messages hold in tags, although the template would cut them off: their
    /// tags are hidden from it. Only [`render_prompt`](ChatTemplate::render_prompt) does so.
    pub keep_thoughts: bool,
    /// Descriptions of tools, as the OpenAI format has them (an array).
    pub tools: Option<&'a Json>,
    /// Further variables, which win over the standard ones.
    pub variables: Option<&'a Map<String, Json>>,
    /// What the template is known to end with for the model to continue ([`Prompt::tail`] of another conversation), which
    /// saves [`render_prompt`](ChatTemplate::render_prompt) a second render to find out. Where the prompt does not end
    /// with it, and where it holds no special text, it is not believed.
    pub tail: Option<&'a str>,
    /// Seconds since 1970 (UTC) for templates that print the date; the clock's when `None`.
    pub now: Option<u64>,
}

impl<'a> RenderOptions<'a> {
    /// A conversation for the model to continue; everything else off.
    pub fn new(messages: &'a [Message]) -> Self {
        Self { messages, add_generation_prompt: true, ..Self::default() }
    }
}

/// A chat template, compiled once and shared freely between threads.
///
/// Templates are programs from a file that nobody has read. They run within limits (steps, memory, nesting): a hostile
/// one gets an error, never the host's stack or time.
///
/// ```
/// use r1core::chat::{ChatTemplate, Message, RenderOptions};
/// let template = ChatTemplate::builtin("chatml", "", "").unwrap();
/// let messages = [Message::user("Hi")];
/// let prompt = template.render(&RenderOptions::new(&messages))?;
/// assert_eq!(prompt, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles a template in the dialect of Hugging Face's `apply_chat_template`. `bos` and `eos` are the texts of
    /// those tokens (empty if there are none), which templates know as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// [`ErrorKind::Template`] with the line, or [`ErrorKind::Limit`] for one that is too long or nested too deeply.
    pub fn parse(source: &str, bos: &str, eos: &str) -> Result<Self> {
        let environment = on_deep_stack(|| engine::compile(scan::prepare(source)?).map_err(explain))?;
        Ok(Self { environment, source: source.to_owned(), bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// One of the [`presets`](Self::presets). `None` for a name that is not among them.
    pub fn builtin(name: &str, bos: &str, eos: &str) -> Option<Self> {
        let (_, source) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Self::parse(source, bos, eos).ok()
    }

    /// Names of the presets: `chatml`, `deepseek-r1` (opens the thought), `r1-zero` (the paper's prompt), `gemma`,
    /// `plain` (the bare contents).
    pub fn presets() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// The template of a model: `explicit` (the name of a preset, else template text), else the file's own. Never a
    /// guess.
    ///
    /// # Errors
    /// [`ErrorKind::NoTemplate`] when there is neither, or no preset of that name, with a remedy that lists the presets;
    /// and those of
    /// [`parse`](Self::parse).
    pub fn for_model(from_file: Option<&str>, explicit: Option<&str>, bos: &str, eos: &str) -> Result<Self> {
        let none = |what: String| {
            let presets: Vec<_> = Self::presets().collect();
            Error::new(ErrorKind::NoTemplate, what)
                .remedy(format!("choose one by name ({}) or pass template text", presets.join(", ")))
        };
        match (explicit, from_file) {
            (Some(choice), _) => match Self::builtin(choice, bos, eos) {
                Some(preset) => Ok(preset),
                // A misspelt name is not a template: one that prints no message is of no use.
                None if !choice.contains('{') => Err(none(format!("there is no chat template '{choice}'"))),
                None => Self::parse(choice, bos, eos),
            },
            (None, Some(own)) => Self::parse(own, bos, eos),
            (None, None) => Err(none("the file has no chat template".into()).key("tokenizer.chat_template")),
        }
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt as text. To tokenise it safely use [`render_prompt`](Self::render_prompt).
    ///
    /// # Errors
    /// [`ErrorKind::Template`] with the line, also when the template itself refuses (`raise_exception`), and
    /// [`ErrorKind::Limit`] when it runs over its limits.
    pub fn render(&self, options: &RenderOptions<'_>) -> Result<String> {
        self.run(options, None, options.add_generation_prompt)
    }

    /// The prompt, cut so that only the template's own special tokens count: text of `specials` inside messages, tools and
    /// variables stays text. `specials` are the texts of the control tokens and of the tags that carry structure
    /// (`<think>`, `<tool_call>` ...). Think tags in earlier assistant messages do count, as templates cut there.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_prompt(&self, options: &RenderOptions<'_>, specials: &[&str]) -> Result<Prompt> {
        let guard = Guard::new(specials, &self.source, options)?;
        let text = self.run(options, Some(&guard), options.add_generation_prompt)?;
        // What the template adds for the model to continue is the difference to a render without it.
        let known = options.tail.filter(|tail| text.ends_with(tail) && specials.iter().any(|text| tail.contains(text)));
        let tail = if let Some(known) = known {
            known
        } else if options.add_generation_prompt {
            let without = self.run(options, Some(&guard), false).unwrap_or_default();
            text.strip_prefix(without.as_str()).unwrap_or_default()
        } else {
            ""
        };
        Ok(guard.prompt(&text, tail))
    }

    fn run(&self, options: &RenderOptions<'_>, guard: Option<&Guard<'_>>, generation: bool) -> Result<String> {
        let protect = |json: &Json| -> Result<Value> {
            match guard {
                Some(guard) => from_json(&guard.protect_json(json), 0),
                None => from_json(json, 0),
            }
        };
        let mut input = 0u64;
        let mut messages = Vec::with_capacity(options.messages.len());
        for message in options.messages {
            let mut fields = vec![("role".to_owned(), Value::from(message.role.as_str()))];
            let content = match (message.extra.get("content"), guard) {
                (Some(content), _) => protect(content)?,
                (None, Some(guard)) => Value::from(guard.protect(&message.content, message.role == Role::Assistant)),
                (None, None) => Value::from(message.content.as_str()),
            };
            fields.push(("content".to_owned(), content));
            input = input.saturating_add(message.content.len() as u64 / 16);
            for (field, value) in message.extra.iter().filter(|(field, _)| *field != "content" && *field != "role") {
                fields.push((field.clone(), protect(value)?));
            }
            input = input.saturating_add(message.extra.values().map(extent).sum());
            messages.push(Value::from_pairs(fields));
        }
        let count = messages.len() as u64;
        let further = options.variables.into_iter().flatten();
        input = input.saturating_add(options.tools.map_or(0, extent));
        input = input.saturating_add(further.clone().map(|(_, value)| extent(value)).sum());
        let mut variables = vec![
            ("bos_token".to_owned(), Value::from(self.bos.as_str())),
            ("eos_token".to_owned(), Value::from(self.eos.as_str())),
            ("add_generation_prompt".to_owned(), Value::from(generation)),
            ("documents".to_owned(), Value::from(())),
            ("tools".to_owned(), options.tools.map_or(Ok(Value::from(())), protect)?),
            ("messages".to_owned(), Value::from(messages)),
        ];
        if let Some(thinking) = options.enable_thinking {
            variables.push(("enable_thinking".to_owned(), Value::from(thinking)));
        }
        for (name, value) in further {
            variables.push((name.clone(), protect(value)?));
        }
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = options.now.unwrap_or_else(clock);
        let render = || engine::render(&self.environment, variables, input, count, now).map_err(explain);
        let mut text = on_deep_stack(render)?;
        if options.force_think && generation && text.ends_with("<｜Assistant｜>") {
            text.push_str("<think>\n");
        }
        Ok(text)
    }
}

/// How large JSON is: values plus sixteenths of text bytes.
fn extent(json: &Json) -> u64 {
    1 + match json {
        Json::String(text) => text.len() as u64 / 16,
        Json::Array(items) => items.iter().map(extent).sum(),
        Json::Object(map) => map.iter().map(|(key, value)| key.len() as u64 / 16 + extent(value)).sum(),
        _ => 0,
    }
}

/// JSON as a template sees it. Depth is checked before anything else walks it.
fn from_json(json: &Json, depth: u32) -> Result<Value> {
    if depth > 48 {
        return Err(Error::new(ErrorKind::Limit, "messages or tools are nested more than 48 levels deep"));
    }
    Ok(match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match number.as_i128() {
            Some(int) => Value::from(int),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            Value::from(items.iter().map(|item| from_json(item, depth + 1)).collect::<Result<Vec<_>>>()?)
        }
        Json::Object(map) => {
            let entry = |(key, value): (&String, &Json)| Ok((key.clone(), from_json(value, depth + 1)?));
            Value::from_pairs(map.iter().map(entry).collect::<Result<Vec<_>>>()?)
        }
    })
}

/// minijinja's error as ours.
fn explain(error: minijinja::Error) -> Error {
    let detail = error.detail().unwrap_or_default();
    let limit = error.kind() == minijinja::ErrorKind::OutOfFuel
        || matches!(detail, "recursion limit exceeded" | "template exceeds maximum recursion limits")
        || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>());
    let kind = if limit { ErrorKind::Limit } else { ErrorKind::Template };
    let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
    let colon = if detail.is_empty() { "" } else { ": " };
    let what = if limit && detail.is_empty() {
        "it takes too many steps or too much memory".to_owned()
    } else {
        error.kind().to_string()
    };
    Error::new(kind, format!("chat template{line}: {what}{colon}{detail}"))
}
