//! Whole characters from bytes that arrive in any portions.

/// Turns a stream of bytes into text and never shows half a character.
///
/// What does not form UTF-8 becomes U+FFFD, one for each maximal invalid sequence, exactly as
/// [`String::from_utf8_lossy`] does on the whole. At most three bytes wait for the rest of their character.
///
/// ```
/// use r1core::Utf8Stream;
/// let mut stream = Utf8Stream::new();
/// assert_eq!(stream.push(b"a\xF0\x9F"), "a");
/// assert_eq!(stream.push(b"\xA6\x99!"), "🦙!");
/// assert_eq!(stream.push(b"\xE2\x82"), "");
/// assert_eq!(stream.flush(), "\u{FFFD}");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Utf8Stream {
    /// Start of a character, invalid without more.
    waiting: Vec<u8>,
    text: String,
}

impl Utf8Stream {
    /// A stream with nothing waiting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes and returns the characters that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        self.text.clear();
        self.waiting.extend_from_slice(bytes);
        let mut rest = self.waiting.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text.push_str(text);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    rest = after;
                    let Some(invalid) = error.error_len() else { break };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    rest = rest.get(invalid..).unwrap_or_default();
                }
            }
        }
        let done = self.waiting.len() - rest.len();
        self.waiting.drain(..done);
        &self.text
    }

    /// Bytes that wait for the rest of their character, at most three.
    pub fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// Ends the stream: U+FFFD if a character was cut off, else nothing. The stream can be used again.
    pub fn flush(&mut self) -> &str {
        self.text.clear();
        if !self.waiting.is_empty() {
            self.waiting.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_impossible_start_does_not_wait() {
        let mut stream = Utf8Stream::new();
        assert_eq!(stream.push(b"\xED"), "");
        assert_eq!(stream.push(b"\xA0"), "\u{FFFD}\u{FFFD}");
        assert_eq!(stream.push(b"\xF5ok"), "\u{FFFD}ok");
        assert_eq!(stream.flush(), "");
    }

    fn messy() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof!["\\PC{1,3}".prop_map(String::into_bytes), proptest::collection::vec(0x7Fu8.., 1..4)];
        proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn portions_do_not_change_the_text(bytes in messy(), size in 1usize..7) {
            let mut stream = Utf8Stream::new();
            let mut text = String::new();
            for portion in bytes.chunks(size) {
                text += stream.push(portion);
                prop_assert!(stream.waiting().len() <= 3);
            }
            text += stream.flush();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
