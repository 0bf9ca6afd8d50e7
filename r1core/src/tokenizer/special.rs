//! Finds special tokens in raw text.
//!
//! The rule: candidates are taken longest text first (equal lengths in order of id), each searched left to right in
//! what earlier ones left over. This file computes that in one backward pass: an automaton over the reversed texts
//! (Aho and Corasick, 1975) tells for each position the longest candidate that starts there, and a heap settles the
//! overlaps in the order of the rule.

use super::vocab::TokenId;
use crate::{Error, ErrorKind, Result};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

/// Longer texts are never matched, which bounds the automaton that a hostile file can ask for.
const LONGEST: usize = 1024;
/// All texts together.
const MOST_BYTES: usize = 1 << 20;

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// Part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fragment {
    /// Raw text: its byte range, never empty.
    Text(Range<usize>),
    /// A special token.
    Token(TokenId),
}

type Match = (Range<usize>, TokenId);

/// The candidates, ready for searching.
#[derive(Debug)]
pub(super) struct Specials {
    nodes: Vec<Node>,
    /// Child of the root for each byte, [`NONE`] without one.
    root: Vec<u32>,
    /// Token of each terminal node.
    tokens: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    byte: u8,
    child: u32,
    sibling: u32,
    /// Node of the longest proper suffix that the automaton knows.
    fail: u32,
    /// This node if terminal, else the next terminal one along `fail`; [`NONE`] if there is none.
    output: u32,
    /// Index in `tokens` if terminal, else [`NONE`].
    token: u32,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: TokenId,
    len: u32,
    /// Terminal node of the next shorter candidate with the same start, [`NONE`] without one.
    shorter: u32,
}

