//! A team of threads that share out small tasks.
//!
//! A decode step is some 150 short parallel regions with microseconds between them, so the hand-over has to cost far
//! less than a system call: workers spin for a moment before they sleep. On a busy machine a worker may be off its core
//! when a region opens; nobody waits for it. The caller takes tasks like everyone else and waits only for workers that
//! have *entered* the region, so a region never takes longer than the caller alone would need, plus one task. A worker
//! that lost its core inside a region is left out of the next ones (`pace.rs`).

use crate::pace::{Laps, Pace};
use crate::thread_start::ThreadStart;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker looks for the next region before it sleeps. Longer than the gaps between the regions of one token,
/// shorter than anyone would notice as load.
const AWAKE: Duration = Duration::from_micros(50);

/// How long a thread that waits keeps its core to itself; from then on it offers the core to others between looks. Most
/// gaps, and most waits for the last task, are shorter: on a busy machine the core comes back milliseconds later.
const EAGER: Duration = Duration::from_micros(10);

// The state word. Low 16 bits: workers inside the region. Above them two flags, then the region's number.
const INSIDE: u64 = (1 << 16) - 1;
const OPEN: u64 = 1 << 16;
const STOP: u64 = 1 << 17;
const REGION: u64 = 1 << 18;

thread_local! {
    /// Whether this thread is running a task of some team.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// Threads that run one parallel region at a time: the caller and `threads() - 1` workers.
///
/// An idle team sleeps. Dropping it ends and joins the workers.
///
/// ```
/// use r1_kernels::Team;
/// let team = Team::new(2);
/// let mut squares = vec![0; 1000];
/// team.for_each_chunk(&mut squares, 64, |chunk, out| {
///     for (i, out) in out.iter_mut().enumerate() {
///         *out = (chunk * 64 + i).pow(2);
///     }
/// });
/// assert_eq!(squares[999], 998_001);
/// ```
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<Pace>,
}

/// Keeps two hot words out of one cache line (and out of the pair that the prefetcher fetches).
#[repr(align(128))]
struct Line<T>(T);

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// What the region runs. The reference is `'static` only in name: it lives as long as the region is open or has workers
/// inside.
#[derive(Clone, Copy)]
struct Job {
    task: &'static Task<'static>,
    tasks: usize,
}

struct Shared {
    state: Line<AtomicU64>,
    /// The next task to take.
    next: Line<AtomicUsize>,
    /// Written by the caller only while the region is closed and empty; read only by those inside.
    job: UnsafeCell<Option<Job>>,
    /// The first panic of the region.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Workers that went to sleep since the last wake-up call. A count too high costs one needless call.
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
    /// How many workers may enter regions, those with the lowest numbers; the others wait at the gate.
    limit: AtomicUsize,
    gate: Condvar,
    /// Set by anyone to have the tasks dropped that nobody has begun.
    stop: Arc<AtomicBool>,
    /// Whether tasks were dropped for it.
    dropped: AtomicBool,
}

// SAFETY: `job` is the only field that is not `Sync` by itself. It is written while no worker is inside (the region is
// closed, and the writer holds `turn`) and read by workers that entered by a compare-and-swap on the open state, which
// orders the write before the read. What it refers to is `Sync`.
unsafe impl Sync for Shared {}

impl Team {
    /// A team of `threads` threads, the caller included; clamped to 1..=256. A team of one starts no thread. Where the
    /// system refuses a thread, the team is smaller: see [`Team::threads`].
    pub fn new(threads: usize) -> Team {
        Team::with_stop(threads, Arc::default())
    }

    /// A team that drops the tasks nobody has begun while `stop` is set, so that a long region ends within one task.
    /// What the dropped tasks would have computed is missing: see [`Team::take_dropped`].
    pub fn with_stop(threads: usize, stop: Arc<AtomicBool>) -> Team {
        Team::with_start(threads, stop, None)
    }

