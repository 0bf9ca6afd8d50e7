//! What the programs of this crate share: the engines, logits on disk, and figures.

pub mod args;
pub mod dump;
pub mod engine;
pub mod figures;
pub mod llama;
pub mod ours;
pub mod passes;

/// Result of everything here: these are programs, and a line of text is all that their user needs.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
