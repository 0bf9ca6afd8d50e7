//! Stop texts: the answer ends where the first of them begins, however they are cut over tokens.

/// Passes text on until a stop text begins; keeps back what may still become one.
#[derive(Debug, Default)]
pub(super) struct StopFilter {
    stops: Vec<String>,
    held: String,
    reached: bool,
}

impl StopFilter {
    /// A filter for the given texts; empty ones are ignored.
    pub(super) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(), held: String::new(), reached: false }
    }

    /// Takes a piece and returns what can be shown, and whether a stop text was reached (after which nothing more may be
    /// pushed).
    pub(super) fn push(&mut self, piece: &str) -> (String, bool) {
        if self.stops.is_empty() {
            return (piece.to_owned(), false);
        }
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            self.reached = true;
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Whether a stop text was reached.
    pub(super) fn reached(&self) -> bool {
        self.reached
    }

    /// What is still kept back when the text ends without a stop text.
    pub(super) fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length of the longest proper beginning of `stop` that ends `text`.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(i, _)| i).rev().find(|i| text.ends_with(&stop[..*i])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut filter = StopFilter::new(&stops.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        let mut out = String::new();
        for piece in pieces {
            let (text, stopped) = filter.push(piece);
            out += &text;
            if stopped {
                return (out, true);
            }
        }
        (out + &filter.flush(), false)
    }

    #[test]
    fn a_stop_text_is_found_however_it_is_cut() {
        let text = "one ENDE two";
        for cut in 0..text.len() {
            assert_eq!(run(&["END"], &[&text[..cut], &text[cut..]]), ("one ".into(), true));
        }
    }

    #[test]
    fn nothing_is_lost_without_a_stop_text() {
        assert_eq!(run(&["END"], &["one E", "N", "", "d EN"]), ("one ENd EN".into(), false));
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn the_earliest_stop_text_wins() {
        assert_eq!(run(&["c", "abc"], &["x ab", "c"]), ("x ".into(), true));
        assert_eq!(run(&["日本"], &["x日", "本y"]), ("x".into(), true));
    }
}
