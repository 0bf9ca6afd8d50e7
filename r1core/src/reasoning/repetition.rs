//! Finds thoughts that go in circles.

use super::{LoopAction, LoopGuard};

/// The shortest stretch of copies that counts: rows of digits or dashes are no loop yet.
const SHORTEST: usize = 32;

/// The latest tokens of a thought, watched for an exact period.
#[derive(Debug, Clone)]
pub(super) struct Repetition {
    guard: LoopGuard,
    /// A ring; the token that came `i` before the next one is at `(seen - i) % window`.
    recent: Vec<u32>,
    seen: usize,
    found: bool,
}

impl Repetition {
    pub(super) fn new(guard: LoopGuard) -> Self {
        let window = if guard.action == LoopAction::None { 0 } else { guard.window };
        Self { guard, recent: vec![0; window], seen: 0, found: false }
    }

    /// Whether the thought goes in circles.
    pub(super) fn found(&self) -> bool {
        self.found
    }

    /// A new thought begins.
    pub(super) fn clear(&mut self) {
        self.seen = 0;
        self.found = false;
    }

    /// Takes a token of the thought.
    pub(super) fn push(&mut self, id: u32) {
        let window = self.recent.len();
        if window == 0 {
            return;
        }
        self.recent[self.seen % window] = id;
        self.seen += 1;
        if !self.found && self.seen >= self.guard.after && self.seen.is_multiple_of(self.guard.every) {
            self.found = self.guard.period.clone().any(|period| self.repeats(period));
        }
    }

    /// Whether the latest tokens are copies of one stretch of `period` tokens.
    fn repeats(&self, period: usize) -> bool {
        let span = (period * self.guard.copies).max(SHORTEST.next_multiple_of(period)).min(self.recent.len());
        span <= self.seen && (1..=span - period).all(|i| self.before(i) == self.before(i + period))
    }

    fn before(&self, i: usize) -> u32 {
        self.recent[(self.seen - i) % self.recent.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_at(tokens: impl Iterator<Item = u32>) -> Option<usize> {
        let mut repetition = Repetition::new(LoopGuard::default());
        for (i, token) in tokens.enumerate() {
            repetition.push(token);
            if repetition.found() {
                return Some(i + 1);
            }
        }
        None
    }

    #[test]
    fn three_copies_after_the_beginning_are_a_loop() {
        let lead = |n: u32| (0..n).map(|i| 1000 + i);
        for period in [4, 5, 17, 100, 128] {
            let at = found_at(lead(300).chain((0..600).map(|i| i % period))).unwrap();
            let needed = 300 + (3 * period as usize).max(32);
            assert!((needed..needed + 16 + period as usize).contains(&at), "period {period}: {at}");
        }
        assert_eq!(found_at((0..400).map(|i| i % 7)), Some(256), "no look before that");
    }

    #[test]
    fn near_copies_and_long_periods_are_none() {
        assert_eq!(found_at((0..2000).map(|i| i % 129)), None);
        assert_eq!(found_at((0..2000).map(|i| if i % 20 == 0 { i } else { i % 20 })), None);
        assert_eq!(found_at((0..2000).map(|i| i * i)), None);
    }
}
