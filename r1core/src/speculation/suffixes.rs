//! Where the end of a text occurred before in it.

use std::collections::HashMap;

/// Lengths of the ends that are looked up, the longest first: a longer match is a better guess.
const ORDERS: [usize; 3] = [6, 3, 2];

/// How far back a match is followed to tell its length.
const FURTHEST: usize = 32;

/// An index of a text that grows at its end, and may be cut there: the latest place where each short run of tokens ended.
/// Places are checked against the text whenever they are found, so those that a cut left behind do no harm.
#[derive(Debug, Clone, Default)]
pub(super) struct Suffixes {
    latest: [HashMap<u64, u32>; ORDERS.len()],
    /// Runs that end at or before this position are known.
    indexed: usize,
}

/// An earlier occurrence of a text's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The position right behind it.
    pub(super) next: usize,
    /// Tokens that are the same.
    pub(super) matched: usize,
}

impl Suffixes {
    /// The latest earlier occurrence of the longest run of tokens at the end of `text` that is known to have one.
    pub(super) fn find(&mut self, text: &[u32]) -> Option<Found> {
        // The text may have been cut and have grown differently: what is there is indexed anew from the cut on, and what
        // was at its end is as good as any other place.
        for end in self.indexed.min(text.len())..text.len() {
            self.add(text, end);
        }
        self.indexed = text.len();
        ORDERS.iter().zip(&self.latest).find_map(|(order, latest)| {
            let next = *latest.get(&key(text, text.len(), *order)?)? as usize;
            let matched = common_end(&text[..next.min(text.len())], text);
            (next < text.len() && matched >= *order).then_some(Found { next, matched })
        })
    }

    /// Makes the runs that end at `end` known.
    fn add(&mut self, text: &[u32], end: usize) {
        for (order, latest) in ORDERS.iter().zip(&mut self.latest) {
            if let Some(key) = key(text, end, *order) {
                latest.insert(key, end as u32);
            }
        }
    }
}

/// A number for the `order` tokens before `end`; two runs may share it.
fn key(text: &[u32], end: usize, order: usize) -> Option<u64> {
    let run = text.get(end.checked_sub(order)?..end)?;
    // FNV-1a over whole tokens.
    Some(run.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &id| (hash ^ u64::from(id)).wrapping_mul(0x0100_0000_01b3)))
}

/// Tokens that the ends of two texts share, at most [`FURTHEST`].
fn common_end(a: &[u32], b: &[u32]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take(FURTHEST).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_known_match_wins_over_a_later_shorter_one() {
        let text = [1, 2, 3, 4, 5, 6, 70, 0, 5, 6, 80, 0, 1, 2, 3, 4, 5, 6];
        assert_eq!(Suffixes::default().find(&text), Some(Found { next: 6, matched: 6 }));
        assert_eq!(Suffixes::default().find(&[9, 5, 6, 1, 8, 5, 6, 2, 7, 5, 6]), Some(Found { next: 7, matched: 2 }));
    }

    #[test]
    fn a_text_that_grows_is_told_apart_from_one_that_was_cut() {
        let mut suffixes = Suffixes::default();
        let long: Vec<u32> = (0..50).chain(10..20).collect();
        assert_eq!(suffixes.find(&long), Some(Found { next: 20, matched: 10 }));
        // Cut to a third, and grown otherwise: places beyond the cut must not be believed.
        let mut cut: Vec<u32> = (0..16).collect();
        assert_eq!(suffixes.find(&cut), None);
        cut.extend([40, 41]);
        assert_eq!(suffixes.find(&cut), None);
        cut.extend([3, 4]);
        assert_eq!(suffixes.find(&cut), Some(Found { next: 5, matched: 2 }));
    }

    #[test]
    fn every_find_is_a_true_occurrence() {
        let mut state = 7u64;
        let mut text = Vec::new();
        let mut suffixes = Suffixes::default();
        let mut finds = 0;
        for step in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push((state >> 60) as u32);
            if step % 97 == 0 {
                text.truncate(text.len() / 2);
            }
            if let Some(Found { next, matched }) = suffixes.find(&text) {
                assert!(next < text.len());
                assert_eq!(text[next - matched..next], text[text.len() - matched..]);
                finds += 1;
            }
        }
        assert!(finds > 300, "{finds}");
    }
}
