//! What of a conversation the template gets to see: thoughts of earlier turns, and the host's instructions.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::chat::{ChatTemplate, Message, Role};
use crate::reasoning::ThinkTags;

/// What becomes of the thoughts of earlier turns when a conversation goes on.
#[derive(Debug, Clone, Default)]
pub enum HistoryThoughts {
    /// The template decides; most drop them.
    #[default]
    Template,
    /// They are shown to the model in full, even where the template would drop them. They take room in the context.
    ///
    /// Templates that write thoughts as messages of their own (gpt-oss) still decide for themselves.
    Keep,
    /// They are dropped, even where the template would show them.
    Drop,
    /// The last lines of each are shown, so many characters at most.
    Shorten(usize),
    /// What the host makes of each is shown.
    Summarise(SummariseFn),
}

/// A host's way to shorten a thought: takes a thought and returns what is to be shown of it later; nothing drops it.
/// Called for every earlier thought whenever a turn begins, on the thread that begins it.
#[derive(Clone)]
pub struct SummariseFn(Arc<Summarise>);

type Summarise = dyn Fn(&str) -> String + Send + Sync;

impl SummariseFn {
    /// Wraps a function.
    pub fn new(f: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }
}

impl fmt::Debug for SummariseFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SummariseFn")
    }
}

/// What becomes of system messages for models that are better off without (DeepSeek's R1: "avoid adding a system prompt;
/// all instructions should be contained within the user prompt").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SystemMessages {
    /// They are passed on as they are, and [`Chat::warnings`](crate::Chat::warnings) says what the authors of the model
    /// advise.
    #[default]
    Warn,
    /// They are passed on as they are.
    Keep,
    /// They are put in front of the user's message that follows, with an empty line between. For every model.
    IntoUserTurn,
}

/// What the authors of a model advise against, and a host does nevertheless. Nothing is changed on its account.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatWarning {
    /// A system message for a model of the R1 family.
    SystemMessage,
    /// A conversation for a model of the R1 family begins with replies that the model has not given: examples make its
    /// answers worse. An earlier conversation that goes on looks the same and is no reason to worry.
    Examples,
}

impl ChatWarning {
    /// The name used in JSON: `system_message`, `examples`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SystemMessage => "system_message",
            Self::Examples => "examples",
        }
    }
}

impl fmt::Display for ChatWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SystemMessage => {
                "the authors of R1 advise against a system message: put the instructions into the user's message"
            }
            Self::Examples => {
                "the authors of R1 advise against examples: describe the task and the format of the answer"
            }
        })
    }
}

/// Whether a template is that of the R1 family. Later models of DeepSeek that are told whether to think take system
/// messages.
pub(super) fn is_r1(template: &ChatTemplate, tags: Option<&ThinkTags>) -> bool {
    let source = template.source();
    let thinks = tags.is_some_and(|tags| tags.open.iter().any(|tag| tag == "<think>"));
    // Such a template reads `thinking`; that of R1 at most `enable_thinking`.
    let mut reads = source.match_indices("thinking is defined").filter_map(|(at, _)| source.get(..at));
    thinks && source.contains("<｜Assistant｜>") && !reads.any(|before| !before.ends_with('_'))
}

/// What the authors of an R1 model would say to these messages.
pub(super) fn warnings(messages: &[Message]) -> Vec<ChatWarning> {
    let any = |role: Role| messages.iter().any(|message| message.role == role);
    let found = [(Role::System, ChatWarning::SystemMessage), (Role::Assistant, ChatWarning::Examples)];
    found.into_iter().filter(|(role, _)| any(role.clone())).map(|(_, warning)| warning).collect()
}

/// A reply as a message of the history.
pub(super) fn reply(tags: Option<&ThinkTags>, thought: &str, answer: String) -> Message {
    match tags.filter(|_| !thought.is_empty()) {
        // Templates of such models refuse tags in the content and have fields for the thought.
        Some(tags) if tags.in_channels() => {
            Message::assistant(answer).with("thinking", thought).with("reasoning_content", thought)
        }
        Some(tags) => Message::assistant(tags.wrap(thought, &answer)),
        None => Message::assistant(answer),
    }
}

