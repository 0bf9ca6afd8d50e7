//! Whole numbers of any length.

use super::token::{Bracket, Token, tokens};
use super::value::bare;

/// The canonical digits, if the text is one whole number with nothing but units, a sign and separators around it.
pub(super) fn read(text: &str) -> Option<String> {
    let tokens = tokens(text);
    let mut tokens = bare(&tokens, true);
    while let [
        Token::Open(Bracket::Round | Bracket::Group),
        inside @ ..,
        Token::Close(Bracket::Round | Bracket::Group),
    ] = tokens
    {
        tokens = bare(inside, true);
    }
    let (negative, tokens) = match tokens {
        [Token::Symbol('-'), rest @ ..] => (true, rest),
        [Token::Symbol('+'), rest @ ..] => (false, rest),
        all => (false, all),
    };
    let mut digits = String::new();
    for (index, token) in tokens.iter().enumerate() {
        let Token::Number(part) = token else { return None };
        // `1 234 567`: groups of three after the first.
        if (index > 0 && part.len() != 3) || (index == 0 && tokens.len() > 1 && part.len() > 3) {
            return None;
        }
        digits.push_str(part);
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let is_whole =
        !digits.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) && fraction.bytes().all(|b| b == b'0');
    if !is_whole {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    Some(match (whole.is_empty(), negative) {
        (true, _) => "0".to_owned(),
        (false, true) => format!("-{whole}"),
        (false, false) => whole.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn marks_around_the_digits_do_not_count() {
        let long = "9".repeat(100);
        for (text, digits) in [
            ("+042", "42"),
            ("-0", "0"),
            ("12.00", "12"),
            ("1 234 567", "1234567"),
            ("\u{2212}7", "-7"),
            ("5 m", "5"),
            ("(3)", "3"),
            (long.as_str(), long.as_str()),
        ] {
            assert_eq!(read(text).as_deref(), Some(digits));
        }
        for text in ["12.5", "1 23", "x", "1, 2", "", "1e3"] {
            assert_eq!(read(text), None);
        }
    }
}
