//! How many guesses are worth their time.

use std::time::Duration;

use super::prices::{Prices, WIDEST};
use super::{Draft, MOST_GUESSES, Origin, Outcome};

/// Weight of a new measurement in a running mean.
const NEW: f64 = 0.1;

/// Least gain in expected tokens for a second that is worth a wider pass, for each sequence that waits for the pass: the
/// more of them wait for each other, the less of what is promised is kept.
const GAIN: f64 = 0.02;

/// The same for each wider one than that.
const ONWARDS: f64 = 1.02;

/// Lengths of matches that are told apart: 2, 3 to 5, 6 to 11, 12 and more.
const LENGTHS: usize = 4;

/// Measures passes and guesses.
#[derive(Debug, Clone)]
pub(super) struct Pacing {
    prices: Prices,
    /// Share of guesses that were right where all before them were, by origin and length of the match.
    right: [[f64; LENGTHS]; 2],
}

impl Default for Pacing {
    fn default() -> Self {
        Pacing { prices: Prices::default(), right: [[0.4, 0.5, 0.7, 0.8], [0.25, 0.45, 0.6, 0.75]] }
    }
}

fn length(matched: usize) -> usize {
    match matched {
        0..=2 => 0,
        3..=5 => 1,
        6..=11 => 2,
        _ => 3,
    }
}

impl Pacing {
    /// Whether guesses of the likeliest kind would be worth a place in a pass of `columns` tokens of `sequences`.
    pub(super) fn hopes(&mut self, columns: usize, sequences: usize) -> bool {
        let chance = self.right.iter().flatten().copied().fold(0.0, f64::max);
        let best = sequences * MOST_GUESSES;
        let chances = (0..best).map(|i| chance.powi((i / sequences) as i32 + 1));
        let hopes = self.worth(columns, sequences, chances) > 0;
        if !hopes {
            self.prices.forgive(columns, columns + 1..=WIDEST.min(columns + best));
        }
        hopes
    }

    /// Cuts the drafts to the guesses that promise most tokens for a second.
    pub(super) fn cut(&mut self, columns: usize, sequences: usize, drafts: &mut [Draft]) {
        // The likeliest guesses come first, and a guess never before those that it rests on.
        let mut order = Vec::new();
        for (i, draft) in drafts.iter().enumerate() {
            let right = self.right(draft.origin, draft.matched);
            order.extend((1..=draft.tokens.len()).map(|depth| (right.powi(depth as i32), i)));
        }
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        // Sequences go on together: one that guessed right is ahead of those that have nothing to guess from, and no pass is
        // saved. So a guess counts by the share of sequences that have some.
        let share = drafts.iter().filter(|draft| !draft.tokens.is_empty()).count() as f64 / sequences as f64;
        let best = self.worth(columns, sequences, order.iter().map(|(chance, _)| *chance * share));
        self.prices.forgive(columns, columns + best + 1..=WIDEST.min(columns + order.len()));
        let mut counts = vec![0; drafts.len()];
        order[..best].iter().for_each(|(_, i)| counts[*i] += 1);
        for (draft, count) in drafts.iter_mut().zip(counts) {
            draft.tokens.truncate(count);
        }
    }

    /// The number of guesses, with these chances to be right, that promises most tokens for a second.
    fn worth(&self, columns: usize, sequences: usize, chances: impl Iterator<Item = f64>) -> usize {
        // A pass without guesses comes first, so that there is something to compare with.
        if !self.prices.knows(columns) {
            return 0;
        }
        let mut expected = sequences as f64;
        let gain = 1.0 + GAIN * expected;
        let (mut best, mut speed) = (0, gain * expected / self.prices.of(columns));
        for (width, chance) in self.prices.widths(columns).zip(chances) {
            expected += chance;
            let promised = expected / self.prices.of(width);
            if promised > speed {
                (best, speed) = (width - columns, promised * ONWARDS);
            }
        }
        best
    }

    /// Notes the time of a pass of `columns` tokens.
    pub(super) fn timed(&mut self, columns: usize, time: Duration) {
        self.prices.timed(columns, time);
    }

