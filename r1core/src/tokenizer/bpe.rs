//! Byte-level BPE: pieces of text to ids by ranked merges (Sennrich et al., 2016; on bytes: GPT-2).
//!
//! A piece starts as one symbol per byte; of all adjacent pairs the one with the lowest rank is merged, the leftmost
//! on ties, until no pair has a merge. Symbols are token ids; strings that merges name but the vocabulary lacks get
//! numbers after the last token and fall apart into bytes in the end.

use super::alphabet;
use super::hash::{Key, Merge, PairTable};
use super::pieces::{Seen, Whole};
use super::split::Splitter;
use super::vocab::{MERGES, PRE, TokenId, Vocab, VocabParts};
use crate::gguf::StringArray;
use crate::{Error, ErrorKind, Result};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Pieces up to this length are merged by repeated search for the best pair, longer ones with a heap.
const SHORT: usize = 96;
/// Longer pieces are cut, so that positions fit their 32 bits.
const LONGEST: usize = 1 << 30;
/// A symbol that is no more: merged into its left neighbour.
const GONE: u32 = u32::MAX;

/// The merges of a vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    splitter: Splitter,
    /// A piece that is a token is emitted without merging.
    ignore_merges: bool,
    whole: Whole,
    bytes: [u32; 256],
    merges: PairTable,
    /// Bytes of the symbols after the last token.
    extra: Vec<Vec<u8>>,
}

impl Bpe {
    pub(super) fn new(vocab: &Vocab, parts: &VocabParts) -> Result<Self> {
        let pre = parts.pre.as_deref().filter(|pre| !pre.is_empty()).unwrap_or("default");
        let splitter = Splitter::from_name(pre).ok_or_else(|| {
            let shown: String = pre.chars().take(40).collect();
            Error::new(ErrorKind::Unsupported, format!("splitter '{shown}' is not known")).key(PRE)
        })?;
        let merges = parts.merges.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Missing, "a byte-level vocabulary needs its merges")
                .key(MERGES)
                .remedy("convert the model again")
        })?;
        let mut builder = Builder { vocab, extra: Vec::new(), numbers: HashMap::new() };
        let mut bytes = [0; 256];
        for (byte, symbol) in (0..=u8::MAX).zip(&mut bytes) {
            *symbol = builder.symbol(&[byte]);
        }
        let table = builder.merges(merges)?;
        Ok(Self {
            splitter,
            ignore_merges: matches!(splitter, Splitter::LlamaBpe | Splitter::Glm4),
            whole: Whole::new(vocab.len()),
            bytes,
            merges: table,
            extra: builder.extra,
        })
    }

    /// Whether files with this splitter start every text with BOS unless they say otherwise.
    pub(super) fn adds_bos(&self) -> bool {
        self.splitter == Splitter::LlamaBpe
    }

    /// Appends the ids of a text without special tokens.
    pub(super) fn encode(&self, vocab: &Vocab, text: &str, out: &mut Vec<TokenId>) {
        let mut seen = Seen::for_text(text.len());
        let mut work = Work::default();
        self.splitter.split(text, |piece| self.piece(vocab, piece.as_bytes(), &mut seen, &mut work, out));
    }

    #[inline]
    fn piece(&self, vocab: &Vocab, piece: &[u8], seen: &mut Seen, work: &mut Work, out: &mut Vec<TokenId>) {
        let Some(key) = Key::new(piece) else {
            self.new_piece(vocab, piece, vocab.seed().bytes(piece), work, out);
            return;
        };
        let hash = vocab.seed().key(key);
        if !seen.repeat(hash, key, out) {
            let start = out.len();
            self.new_piece(vocab, piece, hash, work, out);
            seen.remember(hash, key, out.get(start..).unwrap_or_default());
        }
    }

    fn new_piece(&self, vocab: &Vocab, piece: &[u8], hash: u64, work: &mut Work, out: &mut Vec<TokenId>) {
        if let Some(id) = vocab.plain(piece, hash) {
            let merges_to_itself = || {
                self.merge(piece, work);
                work.symbols == [id]
            };
            if self.ignore_merges || self.whole.get(id, merges_to_itself) {
                out.push(id);
                return;
            }
        }
        for part in piece.chunks(LONGEST) {
            self.merge(part, work);
            self.emit(vocab, &work.symbols, out);
        }
    }

    /// Leaves the merged symbols of a piece in `work.symbols`.
    fn merge(&self, piece: &[u8], work: &mut Work) {
        work.symbols.clear();
        work.symbols.extend(piece.iter().map(|&byte| self.bytes[usize::from(byte)]));
        if piece.len() <= SHORT { self.merge_short(&mut work.symbols) } else { self.merge_long(work) }
    }

    fn merge_short(&self, symbols: &mut Vec<u32>) {
        let len = symbols.len().min(SHORT);
        // Of the pair that starts at each symbol; u32::MAX where none merges.
        let mut ranks = [u32::MAX; SHORT];
        let mut results = [0; SHORT];
        let mut next = [0; SHORT];
        let mut previous = [0; SHORT];
        let pair = |ranks: &mut [u32; SHORT], results: &mut [u32; SHORT], at: usize, left: u32, right: u32| {
            let merge = self.merges.get(left, right).unwrap_or(Merge { rank: u32::MAX, result: 0 });
            ranks[at] = merge.rank;
            results[at] = merge.result;
        };
        for (at, symbols) in symbols.windows(2).enumerate() {
            pair(&mut ranks, &mut results, at, symbols[0], symbols[1]);
        }
        for at in 0..len {
            next[at] = at + 1;
            previous[at] = at.wrapping_sub(1);
        }
        loop {
            let best = ranks[..len].iter().copied().min().unwrap_or(u32::MAX);
            if best == u32::MAX {
                break;
            }
            let at = ranks[..len].iter().position(|&rank| rank == best).unwrap_or(0);
            let (right, result) = (next[at], results[at]);
            let after = next[right];
            symbols[at] = result;
            symbols[right] = GONE;
            next[at] = after;
            ranks[right] = u32::MAX;
            ranks[at] = u32::MAX;
            if after < len {
                previous[after] = at;
                pair(&mut ranks, &mut results, at, result, symbols[after]);
            }
            if at > 0 {
                let before = previous[at];
                pair(&mut ranks, &mut results, before, symbols[before], result);
            }
        }
        symbols.retain(|&symbol| symbol != GONE);
    }

    fn merge_long(&self, work: &mut Work) {
        let Work { symbols, next, previous, heap } = work;
        let len = symbols.len() as u32;
        next.clear();
        next.extend(1..=len);
        previous.clear();
        previous.extend((0..len).map(|i| i.wrapping_sub(1)));
        // Rank, then position: the lowest rank first, the leftmost on ties.
        let entry = |merge: Merge, at: u32| Reverse(u64::from(merge.rank) << 32 | u64::from(at));
        let mut start = std::mem::take(heap).into_vec();
        start.clear();
        let pairs = (0..).zip(symbols.windows(2));
        start.extend(pairs.filter_map(|(at, p)| self.merges.get(p[0], p[1]).map(|merge| entry(merge, at))));
        *heap = start.into();
        while let Some(Reverse(top)) = heap.pop() {
            let (rank, at) = ((top >> 32) as u32, top as u32 as usize);
            let right = next[at];
            let (left, Some(&other)) = (symbols[at], symbols.get(right as usize)) else { continue };
            // An entry is stale when either symbol has changed since; then the pair has another rank or none.
            if left == GONE {
                continue;
            }
            let Some(merge) = self.merges.get(left, other).filter(|merge| merge.rank == rank) else { continue };
            symbols[at] = merge.result;
            symbols[right as usize] = GONE;
            let after = next[right as usize];
            next[at] = after;
            if let Some(&symbol) = symbols.get(after as usize) {
                previous[after as usize] = at as u32;
                if let Some(merge) = self.merges.get(merge.result, symbol) {
                    heap.push(entry(merge, at as u32));
                }
            }
            let before = previous[at];
            let merge = symbols.get(before as usize).and_then(|&symbol| self.merges.get(symbol, merge.result));
            heap.extend(merge.map(|merge| entry(merge, before)));
        }
        symbols.retain(|&symbol| symbol != GONE);
    }

    fn emit(&self, vocab: &Vocab, symbols: &[u32], out: &mut Vec<TokenId>) {
        let tokens = vocab.len();
        for &symbol in symbols {
            match (symbol as usize).checked_sub(tokens) {
                None => out.push(symbol),
                Some(extra) => {
                    let bytes = self.extra.get(extra).map_or(&[][..], Vec::as_slice);
                    let ids = bytes.iter().map(|&byte| self.bytes[usize::from(byte)]);
                    out.extend(ids.filter(|&id| (id as usize) < tokens));
                }
            }
        }
    }
}

