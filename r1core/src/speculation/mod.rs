//! Speculation without a second model: text repeats itself, so what followed the last time is guessed to follow again.
//!
//! A pass that reads a token may read a few guessed ones behind it for little more, since a decode step is bound by reading
//! the weights. The kernels give every row the same bits in any batch and the sampler is keyed by the position, so what
//! is generated does not depend on the guesses: they change the time and nothing else.
//!
//! Source of the method: suffix matching over the prompt and the output (SuffixDecoding, Oliaro et al. 2024, and prompt
//! lookup), with the length chosen by what passes of each width were measured to take.

mod pacing;
mod suffixes;

use std::time::Duration;

use pacing::Pacing;
use suffixes::Suffixes;

/// Most guesses of one pass.
pub(crate) const MOST_GUESSES: usize = 7;

/// Whether a session guesses tokens ahead. Changes speed, no bit of the result.
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

/// What a session's guesses came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guesses {
    /// Guessed tokens that went through the model.
    pub made: u64,
    /// Those that were chosen, too: each is a token without a pass of its own.
    pub taken: u64,
}

/// Guesses the tokens that follow a text.
#[derive(Debug, Clone)]
pub(crate) struct Drafter {
    speculation: Speculation,
    suffixes: Suffixes,
    pacing: Pacing,
    counts: Guesses,
    /// How long the match behind the last guesses was.
    matched: usize,
}

impl Drafter {
    /// A drafter that has seen no text; `None` where none is wanted.
    pub(crate) fn new(speculation: Speculation) -> Option<Drafter> {
        let (suffixes, pacing) = (Suffixes::default(), Pacing::default());
        let drafter = Drafter { speculation, suffixes, pacing, counts: Guesses::default(), matched: 0 };
        (!matches!(speculation, Speculation::Off | Speculation::Always(0))).then_some(drafter)
    }

    /// Appends to `to` the guesses for what follows `text`, `room` at most.
    pub(crate) fn guess(&mut self, text: &[u32], room: usize, to: &mut Vec<u32>) {
        let Some(found) = self.suffixes.find(text) else { return };
        self.matched = found.matched;
        let wanted = match self.speculation {
            Speculation::Always(count) => count.min(MOST_GUESSES),
            _ => self.pacing.length(found.matched),
        };
        let begin = to.len();
        for i in 0..wanted.min(room) {
            // A match that reaches the text's end goes on with its own guesses: a period repeats.
            let at = found.next + i;
            let token = if at < text.len() { text[at] } else { to[begin + at - text.len()] };
            to.push(token);
        }
    }

    /// Notes that a pass of `columns` tokens took `time`.
    pub(crate) fn timed(&mut self, columns: usize, time: Duration) {
        self.pacing.timed(columns, time);
    }

    /// Notes that `taken` of `made` guesses were right before one was wrong or the text ended.
    pub(crate) fn learn(&mut self, made: usize, taken: usize, missed: bool) {
        self.counts.made += made as u64;
        self.counts.taken += taken as u64;
        self.pacing.learn(self.matched, taken, missed);
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Guesses {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses(text: &[u32], room: usize) -> Vec<u32> {
        let mut to = Vec::new();
        Drafter::new(Speculation::Always(7)).unwrap().guess(text, room, &mut to);
        to
    }

    #[test]
    fn what_followed_the_last_time_is_guessed() {
        assert_eq!(guesses(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 2, 3], 4), [4, 5, 6, 7]);
        assert!(guesses(&[1, 2, 3], 7).is_empty(), "nothing repeats");
        assert!(guesses(&[1, 2, 3, 4, 1, 2], 0).is_empty(), "no room");
    }

    #[test]
    fn a_period_goes_on_beyond_the_text() {
        assert_eq!(guesses(&[5, 6, 7, 5, 6, 7, 5], 7), [6, 7, 5, 6, 7, 5, 6]);
        assert_eq!(guesses(&[8, 8, 8], 5), [8, 8, 8, 8, 8]);
    }

    #[test]
    fn none_are_made_where_none_are_wanted() {
        assert!(Drafter::new(Speculation::Off).is_none());
        assert!(Drafter::new(Speculation::Always(0)).is_none());
    }
}
