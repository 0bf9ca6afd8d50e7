//! Handles: what C holds instead of pointers.
//!
//! A handle has the type of a pointer and is none: it packs a kind, a slot number and the slot's generation. It is
//! looked up, never dereferenced, so a stale, doubly freed, foreign or made-up handle is found out. Looking up takes
//! no lock, so that a cancel token can be fired from a signal handler.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::fail::{Fail, Result};
use crate::status::*;

/// What a handle stands for. The number is part of the handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Error = 1,
    String = 2,
    Cancel = 3,
    Model = 4,
    Tokenizer = 5,
    Session = 6,
    Chat = 7,
    Stream = 8,
    Vote = 9,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Error,
        Kind::String,
        Kind::Cancel,
        Kind::Model,
        Kind::Tokenizer,
        Kind::Session,
        Kind::Chat,
        Kind::Stream,
        Kind::Vote,
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Error => "r1_error",
            Kind::String => "r1_string",
            Kind::Cancel => "r1_cancel",
            Kind::Model => "r1_model",
            Kind::Tokenizer => "r1_tokenizer",
            Kind::Session => "r1_session",
            Kind::Chat => "r1_chat",
            Kind::Stream => "r1_stream",
            Kind::Vote => "r1_vote",
        }
    }
}

/// An object that C knows by a handle.
pub(crate) trait Object: Send + Sync + Sized + 'static {
    /// The opaque type in the header.
    type Opaque;
    const KIND: Kind;
    fn table() -> &'static Table<Self>;
}

/// Names an object's opaque type, kind and table.
macro_rules! object {
    ($object:ty, $opaque:ty, $kind:ident) => {
        impl $crate::handle::Object for $object {
            type Opaque = $opaque;
            const KIND: $crate::handle::Kind = $crate::handle::Kind::$kind;
            fn table() -> &'static $crate::handle::Table<Self> {
                static TABLE: $crate::handle::Table<$object> = $crate::handle::Table::new();
                &TABLE
            }
        }
    };
}
pub(crate) use object;

/// Puts an object into its table and returns the handle.
pub(crate) fn give<T: Object>(object: T) -> Result<*mut T::Opaque> {
    let (index, generation) = T::table().insert(object)?;
    Ok(encode(T::KIND, index, generation) as *mut T::Opaque)
}

/// The object of a handle. It stays alive while the reference does, whoever frees the handle meanwhile.
pub(crate) fn get<T: Object>(handle: *const T::Opaque, argument: &str) -> Result<Ref<T>> {
    if handle.is_null() {
        return Err(Fail::null(argument));
    }
    lookup::<T>(handle).ok_or_else(|| refuse(handle as usize, T::KIND, argument))
}

/// As [`get`], without a message: touches nothing but atomics.
pub(crate) fn lookup<T: Object>(handle: *const T::Opaque) -> Option<Ref<T>> {
    let (kind, index, generation) = decode(handle as usize)?;
    (kind == T::KIND as usize).then(|| T::table().get(index, generation)).flatten()
}

/// Ends a handle. NULL is fine; the object goes with its last user.
pub(crate) fn free<T: Object>(handle: *const T::Opaque) -> r1_status {
    if handle.is_null() {
        return R1_OK;
    }
    match decode(handle as usize) {
        Some((kind, index, generation)) if kind == T::KIND as usize && T::table().remove(index, generation) => R1_OK,
        _ => R1_ERR_HANDLE,
    }
}

fn refuse(handle: usize, wanted: Kind, argument: &str) -> Fail {
    let found = decode(handle).and_then(|(kind, ..)| Kind::ALL.into_iter().find(|k| *k as usize == kind));
    let what = match found {
        Some(kind) if kind == wanted => format!("is not a live {} (was it freed?)", wanted.name()),
        Some(kind) => format!("is of type {}, not {}", kind.name(), wanted.name()),
        None => format!("is not a handle that {} functions gave out", wanted.name()),
    };
    Fail::new(R1_ERR_HANDLE, format!("argument '{argument}' {what}"))
}

// From the lowest bit: a 1 that no aligned pointer has, the kind, the slot number, the generation.
const KIND_BITS: u32 = 4;
const INDEX_SHIFT: u32 = 1 + KIND_BITS;
const INDEX_BITS: u32 = if usize::BITS == 64 { 27 } else { 14 };
const GENERATION_SHIFT: u32 = INDEX_SHIFT + INDEX_BITS;
const GENERATION_MASK: u32 = if usize::BITS == 64 { u32::MAX } else { (1 << (usize::BITS - GENERATION_SHIFT)) - 1 };

