//! The tokens that keep a text within its scripts.
//!
//! **What is guaranteed.** In a text of tokens that were all drawn under the lock, every character is admitted by
//! [`Scripts::admits`], and every byte belongs to a character, except that the text may end inside one. Tokens may hold
//! parts of characters, down to single bytes: one that leaves a character unfinished comes only where an admitted
//! character begins with those bytes *and* the vocabulary can finish it byte by byte, and after it only tokens come that
//! go on with such a character. So the lock never leads where it allows nothing.

use std::sync::Arc;

use super::Scripts;
use crate::sampler::TokenMask;
use crate::tokenizer::{TokenKind, Tokenizer};

/// Which tokens may come, for one vocabulary and one set of scripts. Made once and shared.
#[derive(Debug)]
pub(crate) struct ScriptLock {
    tokenizer: Tokenizer,
    admitted: Admitted,
    /// Tokens that may come where no character is unfinished.
    start: Arc<TokenMask>,
    /// Tokens that begin with a byte that goes on with a character.
    fragments: Vec<u32>,
    /// The vocabulary has a token for every byte that goes on with a character.
    finishes: bool,
}

/// The bytes of a character that is not finished; none where the last one is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    bytes: [u8; 4],
    len: usize,
}

impl Begun {
    fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl ScriptLock {
    /// For a model of `vocabulary` logits.
    pub(crate) fn new(tokenizer: &Tokenizer, vocabulary: usize, scripts: &Scripts) -> Self {
        let mut continuations = [false; 64];
        for id in 0..tokenizer.len() as u32 {
            if let &[byte @ 0x80..=0xBF] = printed(tokenizer, id) {
                continuations[usize::from(byte & 0x3F)] = true;
            }
        }
        let mut lock = ScriptLock {
            tokenizer: tokenizer.clone(),
            admitted: Admitted::new(scripts),
            start: Arc::default(),
            fragments: Vec::new(),
            finishes: continuations.iter().all(|has| *has),
        };
        let mut start = TokenMask::none(vocabulary);
        for id in 0..tokenizer.len() as u32 {
            let bytes = printed(tokenizer, id);
            if lock.read(Begun::default(), bytes).is_some() {
                start.allow(id);
            } else if matches!(bytes.first(), Some(0x80..=0xBF)) {
                lock.fragments.push(id);
            }
        }
        lock.start = Arc::new(start);
        lock
    }

    /// The tokens that may come after a finished character. Of `tags`, whose texts show where their rest does not follow,
    /// only those that are texts under the lock.
    pub(crate) fn start(&self, tags: &[u32]) -> Arc<TokenMask> {
        let text = |id: u32| self.tokenizer.piece(id).unwrap_or_default();
        let breaks = |id: &u32| self.start.contains(*id) && self.read(Begun::default(), text(*id)).is_none();
        let mut start = self.start.clone();
        for id in tags.iter().filter(|id| breaks(id)) {
            Arc::make_mut(&mut start).forbid(*id);
        }
        start
    }

    /// Makes `mask` the tokens that may come after `begun`. Few begin in the midst of a character, so this is quick.
    pub(crate) fn after(&self, begun: Begun, mask: &mut TokenMask) {
        mask.clear();
        for &id in &self.fragments {
            if self.read(begun, printed(&self.tokenizer, id)).is_some() {
                mask.allow(id);
            }
        }
    }

    /// What `bytes` leave unfinished after `begun`; `None` where they do not keep the lock.
    pub(crate) fn read(&self, begun: Begun, bytes: &[u8]) -> Option<Begun> {
        let mut now = begun;
        for &byte in bytes {
            *now.bytes.get_mut(now.len)? = byte;
            now.len += 1;
            match std::str::from_utf8(&now.bytes[..now.len]) {
                Ok(text) => {
                    if !text.chars().all(|c| self.admitted.has(c)) {
                        return None;
                    }
                    now = Begun::default();
                }
                Err(e) if e.error_len().is_none() => {}
                Err(_) => return None,
            }
        }
        (now.is_empty() || (self.finishes && self.admitted.begin_with(now))).then_some(now)
    }
}

/// The bytes that a token prints.
fn printed(tokenizer: &Tokenizer, id: u32) -> &[u8] {
    match tokenizer.kind(id) {
        Some(TokenKind::Control) | None => &[],
        Some(_) => tokenizer.piece(id).unwrap_or_default(),
    }
}

/// The admitted characters, one bit for each code point, so that a word has those whose bytes differ in the last only.
#[derive(Debug)]
struct Admitted(Vec<u64>);

/// Code points beyond hold no letters, but for planes that are not assigned or private.
const CODE_POINTS: u32 = 0x40000;

impl Admitted {
    fn new(scripts: &Scripts) -> Self {
        let mut words = vec![0; CODE_POINTS as usize / 64];
        for c in (0..CODE_POINTS).filter_map(char::from_u32).filter(|c| scripts.admits(*c)) {
            words[c as usize / 64] |= 1 << (c as usize % 64);
        }
        Self(words)
    }

