//! The one owner of a sequence's phase: is the model thinking or answering?
//!
//! A [`ReasoningMachine`] reads every token of a sequence. The stream splitter, the counters and (as they come) budgets,
//! deadlines and the grammar gate all read it, so that they cannot disagree.
//!
//! * Tags are matched by token id where the vocabulary has them, else by bytes, cut anywhere over tokens; bytes that may
//!   still become a tag are held back.
//! * Newlines directly after a tag belong to the tag and are not streamed, nor are newlines before the first text.
//! * A close tag that comes again before the answer has begun is swallowed; by id it is swallowed anywhere.
//! * An open tag that comes again before the thought has begun (a prompt that opened it already) is swallowed.
//! * A new open tag after the answer has begun opens a further block.

mod counters;
mod machine;
mod matcher;
mod tags;

pub use counters::Counters;
pub use machine::{Channel, CloseReason, InitialPhase, Phase, Pieces, ReasoningMachine};
pub use tags::ThinkTags;