impl Specials {
    /// Indexes texts with their ids in ascending order; of equal texts the first counts.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when there is more text than any real vocabulary has.
    pub(super) fn new<'a>(texts: impl Iterator<Item = (TokenId, &'a [u8])>) -> Result<Self> {
        let blank = Node { byte: 0, child: NONE, sibling: NONE, fail: ROOT, output: NONE, token: NONE };
        let mut this = Self { nodes: vec![blank], root: vec![NONE; 256], tokens: Vec::new() };
        let mut bytes = 0;
        for (id, text) in texts {
            if text.is_empty() || text.len() > LONGEST {
                continue;
            }
            bytes += text.len();
            if bytes > MOST_BYTES {
                let message = format!("special tokens with more than {MOST_BYTES} bytes of text");
                return Err(Error::new(ErrorKind::Limit, message).key("tokenizer.ggml.tokens"));
            }
            let mut node = ROOT;
            for &byte in text.iter().rev() {
                node = match this.child(node, byte) {
                    NONE => this.add_child(node, Node { byte, ..blank }),
                    child => child,
                };
            }
            let node = &mut this.nodes[node as usize];
            if node.token == NONE {
                node.token = this.tokens.len() as u32;
                this.tokens.push(Candidate { id, len: text.len() as u32, shorter: NONE });
            }
        }
        this.link();
        Ok(this)
    }

    fn child(&self, node: u32, byte: u8) -> u32 {
        if node == ROOT {
            return self.root[usize::from(byte)];
        }
        let mut child = self.nodes[node as usize].child;
        while child != NONE && self.nodes[child as usize].byte != byte {
            child = self.nodes[child as usize].sibling;
        }
        child
    }

    fn add_child(&mut self, parent: u32, node: Node) -> u32 {
        let index = self.nodes.len() as u32;
        let sibling = std::mem::replace(&mut self.nodes[parent as usize].child, index);
        self.nodes.push(Node { sibling, ..node });
        if parent == ROOT {
            self.root[usize::from(node.byte)] = index;
        }
        index
    }

    /// Sets `fail`, `output` and `shorter`, parents before children.
    fn link(&mut self) {
        let mut queue = VecDeque::from([ROOT]);
        while let Some(parent) = queue.pop_front() {
            let mut index = self.nodes[parent as usize].child;
            while index != NONE {
                let Node { byte, sibling, token, .. } = self.nodes[index as usize];
                let fail = if parent == ROOT { ROOT } else { self.step(self.nodes[parent as usize].fail, byte) };
                let inherited = self.nodes[fail as usize].output;
                if let Some(candidate) = self.tokens.get_mut(token as usize) {
                    candidate.shorter = inherited;
                }
                let node = &mut self.nodes[index as usize];
                node.fail = fail;
                node.output = if token == NONE { inherited } else { index };
                queue.push_back(index);
                index = sibling;
            }
        }
    }

    /// The longest known suffix after one more byte.
    #[inline]
    fn step(&self, mut node: u32, byte: u8) -> u32 {
        loop {
            match self.child(node, byte) {
                NONE if node == ROOT => return ROOT,
                NONE => node = self.nodes[node as usize].fail,
                child => return child,
            }
        }
    }

    /// The candidate at a terminal node.
    fn candidate(&self, terminal: u32) -> Option<Candidate> {
        let token = self.nodes.get(terminal as usize)?.token;
        self.tokens.get(token as usize).copied()
    }

    /// Cuts a text into special tokens and what is between them.
    pub(super) fn partition(&self, text: &[u8], mut fragment: impl FnMut(Fragment)) {
        let mut start = 0;
        for (range, id) in self.matches(text) {
            if start < range.start {
                fragment(Fragment::Text(start..range.start));
            }
            start = range.end;
            fragment(Fragment::Token(id));
        }
        if start < text.len() {
            fragment(Fragment::Text(start..text.len()));
        }
    }

    /// The matches in the order of the text.
    fn matches(&self, text: &[u8]) -> Vec<Match> {
        let starts = self.starts(text);
        let mut matches = Vec::new();
        let mut rest = starts.as_slice();
        while let Some(&(start, first)) = rest.first() {
            // Candidates that overlap, directly or through others, are settled together.
            let first_end = start + first.len as usize;
            let mut end = first_end;
            let mut count = 1;
            for &(at, candidate) in rest.get(1..).unwrap_or_default() {
                if at >= end {
                    break;
                }
                end = end.max(at + candidate.len as usize);
                count += 1;
            }
            let (group, after) = rest.split_at(count);
            rest = after;
            if first_end == end {
                // The others start later and end no later, so they are shorter.
                matches.push((start..end, first.id));
            } else {
                self.settle(group, start..end, &mut matches);
            }
        }
        matches
    }

    /// The longest candidate at each position that starts one, in the order of the text.
    fn starts(&self, text: &[u8]) -> Vec<(usize, Candidate)> {
        let mut starts = Vec::new();
        if self.tokens.is_empty() {
            return starts;
        }
        let mut node = ROOT;
        for (at, &byte) in text.iter().enumerate().rev() {
            node = if node == ROOT {
                match self.root[usize::from(byte)] {
                    NONE => continue,
                    child => child,
                }
            } else {
                self.step(node, byte)
            };
            if let Some(candidate) = self.candidate(self.nodes[node as usize].output) {
                starts.push((at, candidate));
            }
        }
        starts.reverse();
        starts
    }

    /// Accepts candidates in `span`, longest first, and shorter ones where the longest does not fit.
    fn settle(&self, group: &[(usize, Candidate)], span: Range<usize>, matches: &mut Vec<Match>) {
        // Length, then smallest id, then leftmost.
        let entry =
            |at: usize, candidate: Candidate| (candidate.len, Reverse((candidate.id, at)), Reverse(candidate.shorter));
        let mut heap: BinaryHeap<_> = group.iter().map(|&(at, candidate)| entry(at, candidate)).collect();
        let mut taken = vec![false; span.len()];
        let is_taken = |taken: &[bool], at: usize| taken.get(at - span.start).copied().unwrap_or(true);
        let before = matches.len();
        while let Some((len, Reverse((id, at)), Reverse(mut shorter))) = heap.pop() {
            if is_taken(&taken, at) {
                continue;
            }
            // What was accepted before is at least as long, so an overlap covers the first or the last byte.
            let end = at + len as usize;
            if !is_taken(&taken, end - 1) {
                taken[at - span.start..end - span.start].fill(true);
                matches.push((at..end, id));
                continue;
            }
            while let Some(candidate) = self.candidate(shorter) {
                if !is_taken(&taken, at + candidate.len as usize - 1) {
                    heap.push(entry(at, candidate));
                    break;
                }
                shorter = candidate.shorter;
            }
        }
        matches[before..].sort_unstable_by_key(|(range, _)| range.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(texts: &[&str]) -> Specials {
        Specials::new((0..).zip(texts.iter().map(|text| text.as_bytes()))).unwrap()
    }

    /// The rule, literally.
    fn naive(texts: &[&str], text: &str) -> Vec<Fragment> {
        let mut order: Vec<usize> = (0..texts.len()).filter(|&i| !texts[i].is_empty()).collect();
        order.sort_by_key(|&i| Reverse(texts[i].len()));
        let mut fragments = if text.is_empty() { vec![] } else { vec![Fragment::Text(0..text.len())] };
        for i in order {
            let mut next = Vec::new();
            for fragment in fragments {
                let Fragment::Text(Range { mut start, end }) = fragment else {
                    next.push(fragment);
                    continue;
                };
                while let Some(found) = text[start..end].find(texts[i]) {
                    if found > 0 {
                        next.push(Fragment::Text(start..start + found));
                    }
                    next.push(Fragment::Token(texts.iter().position(|t| *t == texts[i]).unwrap() as u32));
                    start += found + texts[i].len();
                }
                if start < end {
                    next.push(Fragment::Text(start..end));
                }
            }
            fragments = next;
        }
        fragments
    }

    fn fast(texts: &[&str], text: &str) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        index(texts).partition(text.as_bytes(), |fragment| fragments.push(fragment));
        fragments
    }

    #[test]
    fn a_longer_token_beats_one_that_starts_earlier() {
        let texts = ["ab", "bcd", "<a>"];
        assert_eq!(fast(&texts, "abcd"), [Fragment::Text(0..1), Fragment::Token(1)]);
        assert_eq!(fast(&texts, "x<a>ab"), [Fragment::Text(0..1), Fragment::Token(2), Fragment::Token(0)]);
        assert_eq!(fast(&texts, ""), []);
        assert_eq!(fast(&[], "ab"), [Fragment::Text(0..2)]);
    }

    #[test]
    fn a_shorter_token_fits_where_the_longest_does_not() {
        let texts = ["\n", "\n\n", "\n\n\n\n", "\n\nxx"];
        assert_eq!(fast(&texts, "\n\n\n\n\n\nxx"), naive(&texts, "\n\n\n\n\n\nxx"));
    }

    #[test]
    fn overlong_texts_are_left_alone_and_too_many_refused() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(fast(&[&long], &long), [Fragment::Text(0..long.len())]);
        let text = "y".repeat(LONGEST);
        let texts = (0..2000).map(|id| (id, text.as_bytes()));
        assert_eq!(Specials::new(texts).unwrap_err().kind(), ErrorKind::Limit);
    }

    proptest! {
        #[test]
        fn fragments_are_those_of_the_rule(
            texts in proptest::collection::vec("[ab<]{0,5}|[a]{1,4}|<[ab]>", 0..8),
            text in "[ab<>]{0,60}",
        ) {
            let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
            prop_assert_eq!(fast(&texts, &text), naive(&texts, &text));
        }
    }
}
