//! Which rows of a device's cache belong to which sequence.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::engine::Shared;

/// The slots of a runner's cache, taken or free.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<Vec<bool>>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Vec<bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, taken or not.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many are free.
    pub(super) fn free(&self) -> usize {
        self.lock().iter().filter(|taken| !**taken).count()
    }

    /// Adds free ones at the end until there are `count`.
    pub(super) fn grow(&self, count: usize) {
        let mut slots = self.lock();
        if count > slots.len() {
            slots.resize(count, false);
        }
    }

    /// Takes the first free one in `range`.
    pub(super) fn take(&self, range: std::ops::Range<usize>) -> Option<usize> {
        let mut slots = self.lock();
        let end = range.end.min(slots.len());
        let slot = (range.start..end).find(|i| !slots[*i])?;
        slots[slot] = true;
        Some(slot)
    }

    fn release(&self, slot: usize) {
        if let Some(taken) = self.lock().get_mut(slot) {
            *taken = false;
        }
    }
}

/// A slot that a sequence holds; forks hold it together until one of them writes. Freed with the last of them.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) shared: Arc<Shared>,
    slot: AtomicUsize,
}

impl Lease {
    pub(super) fn new(shared: &Arc<Shared>, slot: usize) -> Arc<Lease> {
        Arc::new(Lease { shared: Arc::clone(shared), slot: AtomicUsize::new(slot) })
    }

    pub(super) fn slot(&self) -> usize {
        self.slot.load(Ordering::Relaxed)
    }

    /// Moves to a slot that was taken for it.
    pub(super) fn move_to(&self, slot: usize) {
        self.shared.slots.release(self.slot.swap(slot, Ordering::Relaxed));
    }

    /// Bytes of one position on all devices.
    pub(crate) fn position_bytes(&self) -> usize {
        self.shared.position_bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.slots.release(self.slot());
    }
}
