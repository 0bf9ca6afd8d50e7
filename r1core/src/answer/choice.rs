//! The letter of a multiple-choice answer.

/// The chosen letter, upper case: the last one that is marked as an answer (`(B)`, `**B**`, `B)`, `answer: B`), else the
/// last capital that stands alone, else the text itself if it is one letter with marks around it.
pub(super) fn letter(text: &str) -> Option<char> {
    let bytes = text.as_bytes();
    let mut plain = None;
    let mut marked = None;
    for (at, &byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        let after = bytes.get(at + 1).copied();
        if !byte.is_ascii_uppercase() || before.is_some_and(joins) || after.is_some_and(joins) {
            continue;
        }
        let enclosed = matches!((before, after), (Some(b'('), Some(b')')) | (Some(b'*'), Some(b'*')));
        let listed = matches!(after, Some(b')')) && before != Some(b'(');
        if enclosed || listed || follows_answer(bytes.get(..at).unwrap_or_default()) {
            marked = Some(char::from(byte));
        } else if !starts_a_phrase(byte, bytes.get(at + 1..).unwrap_or_default()) {
            plain = Some(char::from(byte));
        }
    }
    marked.or(plain).or_else(|| lone(text))
}

/// Whether a neighbour makes the letter part of a word, a number or a longer character.
fn joins(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'\'' | b'\\' | b'^')
}

/// `A train`, `I think`: an article or a pronoun, not a choice.
fn starts_a_phrase(letter: u8, rest: &[u8]) -> bool {
    matches!(letter, b'A' | b'I') && matches!(rest, [b' ', next, ..] if next.is_ascii_lowercase())
}

/// Whether the text before a letter ends in `answer`, `answer is`, `option:`, `choice` or the like.
fn follows_answer(text: &[u8]) -> bool {
    let filler = |byte: &u8| matches!(byte, b' ' | b':' | b'*' | b'(' | b'{' | b'$' | b'"' | b'\n' | b'=');
    let trim = |text: &mut Vec<u8>| {
        while text.last().is_some_and(filler) {
            text.pop();
        }
    };
    // A window is enough, and keeps the whole scan linear.
    let mut tail = text.get(text.len().saturating_sub(40)..).unwrap_or_default().to_ascii_lowercase();
    trim(&mut tail);
    for word in [&b"\\text"[..], b"\\textbf", b"\\mathrm", b"option", b"is"] {
        if tail.ends_with(word) {
            if word == b"option" {
                return true;
            }
            tail.truncate(tail.len() - word.len());
            trim(&mut tail);
        }
    }
    [&b"answer"[..], b"option", b"choice"].iter().any(|word| tail.ends_with(word))
}

/// The letter of `b`, `(b)` or `b.`.
fn lone(text: &str) -> Option<char> {
    let inner = text.trim_matches(|c: char| !c.is_alphanumeric());
    let mut chars = inner.chars();
    match (chars.next(), chars.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => Some(letter.to_ascii_uppercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn the_marked_letter_wins_over_the_last_one() {
        assert_eq!(letter("The answer is (B), not C."), Some('B'));
        assert_eq!(letter("Answer: D\nA stone falls."), Some('D'));
        assert_eq!(letter("(A) is wrong, so **C**"), Some('C'));
        assert_eq!(letter("B) 42 metres"), Some('B'));
        assert_eq!(letter(r"\text{E}"), Some('E'));
        assert_eq!(letter("A or B: I take B"), Some('B'));
        assert_eq!(letter("(c)"), Some('C'));
        assert_eq!(letter("A train and DNA"), None);
        assert_eq!(letter("é"), None);
    }
}
