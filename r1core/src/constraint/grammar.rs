//! What an answer has to be.

/// What an answer has to be, from its first character to its last. The thought before it is free.
///
/// ```
/// use r1core::{GenerateOptions, constraint::Grammar};
/// let schema = r#"{"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}"#;
/// let options = GenerateOptions { grammar: Some(Grammar::JsonSchema(schema.into())), ..Default::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Grammar {
    /// Any JSON object.
    Json,
    /// JSON that a schema (its text) describes.
    JsonSchema(String),
    /// Text that a regular expression matches as a whole, in the syntax of Rust's `regex` crate, without anchors and
    /// look-around.
    Regex(String),
    /// Text that a context-free grammar derives from its rule `start`, in llguidance's variant of Lark's syntax.
    Lark(String),
}

impl Grammar {
    /// Its text; none for one that needs none.
    pub fn text(&self) -> &str {
        match self {
            Grammar::Json => "",
            Grammar::JsonSchema(text) | Grammar::Regex(text) | Grammar::Lark(text) => text,
        }
    }

    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Grammar::Json => "JSON",
            Grammar::JsonSchema(_) => "JSON schema",
            Grammar::Regex(_) => "regular expression",
            Grammar::Lark(_) => "Lark grammar",
        }
    }
}
