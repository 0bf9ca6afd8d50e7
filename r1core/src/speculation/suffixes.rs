//! Where the end of a text occurred before: in the text, or in those beside it.

use std::collections::HashMap;

use super::{Draft, MOST_GUESSES, Origin};

/// Lengths of the ends that are looked up, the longest first: a longer match is a better guess.
const ORDERS: [usize; 3] = [6, 3, 2];

/// How far back a match is followed to tell its length.
const FURTHEST: usize = 32;

/// Places that are kept of each run of tokens, the latest ones.
const PLACES: usize = 4;

/// The latest runs are kept, at least so many and at most twice as many: 16 megabytes.
const RUNS: usize = 1 << 17;

/// An index of texts that grow at their ends: the latest places where each short run of tokens ended. Places are checked
/// against the texts whenever they are found, so those that a cut left behind do no harm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suffixes {
    texts: Vec<Text>,
    recent: HashMap<u64, Places>,
    /// What was recent before; forgotten as a whole when `recent` is full again.
    former: HashMap<u64, Places>,
}

#[derive(Debug, Clone, Default)]
struct Text {
    tokens: Vec<u32>,
    /// Tokens at its beginning that are the end of another text.
    before: usize,
    /// Runs that end before this position are known, as far as a token follows them.
    indexed: usize,
}

/// The latest first. Position 0, behind which no run ends, stands for none.
type Places = [Place; PLACES];

/// The position behind a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    text: u32,
    next: u32,
}

/// An earlier occurrence of a text's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    text: usize,
    /// The position right behind it, where a token is.
    next: usize,
    /// Tokens that are the same.
    matched: usize,
}

impl Suffixes {
    /// Whether it has no text.
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Begins text `text` as one that continues text `after`.
    pub(crate) fn branch(&mut self, text: usize, after: usize) {
        let tokens = self.texts.get(after).map_or(Vec::new(), |after| end_of(&after.tokens, &[]));
        *self.text(text) = Text { before: tokens.len(), indexed: tokens.len(), tokens };
    }

    /// Makes `tokens` text `text`, which mostly has grown.
    pub(crate) fn follow(&mut self, text: usize, tokens: &[u32]) {
        let mut own = std::mem::take(self.text(text));
        let known = &own.tokens[own.before..];
        let same = match tokens.starts_with(known) {
            true => known.len(),
            false => known.iter().zip(tokens).take_while(|(a, b)| a == b).count(),
        };
        own.tokens.truncate(own.before + same);
        own.tokens.extend_from_slice(&tokens[same..]);
        for next in own.indexed.min(own.before + same)..own.tokens.len() {
            for order in ORDERS {
                if let Some(key) = key(&own.tokens[..next], order) {
                    self.note(key, Place { text: text as u32, next: next as u32 });
                }
            }
        }
        own.indexed = own.tokens.len();
        *self.text(text) = own;
    }

    /// Guesses for what follows text `text` and `pending` after it, at most `room`; `None` where nothing repeats.
    pub(crate) fn draft(&self, text: usize, pending: &[u32], room: usize) -> Option<Draft> {
        let own = &self.texts.get(text)?.tokens;
        let found = self.find(&end_of(own, pending))?;
        let source = &self.texts[found.text].tokens;
        let mut tokens = Vec::with_capacity(MOST_GUESSES);
        for at in (found.next..).take(room.min(MOST_GUESSES)) {
            // A match that reaches its own text's end goes on with what follows that: a period repeats.
            let beyond = || at.checked_sub(own.len()).filter(|_| found.text == text);
            let token = source.get(at).or_else(|| {
                let beyond = beyond()?;
                pending.get(beyond).or_else(|| tokens.get(beyond - pending.len()))
            });
            match token {
                Some(&token) => tokens.push(token),
                None => break,
            }
        }
        let origin = if found.text == text || found.text == 0 { Origin::Own } else { Origin::Sibling };
        (!tokens.is_empty()).then_some(Draft { tokens, origin, matched: found.matched })
    }

    /// The longest earlier occurrence of `end` among the places that are kept of its longest known run, of equal ones the
    /// latest.
    fn find(&self, end: &[u32]) -> Option<Found> {
        ORDERS.iter().find_map(|&order| {
            let key = key(end, order)?;
            let places = [&self.recent, &self.former].into_iter().filter_map(|runs| runs.get(&key)).flatten();
            let found = places.filter_map(|place| {
                let (text, next) = (place.text as usize, place.next as usize);
                let tokens = &self.texts.get(text)?.tokens;
                let matched = if next < tokens.len() { common_end(&tokens[..next], end) } else { 0 };
                (matched >= order).then_some(Found { text, next, matched })
            });
            found.reduce(|best, other| if other.matched > best.matched { other } else { best })
        })
    }

    fn note(&mut self, key: u64, place: Place) {
        let places = self.recent.entry(key).or_default();
        places.rotate_right(1);
        places[0] = place;
        if self.recent.len() >= RUNS {
            self.former = std::mem::take(&mut self.recent);
        }
    }

    fn text(&mut self, text: usize) -> &mut Text {
        if self.texts.len() <= text {
            self.texts.resize_with(text + 1, Text::default);
        }
        &mut self.texts[text]
    }
}

/// A number for the last `order` tokens; two runs may share it.
fn key(tokens: &[u32], order: usize) -> Option<u64> {
    let run = tokens.get(tokens.len().checked_sub(order)?..)?;
    // FNV-1a over whole tokens.
    Some(run.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &id| (hash ^ u64::from(id)).wrapping_mul(0x0100_0000_01b3)))
}

