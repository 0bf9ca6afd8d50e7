//! Weights that are packed while the model is in use.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Result;
use crate::cancel::CancelToken;
use crate::gguf::{Gguf, TensorInfo};
use crate::progress::{ProgressFn, Stage};
use r1_kernels::{Isa, Matrix, PackError, Packer, Team};

/// Bytes of the file between two looks at the clock.
const STEP: usize = 4 << 20;

/// Bytes of the file between two chances for others to stop or to pack.
const SLICE: usize = 32 << 20;

/// How long a pass is held up at least. Most models are packed by then; where the system is slow to give memory, a
/// gigabyte takes ten of these, and many short ones would have many passes run in place meanwhile.
const SHORTEST: Duration = Duration::from_millis(250);

/// How long a pass is held up at most.
const LONGEST: Duration = Duration::from_secs(2);

/// The matrices that are still to be packed, and whose turn it is to pack some of them.
///
/// The first pass uses weights as they lie in the file. Each later one first packs for as long as the pass before took,
/// but not less than [`SHORTEST`] and not more than [`LONGEST`], until all is packed. Threads that come while another
/// one packs go on with what there is.
pub(crate) struct Repacking {
    /// Whether there is nothing left to do.
    finished: AtomicBool,
    /// How long the last pass of any runner took, in microseconds; 0 before the first.
    last_pass: AtomicU64,
    total: u64,
    queue: Mutex<Queue>,
}

struct Queue {
    gguf: Arc<Gguf>,
    packer: Packer,
    waiting: VecDeque<Waiting>,
    /// Bytes of the file that are packed.
    done: u64,
}

/// A matrix that lies in the file from byte `start` of a tensor on.
pub(super) struct Waiting {
    pub(super) matrix: Matrix,
    pub(super) tensor: TensorInfo,
    pub(super) start: u64,
    pub(super) row_bytes: u64,
}

impl Repacking {
    pub(super) fn new(gguf: &Arc<Gguf>, isa: Isa, waiting: Vec<Waiting>) -> Repacking {
        let total = waiting.iter().map(Waiting::bytes).sum();
        let packer = Packer::new(isa, usize::try_from(total).unwrap_or(usize::MAX));
        Repacking {
            finished: AtomicBool::new(waiting.is_empty()),
            last_pass: AtomicU64::new(0),
            total,
            queue: Mutex::new(Queue { gguf: Arc::clone(gguf), packer, waiting: waiting.into(), done: 0 }),
        }
    }

    /// Memory that the matrices will take.
    pub(super) fn bytes(&self) -> usize {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.iter().map(|waiting| waiting.matrix.bytes_packed()).sum()
    }

    /// Packs for about as long as the last pass took.
    pub(crate) fn keep_up(&self, team: &Team) {
        let last = Duration::from_micros(self.last_pass.load(Ordering::Relaxed));
        if last.is_zero() || self.is_finished() {
            return;
        }
        let time = last.clamp(SHORTEST, LONGEST);
        let Ok(mut queue) = self.queue.try_lock() else { return };
        let start = Instant::now();
        while start.elapsed() < time && queue.step(team).is_ok_and(|go_on| go_on) {}
        self.finished.store(queue.waiting.is_empty(), Ordering::Relaxed);
    }

    /// Takes note of how long a pass took.
    pub(crate) fn pass_took(&self, time: Duration) {
        if !self.is_finished() {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.last_pass.store(micros.max(1), Ordering::Relaxed);
        }
    }

    /// Packs all that is left. Others may use the weights meanwhile, and pack.
    pub(crate) fn finish(&self, team: &Team, cancel: &CancelToken, progress: Option<&ProgressFn>) -> Result<()> {
        while !self.is_finished() {
            cancel.check()?;
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let end = queue.done.saturating_add(SLICE as u64);
            while queue.done < end && queue.step(team).is_ok_and(|go_on| go_on) {}
            let done = queue.done;
            self.finished.store(queue.waiting.is_empty(), Ordering::Relaxed);
            drop(queue);
            if let Some(progress) = progress {
                progress.report(Stage::Load, done, self.total);
            }
        }
        Ok(())
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }
}

impl Queue {
    /// Packs a few megabytes. Whether there are more; `Cancelled` where the team was told to stop.
    fn step(&mut self, team: &Team) -> Result<bool, PackError> {
        let Some(next) = self.waiting.front() else { return Ok(false) };
        match self.packer.pack_on(team, &next.matrix, STEP) {
            Ok(Some(rows)) => {
                let [start, end] = [rows.start, rows.end].map(|row| next.start + row as u64 * next.row_bytes);
                // Nobody but products that are running now looks at these bytes any more.
                self.gguf.release(&next.tensor, start..end);
                self.done += end - start;
            }
            Ok(None) => drop(self.waiting.pop_front()),
            Err(PackError::Cancelled) => return Err(PackError::Cancelled),
            // What memory does not suffice for stays in the file.
            Err(_) => self.waiting.clear(),
        }
        Ok(!self.waiting.is_empty())
    }
}

impl Waiting {
    fn bytes(&self) -> u64 {
        self.matrix.rows() as u64 * self.row_bytes
    }
}

impl fmt::Debug for Repacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repacking").field("total", &self.total).field("finished", &self.is_finished()).finish()
    }
}