    /// As [`Team::with_stop`], with what every worker does first.
    pub fn with_start(threads: usize, stop: Arc<AtomicBool>, start: Option<ThreadStart>) -> Team {
        let shared = Arc::new(Shared {
            state: Line(AtomicU64::new(0)),
            next: Line(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            bell: Condvar::new(),
            limit: AtomicUsize::new(usize::MAX),
            gate: Condvar::new(),
            stop,
            dropped: AtomicBool::new(false),
        });
        let workers: Vec<JoinHandle<()>> = (1..threads.clamp(1, 256))
            .map_while(|worker| {
                let (shared, start) = (Arc::clone(&shared), start.clone());
                let work = move || {
                    if let Some(start) = start {
                        start.call(worker);
                    }
                    shared.serve(worker);
                };
                thread::Builder::new().name(format!("r1-worker-{worker}")).spawn(work).ok()
            })
            .collect();
        let pace = Pace::new(workers.len());
        Team { shared, workers, turn: Mutex::new(pace) }
    }

    /// The number of threads that work on a region, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Whether tasks were dropped since the last call because the stop flag was set.
    pub fn take_dropped(&self) -> bool {
        self.shared.dropped.swap(false, Ordering::Relaxed)
    }

    /// Calls `task` once with each number in `0..tasks`, in no fixed order, on the caller and the workers; returns when
    /// all are done. Regions that several threads ask for at once take turns. A region inside a task runs on that
    /// task's thread alone.
    ///
    /// # Panics
    ///
    /// When a task panics, with its payload, once no task is running any more. Tasks that nobody had begun by then are
    /// dropped; the team stays usable.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        if tasks <= 1 || self.workers.is_empty() || IN_TASK.get() {
            return (0..tasks).take_while(|_| !self.shared.stopped()).for_each(task);
        }
        let mut pace = lock(&self.turn);
        let workers = pace.begin(Instant::now);
        self.shared.admit(workers);
        let task: &Task<'_> = &task;
        // SAFETY: only the lifetime changes. Workers use the reference between entering and leaving the region, and
        // `close` below returns when the region is shut and the last worker has left. Nothing between here and there
        // unwinds: `work` catches the panics of the tasks.
        let task = unsafe { std::mem::transmute::<&Task<'_>, &'static Task<'static>>(task) };
        let job = Job { task, tasks };
        if workers == 0 {
            self.shared.next.0.store(0, Ordering::Relaxed);
            self.shared.work(job, &mut || {});
        } else {
            let mut laps = Laps::default();
            let mut last = Instant::now();
            self.shared.open(job);
            self.shared.work(job, &mut || {
                let now = Instant::now();
                laps.add(now - std::mem::replace(&mut last, now));
            });
            self.shared.close();
            let end = Instant::now();
            laps.waited = end - last;
            pace.end(laps, end);
        }
        let panic = lock(&self.shared.panic).take();
        drop(pace);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Calls `task` once with the number and the contents of each chunk of `out`, as [`Team::run`] does. Chunks have
    /// `chunk_len` elements; the last one may be shorter.
    ///
    /// # Panics
    ///
    /// When `chunk_len` is 0, or a task panics.
    pub fn for_each_chunk<T: Send>(&self, out: &mut [T], chunk_len: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        assert!(chunk_len > 0, "a chunk needs at least one element");
        let (len, base) = (out.len(), Shareable(out.as_mut_ptr()));
        self.run(len.div_ceil(chunk_len), |chunk| {
            let start = chunk * chunk_len;
            // SAFETY: `run` hands out each number once, so the ranges of the tasks are disjoint; they lie inside `out`,
            // which is borrowed until `run` returns. `T: Send` allows the use from another thread.
            let part = unsafe { std::slice::from_raw_parts_mut(base.get().add(start), chunk_len.min(len - start)) };
            task(chunk, part);
        });
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.state.0.fetch_add(REGION | STOP, Ordering::SeqCst);
        self.shared.ring();
        self.shared.admit(usize::MAX);
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to report.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Publishes `job` and wakes the sleepers. The caller holds the turn.
    fn open(&self, job: Job) {
        // SAFETY: the region is closed and empty, so nobody reads `job` before the state says open.
        unsafe { *self.job.get() = Some(job) };
        self.next.0.store(0, Ordering::Relaxed);
        let region = self.state.0.load(Ordering::Relaxed) / REGION;
        // Sequentially consistent with `sleep`: either the sleeper sees the new region or we see the sleeper.
        self.state.0.store(region.wrapping_add(1).wrapping_mul(REGION) | OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.ring();
        }
    }

    /// Takes tasks until there are none left; calls `done` after each.
    fn work(&self, job: Job, done: &mut dyn FnMut()) {
        IN_TASK.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let task = self.next.0.fetch_add(1, Ordering::Relaxed);
                if task >= job.tasks || self.stopped() {
                    break;
                }
                (job.task)(task);
                done();
            }
        }));
        IN_TASK.set(false);
        if let Err(payload) = outcome {
            self.next.0.store(job.tasks, Ordering::Relaxed);
            let mut first = lock(&self.panic);
            if first.is_none() {
                *first = Some(payload);
            } else {
                // Dropping a payload runs foreign code, which could panic out of the region.
                std::mem::forget(payload);
            }
        }
    }

    /// Whether the task at hand is to be dropped; keeps note of it.
    fn stopped(&self) -> bool {
        let stop = self.stop.load(Ordering::Relaxed);
        if stop {
            self.dropped.store(true, Ordering::Relaxed);
        }
        stop
    }

    /// Shuts the region and waits for the workers inside.
    fn close(&self) {
        if self.state.0.fetch_and(!OPEN, Ordering::AcqRel) & INSIDE > 0 {
            look(None, || (self.state.0.load(Ordering::Acquire) & INSIDE == 0).then_some(()));
        }
    }

    /// Lets that many workers into regions.
    fn admit(&self, workers: usize) {
        if self.limit.swap(workers, Ordering::Relaxed) < workers {
            // Nobody is between a look at the limit and its sleep while the lock is held.
            drop(lock(&self.bed));
            self.gate.notify_all();
        }
    }

    /// Waits until worker number `worker` may enter regions.
    fn await_admission(&self, worker: usize) {
        if worker <= self.limit.load(Ordering::Relaxed) {
            return;
        }
        let mut bed = lock(&self.bed);
        while worker > self.limit.load(Ordering::Relaxed) {
            bed = self.gate.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The life of worker number `worker`; the first is 1.
    fn serve(&self, worker: usize) {
        let mut seen = 0;
        loop {
            self.await_admission(worker);
            let state = self.await_news(seen);
            seen = state / REGION;
            if state & STOP != 0 {
                return;
            }
            if worker <= self.limit.load(Ordering::Relaxed) && self.enter(state) {
                // SAFETY: this worker is inside, so the caller keeps `job` as it is until `leave`.
                if let Some(job) = unsafe { *self.job.get() } {
                    self.work(job, &mut || {});
                }
                self.leave();
            }
        }
    }

    /// Enters the region that `state` shows, unless it is closed by now.
    fn enter(&self, mut state: u64) -> bool {
        let region = state / REGION;
        while state & OPEN != 0 && state / REGION == region {
            match self.state.0.compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    fn leave(&self) {
        self.state.0.fetch_sub(1, Ordering::Release);
    }

    /// The state, once it shows another region than `seen`.
    fn await_news(&self, seen: u64) -> u64 {
        let news = || Some(self.state.0.load(Ordering::SeqCst)).filter(|state| state / REGION != seen);
        if let Some(state) = look(Some(AWAKE), news) {
            return state;
        }
        let mut bed = lock(&self.bed);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        loop {
            if let Some(state) = news() {
                return state;
            }
            bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes every sleeper. Taking the lock makes sure that none is between its last look and its sleep.
    fn ring(&self) {
        let bed = lock(&self.bed);
        self.sleepers.store(0, Ordering::SeqCst);
        drop(bed);
        self.bell.notify_all();
    }
}

/// Looks until there is something to see, or for about as long as `patience`.
fn look<T>(patience: Option<Duration>, see: impl Fn() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        for _ in 0..16 {
            if let Some(seen) = see() {
                return Some(seen);
            }
            spin_loop();
        }
        let waited = start.elapsed();
        if patience.is_some_and(|patience| waited > patience) {
            return None;
        }
        if waited > EAGER {
            thread::yield_now();
        }
    }
}

/// A pointer that tasks on several threads may copy; each of them touches its own part.
struct Shareable<T>(*mut T);

// SAFETY: the pointer is only a number until it is dereferenced, which `for_each_chunk` justifies.
unsafe impl<T> Sync for Shareable<T> {}

impl<T> Shareable<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// Locks; a panic elsewhere leaves none of the protected values half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_set_flag_drops_the_tasks_that_nobody_has_begun() {
        for threads in [1, 3] {
            let stop = Arc::new(AtomicBool::new(false));
            let team = Team::with_stop(threads, Arc::clone(&stop));
            let begun = AtomicU32::new(0);
            team.run(10_000, |task| {
                begun.fetch_add(1, Ordering::Relaxed);
                if task == 5 {
                    stop.store(true, Ordering::Relaxed);
                }
            });
            assert!(begun.load(Ordering::Relaxed) < 10_000 && team.take_dropped() && !team.take_dropped());
            stop.store(false, Ordering::Relaxed);
            let all = AtomicU32::new(0);
            team.run(100, |_| {
                all.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!((all.into_inner(), team.take_dropped()), (100, false));
        }
    }

    #[test]
    fn every_task_runs_exactly_once() {
        for threads in 1..=8 {
            let team = Team::new(threads);
            assert_eq!(team.threads(), threads);
            for tasks in [0, 1, 2, 3, 7, 8, 64, 1000, 4097] {
                for _ in 0..5 {
                    let runs: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                    team.run(tasks, |task| {
                        runs[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(runs.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{threads} threads, {tasks} tasks");
                }
            }
        }
    }

    #[test]
    fn regions_in_quick_succession_see_each_others_writes() {
        let team = Team::new(4);
        let mut values = vec![0u64; 33];
        for round in 1..=3000 {
            team.for_each_chunk(&mut values, 5, |_, part| part.iter_mut().for_each(|v| *v += 1));
            assert!(values.iter().all(|&v| v == round));
        }
    }

    #[test]
    fn sleeping_workers_wake_for_the_next_region() {
        let team = Team::new(3);
        // On a busy machine a worker may come too late, or be left out for a while.
        let all_take_part = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(2));
            let threads = Mutex::new(std::collections::HashSet::new());
            team.run(3, |_| {
                thread::sleep(Duration::from_millis(2));
                lock(&threads).insert(thread::current().id());
            });
            lock(&threads).len() == 3
        });
        assert!(all_take_part);
    }

    #[test]
    fn workers_that_are_left_out_come_back_and_end() {
        let team = Team::new(3);
        let lost = Laps { waited: Duration::from_secs(1), ..Laps::default() };
        let missed = || lock(&team.turn).end(lost, Instant::now());
        for _ in 0..3 {
            for _ in 0..5 {
                let sum = AtomicUsize::new(0);
                team.run(100, |task| {
                    sum.fetch_add(task, Ordering::Relaxed);
                });
                assert_eq!(sum.into_inner(), 4950);
                missed();
            }
            // Longer than a rest.
            thread::sleep(Duration::from_millis(60));
        }
        team.run(10, |_| {});
    }

    #[test]
    fn chunks_cover_the_slice_in_order() {
        let team = Team::new(3);
        for len in [0, 1, 15, 16, 17, 100] {
            let mut out = vec![usize::MAX; len];
            team.for_each_chunk(&mut out, 16, |chunk, part| {
                assert!(part.len() == 16 || chunk == len / 16);
                part.iter_mut().enumerate().for_each(|(i, v)| *v = chunk * 16 + i);
            });
            assert!(out.iter().enumerate().all(|(i, &v)| v == i));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_stays_usable() {
        for threads in [1, 2, 4] {
            let team = Team::new(threads);
            for bad in [0, 1, 50, 99] {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    team.run(100, |task| assert!(task != bad, "task {task} failed"));
                }));
                let payload = caught.unwrap_err();
                assert_eq!(payload.downcast_ref::<String>(), Some(&format!("task {bad} failed")));
                let sum = AtomicUsize::new(0);
                team.run(10, |task| {
                    sum.fetch_add(task, Ordering::Relaxed);
                });
                assert_eq!(sum.into_inner(), 45);
            }
        }
    }

    #[test]
    fn a_panic_in_every_task_is_one_panic() {
        let team = Team::new(4);
        assert!(catch_unwind(AssertUnwindSafe(|| team.run(64, |_| panic!("all fail")))).is_err());
        team.run(64, |_| {});
    }

    #[test]
    fn callers_on_two_threads_take_turns() {
        let team = Team::new(3);
        let running = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for caller in 0..2 {
                let (team, running, sum) = (&team, &running, &sum);
                scope.spawn(move || {
                    for _ in 0..300 {
                        team.run(8, |_| {
                            running[caller].fetch_add(1, Ordering::SeqCst);
                            assert_eq!(running[1 - caller].load(Ordering::SeqCst), 0, "two regions at once");
                            sum.fetch_add(1, Ordering::Relaxed);
                            running[caller].fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 2 * 300 * 8);
    }

    #[test]
    fn a_region_inside_a_task_runs_on_that_thread() {
        let team = Team::new(3);
        let sum = AtomicUsize::new(0);
        team.run(10, |_| {
            let me = thread::current().id();
            team.run(10, |_| {
                assert_eq!(thread::current().id(), me);
                sum.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 100);
    }

    #[test]
    fn an_unused_team_ends() {
        for threads in [0, 1, 5, 8] {
            drop(Team::new(threads));
        }
    }
}
