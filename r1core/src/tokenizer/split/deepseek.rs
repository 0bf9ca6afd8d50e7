//! The last stage of the splitter of DeepSeek V3 and R1, and the splitters of the first DeepSeek LLM and Coder.

use super::super::classes::Class;
use super::cursor::{Char, Cursor, runs};

/// Splits by `[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
///
/// Characters that match nothing (digits, controls, unassigned ones) form a piece together.
pub(super) fn words<'a>(text: Cursor<'a>, piece: &mut impl FnMut(&'a str)) {
    let word = Class::LETTER | Class::MARK;
    let punctuation = Class::PUNCTUATION | Class::SYMBOL;
    let mut gap = 0;
    let mut start = 0;
    while start < text.len() {
        let first = text.at(start);
        let next = text.at(start + first.len);
        let end = if first.code < 128 && first.is(punctuation) && is_ascii_letter(next) {
            text.run(start + first.len, is_ascii_letter)
        } else if first.is(word) || (next.is(word) && !first.is(punctuation) && !first.is_newline()) {
            text.run(start + first.len, |c| c.is(word))
        } else if first.is(punctuation) || (first.is_ascii(b' ') && next.is(punctuation)) {
            let end = text.run(start + first.len, |c| c.is(punctuation));
            text.run(end, |c| c.is_newline())
        } else if first.is(Class::SPACE) {
            text.space(start, true)
        } else {
            start += first.len;
            continue;
        };
        if gap < start {
            piece(text.slice(gap, start));
        }
        piece(text.slice(start, end));
        gap = end;
        start = end;
    }
    if gap < start {
        piece(text.slice(gap, start));
    }
}

fn is_ascii_letter(c: Char) -> bool {
    c.code < 128 && c.is(Class::LETTER)
}

/// Splits by, in order,
/// `[\r\n]`, `\s?[LATIN]+`, `\s?[!-/:-~！-／：-～‘-‟　-。]+`, `\s+$`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}+`,
/// with [`LATIN`] for the second. White space counts as `\s` alone, also where the ranges cover it (U+3000).
pub(super) fn old_words<'a>(text: Cursor<'a>, piece: &mut impl FnMut(&'a str)) {
    let again = |part: &'a str| text.with(part);
    let is_newline = |code, _| code == 0xA || code == 0xD;
    let is_latin = |c: Char| !c.is(Class::SPACE) && is_in(&LATIN, c.code);
    let is_mark = |c: Char| !c.is(Class::SPACE) && is_in(&MARKS, c.code);
    let is_east_asian = |code, class: Class| !class.is(Class::SPACE) && is_in(&EAST_ASIAN, code);
    let is_number = |_, class: Class| class.is(Class::NUMBER);
    runs(text, is_newline, 1, &mut |part: &'a str| {
        spaced_runs(again(part), is_latin, &mut |part: &'a str| {
            spaced_runs(again(part), is_mark, &mut |part: &'a str| {
                space_at_end(again(part), &mut |part: &'a str| {
                    runs(again(part), is_east_asian, usize::MAX, &mut |part: &'a str| {
                        runs(again(part), is_number, usize::MAX, piece);
                    });
                });
            });
        });
    });
}

/// Splits by, in order, `[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, `[一-龥ࠀ-一가-퟿]+`, `\p{N}`.
pub(super) fn code_words<'a>(text: Cursor<'a>, piece: &mut impl FnMut(&'a str)) {
    let again = |part: &'a str| text.with(part);
    let is_newline = |code, _| code == 0xA || code == 0xD;
    let is_east_asian = |code, class: Class| !class.is(Class::SPACE) && is_in(&EAST_ASIAN, code);
    let is_number = |_, class: Class| class.is(Class::NUMBER);
    runs(text, is_newline, 1, &mut |part: &'a str| {
        spaced_runs(again(part), |c: Char| c.is(Class::LETTER), &mut |part: &'a str| {
            spaced_runs(again(part), |c: Char| c.is(Class::PUNCTUATION), &mut |part: &'a str| {
                runs(again(part), is_east_asian, usize::MAX, &mut |part: &'a str| {
                    runs(again(part), is_number, 1, piece);
                });
            });
        });
    });
}