    fn has(&self, c: char) -> bool {
        self.0.get(c as usize / 64).is_some_and(|word| word >> (c as usize % 64) & 1 == 1)
    }

    /// Whether the bytes of some admitted character begin with these, of which there are one to three.
    fn begin_with(&self, begun: Begun) -> bool {
        let first = u32::from(begun.bytes[0]);
        let (length, bits) = match first {
            0xC2..=0xDF => (2, first & 0x1F),
            0xE0..=0xEF => (3, first & 0x0F),
            0xF0..=0xF4 => (4, first & 0x07),
            _ => return false,
        };
        let Some(missing) = usize::checked_sub(length, begun.len).filter(|missing| *missing > 0) else { return false };
        let known = begun.bytes[1..begun.len].iter().fold(bits, |bits, byte| bits << 6 | u32::from(byte & 0x3F));
        let words = 1 << (6 * (missing - 1));
        let from = known as usize * words;
        // Not every code point has so many bytes: what has fewer begins with other bytes.
        let least = [0, 0, 0x80, 0x800, 0x10000][length] / 64;
        let range = self.0.get(from.max(least)..(from + words).min(self.0.len())).unwrap_or_default();
        range.iter().any(|word| *word != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_admitted_exactly_where_a_character_is() {
        for names in ["latin", "han", "cyrillic", "japanese"] {
            let scripts: Scripts = names.parse().unwrap();
            let admitted = Admitted::new(&scripts);
            let mut beginnings = std::collections::HashSet::new();
            for c in (0..0x110000).filter_map(char::from_u32) {
                let expected = (c as u32) < CODE_POINTS && scripts.admits(c);
                assert_eq!(admitted.has(c), expected, "{names} {c:?}");
                let mut bytes = [0; 4];
                let len = c.encode_utf8(&mut bytes).len();
                if expected {
                    beginnings.extend((1..len).map(|n| bytes[..n].to_vec()));
                }
            }
            let mut all: Vec<Vec<u8>> = (0x80..=0xFF).map(|byte| vec![byte]).collect();
            for _ in 0..2 {
                let longer =
                    all.iter().filter(|begun| std::str::from_utf8(begun).is_err_and(|e| e.error_len().is_none()));
                let longer: Vec<Vec<u8>> =
                    longer.flat_map(|begun| (0x80..=0xBF).map(|byte| [&begun[..], &[byte]].concat())).collect();
                all.extend(longer);
            }
            let unfinished = |begun: &&Vec<u8>| std::str::from_utf8(begun).is_err_and(|e| e.error_len().is_none());
            for begun in all.iter().filter(unfinished) {
                let mut bytes = [0; 4];
                bytes[..begun.len()].copy_from_slice(begun);
                let has = admitted.begin_with(Begun { bytes, len: begun.len() });
                assert_eq!(has, beginnings.contains(begun), "{names} {begun:?}");
            }
        }
    }
}
