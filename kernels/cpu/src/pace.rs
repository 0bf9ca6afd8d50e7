//! How many threads of a team take part, told from how much time they lose.
//!
//! On a busy machine a thread loses its core to somebody else's work in the middle of a task and comes back some
//! milliseconds later; everyone waits for it. Two threads on two busy cores then get less done than one, which the
//! scheduler treats better the less it competes with itself. So when time is lost again and again, a worker is left out
//! for a while. The neighbours gain too. A try every now and then finds out whether its core is free again.

use std::time::{Duration, Instant};

/// Less than this is not put down to a lost core: the scheduler's slices are longer.
const STALL: Duration = Duration::from_millis(1);

/// Losses are looked at for so long at a time.
const WINDOW: Duration = Duration::from_millis(100);

/// How long a worker is left out at first, and at most, when time is lost again right after a try. A try that fails
/// costs half a window or so, and the longest rest bounds what tries cost to some per cent.
const REST: Duration = Duration::from_millis(80);
const LONGEST_REST: Duration = Duration::from_millis(1280);

/// How many workers may enter a region.
#[derive(Debug)]
pub(super) struct Pace {
    workers: usize,
    limit: usize,
    rest: Duration,
    /// When the window began, and what was lost since.
    window: Option<Instant>,
    lost: Duration,
    /// When the next worker may come back; only where one is left out.
    until: Option<Instant>,
    /// When the last one came back.
    tried: Option<Instant>,
}

/// What the caller saw of a region. The tasks of a region are much of one size.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Laps {
    pub(super) longest: Duration,
    /// The longest but one; 0 where the caller did a single task.
    pub(super) second: Duration,
    /// Time until the last worker was done, after there were no tasks left.
    pub(super) waited: Duration,
}

impl Laps {
    pub(super) fn add(&mut self, lap: Duration) {
        if lap > self.longest {
            self.second = self.longest;
            self.longest = lap;
        } else if lap > self.second {
            self.second = lap;
        }
    }

    /// Time for which a thread was not running: the caller, in a task that took far longer than the others, or a worker,
    /// which was waited for for longer than any task takes.
    fn lost(&self) -> Duration {
        let task = if self.second > Duration::ZERO { self.second } else { self.longest };
        let beyond =
            |time: Duration, factor| if time >= STALL && time > factor * task { time - task } else { Duration::ZERO };
        beyond(self.longest, 4) + beyond(self.waited, 2)
    }
}

impl Pace {
    pub(super) fn new(workers: usize) -> Pace {
        Pace { workers, limit: workers, rest: REST, window: None, lost: Duration::ZERO, until: None, tried: None }
    }

    /// The number of workers for a region that begins now.
    pub(super) fn begin(&mut self, now: impl FnOnce() -> Instant) -> usize {
        if let Some(until) = self.until {
            let now = now();
            if now >= until {
                self.limit += 1;
                self.tried = Some(now);
                self.until = (self.limit < self.workers).then(|| now + self.rest);
            }
        }
        self.limit
    }

    /// A region with workers is over.
    pub(super) fn end(&mut self, laps: Laps, now: Instant) {
        let begin = *self.window.get_or_insert(now);
        self.lost += laps.lost();
        // A team of n threads that loses more than one n-th of its time is better off without one of them.
        if self.limit > 0 && self.lost * (self.limit as u32 + 1) * 10 > WINDOW * 7 {
            let again = self.tried.is_some_and(|tried| now - tried < WINDOW + self.rest);
            self.rest = if again { LONGEST_REST.min(2 * self.rest) } else { REST };
            self.limit -= 1;
            self.until = Some(now + self.rest);
            (self.window, self.lost) = (None, Duration::ZERO);
        } else if now - begin >= WINDOW {
            (self.window, self.lost) = (Some(now), Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn laps(longest: Duration, second: Duration, waited: Duration) -> Laps {
        Laps { longest, second, waited }
    }

    /// A slice lost by the caller.
    const LOST: Laps =
        Laps { longest: Duration::from_millis(4), second: Duration::from_micros(30), waited: Duration::ZERO };

    /// Loses a slice a tenth of a window for as long as nobody is left out; returns when that was.
    fn lose(pace: &mut Pace, mut now: Instant) -> Instant {
        let limit = pace.limit;
        while pace.limit == limit {
            now += WINDOW / 10;
            pace.end(LOST, now);
        }
        now
    }

    #[test]
    fn laps_keep_the_two_longest() {
        let mut laps = Laps::default();
        [3, 9, 5, 1].into_iter().for_each(|ms| laps.add(ms * MS));
        assert_eq!((laps.longest, laps.second), (9 * MS, 5 * MS));
    }

    #[test]
    fn ordinary_regions_and_rare_losses_leave_nobody_out() {
        let (mut pace, now) = (Pace::new(1), Instant::now());
        for i in 0..1000 {
            pace.end(laps(MS / 10, MS / 100, MS / 2), now + i * MS);
            pace.end(laps(7 * MS, 5 * MS, 6 * MS), now + i * MS);
            pace.end(laps(9 * MS, Duration::ZERO, 9 * MS), now + i * MS);
            if i % 25 == 0 {
                pace.end(LOST, now + i * MS);
                pace.end(laps(MS, MS, 4 * MS), now + i * MS);
            }
        }
        assert_eq!(pace.begin(|| now + 1000 * MS), 1);
    }

    #[test]
    fn lost_time_leaves_a_worker_out_and_it_comes_back() {
        let (mut pace, now) = (Pace::new(2), Instant::now());
        let now = lose(&mut pace, now);
        assert_eq!(pace.begin(|| now), 1);
        let now = lose(&mut pace, now);
        assert_eq!(pace.begin(|| now), 0);
        // One at a time.
        assert_eq!(pace.begin(|| now + REST), 1);
        assert_eq!(pace.begin(|| now + REST + MS), 1);
        assert_eq!(pace.begin(|| now + 2 * REST), 2);
        assert_eq!(pace.begin(|| now + 50 * REST), 2);
    }

    #[test]
    fn tries_that_fail_become_rare_and_one_that_holds_is_forgotten() {
        let (mut pace, mut now) = (Pace::new(1), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..6 {
            now = lose(&mut pace, now);
            let begin = now;
            while pace.begin(|| now) == 0 {
                now += MS;
            }
            rests.push((now - begin).as_millis());
        }
        assert_eq!(rests, [80, 160, 320, 640, 1280, 1280]);
        now = lose(&mut pace, now + 5000 * MS);
        assert_eq!(pace.begin(|| now + REST), 1);
    }
}