/// Buffers that one text's pieces share.
#[derive(Default)]
struct Work {
    symbols: Vec<u32>,
    /// Position of the next symbol, the length after the last.
    next: Vec<u32>,
    /// Position of the previous symbol, `u32::MAX` before the first.
    previous: Vec<u32>,
    heap: BinaryHeap<Reverse<u64>>,
}

struct Builder<'a> {
    vocab: &'a Vocab,
    extra: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, u32>,
}

impl Builder<'_> {
    /// The number of a byte string: its token, or the next free one.
    fn symbol(&mut self, bytes: &[u8]) -> u32 {
        if let Some(id) = self.vocab.plain(bytes, self.vocab.seed().bytes(bytes)) {
            return id;
        }
        if let Some(&number) = self.numbers.get(bytes) {
            return number;
        }
        let number = (self.vocab.len() + self.extra.len()) as u32;
        self.extra.push(bytes.to_vec());
        self.numbers.insert(bytes.to_vec(), number);
        number
    }

    fn merges(&mut self, merges: &StringArray) -> Result<PairTable> {
        if merges.len() >= i32::MAX as usize {
            return Err(Error::new(ErrorKind::Limit, format!("{} merges are too many", merges.len())).key(MERGES));
        }
        let mut table = PairTable::new(self.vocab.seed(), merges.len())?;
        let mut bytes = Vec::new();
        for (rank, text) in (0..).zip(merges.iter()) {
            bytes.clear();
            // The alphabet has no space, so the first one separates.
            let parts = text.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty());
            let middle = parts.and_then(|(left, right)| {
                if !alphabet::decode(left, &mut bytes) {
                    return None;
                }
                let middle = bytes.len();
                alphabet::decode(right, &mut bytes).then_some(middle)
            });
            let Some((left, right)) = middle.and_then(|middle| bytes.split_at_checked(middle)) else {
                let shown: String = text.chars().take(40).collect();
                let message = format!("merge {rank} '{shown}' is not two strings of the byte alphabet");
                return Err(Error::new(ErrorKind::Malformed, message).key(MERGES));
            };
            let (left, right) = (self.symbol(left), self.symbol(right));
            table.insert(left, right, Merge { rank, result: self.symbol(&bytes) });
        }
        Ok(table)
    }
}
