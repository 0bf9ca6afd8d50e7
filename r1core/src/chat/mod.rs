//! From messages to a prompt: chat templates (Jinja), within limits that a hostile file cannot exceed.
//!
//! A template comes from the GGUF file or from the host and is never guessed: [`ChatTemplate::for_model`] takes the
//! explicit choice first, then the file's own, and otherwise fails with the list of presets.
//!
//! [`ChatTemplate::render`] gives the text as Hugging Face's `apply_chat_template` would.
//! [`ChatTemplate::render_prompt`] gives the same text so that only special tokens *that the template wrote* count:
//! special-token text typed by a user stays text, so that nobody can forge a turn (see [`Prompt`]).

mod engine;
mod json;
mod message;
mod methods;
mod presets;
mod prompt;
mod python;
mod scan;
mod stack;
mod template;
mod time;

pub use message::{Message, Role};
pub use prompt::Prompt;
pub use template::{ChatTemplate, RenderOptions};
