//! The splitter of GPT-2, alone or after others.

use super::super::classes::Class;
use super::cursor::Cursor;

/// Splits by `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
pub(super) fn words<'a>(text: Cursor<'a>, piece: &mut impl FnMut(&'a str)) {
    let known = Class::LETTER | Class::NUMBER | Class::SPACE;
    let mut start = 0;
    while start < text.len() {
        let first = text.at(start);
        // The character after an optional space decides.
        let (lead, body) = if first.is_ascii(b' ') { (1, text.at(start + 1)) } else { (0, first) };
        let end = if let Some(end) = text.contraction(start, false) {
            end
        } else if body.is(Class::LETTER) {
            text.run(start + lead, |c| c.is(Class::LETTER))
        } else if body.is(Class::NUMBER) {
            text.run(start + lead, |c| c.is(Class::NUMBER))
        } else if body.is_other(known) {
            text.run(start + lead, |c| c.is_other(known))
        } else {
            text.space(start, false)
        };
        piece(text.slice(start, end));
        start = end;
    }
}

/// Splits by `[0-9][0-9][0-9]`.
pub(super) fn three_digits<'a>(text: &'a str, piece: &mut impl FnMut(&'a str)) {
    let mut rest = text;
    loop {
        let found = rest.as_bytes().windows(3).position(|three| three.iter().all(u8::is_ascii_digit));
        let Some((gap, after)) = found.and_then(|at| rest.split_at_checked(at)) else { break };
        let Some((digits, after)) = after.split_at_checked(3) else { break };
        if !gap.is_empty() {
            piece(gap);
        }
        piece(digits);
        rest = after;
    }
    if !rest.is_empty() {
        piece(rest);
    }
}
