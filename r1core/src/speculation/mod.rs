//! Speculation without a second model: text repeats itself, so what followed the last time is guessed to follow again.
//!
//! A pass that reads a token may read a few guessed ones behind it for little more, since a decode step is bound by reading
//! the weights. The kernels give every row the same bits in any batch and the sampler is keyed by the position, so what
//! is generated does not depend on the guesses: they change the time and nothing else.
//!
//! Source of the method: suffix matching over the prompt, the output and, in a vote, the other samples (SuffixDecoding,
//! Oliaro et al. 2024, and prompt lookup), with the length chosen by what passes of each width were measured to take.

mod pacing;
mod prices;
mod suffixes;

use std::time::Duration;

use pacing::Pacing;
pub(crate) use suffixes::Suffixes;

/// Most guesses of one sequence in one pass.
pub(crate) const MOST_GUESSES: usize = 7;

/// Whether a session guesses tokens ahead, for itself and for the samples of its votes. Changes speed, no bit of the
/// result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speculation {
    /// As many guesses as the measured times of passes and the measured share of right guesses make worth while; none
    /// where they make generation slower.
    #[default]
    Auto,
    /// None.
    Off,
    /// This many (7 at most) wherever the text has a match, for measurements.
    Always(usize),
}

/// What a session's guesses came to, those for its votes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guesses {
    /// Guessed tokens that went through the model.
    pub made: u64,
    /// Those that were chosen, too: each is a token without a pass of its own.
    pub taken: u64,
}

/// Where a guess comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Origin {
    /// The sequence's own text, its prompt included.
    #[default]
    Own,
    /// Another sample of the same vote.
    Sibling,
}

/// Guesses for one sequence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// The tokens, the first of which are the likeliest.
    pub(crate) tokens: Vec<u32>,
    pub(crate) origin: Origin,
    /// How long the match behind them was.
    pub(crate) matched: usize,
}

/// What guesses came to. The sequence's next token is not among `right` where that was another than the guess
/// (`missed`) or is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) origin: Origin,
    pub(crate) matched: usize,
    pub(crate) right: usize,
    pub(crate) missed: bool,
}

/// Decides how many guesses a pass takes.
#[derive(Debug, Clone)]
pub(crate) struct Drafter {
    speculation: Speculation,
    pacing: Pacing,
    counts: Guesses,
}

impl Drafter {
    /// A drafter that has seen no pass; `None` where none is wanted.
    pub(crate) fn new(speculation: Speculation) -> Option<Drafter> {
        let drafter = Drafter { speculation, pacing: Pacing::default(), counts: Guesses::default() };
        (!matches!(speculation, Speculation::Off | Speculation::Always(0))).then_some(drafter)
    }

    /// Whether the best of guesses would be worth a place in a pass of `columns` tokens of `sequences` sequences.
    pub(crate) fn hopes(&mut self, columns: usize, sequences: usize) -> bool {
        self.speculation != Speculation::Auto || self.pacing.hopes(columns, sequences)
    }

    /// Cuts the drafts to what is worth its time in a pass of `columns` tokens of `sequences` sequences without them.
    pub(crate) fn cut(&mut self, columns: usize, sequences: usize, drafts: &mut [Draft]) {
        match self.speculation {
            Speculation::Always(count) => drafts.iter_mut().for_each(|draft| draft.tokens.truncate(count)),
            _ => self.pacing.cut(columns, sequences, drafts),
        }
        self.counts.made += drafts.iter().map(|draft| draft.tokens.len() as u64).sum::<u64>();
    }

    /// Notes that a pass of `columns` tokens took `time`.
    pub(crate) fn timed(&mut self, columns: usize, time: Duration) {
        self.pacing.timed(columns, time);
    }

    /// Notes what guesses came to.
    pub(crate) fn learn(&mut self, outcome: Outcome) {
        self.counts.taken += outcome.right as u64;
        self.pacing.learn(outcome);
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Guesses {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_are_made_where_none_are_wanted() {
        assert!(Drafter::new(Speculation::Off).is_none());
        assert!(Drafter::new(Speculation::Always(0)).is_none());
    }
}
