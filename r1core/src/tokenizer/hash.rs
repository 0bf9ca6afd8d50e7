//! Hash tables for the vocabulary: bytes to id, pair of symbols to merge.
//!
//! Open addressing at no more than half load. The seeds are random per tokenizer, so that no file can be written
//! whose entries all collide.

use crate::{Error, ErrorKind, Result};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Random numbers that select the hash function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed([u64; 3]);

impl Seed {
    pub(super) fn random() -> Self {
        let state = RandomState::new();
        Self([state.hash_one(1), state.hash_one(2), state.hash_one(3) | 1])
    }

    #[inline]
    fn word(self, word: u64) -> u64 {
        fold(word ^ self.0[0], self.0[1] ^ self.0[2])
    }

    /// Hash of a byte string.
    #[inline]
    pub(super) fn bytes(self, bytes: &[u8]) -> u64 {
        match Key::new(bytes) {
            Some(key) => self.key(key),
            None => self.long(bytes),
        }
    }

    /// Hash of a short byte string.
    #[inline]
    pub(super) fn key(self, key: Key) -> u64 {
        fold(key.first ^ self.0[0], key.last ^ self.0[1]) ^ fold(u64::from(key.len) ^ self.0[1], self.0[2])
    }

    #[inline(never)]
    fn long(self, bytes: &[u8]) -> u64 {
        let mut hash = self.0[2] ^ bytes.len() as u64;
        let Some(end) = bytes.len().checked_sub(16) else { return hash };
        let mut at = 0;
        while at < end {
            hash = fold(read8(bytes, at) ^ self.0[0] ^ hash, read8(bytes, at + 8) ^ self.0[1]);
            at += 16;
        }
        fold(read8(bytes, end) ^ self.0[0] ^ hash, read8(bytes, end + 8) ^ self.0[1])
    }
}

/// A byte string of 1 to 16 bytes, as two numbers that overlap unless it has 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    first: u64,
    last: u64,
    len: u8,
}

impl Key {
    /// Equal to no key of bytes.
    pub(super) const EMPTY: Self = Self { first: 0, last: 0, len: 0 };

    /// The key of `bytes`, or `None` when they are none or too many.
    #[inline]
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let len = bytes.len();
        let (first, last) = match len {
            8..=16 => (read8(bytes, 0), read8(bytes, len - 8)),
            4..=7 => (u64::from(read4(bytes, 0)), u64::from(read4(bytes, len - 4))),
            1..=3 => {
                let [first, middle, last] = [bytes[0], bytes[len / 2], bytes[len - 1]].map(u64::from);
                (first << 16 | middle << 8 | last, 0)
            }
            _ => return None,
        };
        Some(Self { first, last, len: len as u8 })
    }
}

/// Both halves of the product: every input bit reaches every output bit.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn read8(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[inline]
fn read4(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Finds ids by hash; the strings live elsewhere and are compared by the caller.
#[derive(Debug)]
pub(super) struct IdTable {
    /// Upper half of the hash and id, or [`IdTable::FREE`].
    slots: Vec<u64>,
}

impl IdTable {
    const FREE: u64 = u64::MAX;

    /// A table for at most `len` ids, all below `u32::MAX`.
    pub(super) fn new(len: usize) -> Result<Self> {
        Ok(Self { slots: filled(len, Self::FREE)? })
    }

    /// The id with this hash for which `same` holds.
    #[inline]
    pub(super) fn get(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == Self::FREE {
                return None;
            }
            if (slot ^ hash) >> 32 == 0 && same(slot as u32) {
                return Some(slot as u32);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds an id that is not in the table.
    pub(super) fn insert(&mut self, hash: u64, id: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != Self::FREE {
            at = (at + 1) & mask;
        }
        self.slots[at] = hash >> 32 << 32 | u64::from(id);
    }
}

/// A merge: what a pair of symbols becomes, and how early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Merge {
    /// Lower merges first.
    pub(super) rank: u32,
    /// The merged symbol.
    pub(super) result: u32,
}

/// Finds the merge of a pair of symbols.
#[derive(Debug)]
pub(super) struct PairTable {
    seed: Seed,
    slots: Vec<(u64, Merge)>,
}

impl PairTable {
    /// No pair is this one: symbols are below `u32::MAX`.
    const FREE: u64 = u64::MAX;

    /// A table for at most `len` merges.
    pub(super) fn new(seed: Seed, len: usize) -> Result<Self> {
        Ok(Self { seed, slots: filled(len, (Self::FREE, Merge { rank: 0, result: 0 }))? })
    }

    /// The merge of `left` and `right`.
    #[inline]
    pub(super) fn get(&self, left: u32, right: u32) -> Option<Merge> {
        let key = u64::from(left) << 32 | u64::from(right);
        let mask = self.slots.len() - 1;
        let mut at = self.seed.word(key) as usize & mask;
        loop {
            let (found, merge) = self.slots[at];
            if found == key {
                return Some(merge);
            }
            if found == Self::FREE {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a merge unless the pair has one.
    pub(super) fn insert(&mut self, left: u32, right: u32, merge: Merge) {
        let key = u64::from(left) << 32 | u64::from(right);
        let mask = self.slots.len() - 1;
        let mut at = self.seed.word(key) as usize & mask;
        while self.slots[at].0 != Self::FREE {
            if self.slots[at].0 == key {
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = (key, merge);
    }
}

/// Free slots for `len` entries: a power of two, at least twice as many.
fn filled<T: Clone>(len: usize, free: T) -> Result<Vec<T>> {
    let slots = (len.saturating_mul(2) + 1).next_power_of_two();
    let mut table = Vec::new();
    table
        .try_reserve_exact(slots)
        .map_err(|error| Error::new(ErrorKind::OutOfMemory, "cannot index the vocabulary").source(error))?;
    table.resize(slots, free);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_length_are_found_again() {
        let seed = Seed::random();
        let strings: Vec<Vec<u8>> = (0..200).map(|len| (0..len).map(|i| (i * 7) as u8).collect()).collect();
        let mut table = IdTable::new(strings.len()).unwrap();
        for (id, string) in strings.iter().enumerate() {
            table.insert(seed.bytes(string), id as u32);
        }
        for (id, string) in strings.iter().enumerate() {
            assert_eq!(table.get(seed.bytes(string), |i| strings[i as usize] == *string), Some(id as u32));
        }
        assert_eq!(table.get(seed.bytes(b"absent"), |_| false), None);
    }

    #[test]
    fn the_first_merge_of_a_pair_stays() {
        let mut table = PairTable::new(Seed::random(), 2).unwrap();
        table.insert(1, 2, Merge { rank: 5, result: 9 });
        table.insert(1, 2, Merge { rank: 1, result: 8 });
        assert_eq!(table.get(1, 2), Some(Merge { rank: 5, result: 9 }));
        assert_eq!(table.get(2, 1), None);
        assert_eq!(PairTable::new(Seed::random(), 0).unwrap().get(0, 0), None);
    }
}