/// The first generation of every slot: high enough that small numbers are never handles.
const FIRST_GENERATION: u32 = 0x5231_0001 & GENERATION_MASK;

fn encode(kind: Kind, index: usize, generation: u32) -> usize {
    1 | (kind as usize) << 1 | index << INDEX_SHIFT | (generation as usize) << GENERATION_SHIFT
}

fn decode(handle: usize) -> Option<(usize, usize, u32)> {
    let kind = handle >> 1 & ((1 << KIND_BITS) - 1);
    let index = handle >> INDEX_SHIFT & ((1 << INDEX_BITS) - 1);
    (handle & 1 == 1).then_some((kind, index, (handle >> GENERATION_SHIFT) as u32))
}

/// The slots of one kind. Chunk `c` has `FIRST_CHUNK << c` of them and never moves, so that readers need no lock.
pub(crate) struct Table<T> {
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    vacant: Mutex<Vacant>,
}

const FIRST_CHUNK: usize = 32;
const CHUNKS: usize = (INDEX_BITS - FIRST_CHUNK.ilog2()) as usize;

/// Slots to fill next: used ones first come first served, so that a generation comes round as late as possible.
struct Vacant {
    used: VecDeque<usize>,
    unused: usize,
}

/// `state` is `generation << 32 | closed << 31 | users`. The handle itself is one user until it is freed (closed).
/// Without users the slot is vacant.
struct Slot<T> {
    state: AtomicU64,
    object: UnsafeCell<Option<T>>,
}

const CLOSED: u64 = 1 << 31;
const USERS: u64 = CLOSED - 1;

// SAFETY: a slot's object is written only by the one thread that took the slot from `vacant` or that removed its last
// user; everyone else reads it, and only while counted as a user.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            vacant: Mutex::new(Vacant { used: VecDeque::new(), unused: 0 }),
        }
    }

    fn slot(&self, index: usize) -> Option<&Slot<T>> {
        let (chunk, offset) = place(index);
        self.chunks.get(chunk)?.get()?.get(offset)
    }

    fn insert(&'static self, object: T) -> Result<(usize, u32)> {
        let no_memory = || Fail::new(R1_ERR_OUT_OF_MEMORY, "there is no room for another handle");
        let mut vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
        // Room for the day when every slot is vacant, so that giving one back cannot fail.
        let spare = (vacant.unused + 1).saturating_sub(vacant.used.len());
        vacant.used.try_reserve(spare).map_err(|_| no_memory())?;
        let index = match vacant.used.pop_front() {
            Some(index) => index,
            None => {
                let index = vacant.unused;
                let (chunk, _) = place(index);
                let lock = self.chunks.get(chunk).ok_or_else(no_memory)?;
                if lock.get().is_none() {
                    let mut slots = Vec::new();
                    let len = FIRST_CHUNK << chunk;
                    slots.try_reserve_exact(len).map_err(|_| no_memory())?;
                    slots.resize_with(len, Slot::new);
                    let _ = lock.set(slots.into_boxed_slice());
                }
                vacant.unused += 1;
                index
            }
        };
        drop(vacant);
        let slot = self.slot(index).ok_or_else(no_memory)?;
        // SAFETY: the slot came from `vacant`, so no other thread has it, and without users no one reads it.
        unsafe { *slot.object.get() = Some(object) };
        let generation = (slot.state.load(Ordering::Relaxed) >> 32) as u32;
        slot.state.store(u64::from(generation) << 32 | 1, Ordering::Release);
        Ok((index, generation))
    }

    fn get(&'static self, index: usize, generation: u32) -> Option<Ref<T>> {
        let slot = self.slot(index)?;
        slot.change(generation, |state| (state & USERS < USERS).then(|| state + 1))?;
        Some(Ref { table: self, index })
    }

    fn remove(&'static self, index: usize, generation: u32) -> bool {
        let Some(slot) = self.slot(index) else { return false };
        let closed = slot.change(generation, |state| Some(state | CLOSED)).is_some();
        if closed {
            drop(Ref { table: self, index });
        }
        closed
    }

    /// Ends one use; the last one drops the object and gives the slot back under its next generation.
    fn release(&self, index: usize) {
        let Some(slot) = self.slot(index) else { return };
        let before = slot.state.fetch_sub(1, Ordering::AcqRel);
        if before & USERS != 1 {
            return;
        }
        // SAFETY: this was the last user, and a closed slot gets no new ones.
        let object = unsafe { (*slot.object.get()).take() };
        let generation = ((before >> 32) as u32).wrapping_add(1) & GENERATION_MASK;
        slot.state.store(u64::from(generation) << 32, Ordering::Relaxed);
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner).used.push_back(index);
        drop(object);
    }
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self { state: AtomicU64::new(u64::from(FIRST_GENERATION) << 32), object: UnsafeCell::new(None) }
    }

    /// Changes the state of a slot that is in use, open and of this generation.
    fn change(&self, generation: u32, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                let live = state & USERS != 0 && state & CLOSED == 0 && (state >> 32) as u32 == generation;
                live.then(|| change(state)).flatten()
            })
            .ok()
    }
}

