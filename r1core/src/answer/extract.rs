//! Finding the answer in a reply.

use super::value::Value;
use super::{AnswerKind, boxed, choice};

/// Longest stretch of prose after "the answer is" that is tried as one expression.
const MAX_PHRASE: usize = 80;

/// The answer in a reply, as the model wrote it; `None` if there is none.
///
/// Only what follows the last `</think>` is read, or all of the text if it has no such tag; of that only what stands
/// between the last `<answer>` and its end, where a model was asked for such tags (R1-Zero is). The content of the last
/// complete `\boxed{...}` is the answer. Without a box:
/// - `integer`, `math`, `using`: what follows the last "answer is" or "answer:", else the number after the last `=`, else the
///   last number;
/// - `choice`: the last letter marked as an answer, else the last capital that stands alone;
/// - `exact`: the rest of the line after the last "answer is" or "answer:", else the last line that is not blank;
/// - `regex`: the pattern alone decides, boxes or not.
///
/// ```
/// use r1core::answer::{AnswerKind, extract};
/// assert_eq!(extract(&AnswerKind::Integer, "6 * 7 = 42.").as_deref(), Some("42"));
/// assert_eq!(extract(&AnswerKind::Choice, "So (B) it is.").as_deref(), Some("B"));
/// assert_eq!(extract(&AnswerKind::Integer, "I do not know."), None);
/// ```
pub fn extract(kind: &AnswerKind, reply: &str) -> Option<String> {
    let text = between_tags(after_thought(reply));
    if let AnswerKind::Regex(pattern) = kind {
        return pattern.last_in(text).map(str::to_owned);
    }
    let found = match (kind, boxed::last(text)) {
        (AnswerKind::Choice, content) => {
            return match choice::letter(content.unwrap_or(text)) {
                Some(letter) => Some(letter.into()),
                None => content.map(str::to_owned),
            };
        }
        (AnswerKind::Exact, Some(content)) => Some(unwrap_text(content)),
        (_, Some(content)) => Some(content),
        (AnswerKind::Exact, None) => after_phrase(text).and_then(first_line).or_else(|| last_line(text)),
        (AnswerKind::Math | AnswerKind::Using(_), None) => {
            after_phrase(text).and_then(expression).or_else(|| after_equals(text)).or_else(|| Numbers::of(text).last())
        }
        _ => {
            after_phrase(text).and_then(number_near).or_else(|| after_equals(text)).or_else(|| Numbers::of(text).last())
        }
    };
    found.map(str::to_owned)
}

/// The answer that a line of a thought states: in a `\boxed{...}`, or after "answer is" or "answer:"; for `regex` what the
/// pattern finds. Unlike [`extract`] it takes no number for an answer that is not said to be one.
///
/// ```
/// use r1core::answer::{AnswerKind, stated};
/// assert_eq!(stated(&AnswerKind::Math, "So the answer is 42.").as_deref(), Some("42"));
/// assert_eq!(stated(&AnswerKind::Math, "6 * 7 = 42"), None);
/// ```
pub fn stated(kind: &AnswerKind, line: &str) -> Option<String> {
    let boxed = boxed::last(line);
    let found = match kind {
        AnswerKind::Regex(pattern) => pattern.last_in(line),
        AnswerKind::Choice => return choice::letter(boxed.or_else(|| after_phrase(line))?).map(String::from),
        AnswerKind::Exact => boxed.map(unwrap_text).or_else(|| after_phrase(line).and_then(first_line)),
        AnswerKind::Math | AnswerKind::Using(_) => boxed.or_else(|| after_phrase(line).and_then(expression)),
        AnswerKind::Integer => boxed.or_else(|| after_phrase(line).and_then(number_near)),
    };
    found.map(str::to_owned)
}

/// The text behind the last `</think>`. A model may repeat the tag at the very end; then the text behind the first counts.
fn after_thought(reply: &str) -> &str {
    const TAG: &str = "</think>";
    let last = reply.rsplit_once(TAG).map(|(_, after)| after);
    let first = reply.split_once(TAG).map(|(_, after)| after);
    match (last, first) {
        (Some(after), _) if !after.trim().is_empty() => after,
        (_, Some(after)) => after,
        _ => reply,
    }
}

