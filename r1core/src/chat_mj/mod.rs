//! From messages to a prompt: chat templates (Jinja), within limits that a hostile file cannot exceed.
//!
//! A template comes from the GGUF file or from the host and is never guessed: [`ChatTemplate::for_model`] takes the
//! explicit choice first, then the file's own, and otherwise fails with the list of presets.
//!
//! [`ChatTemplate::render`] gives the text as Hugging Face's `apply_chat_template` would.
//! [`ChatTemplate::render_prompt`] gives the same text cut so that special tokens *that the template wrote* keep their
//! meaning, while the same text typed by a user stays text: nobody can forge a turn (see [`Prompt`]).

mod engine;
mod message;
mod presets;
mod prompt;
mod python;
mod template;

pub use message::{Message, Role};
pub use presets::PRESETS;
pub use prompt::Prompt;
pub use template::{ChatTemplate, RenderOptions};
