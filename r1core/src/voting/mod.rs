//! Voting: many samples of one question, one answer, and when to stop sampling.
//!
//! Every finished sample is a [`Ballot`]; a [`Tally`] counts them; an [`EarlyStop`] rule says when enough are in. Answers
//! are counted under the text of [`normalise`](crate::answer::normalise). [`PassAtOne`], [`Consensus`] and [`Report`]
//! measure a model on tasks whose answers are known.
//!
//! Nothing here depends on the clock or on the order in which threads run, except where a rule is about the order in which
//! samples finish ([`EarlyStop::Window`]).
//!
//! ```
//! use r1core::voting::{Ballot, EarlyStop, Tally};
//! let mut tally = Tally::new();
//! for (sample, answer) in ["8", "8", "6", "8", "8"].into_iter().enumerate() {
//!     tally.add(Ballot::new(sample, Some(answer))).unwrap();
//! }
//! // Two samples still run: they cannot change the result.
//! let decision = EarlyStop::Certain.decide(&tally, 2).unwrap();
//! assert_eq!(decision.answer.as_deref(), Some("8"));
//! assert_eq!(tally.confidence(), 0.8);
//! ```

mod ballot;
mod beta;
mod early_stop;
mod metrics;
mod seed;
mod tally;

pub use ballot::Ballot;
pub use early_stop::{Decision, EarlyStop, StopReason};
pub use metrics::{Consensus, KindReport, PassAtOne, Report, SampleResult, TaskResult};
pub use seed::sample_seed;
pub use tally::{Count, Tally, Voters};