/// The messages as the template gets them.
pub(super) fn prepare<'a>(
    messages: &'a [Message],
    tags: Option<&ThinkTags>,
    thoughts: &HistoryThoughts,
    systems: SystemMessages,
) -> Cow<'a, [Message]> {
    let moves = systems == SystemMessages::IntoUserTurn && messages.iter().any(|m| m.role == Role::System);
    let changes = !matches!(thoughts, HistoryThoughts::Template | HistoryThoughts::Keep);
    if !moves && !changes {
        return Cow::Borrowed(messages);
    }
    let mut instructions: Vec<&str> = Vec::new();
    let mut out = Vec::with_capacity(messages.len());
    for message in messages {
        match message.role {
            Role::System if moves => instructions.push(&message.content),
            Role::User if !instructions.is_empty() => {
                out.push(with_instructions(message, &instructions.join("\n\n")));
                instructions.clear();
            }
            Role::Assistant if changes => out.push(with_thought(message, tags, thoughts)),
            _ => out.push(message.clone()),
        }
    }
    Cow::Owned(out)
}

/// A user's message that begins with the host's instructions.
fn with_instructions(message: &Message, instructions: &str) -> Message {
    let mut message = message.clone();
    if let Some(Value::Array(parts)) = message.extra.get_mut("content") {
        parts.insert(0, json!({"type": "text", "text": format!("{instructions}\n\n")}));
    }
    message.content = format!("{instructions}\n\n{}", message.content);
    message
}

/// Fields in which templates look for a thought.
const FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// An assistant's message with as much of its thought as the host wants.
fn with_thought(message: &Message, tags: Option<&ThinkTags>, thoughts: &HistoryThoughts) -> Message {
    let less = |thought: &str| match thoughts {
        HistoryThoughts::Template | HistoryThoughts::Keep => thought.to_owned(),
        HistoryThoughts::Drop => String::new(),
        HistoryThoughts::Shorten(most) => last_lines(thought, *most).to_owned(),
        HistoryThoughts::Summarise(host) => (host.0)(thought),
    };
    let mut message = message.clone();
    for field in FIELDS {
        if let Some(Value::String(thought)) = message.extra.get(field) {
            let thought = less(thought);
            if thought.is_empty() {
                message.extra.shift_remove(field);
            } else {
                message.extra.insert(field.to_owned(), thought.into());
            }
        }
    }
    if let Some(tags) = tags
        && let Some((thought, answer)) = tags.split(&message.content)
    {
        let thought = less(thought);
        message.content = if thought.is_empty() { answer.to_owned() } else { tags.wrap(&thought, answer) };
    }
    message
}