/// The text between the last `<answer>` and its end; all of it without the tag or with nothing behind it.
fn between_tags(text: &str) -> &str {
    let Some((_, inside)) = text.rsplit_once("<answer>") else { return text };
    let inside = inside.split_once("</answer>").map_or(inside, |(inside, _)| inside).trim();
    if inside.is_empty() { text } else { inside }
}

/// What follows the last "answer is", "answer:" or "answer =", marks of emphasis skipped.
fn after_phrase(text: &str) -> Option<&str> {
    const WORD: &str = "answer";
    let starts = text.as_bytes().windows(WORD.len()).enumerate();
    let mut rests =
        starts.rev().filter(|(_, bytes)| bytes.eq_ignore_ascii_case(WORD.as_bytes())).filter_map(|(at, _)| {
            let rest = text.get(at + WORD.len()..)?.trim_start_matches([' ', '*']);
            let rest = rest.strip_prefix("is").or_else(|| rest.strip_prefix([':', '=']))?;
            rest.starts_with(|c: char| !c.is_alphanumeric()).then(|| rest.trim_start_matches([' ', ':', '*', '\n']))
        });
    rests.next()
}

fn first_line(text: &str) -> Option<&str> {
    let line = text.lines().next()?.trim().trim_end_matches(['*', '.']).trim();
    (!line.is_empty()).then_some(line)
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty())
}

/// The content of `\text{...}` around all of a box.
fn unwrap_text(content: &str) -> &str {
    let inside = content.strip_prefix("\\text{").and_then(|rest| rest.strip_suffix('}'));
    inside.filter(|inside| !inside.contains(['{', '}'])).map_or(content, str::trim)
}

/// The expression that a phrase leads to: delimited mathematics, the whole line if it reads as a value, or a number.
fn expression(rest: &str) -> Option<&str> {
    for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        let inside = rest.strip_prefix(open).and_then(|inside| inside.split_once(close));
        if let Some((math, _)) = inside.filter(|(math, _)| !math.trim().is_empty()) {
            return Some(math.trim());
        }
    }
    let line = first_line(rest)?;
    if line.len() <= MAX_PHRASE && Value::read(line).is_math() {
        return Some(line);
    }
    number_near(rest)
}

/// The number right behind a phrase, else the last one of its line, else the next one.
fn number_near(rest: &str) -> Option<&str> {
    let line = rest.lines().next().unwrap_or_default();
    leading_number(rest).or_else(|| Numbers::of(line).last()).or_else(|| Numbers::of(rest).next())
}

/// The number right behind the last `=` that has one.
fn after_equals(text: &str) -> Option<&str> {
    text.rmatch_indices('=').take(64).find_map(|(at, _)| leading_number(text.get(at + 1..)?))
}

/// The number that the text begins with, marks of mathematics and emphasis skipped.
fn leading_number(text: &str) -> Option<&str> {
    let text = text.trim_start_matches([' ', '$', '*']);
    let text = text.strip_prefix("\\(").or_else(|| text.strip_prefix("\\[")).unwrap_or(text).trim_start();
    Numbers::of(text).next().filter(|number| text.starts_with(number))
}

/// The numbers of a text in order: `-12`, `1,234.5`, `3/4`, `\frac{3}{4}`, not digits inside words.
struct Numbers<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Numbers<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The length of a fraction in LaTeX at `at`.
    fn fraction(&self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let arguments = ["\\frac{", "\\dfrac{", "\\tfrac{"].into_iter().find_map(|name| rest.strip_prefix(name))?;
        let simple = |text: &'t str| {
            let length = text.bytes().take(40).take_while(|byte| !b"{}\\\n".contains(byte)).count();
            text.get(length..)?.strip_prefix('}')
        };
        let rest_of = simple(simple(arguments)?.strip_prefix('{')?)?;
        Some(rest.len() - rest_of.len())
    }

    /// The length of a number in digits at `at`, which is a digit or a point before one.
    fn digits(&self, at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let run = |mut at: usize| {
            while digit(at) {
                at += 1;
            }
            at
        };
        let mut end = run(at);
        while bytes.get(end) == Some(&b',') && run(end + 1) == end + 4 {
            end += 4;
        }
        for mark in [b'.', b'/'] {
            if bytes.get(end) == Some(&mark) && digit(end + 1) {
                end = run(end + 1);
            }
        }
        end - at
    }
}