/// Cuts the text into matches of `\s?[class]+`, no space being of the class, and the gaps between them.
fn spaced_runs<'a>(text: Cursor<'a>, class: impl Fn(Char) -> bool, piece: &mut impl FnMut(&'a str)) {
    let mut gap = 0;
    let mut start = 0;
    while start < text.len() {
        let first = text.at(start);
        let lead = if first.is(Class::SPACE) { first.len } else { 0 };
        let end = text.run(start + lead, &class);
        if end == start + lead {
            start += first.len;
            continue;
        }
        if gap < start {
            piece(text.slice(gap, start));
        }
        piece(text.slice(start, end));
        gap = end;
        start = end;
    }
    if gap < start {
        piece(text.slice(gap, start));
    }
}

/// Cuts off the white space at the end.
fn space_at_end<'a>(text: Cursor<'a>, piece: &mut impl FnMut(&'a str)) {
    let mut body = 0;
    let mut at = 0;
    while at < text.len() {
        let c = text.at(at);
        at += c.len;
        if !c.is(Class::SPACE) {
            body = at;
        }
    }
    for part in [text.slice(0, body), text.slice(body, at)] {
        if !part.is_empty() {
            piece(part);
        }
    }
}

fn is_in(ranges: &[(u32, u32)], code: u32) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= code);
    after.checked_sub(1).and_then(|i| ranges.get(i)).is_some_and(|&(_, last)| code <= last)
}

const MARKS: [(u32, u32); 6] =
    [(0x21, 0x2F), (0x3A, 0x7E), (0x2018, 0x201F), (0x3000, 0x3002), (0xFF01, 0xFF0F), (0xFF1A, 0xFF5E)];

const EAST_ASIAN: [(u32, u32); 2] = [(0x800, 0x9FA5), (0xAC00, 0xD7FF)];

/// Cased letters, as the model's tokenizer lists them.
#[rustfmt::skip]
const LATIN: [(u32, u32); 87] = [
    (0x41, 0x5A), (0x61, 0x7A), (0xB5, 0xB5), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x1BA), (0x1BC, 0x1BF),
    (0x1C4, 0x293), (0x295, 0x2AF), (0x370, 0x373), (0x376, 0x376), (0x377, 0x377), (0x37B, 0x37D),
    (0x37F, 0x37F), (0x386, 0x386), (0x388, 0x38A), (0x38C, 0x38C), (0x38E, 0x3A1), (0x3A3, 0x3F5),
    (0x3F7, 0x481), (0x48A, 0x52F), (0x531, 0x556), (0x10A0, 0x10C5), (0x13A0, 0x13F5), (0x13F8, 0x13FD),
    (0x1C90, 0x1CBA), (0x1CBD, 0x1CBF), (0x1D00, 0x1D2B), (0x1D6B, 0x1D77), (0x1D79, 0x1D9A), (0x1E00, 0x1F15),
    (0x1F18, 0x1F1D), (0x1F20, 0x1F45), (0x1F48, 0x1F4D), (0x1F50, 0x1F57), (0x1F59, 0x1F59), (0x1F5B, 0x1F5B),
    (0x1F5D, 0x1F5D), (0x1F5F, 0x1F7D), (0x1F80, 0x1FB4), (0x1FB6, 0x1FBC), (0x1FBE, 0x1FBE), (0x1FC2, 0x1FC4),
    (0x1FC6, 0x1FCC), (0x1FD0, 0x1FD3), (0x1FD6, 0x1FDB), (0x1FE0, 0x1FEC), (0x1FF2, 0x1FF4), (0x1FF6, 0x1FFC),
    (0x2102, 0x2102), (0x2107, 0x2107), (0x210A, 0x2113), (0x2115, 0x2115), (0x2119, 0x211D), (0x2124, 0x2124),
    (0x2126, 0x2126), (0x2128, 0x2128), (0x212A, 0x212D), (0x212F, 0x2134), (0x2139, 0x2139), (0x213C, 0x213F),
    (0x2145, 0x2149), (0x214E, 0x214E), (0x2183, 0x2183), (0x2184, 0x2184), (0x2C00, 0x2C7B), (0x2C7E, 0x2CE4),
    (0x2CEB, 0x2CEE), (0x2CF2, 0x2CF2), (0x2CF3, 0x2CF3), (0xA640, 0xA66D), (0xA680, 0xA69B), (0xA722, 0xA76F),
    (0xA771, 0xA787), (0xA78B, 0xA78E), (0xAB70, 0xABBF), (0xFB00, 0xFB06), (0xFB13, 0xFB17), (0xFF21, 0xFF3A),
    (0xFF41, 0xFF5A), (0x10400, 0x1044F), (0x104B0, 0x104D3), (0x104D8, 0x104FB), (0x10C80, 0x10CB2),
    (0x10CC0, 0x10CF2), (0x118A0, 0x118DF), (0x1E900, 0x1E943),
];