/// The last whole lines of a text that are no longer than this many characters; the end of the last line where it is
/// longer.
fn last_lines(text: &str, most: usize) -> &str {
    let count = text.chars().count();
    let Some(extra) = count.checked_sub(most).filter(|extra| *extra > 0) else { return text };
    let start = text.char_indices().nth(extra).map_or(text.len(), |(at, _)| at);
    let (before, end) = text.split_at(start);
    match end.find('\n') {
        _ if before.ends_with('\n') => end,
        Some(at) => end.get(at + 1..).filter(|rest| !rest.is_empty()).unwrap_or(end),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.content.as_str()).collect()
    }

    fn tags() -> ThinkTags {
        ThinkTags::from_text("<think>", "</think>")
    }

    #[test]
    fn instructions_go_to_the_front_of_the_next_user_message() {
        let messages = [
            Message::system("A"),
            Message::system("B"),
            Message::user("1"),
            Message::assistant("x"),
            Message::system("C"),
            Message::user("2"),
        ];
        let moved = prepare(&messages, None, &HistoryThoughts::Template, SystemMessages::IntoUserTurn);
        assert_eq!(contents(&moved), ["A\n\nB\n\n1", "x", "C\n\n2"]);
        for systems in [SystemMessages::Keep, SystemMessages::Warn] {
            let kept = prepare(&messages, None, &HistoryThoughts::Template, systems);
            assert!(matches!(kept, Cow::Borrowed(_)) && *kept == messages, "nothing changes unasked");
        }
        let parts = Message::list_from_json(
            r#"[{"role":"system","content":"A"},{"role":"user","content":[{"type":"text","text":"1"}]}]"#,
        );
        let parts = parts.unwrap();
        let moved = prepare(&parts, None, &HistoryThoughts::Template, SystemMessages::IntoUserTurn);
        assert_eq!(moved[0].extra["content"][0]["text"], "A\n\n");
    }

    #[test]
    fn thoughts_are_dropped_shortened_or_summarised_in_tags_and_in_fields() {
        let in_tags = Message::assistant("<think>\none\ntwo\n</think>\n\nyes");
        let in_field = Message::assistant("yes").with("reasoning_content", "one\ntwo");
        let short = SummariseFn::new(|thought| format!("{} lines", thought.lines().count()));
        let none = SummariseFn::new(|_| String::new());
        for (thoughts, content, field) in [
            (HistoryThoughts::Drop, "yes", None),
            (HistoryThoughts::Shorten(5), "<think>\ntwo\n</think>\n\nyes", Some("two")),
            (HistoryThoughts::Shorten(2), "<think>\nwo\n</think>\n\nyes", Some("wo")),
            (HistoryThoughts::Summarise(short), "<think>\n2 lines\n</think>\n\nyes", Some("2 lines")),
            (HistoryThoughts::Summarise(none), "yes", None),
        ] {
            let messages = [in_tags.clone(), in_field.clone(), Message::user("</think>")];
            let out = prepare(&messages, Some(&tags()), &thoughts, SystemMessages::Warn);
            assert_eq!(out[0].content, content, "{thoughts:?}");
            let got = out[1].extra.get("reasoning_content").and_then(Value::as_str);
            assert_eq!((out[1].content.as_str(), got), ("yes", field), "{thoughts:?}");
            assert_eq!(out[2].content, "</think>", "what users type is theirs");
        }
    }

    #[test]
    fn a_reply_keeps_its_thought_where_its_template_looks_for_it() {
        let channels = ThinkTags { closing: Some("<|end|>".into()), ..tags() };
        let message = reply(Some(&channels), "hm", "yes".into());
        assert_eq!((message.content.as_str(), &message.extra["thinking"]), ("yes", &Value::from("hm")));
        assert_eq!(reply(Some(&tags()), "hm", "yes".into()).content, "<think>\nhm\n</think>\n\nyes");
        assert_eq!(reply(None, "", "yes".into()), Message::assistant("yes"));
    }

    #[test]
    fn an_r1_template_is_told_from_those_of_later_models() {
        let r1 = |source: &str| is_r1(&ChatTemplate::parse(source, "", "").unwrap(), Some(&tags()));
        assert!(r1("{{ '<｜Assistant｜><think>' }}"));
        assert!(r1("{{ '<｜Assistant｜>' if enable_thinking is defined else '' }}"));
        assert!(!r1("{% if not thinking is defined %}{% endif %}{{ '<｜Assistant｜>' }}"));
        assert!(!r1("{{ '<|im_start|>' }}"));
        let preset = ChatTemplate::builtin("deepseek-r1", "", "").unwrap();
        assert!(is_r1(&preset, Some(&tags())) && !is_r1(&preset, None));
    }

    #[test]
    fn a_thought_is_shortened_to_whole_lines_from_its_end() {
        for (text, most, expected) in [
            ("one\ntwo\nthree", 9, "two\nthree"),
            ("one\ntwo\nthree", 8, "three"),
            ("one\ntwo\nthree", 3, "ree"),
            ("one\n", 1, "\n"),
            ("日本語", 2, "本語"),
            ("ab", 2, "ab"),
            ("ab", 0, ""),
            ("", 0, ""),
        ] {
            assert_eq!(last_lines(text, most), expected, "{text:?} {most}");
        }
    }
}
