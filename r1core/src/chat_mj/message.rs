//! One turn of a conversation, in the shape of the OpenAI chat format.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, Result};

/// Who speaks. Templates see the plain string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions of the host.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
    /// A role that only some templates know (`developer`, `ipython` ...).
    Other(String),
}

impl Role {
    /// The role as templates spell it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Self {
        match name {
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message: role, text, and whatever else the template may look at.
///
/// ```
/// use r1core::chat::{Message, Role};
/// let messages = Message::list_from_json(r#"[{"role": "user", "content": "What is 6*7?"}]"#)?;
/// assert_eq!(messages, [Message::user("What is 6*7?")]);
/// assert_eq!(messages[0].role, Role::User);
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text. For a message whose JSON `content` is null this is empty, and for a list of parts it is their text;
    /// the original then stands in `extra["content"]`, which is what the template sees.
    pub content: String,
    /// Further fields in their original order: `tool_calls`, `reasoning_content`, `name`, `tool_call_id` ...
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message without further fields.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), extra: Map::new() }
    }

    /// Instructions of the host. DeepSeek advises against system messages for R1: put them into the user's turn.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A question.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// An earlier reply of the model, with or without its thought: the template decides what of it is shown again.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of a tool call.
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new(Role::Tool, content)
    }

    /// Adds or replaces a further field.
    #[must_use]
    pub fn with(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(field.into(), value.into());
        self
    }

    /// Reads a JSON array of messages in the OpenAI format: objects with a string `role` and a `content` that is a
    /// string, null, absent, or an array of parts (`{"type": "text", "text": ...}`).
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] that names the message by its index.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Argument, "messages are not valid JSON").source(e))?;
        let Value::Array(items) = value else {
            return Err(Error::new(ErrorKind::Argument, "messages must be a JSON array of objects"));
        };
        items.into_iter().enumerate().map(|(index, item)| Self::from_json(index, item)).collect()
    }

    fn from_json(index: usize, value: Value) -> Result<Self> {
        let bad = |what: &str| Error::new(ErrorKind::Argument, format!("message {index}: {what}"));
        let Value::Object(mut extra) = value else { return Err(bad("is not an object")) };
        let role = match extra.shift_remove("role") {
            Some(Value::String(role)) if !role.is_empty() => Role::from(role.as_str()),
            Some(_) => return Err(bad("'role' must be a non-empty string")),
            None => return Err(bad("has no 'role'")),
        };
        let content = match extra.shift_remove("content") {
            Some(Value::String(text)) => text,
            // Absent and null are one for the host; templates test for null, so that is what they see.
            None | Some(Value::Null) => {
                extra.insert("content".to_owned(), Value::Null);
                String::new()
            }
            Some(Value::Array(parts)) => {
                let text = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
                extra.insert("content".to_owned(), Value::Array(parts));
                text
            }
            Some(_) => return Err(bad("'content' must be a string, null or an array of parts")),
        };
        Ok(Self { role, content, extra })
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.role.as_str())?;
        match self.extra.get("content") {
            Some(content) => map.serialize_entry("content", content)?,
            None => map.serialize_entry("content", &self.content)?,
        }
        for (field, value) in self.extra.iter().filter(|(field, _)| *field != "content" && *field != "role") {
            map.serialize_entry(field, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trip_keeps_field_order_and_null_content() {
        let text = r#"[{"role":"assistant","content":null,"tool_calls":[{"b":1,"a":2}]},{"role":"developer","content":"x","name":"n"}]"#;
        let messages = Message::list_from_json(text).unwrap();
        assert_eq!(messages[0].content, "");
        assert_eq!(messages[1].role, Role::Other("developer".into()));
        assert_eq!(serde_json::to_string(&messages).unwrap(), text);
    }

    #[test]
    fn parts_give_their_text_and_stay_visible() {
        let messages = Message::list_from_json(
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}]"#,
        )
        .unwrap();
        assert_eq!(messages[0].content, "ab");
        assert!(messages[0].extra["content"].is_array());
    }

    #[test]
    fn bad_messages_are_named() {
        for (text, needle) in [
            ("{", "valid JSON"),
            ("{}", "array"),
            ("[1]", "message 0: is not an object"),
            (r#"[{"role":"user","content":"a"},{"content":"a"}]"#, "message 1: has no 'role'"),
            (r#"[{"role":7,"content":"a"}]"#, "non-empty string"),
            (r#"[{"role":"user","content":7}]"#, "'content' must be"),
        ] {
            let e = Message::list_from_json(text).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Argument);
            assert!(e.to_string().contains(needle), "{e}");
        }
    }
}
