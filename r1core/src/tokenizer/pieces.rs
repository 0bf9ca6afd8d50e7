//! Remembers what pieces became: tokens that are what their bytes merge to, and short pieces of the text at hand.

use super::hash::Key;
use super::vocab::TokenId;
use std::sync::atomic::{AtomicU8, Ordering};

/// For each token whether the merges of its own text give that token again, found out when first asked.
///
/// Nearly all words of a text are such tokens, and then looking up the word is all the work.
#[derive(Debug)]
pub(super) struct Whole(Vec<AtomicU8>);

impl Whole {
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;

    pub(super) fn new(tokens: usize) -> Self {
        Self((0..tokens).map(|_| AtomicU8::new(Self::UNKNOWN)).collect())
    }

    #[inline]
    pub(super) fn get(&self, id: TokenId, find_out: impl FnOnce() -> bool) -> bool {
        let Some(state) = self.0.get(id as usize) else { return false };
        // Every thread finds out the same, so the order of the stores does not matter.
        match state.load(Ordering::Relaxed) {
            Self::YES => true,
            Self::NO => false,
            _ => {
                let whole = find_out();
                state.store(if whole { Self::YES } else { Self::NO }, Ordering::Relaxed);
                whole
            }
        }
    }
}

/// Texts below this length rarely repeat enough to pay for the table.
const SHORT_TEXT: usize = 2048;
const SLOTS: usize = 4096;
/// Ids that a slot holds.
const IDS: usize = 3;

/// A table of short pieces of one text with their ids; a newer piece takes an older one's place.
pub(super) struct Seen {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    key: Key,
    count: u8,
    ids: [TokenId; IDS],
}

impl Seen {
    /// An empty table, or none for short texts.
    pub(super) fn for_text(len: usize) -> Self {
        let slots = if len < SHORT_TEXT { 0 } else { SLOTS };
        Self { slots: vec![Slot { key: Key::EMPTY, count: 0, ids: [0; IDS] }; slots] }
    }

    /// Appends the ids of an equal earlier piece; `false` when there is none.
    #[inline]
    pub(super) fn repeat(&self, hash: u64, key: Key, out: &mut Vec<TokenId>) -> bool {
        match self.slots.get(hash as usize % SLOTS) {
            Some(slot) if slot.key == key => {
                out.extend_from_slice(slot.ids.get(..usize::from(slot.count)).unwrap_or_default());
                true
            }
            _ => false,
        }
    }

    /// Notes the ids of a piece, if they are few.
    #[inline]
    pub(super) fn remember(&mut self, hash: u64, key: Key, ids: &[TokenId]) {
        if let (Some(slot), true) = (self.slots.get_mut(hash as usize % SLOTS), ids.len() <= IDS) {
            slot.key = key;
            slot.count = ids.len() as u8;
            slot.ids.iter_mut().zip(ids).for_each(|(to, id)| *to = *id);
        }
    }
}
