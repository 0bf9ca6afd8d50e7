//! What passes of each width take, measured.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::MOST_GUESSES;

/// Widest pass with guesses: products of so many columns are bound by computing on every machine, where a guess costs what
/// a token costs.
pub(super) const WIDEST: usize = 32;

/// Least weight of a new measurement in a running mean.
const NEW: f64 = 0.1;

/// The same for the machine's speed, which changes faster than what a width takes in comparison.
const NEW_UNIT: f64 = 0.4;

/// What a further column is believed to add before it was measured, in passes of one column: little as long as a pass is
/// bound by reading the weights, and more when it is bound by computing. Too low rather than too high: what is never
/// tried is never measured.
const HOPED: f64 = 0.06;
const HOPED_BEYOND: f64 = 0.12;

/// Columns up to which a pass is believed to be bound by reading.
const BOUND_BY_READING: usize = 4;

/// Share by which a width that is not used comes back to what is hoped of it, each time that it could have been: one bad
/// measurement must not decide for ever.
const FORGIVEN: f64 = 0.01;

/// How far beyond its mean a measurement is believed: a pass that lost its core says nothing of its width.
const BELIEVED: f64 = 3.0;

/// Times of passes by their number of columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Prices {
    /// How fast the machine is just now: a mean of the times over their `ratio`s, in seconds.
    unit: Mean,
    /// Time of a pass of so many columns, less one, over the unit.
    ratio: [Mean; WIDEST],
}

/// A running mean.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    value: f64,
    seen: u32,
}

impl Mean {
    /// Takes in a value. Passes are delayed by what else a machine does, never sped up, so a lower value counts more.
    fn add(&mut self, value: f64, least: f64) {
        self.seen = self.seen.saturating_add(1);
        let weight = least.max(1.0 / f64::from(self.seen));
        self.value += (value - self.value) * if value < self.value { weight.max(0.5) } else { weight };
    }
}

impl Prices {
    /// Notes the time of a pass.
    pub(super) fn timed(&mut self, columns: usize, time: Duration) {
        let time = time.as_secs_f64();
        if !(1..=WIDEST).contains(&columns) || time <= 0.0 {
            return;
        }
        let expected = self.of(columns);
        let ratio = &mut self.ratio[columns - 1];
        if ratio.seen == 0 {
            // What was hoped counts as a measurement.
            *ratio = Mean { value: expected, seen: 1 };
        }
        let unit = if self.unit.seen == 0 { time / expected } else { self.unit.value };
        ratio.add((time / unit).min(BELIEVED * expected), NEW);
        self.unit.add((time / expected).min(BELIEVED * unit), NEW_UNIT);
    }

    /// Whether a pass of `columns` was ever timed.
    pub(super) fn knows(&self, columns: usize) -> bool {
        columns.checked_sub(1).and_then(|at| self.ratio.get(at)).is_some_and(|ratio| ratio.seen > 0)
    }

    /// The widths that may be chosen from for a pass of `columns` without guesses: none far beyond what was timed.
    pub(super) fn widths(&self, columns: usize) -> RangeInclusive<usize> {
        let timed = (columns..=WIDEST).rev().find(|width| self.knows(*width));
        columns + 1..=timed.map_or(columns, |timed| WIDEST.min(timed + MOST_GUESSES))
    }

    /// What a pass of `columns` takes, over what one of another number takes.
    pub(super) fn of(&self, columns: usize) -> f64 {
        let known = |width: &usize| self.knows(*width);
        let value = |width: usize| self.ratio[width - 1].value;
        match ((1..=columns.min(WIDEST)).rev().find(known), (columns..=WIDEST).find(known)) {
            (Some(below), Some(above)) if below < above => {
                let share = (columns - below) as f64 / (above - below) as f64;
                value(below) + share * (value(above) - value(below))
            }
            (Some(below), _) => hoped(value(below), below, columns),
            (None, Some(above)) => value(above) / hoped(1.0, columns, above),
            (None, None) => hoped(1.0, 1, columns),
        }
    }

    /// Brings `widths`, that could have been chosen in place of `columns`, closer to what is hoped of them.
    pub(super) fn forgive(&mut self, columns: usize, widths: RangeInclusive<usize>) {
        let base = self.of(columns);
        for width in widths {
            if let Some(ratio) = self.ratio.get_mut(width - 1).filter(|ratio| ratio.seen > 0) {
                ratio.value += FORGIVEN * (hoped(base, columns, width) - ratio.value);
            }
        }
    }
}

/// What is hoped of a pass of `columns` where one of `base` takes `time`.
fn hoped(time: f64, base: usize, columns: usize) -> f64 {
    let of = |columns: usize| {
        let few = columns.min(BOUND_BY_READING);
        1.0 + HOPED * (few - 1) as f64 + HOPED_BEYOND * (columns - few) as f64
    };
    time * of(columns) / of(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(prices: &mut Prices, columns: usize, milliseconds: f64) {
        prices.timed(columns, Duration::from_secs_f64(milliseconds / 1000.0));
    }

    #[test]
    fn what_was_timed_is_told_and_what_lies_between_follows_from_it() {
        let mut prices = Prices::default();
        for _ in 0..200 {
            pass(&mut prices, 4, 10.0);
            pass(&mut prices, 8, 30.0);
        }
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.02;
        assert!(near(prices.of(8) / prices.of(4), 3.0));
        assert!(near(prices.of(6) / prices.of(4), 2.0));
        assert!(prices.of(3) < prices.of(4) && prices.of(9) > prices.of(8));
        assert_eq!(prices.widths(4), 5..=15);
        assert!(prices.widths(9).is_empty(), "a width that was not timed is no base");
    }

    #[test]
    fn a_machine_that_slows_down_makes_no_width_dearer() {
        let mut prices = Prices::default();
        for (columns, time) in std::iter::repeat_n([(2, 10.0), (5, 11.0)], 100).flatten() {
            pass(&mut prices, columns, time);
        }
        let before = prices.of(5) / prices.of(2);
        for _ in 0..100 {
            pass(&mut prices, 2, 30.0);
        }
        assert!(prices.of(5) / prices.of(2) > 0.6 * before, "{} {before}", prices.of(5) / prices.of(2));
    }

    #[test]
    fn one_lost_slice_is_not_believed() {
        let mut prices = Prices::default();
        for (columns, time) in std::iter::repeat_n([(1, 10.0), (4, 11.0)], 50).flatten() {
            pass(&mut prices, columns, time);
        }
        pass(&mut prices, 4, 1000.0);
        assert!(prices.of(4) / prices.of(1) < 1.4);
    }
}