/// The last tokens, [`FURTHEST`] at most, of `tokens` and `pending` after them.
fn end_of(tokens: &[u32], pending: &[u32]) -> Vec<u32> {
    let pending = &pending[pending.len().saturating_sub(FURTHEST)..];
    let kept = FURTHEST - pending.len();
    [&tokens[tokens.len().saturating_sub(kept)..], pending].concat()
}

/// Tokens that the ends of two texts share.
fn common_end(a: &[u32], b: &[u32]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses(text: &[u32], room: usize) -> Vec<u32> {
        let mut suffixes = Suffixes::default();
        suffixes.follow(0, text);
        suffixes.draft(0, &[], room).map(|draft| draft.tokens).unwrap_or_default()
    }

    #[test]
    fn what_followed_the_last_time_is_guessed() {
        assert_eq!(guesses(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 2, 3], 4), [4, 5, 6, 7]);
        assert!(guesses(&[1, 2, 3], 7).is_empty(), "nothing repeats");
        assert!(guesses(&[1, 2, 3, 4, 1, 2], 0).is_empty(), "no room");
    }

    #[test]
    fn a_period_goes_on_beyond_the_text() {
        assert_eq!(guesses(&[5, 6, 7, 5, 6, 7, 5], 7), [6, 7, 5, 6, 7, 5, 6]);
        assert_eq!(guesses(&[8, 8, 8], 5), [8, 8, 8, 8, 8]);
        let mut suffixes = Suffixes::default();
        suffixes.follow(0, &[5, 6, 7, 5, 6]);
        assert_eq!(suffixes.draft(0, &[7, 5], 7).unwrap().tokens, [6, 7, 5, 6, 7, 5, 6]);
    }

    #[test]
    fn the_longest_known_match_wins_over_a_later_shorter_one() {
        assert_eq!(guesses(&[1, 2, 3, 4, 5, 6, 70, 0, 5, 6, 80, 0, 1, 2, 3, 4, 5, 6], 1), [70]);
        assert_eq!(guesses(&[9, 5, 6, 1, 8, 5, 6, 2, 7, 5, 6], 1), [2]);
        assert_eq!(guesses(&[1, 9, 5, 6, 1, 8, 5, 6, 2, 9, 5, 6], 1), [1]);
    }

    #[test]
    fn a_text_that_grows_is_told_apart_from_one_that_was_cut() {
        let mut suffixes = Suffixes::default();
        let mut next = |text: &[u32]| {
            suffixes.follow(0, text);
            suffixes.draft(0, &[], 1).map(|draft| (draft.tokens[0], draft.matched))
        };
        let long: Vec<u32> = (0..50).chain(10..20).collect();
        assert_eq!(next(&long), Some((20, 10)));
        // Cut to a third, and grown otherwise: places beyond the cut must not be believed.
        let mut cut: Vec<u32> = (0..16).collect();
        assert_eq!(next(&cut), None);
        cut.extend([40, 41]);
        assert_eq!(next(&cut), None);
        cut.extend([3, 4]);
        assert_eq!(next(&cut), Some((5, 2)));
    }

    #[test]
    fn texts_beside_a_text_are_searched_as_far_as_they_go() {
        let mut suffixes = Suffixes::default();
        suffixes.follow(0, &[1, 2, 3]);
        (1..3).for_each(|text| suffixes.branch(text, 0));
        suffixes.follow(1, &[10, 11, 12, 13]);
        assert!(
            suffixes.draft(2, &[], 7).is_some_and(|draft| draft.tokens == [10, 11, 12, 13]),
            "both follow the prompt"
        );
        suffixes.follow(2, &[20, 10, 11]);
        let draft = suffixes.draft(2, &[], 7).unwrap();
        assert_eq!((&*draft.tokens, draft.origin, draft.matched), (&[12, 13][..], Origin::Sibling, 2));
        assert_eq!(suffixes.draft(2, &[12], 7).unwrap().tokens, [13]);
        assert!(suffixes.draft(2, &[12, 13], 7).is_none(), "nothing is known beyond");
        suffixes.follow(1, &[10, 11, 12, 13, 1, 2]);
        assert_eq!(suffixes.draft(1, &[], 1).map(|draft| (draft.tokens, draft.origin)), Some((vec![3], Origin::Own)));
    }

    #[test]
    fn memory_is_bounded_and_late_runs_are_known() {
        let mut suffixes = Suffixes::default();
        let text: Vec<u32> = (0..300_000).collect();
        suffixes.follow(0, &text);
        assert!(suffixes.recent.len() + suffixes.former.len() <= 2 * RUNS);
        assert_eq!(suffixes.draft(0, &[299_000, 299_001], 2).unwrap().tokens, [299_002, 299_003]);
        assert!(suffixes.draft(0, &[5, 6], 2).is_none(), "forgotten");
    }

    #[test]
    fn every_find_is_a_true_occurrence() {
        let mut state = 7u64;
        let mut texts = [Vec::new(), Vec::new(), Vec::new()];
        let mut suffixes = Suffixes::default();
        let mut finds = 0;
        for step in 0..6000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (which, text) = (step % 3, &mut texts[step % 3]);
            text.push((state >> 60) as u32);
            if step % 97 == 0 {
                text.truncate(text.len() / 2);
            }
            suffixes.follow(which, text);
            let end = end_of(text, &[]);
            if let Some(Found { text: from, next, matched }) = suffixes.find(&end) {
                assert!(next < texts[from].len());
                assert_eq!(texts[from][next - matched..next], end[end.len() - matched..]);
                finds += 1;
            }
        }
        assert!(finds > 1000, "{finds}");
    }
}
