//! SentencePiece BPE: text to ids by scores (Kudo and Richardson, 2018).
//!
//! Spaces are written U+2581. The text starts as one symbol per character; of all adjacent pairs whose concatenation
//! is a token the one with the highest score is merged, the leftmost on ties. Characters that remain and are no token
//! become byte tokens, or the unknown token where the vocabulary lacks these.

use super::hash::Key;
use super::pieces::{Seen, Whole};
use super::vocab::{META_SPACE, SCORES, TokenId, TokenKind, Vocab, VocabParts};
use crate::{Error, ErrorKind, Result};
use std::collections::BinaryHeap;

/// Longer pieces are cut, so that positions fit their 32 bits.
const LONGEST: usize = 1 << 30;

/// The scores of a vocabulary.
#[derive(Debug)]
pub(super) struct Spm {
    /// Score of each token as a number that orders like it.
    scores: Vec<u32>,
    /// Last bytes of the characters that some token has before a space. After every other character a space begins
    /// a word that can be merged on its own.
    joins: [bool; 256],
    whole: Whole,
    add_space_prefix: bool,
}

impl Spm {
    pub(super) fn new(vocab: &Vocab, parts: &VocabParts) -> Result<Self> {
        let scores = match &parts.scores {
            None => vec![order(0.0); vocab.len()],
            Some(scores) if scores.len() != vocab.len() => {
                let message = format!("{} scores for {} tokens", scores.len(), vocab.len());
                return Err(Error::new(ErrorKind::Malformed, message).key(SCORES));
            }
            Some(scores) => scores.iter().copied().map(order).collect(),
        };
        let plain = vocab.iter().filter(|(_, _, kind)| !matches!(kind, TokenKind::Control | TokenKind::Unknown));
        let mut joins = [false; 256];
        for (_, text, _) in plain {
            for (at, _) in text.match_indices(META_SPACE) {
                let before = text.get(..at).filter(|before| !before.ends_with(META_SPACE));
                if let Some(&last) = before.and_then(|before| before.as_bytes().last()) {
                    joins[usize::from(last)] = true;
                }
            }
        }
        let add_space_prefix = parts.flags.add_space_prefix.unwrap_or(true);
        Ok(Self { scores, joins, whole: Whole::new(vocab.len()), add_space_prefix })
    }

    /// Whether a space is put before the text and after each special token.
    pub(super) fn adds_space_prefix(&self) -> bool {
        self.add_space_prefix
    }

    /// Appends the ids of a text without special tokens; `prefix` puts a space before it.
    pub(super) fn encode(
        &self,
        vocab: &Vocab,
        unknown: Option<TokenId>,
        prefix: bool,
        text: &[u8],
        out: &mut Vec<TokenId>,
    ) {
        let mut escaped = Vec::with_capacity(text.len() + text.len() / 2 + META_SPACE.len());
        if prefix {
            escaped.extend_from_slice(META_SPACE.as_bytes());
        }
        for &byte in text {
            match byte {
                b' ' => escaped.extend_from_slice(META_SPACE.as_bytes()),
                _ => escaped.push(byte),
            }
        }
        let mut seen = Seen::for_text(escaped.len());
        let mut work = Work::default();
        let mut rest = escaped.as_slice();
        // In broken UTF-8 a symbol may swallow the start of a word.
        let by_words = std::str::from_utf8(text).is_ok();
        while !rest.is_empty() {
            let end = if by_words { self.word_end(rest) } else { rest.len() };
            let (piece, after) = rest.split_at(end.min(LONGEST));
            rest = after;
            let Some(key) = Key::new(piece) else {
                self.piece(vocab, unknown, piece, vocab.seed().bytes(piece), &mut work, out);
                continue;
            };
            let hash = vocab.seed().key(key);
            if !seen.repeat(hash, key, out) {
                let start = out.len();
                self.piece(vocab, unknown, piece, hash, &mut work, out);
                seen.remember(hash, key, out.get(start..).unwrap_or_default());
            }
        }
    }

