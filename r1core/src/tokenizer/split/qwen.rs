//! The splitter of Qwen and of Llama 3, which differ in their digits.

use super::super::classes::Class;
use super::cursor::Cursor;

/// Splits by
/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// where `\p{L}` is the class `letters`.
pub(super) fn words<'a>(text: Cursor<'a>, letters: Class, digits: usize, piece: &mut impl FnMut(&'a str)) {
    let known = letters | Class::NUMBER | Class::SPACE;
    let mut start = 0;
    while start < text.len() {
        let first = text.at(start);
        let next = text.at(start + first.len);
        let end = if let Some(end) = text.contraction(start, true) {
            end
        } else if first.is(letters) || (next.is(letters) && !first.is(Class::NUMBER) && !first.is_newline()) {
            text.run(start + first.len, |c| c.is(letters))
        } else if first.is(Class::NUMBER) {
            let mut left = digits;
            text.run(start, |c| {
                let take = left > 0 && c.is(Class::NUMBER);
                left = left.saturating_sub(1);
                take
            })
        } else if first.is_other(known) || (first.is_ascii(b' ') && next.is_other(known)) {
            let end = text.run(start + first.len, |c| c.is_other(known));
            text.run(end, |c| c.is_newline())
        } else {
            text.space(start, true)
        };
        piece(text.slice(start, end));
        start = end;
    }
}
