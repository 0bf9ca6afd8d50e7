//! Signs that a thought has come to its point.

use crate::answer::{AnswerKind, Pattern, normalise, stated};

use super::CloseReason;

/// A sign that a thought has come to its point; once it has come often enough, the thought is closed.
///
/// ```
/// use r1core::reasoning::{Sign, ThinkOptions, Until};
/// // As soon as the model has boxed the same answer twice in a row.
/// let until = vec![Until { sign: Sign::Answer(Default::default()), times: 2 }];
/// ThinkOptions { until, ..Default::default() }.validate()?;
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Until {
    /// The sign.
    pub sign: Sign,
    /// How often it must come, at least 1.
    pub times: usize,
}

/// What a thought is watched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// This text, however it is cut over tokens.
    Text(String),
    /// A line that this pattern matches, counted when the line ends.
    Line(Pattern),
    /// An answer that the thought [states](stated) in a line of its own or within one, the same one time after time;
    /// counted when the line ends.
    Answer(AnswerKind),
}

/// Longer lines are looked at in pieces of so many bytes.
const LONGEST_LINE: usize = 4096;

/// Watches a thought for signs.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    signs: Vec<Watched>,
    /// The line so far, where a sign needs it.
    line: Vec<u8>,
    needs_lines: bool,
    found: Option<CloseReason>,
}

#[derive(Debug, Clone)]
struct Watched {
    until: Until,
    /// How often it has come.
    count: usize,
    /// For a text: how many of its bytes have come, and for each such number the longest beginning of the text that ends
    /// there as well (Knuth, Morris and Pratt, 1977).
    come: usize,
    shorter: Vec<usize>,
    /// For an answer: the latest.
    answer: String,
}

impl Watch {
    pub(super) fn new(signs: &[Until]) -> Self {
        let signs: Vec<_> = signs.iter().map(Watched::new).collect();
        let needs_lines = signs.iter().any(|watched| !matches!(watched.until.sign, Sign::Text(_)));
        Self { signs, line: Vec::with_capacity(if needs_lines { LONGEST_LINE } else { 0 }), needs_lines, found: None }
    }

    /// Why the thought should end, if it should.
    pub(super) fn found(&self) -> Option<CloseReason> {
        self.found
    }

    /// A new thought begins.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.found = None;
        for watched in &mut self.signs {
            (watched.count, watched.come) = (0, 0);
            watched.answer.clear();
        }
    }

    /// Takes bytes of the thought.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.signs.is_empty() {
            return;
        }
        for watched in &mut self.signs {
            watched.push(bytes);
        }
        for &byte in bytes.iter().filter(|_| self.needs_lines) {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() == LONGEST_LINE {
                let line = String::from_utf8_lossy(&self.line);
                for watched in &mut self.signs {
                    watched.end_line(&line);
                }
                self.line.clear();
            }
        }
        let done = self.signs.iter().find(|watched| watched.count >= watched.until.times);
        self.found = self.found.or(done.map(|watched| match watched.until.sign {
            Sign::Text(_) | Sign::Line(_) => CloseReason::Pattern,
            Sign::Answer(_) => CloseReason::Settled,
        }));
    }
}

