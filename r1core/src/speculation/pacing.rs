//! How many guesses are worth their time.

use std::time::Duration;

use super::MOST_GUESSES;

/// Weight of a new measurement in a running mean.
const NEW: f64 = 0.1;

/// What a further token is believed to add to a pass before it was measured, in passes of one token. Too low rather than too
/// high: what is never tried is never measured.
const HOPED: f64 = 0.06;

/// Share by which a width that is not used comes back to what is hoped of it, each time that it could have been: one bad
/// measurement must not decide for ever.
const FORGIVEN: f64 = 0.01;

/// Least gain in expected tokens for a second that is worth a longer pass.
const GAIN: f64 = 1.02;

/// Lengths of matches that are told apart: 2, 3 to 5, 6 to 11, 12 and more.
const KINDS: usize = 4;

/// Measures passes and guesses.
#[derive(Debug, Clone)]
pub(super) struct Pacing {
    /// Seconds of a pass of one token.
    one: Option<f64>,
    /// Time of a pass of so many tokens (less one) over that of one.
    ratio: [f64; MOST_GUESSES + 1],
    /// Share of guesses that were right where all before them were, by the length of the match.
    right: [f64; KINDS],
}

impl Default for Pacing {
    fn default() -> Self {
        Pacing { one: None, ratio: std::array::from_fn(hoped), right: [0.4, 0.5, 0.7, 0.8] }
    }
}

fn hoped(guesses: usize) -> f64 {
    1.0 + HOPED * guesses as f64
}

fn kind(matched: usize) -> usize {
    match matched {
        0..=2 => 0,
        3..=5 => 1,
        6..=11 => 2,
        _ => 3,
    }
}

impl Pacing {
    /// The number of guesses after a match of `matched` tokens that promises most tokens for a second.
    pub(super) fn length(&mut self, matched: usize) -> usize {
        let right = self.right[kind(matched)];
        // The first pass of a session is of one token, so that there is something to compare with.
        if self.one.is_none() {
            return 0;
        }
        let (mut best, mut speed, mut expected, mut chance) = (0, 1.0, 1.0, 1.0);
        for guesses in 1..=MOST_GUESSES {
            chance *= right;
            expected += chance;
            let promised = expected / self.ratio[guesses];
            if promised > speed * GAIN {
                (best, speed) = (guesses, promised);
            }
        }
        for guesses in best + 1..=MOST_GUESSES {
            self.ratio[guesses] += FORGIVEN * (hoped(guesses) - self.ratio[guesses]);
        }
        best
    }

    /// Notes the time of a pass of `columns` tokens.
    pub(super) fn timed(&mut self, columns: usize, time: Duration) {
        let time = time.as_secs_f64();
        match (columns, self.one) {
            (1, None) => self.one = Some(time),
            (1, Some(one)) => self.one = Some(one + NEW * (time - one)),
            (2.., Some(one)) if columns <= self.ratio.len() && one > 0.0 => {
                let ratio = &mut self.ratio[columns - 1];
                *ratio += NEW * (time / one - *ratio);
            }
            _ => {}
        }
    }

    /// Notes that after a match of `matched` tokens `taken` guesses were right, and whether one was wrong then.
    pub(super) fn learn(&mut self, matched: usize, taken: usize, missed: bool) {
        let right = &mut self.right[kind(matched)];
        for _ in 0..taken {
            *right += NEW * (1.0 - *right);
        }
        if missed {
            *right -= NEW * *right;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ratios: impl Fn(usize) -> f64) -> Pacing {
        let mut pacing = Pacing::default();
        for columns in std::iter::repeat_n(1..=MOST_GUESSES + 1, 100).flatten() {
            pacing.timed(columns, Duration::from_secs_f64(0.01 * ratios(columns)));
        }
        pacing
    }

    #[test]
    fn nothing_is_guessed_before_a_plain_pass_was_timed() {
        assert_eq!(Pacing::default().length(30), 0);
    }

    #[test]
    fn free_columns_are_used_and_dear_ones_are_not() {
        let mut free = measured(|_| 1.0);
        assert_eq!(free.length(30), MOST_GUESSES);
        let mut dear = measured(|columns| columns as f64);
        assert_eq!(dear.length(30), 0);
        let mut first_four = measured(|columns| if columns <= 4 { 1.1 } else { columns as f64 });
        assert_eq!(first_four.length(30), 3);
    }

    #[test]
    fn wrong_guesses_make_them_rare_and_right_ones_bring_them_back() {
        let mut pacing = measured(|columns| 1.0 + 0.2 * (columns - 1) as f64);
        assert!(pacing.length(2) > 0);
        (0..60).for_each(|_| pacing.learn(2, 0, true));
        assert_eq!(pacing.length(2), 0);
        assert!(pacing.length(20) > 0, "lengths of matches are told apart");
        (0..60).for_each(|_| pacing.learn(2, 1, false));
        assert!(pacing.length(2) > 0);
    }

    #[test]
    fn a_width_that_was_once_slow_is_tried_again() {
        let mut pacing = measured(|columns| if columns == 1 { 1.0 } else { 20.0 });
        assert_eq!(pacing.length(30), 0);
        assert!((0..1000).any(|_| pacing.length(30) > 0));
    }
}