impl<'t> Iterator for Numbers<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            let start = self.at;
            let before = start.checked_sub(1).and_then(|at| bytes.get(at)).copied();
            let length = match byte {
                b'\\' => self.fraction(start),
                b'0'..=b'9' => Some(self.digits(start)),
                b'.' if bytes.get(start + 1).is_some_and(u8::is_ascii_digit) => Some(self.digits(start)),
                _ => None,
            };
            let Some(length) = length else {
                self.at += 1;
                continue;
            };
            self.at += length;
            if before.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
                continue;
            }
            return self.text.get(sign_before(self.text, start)..self.at);
        }
        None
    }
}

/// Where the number that starts at `start` begins with its sign. A minus right behind a value subtracts and is no sign.
fn sign_before(text: &str, start: usize) -> usize {
    let head = text.get(..start).unwrap_or_default();
    match head.strip_suffix(['-', '−']) {
        Some(before) if !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '}' | ']')) => {
            before.len()
        }
        _ => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<&str> {
        Numbers::of(text).collect()
    }

    #[test]
    fn numbers_are_found_with_their_signs() {
        assert_eq!(numbers("-12, 1,234.5 and 3/4."), ["-12", "1,234.5", "3/4"]);
        assert_eq!(numbers("5-3, x2, a_1, 2\u{2212}4"), ["5", "3", "2", "4"]);
        assert_eq!(numbers(r"is -\frac{3}{4} or \dfrac{1}{x}"), [r"-\frac{3}{4}", r"\dfrac{1}{x}"]);
        assert_eq!(numbers("is \u{2212}4 .5"), ["\u{2212}4", ".5"]);
    }

    #[test]
    fn only_the_text_behind_the_thought_is_read() {
        let kind = AnswerKind::Integer;
        assert_eq!(extract(&kind, "7?</think>It is 8.").as_deref(), Some("8"));
        assert_eq!(extract(&kind, "<think>7?</think>8</think>\n").as_deref(), Some("8"));
        assert_eq!(extract(&kind, r"\boxed{7}</think>none"), None);
        assert_eq!(extract(&kind, "It is 8").as_deref(), Some("8"));
    }

    #[test]
    fn only_the_text_between_answer_tags_is_read() {
        let zero = "</think> <answer> Paris </answer>";
        assert_eq!(extract(&AnswerKind::Exact, zero).as_deref(), Some("Paris"));
        assert_eq!(extract(&AnswerKind::Integer, "<answer> 888 </answer> in 2 steps").as_deref(), Some("888"));
        assert_eq!(extract(&AnswerKind::Integer, "It is 7. <answer> 8").as_deref(), Some("8"));
        assert_eq!(extract(&AnswerKind::Integer, "It is 7. <answer></answer>").as_deref(), Some("7"));
    }

    #[test]
    fn a_phrase_wins_over_later_numbers() {
        let math = AnswerKind::Math;
        assert_eq!(extract(&math, "The answer is $\\sqrt{2}$, as 1 < 2.").as_deref(), Some("\\sqrt{2}"));
        assert_eq!(extract(&math, "**Answer:** 2√3.").as_deref(), Some("2√3"));
        assert_eq!(extract(&math, "The answer is 42, since 6*7 is that.").as_deref(), Some("42"));
        assert_eq!(extract(&math, "x = \\frac{1}{2} after 3 steps").as_deref(), Some("\\frac{1}{2}"));
        assert_eq!(extract(&AnswerKind::Exact, "Work.\nThe answer is Paris.").as_deref(), Some("Paris"));
        assert_eq!(extract(&AnswerKind::Exact, "Work.\nParis\n\n").as_deref(), Some("Paris"));
        assert_eq!(extract(&AnswerKind::Exact, r"\boxed{\text{Paris}}").as_deref(), Some("Paris"));
    }
}
