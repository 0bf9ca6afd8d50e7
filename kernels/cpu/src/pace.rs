//! How many threads of a team take part, told from how much time they lose.
//!
//! On a busy machine a thread loses its core to somebody else's work in the middle of a task and comes back some
//! milliseconds later; everyone waits for it. Two threads on two busy cores then get less done than one, which the
//! scheduler treats better the less it competes with itself. So when time is lost again and again, a worker is left out
//! for a while. The neighbours gain too. A try every now and then finds out whether its core is free again.

use std::time::{Duration, Instant};

/// Less than this is not put down to a lost core: the scheduler's slices are longer.
const STALL: Duration = Duration::from_millis(1);

/// A single lost slice means nothing; the next one within this time does.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a worker is left out at first, and at most, when time is lost again right after a try. A try that fails
/// costs some slices, so the longest rest bounds what tries cost to some per cent.
const REST: Duration = Duration::from_millis(40);
const LONGEST_REST: Duration = Duration::from_millis(640);

/// How many workers may enter a region.
#[derive(Debug)]
pub(super) struct Pace {
    workers: usize,
    limit: usize,
    rest: Duration,
    /// When time was lost last.
    stalled: Option<Instant>,
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

    /// Whether a thread was not running for a while: the caller, in a task that took far longer than the others, or a
    /// worker, which was waited for for longer than any task takes.
    fn stalled(&self) -> bool {
        let task = if self.second > Duration::ZERO { self.second } else { self.longest };
        let caller = self.longest >= STALL && self.longest > 4 * task;
        let worker = self.waited >= STALL && self.waited > 2 * task;
        caller || worker
    }
}

impl Pace {
    pub(super) fn new(workers: usize) -> Pace {
        Pace { workers, limit: workers, rest: REST, stalled: None, until: None, tried: None }
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
    pub(super) fn end(&mut self, laps: Laps, now: impl FnOnce() -> Instant) {
        if self.limit == 0 || !laps.stalled() {
            return;
        }
        let now = now();
        let within = |time: Option<Instant>, span: Duration| time.is_some_and(|time| now - time < span);
        if within(self.stalled.replace(now), AGAIN) {
            let again = within(self.tried, AGAIN + self.rest);
            self.rest = if again { LONGEST_REST.min(2 * self.rest) } else { REST };
            self.limit -= 1;
            self.until = Some(now + self.rest);
            self.stalled = None;
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

    #[test]
    fn laps_keep_the_two_longest() {
        let mut laps = Laps::default();
        [3, 9, 5, 1].into_iter().for_each(|ms| laps.add(ms * MS));
        assert_eq!((laps.longest, laps.second), (9 * MS, 5 * MS));
    }

    #[test]
    fn ordinary_regions_leave_nobody_out() {
        let (mut pace, now) = (Pace::new(3), Instant::now());
        for ordinary in [
            laps(MS / 10, MS / 100, MS / 2),
            laps(7 * MS, 5 * MS, 6 * MS),
            laps(9 * MS, Duration::ZERO, 9 * MS),
            laps(MS / 2, MS / 50, MS / 2),
        ] {
            for _ in 0..5 {
                pace.end(ordinary, || now);
                assert_eq!(pace.begin(|| now), 3);
            }
        }
        // Single lost slices, far apart.
        for i in 0..5 {
            pace.end(LOST, || now + i * 200 * MS);
            assert_eq!(pace.begin(|| now + i * 200 * MS), 3);
        }
    }

    #[test]
    fn lost_time_leaves_a_worker_out_and_it_comes_back() {
        let (mut pace, now) = (Pace::new(2), Instant::now());
        for i in 0..4 {
            pace.end(if i % 2 == 0 { LOST } else { laps(MS, MS, 3 * MS) }, || now + i * MS);
        }
        assert_eq!(pace.begin(|| now + 4 * MS), 0);
        // One at a time.
        assert_eq!(pace.begin(|| now + 44 * MS), 1);
        assert_eq!(pace.begin(|| now + 45 * MS), 1);
        assert_eq!(pace.begin(|| now + 85 * MS), 2);
        assert_eq!(pace.begin(|| now + 5000 * MS), 2);
    }

    #[test]
    fn tries_that_fail_become_rare_and_one_that_holds_is_forgotten() {
        let (mut pace, mut now) = (Pace::new(1), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..6 {
            pace.end(LOST, || now);
            pace.end(LOST, || now + MS);
            let begin = now + MS;
            while pace.begin(|| now) == 0 {
                now += MS;
            }
            rests.push((now - begin).as_millis());
        }
        assert_eq!(rests, [40, 80, 160, 320, 640, 640]);
        now += 2000 * MS;
        pace.end(LOST, || now);
        pace.end(LOST, || now);
        assert_eq!(pace.begin(|| now + 40 * MS), 1);
    }
}
