//! Time, and where a sequence spent it.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Where time comes from: the system's monotonic clock, or one that a host brings (for tests and replays).
#[derive(Clone, Default)]
pub struct Clock(Option<Source>);

type Source = Arc<dyn Fn() -> Duration + Send + Sync>;

impl Clock {
    /// A clock that asks `now` for the time since some fixed moment. It must never go back.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    /// The time since some fixed moment.
    pub fn now(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.0.as_ref().map_or_else(|| START.elapsed(), |now| now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(host)" } else { "Clock(monotonic)" })
    }
}

impl PartialEq for Clock {
    /// Whether both are the same clock.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// Weight of the newest step in the estimate of the time that a step takes.
const NEWEST: f64 = 0.125;

/// Measures one sequence: when it began, how long a token takes, how much went into thoughts and into the answer.
#[derive(Debug, Clone)]
pub(super) struct Stopwatch {
    clock: Clock,
    /// When the host asked for the reply.
    asked: Duration,
    last: Duration,
    /// Seconds for a token, as a moving average; `None` before the first.
    step: Option<f64>,
    pub(super) thinking: Duration,
    pub(super) answering: Duration,
}

impl Stopwatch {
    /// Begins now, `before` after the host asked.
    pub(super) fn start(clock: Clock, before: Duration) -> Self {
        let now = clock.now();
        let (thinking, answering) = (Duration::ZERO, Duration::ZERO);
        Self { clock, asked: now.saturating_sub(before), last: now, step: None, thinking, answering }
    }

    /// Books the time since the last lap. `tokens` went through the model in it; a chunk says nothing about the time of
    /// a single token.
    pub(super) fn lap(&mut self, thinking: bool, tokens: usize) {
        let now = self.clock.now();
        let lap = now.saturating_sub(self.last);
        self.last = now;
        *(if thinking { &mut self.thinking } else { &mut self.answering }) += lap;
        if tokens == 1 {
            let seconds = lap.as_secs_f64();
            self.step = Some(self.step.map_or(seconds, |step| step + NEWEST * (seconds - step)));
        }
    }

    /// Time since the host asked, at the last lap.
    pub(super) fn total(&self) -> Duration {
        self.last.saturating_sub(self.asked)
    }

    /// How long so many tokens will take.
    pub(super) fn predict(&self, tokens: usize) -> Duration {
        let seconds = self.step.unwrap_or(0.0) * tokens as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}
