//! The one owner of a sequence's phase: is the model thinking or answering?
//!
//! A [`ReasoningMachine`] reads every token of a sequence. A [`ThinkControl`] owns it and decides, from [`ThinkOptions`]
//! and what a [`ThinkHandle`] asks for, which tokens may come, which are forced, and when. The stream splitter, the
//! counters, budgets, deadlines and sampling profiles all read the one machine, so that they cannot disagree.
//!
//! * Tags are matched by token id where the vocabulary has them, else by bytes, cut anywhere over tokens, or by both in a
//!   row (`<|channel|>analysis<|message|>`); what may still become a tag is held back.
//! * Newlines directly after a tag belong to the tag and are not streamed, nor are newlines before the first text.
//! * A close tag that comes again before the answer has begun is swallowed, and one that comes after the thought was
//!   closed by force; by id it is swallowed anywhere.
//! * An open tag that comes again before the thought has begun (a prompt that opened it already) is swallowed.
//! * A new open tag after the answer has begun opens a further block.

mod boundary;
mod budget;
mod clock;
mod closing;
mod control;
mod counters;
mod handle;
mod known;
mod machine;
mod masks;
mod matcher;
mod options;
mod repetition;
mod room;
mod symbols;
mod tags;
mod until;

pub use clock::Clock;
pub use control::{Plan, ThinkControl, Verdict, Words};
pub use counters::Counters;
pub use handle::ThinkHandle;
pub use machine::{Channel, CloseReason, InitialPhase, Phase, Pieces, ReasoningMachine};
pub use options::{Boundary, GuardEos, LoopAction, LoopGuard, OnBudget, Ramp, ThinkOptions, ToolInThink};
pub use tags::ThinkTags;
pub use until::{Sign, Until};