impl Watched {
    fn new(until: &Until) -> Self {
        let text = if let Sign::Text(text) = &until.sign { text.as_bytes() } else { &[] };
        let mut shorter = vec![0; text.len() + 1];
        let mut come = 0;
        for (at, byte) in text.iter().enumerate().skip(1) {
            come = advance(text, &shorter, come, *byte);
            shorter[at + 1] = come;
        }
        Self { until: until.clone(), count: 0, come: 0, shorter, answer: String::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        let Sign::Text(text) = &self.until.sign else { return };
        for &byte in bytes {
            self.come = advance(text.as_bytes(), &self.shorter, self.come, byte);
            if self.come == text.len() {
                self.count += 1;
                self.come = 0;
            }
        }
    }

    fn end_line(&mut self, line: &str) {
        match &self.until.sign {
            Sign::Text(_) => {}
            Sign::Line(pattern) => self.count += usize::from(pattern.last_in(line).is_some()),
            Sign::Answer(kind) => {
                let Some(answer) = stated(kind, line).map(|answer| normalise(kind, &answer)) else { return };
                self.count = if answer == self.answer { self.count + 1 } else { 1 };
                self.answer = answer;
            }
        }
    }
}

/// How many bytes of a text have come after one more.
fn advance(text: &[u8], shorter: &[usize], mut come: usize, byte: u8) -> usize {
    while come > 0 && text.get(come) != Some(&byte) {
        come = shorter.get(come).copied().unwrap_or(0);
    }
    come + usize::from(text.get(come) == Some(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(sign: Sign, times: usize, pieces: &[&str]) -> Option<(usize, CloseReason)> {
        let mut watch = Watch::new(&[Until { sign, times }]);
        pieces.iter().enumerate().find_map(|(at, piece)| {
            watch.push(piece.as_bytes());
            watch.found().map(|reason| (at, reason))
        })
    }

    #[test]
    fn signs_are_counted() {
        let text = |text: &str| Sign::Text(text.to_owned());
        let line = |pattern: &str| Sign::Line(Pattern::new(pattern).unwrap());
        let answer = || Sign::Answer(AnswerKind::Math);
        use CloseReason::{Pattern as P, Settled as S};
        type Row<'a> = (Sign, usize, &'a [&'a str], Option<(usize, CloseReason)>);
        let rows: &[Row<'_>] = &[
            (text("so it is"), 1, &["well so", " it", " is 4"], Some((2, P))),
            (text("aab"), 1, &["a", "a", "a", "b"], Some((3, P))),
            (text("hm"), 3, &["hmhm", "h", "m"], Some((2, P))),
            (text("hm"), 4, &["hmhm", "h", "m"], None),
            (line("^Answer: \\d+"), 1, &["The Answer: 4\n", "Answer: 4", " or 5", "\n"], Some((3, P))),
            (line("^Answer: \\d+"), 1, &["Answer: 4"], None),
            (answer(), 2, &["\\boxed{1/2}\n", "hm\n", "so \\boxed{0.5}\n"], Some((2, S))),
            (answer(), 2, &["\\boxed{1}\n", "\\boxed{2}\n", "\\boxed{1}\n"], None),
            (answer(), 3, &["the answer is 7.\nThe answer is 7\n", "Answer: 7\n"], Some((1, S))),
            (answer(), 1, &["3 + 4 = 7\n"], None),
        ];
        for (sign, times, pieces, expected) in rows {
            assert_eq!(found(sign.clone(), *times, pieces), *expected, "{sign:?} {times} {pieces:?}");
        }
    }

    #[test]
    fn a_new_thought_is_watched_from_its_beginning() {
        let mut watch = Watch::new(&[Until { sign: Sign::Text("ab".into()), times: 2 }]);
        watch.push(b"aba");
        watch.clear();
        watch.push(b"bab");
        assert_eq!(watch.found(), None);
        watch.push(b"ab");
        assert_eq!(watch.found(), Some(CloseReason::Pattern));
    }

    #[test]
    fn endless_lines_are_looked_at_in_pieces() {
        let long = "x".repeat(LONGEST_LINE);
        let line = Sign::Line(Pattern::new("x").unwrap());
        assert_eq!(found(line, 1, &[&long]), Some((0, CloseReason::Pattern)));
    }

    proptest! {
        #[test]
        fn a_text_is_found_wherever_it_is(text in "[ab]{1,5}", hay in "[ab]{0,40}", cuts in 1usize..5) {
            let pieces: Vec<&str> = hay.as_bytes().chunks(cuts).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
            for times in 1..4 {
                let expected = hay.matches(&text).count() >= times;
                prop_assert_eq!(found(Sign::Text(text.clone()), times, &pieces).is_some(), expected);
            }
        }
    }
}