    /// Where the first word ends, with the spaces that lead it: before the next space that no token joins to it.
    fn word_end(&self, text: &[u8]) -> usize {
        let space = META_SPACE.as_bytes();
        let is_space = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(space));
        let mut at = 0;
        while is_space(at) {
            at += space.len();
        }
        while let Some(&byte) = text.get(at) {
            if byte != space[0] || !is_space(at) {
                at += 1;
                continue;
            }
            let before = at.checked_sub(1).and_then(|last| text.get(last)).copied().unwrap_or_default();
            if !self.joins[usize::from(before)] {
                return at;
            }
            while is_space(at) {
                at += space.len();
            }
        }
        text.len()
    }

    fn piece(
        &self,
        vocab: &Vocab,
        unknown: Option<TokenId>,
        piece: &[u8],
        hash: u64,
        work: &mut Work,
        out: &mut Vec<TokenId>,
    ) {
        if let Some(id) = vocab.plain(piece, hash) {
            let merges_to_itself = || {
                self.merge(vocab, piece, work);
                work.symbols.first().is_some_and(|symbol| symbol.len as usize == piece.len())
            };
            if self.whole.get(id, merges_to_itself) {
                out.push(id);
                return;
            }
        }
        self.merge(vocab, piece, work);
        for symbol in work.symbols.iter().filter(|symbol| symbol.len > 0) {
            let text = symbol.of(piece);
            match vocab.plain(text, vocab.seed().bytes(text)) {
                Some(id) => out.push(id),
                None => {
                    let before = out.len();
                    out.extend(text.iter().filter_map(|&byte| self.byte(vocab, byte)));
                    if let Some(unknown) = unknown.filter(|_| out.len() - before < text.len()) {
                        out.truncate(before);
                        out.push(unknown);
                    }
                }
            }
        }
    }

    fn byte(&self, vocab: &Vocab, byte: u8) -> Option<TokenId> {
        vocab.byte_token(byte).or_else(|| vocab.plain(&[byte], vocab.seed().bytes(&[byte])))
    }

    fn merge(&self, vocab: &Vocab, piece: &[u8], work: &mut Work) {
        let Work { symbols, heap } = work;
        symbols.clear();
        heap.clear();
        let mut start = 0;
        while let Some(&byte) = piece.get(start) {
            // By the first byte alone, also where the text is not UTF-8.
            let len = match byte {
                0..0xC0 => 1,
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            let len = len.min(piece.len() - start);
            let index = symbols.len() as u32;
            symbols.push(Symbol {
                start: start as u32,
                len: len as u32,
                previous: index.wrapping_sub(1),
                next: index + 1,
            });
            start += len;
        }
        let candidate = |symbols: &[Symbol], left: u32, right: u32| {
            let (a, b) = (symbols.get(left as usize)?, symbols.get(right as usize)?);
            let pair = Symbol { len: a.len + b.len, ..*a };
            if pair.len as usize > vocab.longest() {
                return None;
            }
            let text = pair.of(piece);
            let id = vocab.plain(text, vocab.seed().bytes(text))?;
            let score = *self.scores.get(id as usize)?;
            Some(Candidate { order: u64::from(score) << 32 | u64::from(!left), len: pair.len })
        };
        for left in 1..symbols.len() as u32 {
            heap.extend(candidate(symbols, left - 1, left));
        }
        while let Some(best) = heap.pop() {
            let left = !(best.order as u32);
            let Some(&a) = symbols.get(left as usize) else { continue };
            let Some(&b) = symbols.get(a.next as usize) else { continue };
            // Stale: a symbol was merged since, which changes the length of the pair.
            if a.len == 0 || a.len + b.len != best.len {
                continue;
            }
            symbols[left as usize] = Symbol { len: best.len, next: b.next, ..a };
            symbols[a.next as usize].len = 0;
            if let Some(after) = symbols.get_mut(b.next as usize) {
                after.previous = left;
            }
            heap.extend(candidate(symbols, a.previous, left));
            heap.extend(candidate(symbols, left, b.next));
        }
    }
}

/// Orders like the score; NaN is lowest.
fn order(score: f32) -> u32 {
    if score.is_nan() {
        return 0;
    }
    // Adding zero makes -0 and 0 the same.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Buffers that one text's pieces share.
#[derive(Default)]
struct Work {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Candidate>,
}

/// Part of a piece; `len` is 0 once it is merged into its left neighbour.
#[derive(Clone, Copy)]
struct Symbol {
    start: u32,
    len: u32,
    /// `u32::MAX` before the first.
    previous: u32,
    /// The number of symbols after the last.
    next: u32,
}

impl Symbol {
    fn of(self, piece: &[u8]) -> &[u8] {
        piece.get(self.start as usize..(self.start + self.len) as usize).unwrap_or_default()
    }
}

/// A possible merge: highest score first, leftmost on ties.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Score, then the complement of the left symbol's position.
    order: u64,
    len: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_keep_their_order() {
        let scores = [f32::NEG_INFINITY, -1e9, -1.0, -f32::MIN_POSITIVE, 0.0, 0.5, 3.0, f32::INFINITY];
        assert!(scores.is_sorted_by_key(|&score| order(score)));
        assert_eq!(order(-0.0), order(0.0));
        assert!(order(f32::NAN) < order(f32::NEG_INFINITY));
    }
}