/// Chunk and offset of a slot number.
fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

/// A use of an object. Keeps it alive.
pub(crate) struct Ref<T: 'static> {
    table: &'static Table<T>,
    index: usize,
}

impl<T> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let object = self.table.slot(self.index).and_then(|slot| {
            // SAFETY: this reference is one of the slot's users, so the object is there and not written to.
            unsafe { (*slot.object.get()).as_ref() }
        });
        object.expect("a slot with users holds an object")
    }
}

impl<T> Drop for Ref<T> {
    fn drop(&mut self) {
        self.table.release(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct r1_thing;
    struct Thing(&'static AtomicUsize);
    object!(Thing, r1_thing, Chat);
    impl Drop for Thing {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct r1_other;
    struct Other;
    object!(Other, r1_other, Stream);

    #[test]
    fn a_freed_handle_is_dead_even_when_its_slot_is_used_again() {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        let old = give(Thing(&DROPS)).unwrap();
        assert!(get::<Thing>(old, "thing").is_ok());
        assert_eq!(free::<Thing>(old), R1_OK);
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
        let handles: Vec<_> = (0..100).map(|_| give(Thing(&DROPS)).unwrap()).collect();
        assert!(!handles.contains(&old));
        assert_eq!(free::<Thing>(old), R1_ERR_HANDLE);
        assert_eq!(get::<Thing>(old, "thing").err().unwrap().status, R1_ERR_HANDLE);
        for handle in handles {
            assert_eq!(free::<Thing>(handle), R1_OK);
        }
        assert_eq!(DROPS.load(Ordering::SeqCst), 101);
    }

    #[test]
    fn an_object_outlives_its_handle_while_it_is_used() {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        let handle = give(Thing(&DROPS)).unwrap();
        let used = get::<Thing>(handle, "thing").unwrap();
        assert_eq!(free::<Thing>(handle), R1_OK);
        assert!(get::<Thing>(handle, "thing").is_err());
        assert_eq!(DROPS.load(Ordering::SeqCst), 0);
        drop(used);
        assert_eq!(DROPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn foreign_and_made_up_handles_are_refused_with_a_reason() {
        let other = give(Other).unwrap();
        let fail = get::<Thing>(other.cast(), "thing").err().unwrap();
        assert_eq!(
            (fail.status, &*fail.message),
            (R1_ERR_HANDLE, "argument 'thing' is of type r1_stream, not r1_chat")
        );
        assert_eq!(free::<Thing>(other.cast()), R1_ERR_HANDLE);
        assert_eq!(free::<Other>(other), R1_OK);
        let on_stack = 0_u64;
        for garbage in [1, 2, 0xdead_beef, usize::MAX, &raw const on_stack as usize] {
            assert_eq!(get::<Thing>(garbage as *const r1_thing, "thing").err().unwrap().status, R1_ERR_HANDLE);
        }
        assert_eq!(get::<Thing>(std::ptr::null(), "thing").err().unwrap().status, R1_ERR_NULL_ARG);
        assert_eq!(free::<Thing>(std::ptr::null()), R1_OK);
    }

    #[test]
    fn slot_numbers_fill_the_chunks_without_gaps() {
        let mut expected = (0, 0);
        for index in 0..FIRST_CHUNK * 15 {
            assert_eq!(place(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place((1 << INDEX_BITS) - 1 - FIRST_CHUNK).0, CHUNKS - 1);
    }

    #[test]
    fn threads_that_use_and_free_one_handle_drop_it_once() {
        static DROPS: AtomicUsize = AtomicUsize::new(0);
        let rounds = if cfg!(miri) { 20 } else { 500 };
        for round in 1..=rounds {
            let handle = give(Thing(&DROPS)).unwrap() as usize;
            let freed: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(move || {
                            let handle = handle as *const r1_thing;
                            let used = get::<Thing>(handle, "thing");
                            let freed = free::<Thing>(handle) == R1_OK;
                            drop(used);
                            usize::from(freed)
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!((freed, DROPS.load(Ordering::SeqCst)), (1, round));
        }
    }
}