    /// Notes how many guesses were right, and whether one was wrong then.
    pub(super) fn learn(&mut self, outcome: Outcome) {
        let right = &mut self.right[outcome.origin as usize][length(outcome.matched)];
        for _ in 0..outcome.right {
            *right += NEW * (1.0 - *right);
        }
        if outcome.missed {
            *right -= NEW * *right;
        }
    }

    fn right(&self, origin: Origin, matched: usize) -> f64 {
        self.right[origin as usize][length(matched)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ratios: impl Fn(usize) -> f64) -> Pacing {
        let mut pacing = Pacing::default();
        for columns in std::iter::repeat_n(1..=WIDEST, 100).flatten() {
            pacing.timed(columns, Duration::from_secs_f64(0.01 * ratios(columns)));
        }
        pacing
    }

    fn draft(matched: usize) -> Draft {
        Draft { tokens: (0..MOST_GUESSES as u32).collect(), origin: Origin::Own, matched }
    }

    /// Guesses of a lone sequence after a match of `matched` tokens.
    fn alone(pacing: &mut Pacing, matched: usize) -> usize {
        let mut drafts = [draft(matched)];
        pacing.cut(1, 1, &mut drafts);
        drafts[0].tokens.len()
    }

    fn learn(pacing: &mut Pacing, times: usize, matched: usize, right: usize, missed: bool) {
        let outcome = Outcome { origin: Origin::Own, matched, right, missed };
        (0..times).for_each(|_| pacing.learn(outcome));
    }

    #[test]
    fn nothing_is_guessed_before_a_plain_pass_was_timed() {
        assert_eq!(alone(&mut Pacing::default(), 30), 0);
        let mut pacing = measured(|_| 1.0);
        pacing.prices = Prices::default();
        pacing.timed(4, Duration::from_millis(1));
        assert_eq!(alone(&mut pacing, 30), 0, "of this width");
    }

    #[test]
    fn free_columns_are_used_and_dear_ones_are_not() {
        assert_eq!(alone(&mut measured(|_| 1.0), 30), MOST_GUESSES);
        assert_eq!(alone(&mut measured(|columns| columns as f64), 30), 0);
        assert_eq!(alone(&mut measured(|columns| if columns <= 4 { 1.1 } else { columns as f64 }), 30), 3);
    }

    #[test]
    fn many_sequences_that_fill_a_pass_get_no_guesses_and_few_share_what_is_free() {
        // Free up to six columns, then each costs what a token costs.
        let mut pacing = measured(|columns| columns.max(6) as f64);
        assert!((0..20).all(|_| !pacing.hopes(8, 8)));
        let mut drafts = [draft(30), draft(2), draft(30)];
        assert!(pacing.hopes(3, 3));
        pacing.cut(3, 3, &mut drafts);
        let counts = drafts.map(|draft| draft.tokens.len());
        assert_eq!(counts.iter().sum::<usize>(), 3);
        assert!(counts[0] >= 1 && counts[2] >= 1, "the likeliest first: {counts:?}");
    }

    #[test]
    fn wrong_guesses_make_them_rare_and_right_ones_bring_them_back() {
        let mut pacing = measured(|columns| 1.0 + 0.2 * (columns - 1) as f64);
        assert!(alone(&mut pacing, 2) > 0);
        learn(&mut pacing, 60, 2, 0, true);
        assert_eq!(alone(&mut pacing, 2), 0);
        assert!(alone(&mut pacing, 20) > 0, "lengths of matches are told apart");
        learn(&mut pacing, 60, 2, 1, false);
        assert!(alone(&mut pacing, 2) > 0);
    }

    #[test]
    fn a_width_that_was_once_slow_is_tried_again() {
        let mut pacing = measured(|columns| if columns == 1 { 1.0 } else { 20.0 });
        assert_eq!(alone(&mut pacing, 30), 0);
        assert!((0..1000).any(|_| alone(&mut pacing, 30) > 0));
        let mut pacing = measured(|columns| if columns == 1 { 1.0 } else { 20.0 });
        assert!((0..1000).any(|_| pacing.hopes(1, 1)));
    }
}
