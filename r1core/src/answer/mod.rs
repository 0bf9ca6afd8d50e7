//! Answers: finding them in a reply, and comparing them by value.
//!
//! A reasoning model ends with an answer in prose or in `\boxed{...}`. Three functions make it usable:
//! [`extract`] finds it, [`normalise`] gives the text that votes are counted under, [`equal`] compares it with a
//! reference by value. The kind of the task's answer ([`AnswerKind`]) says what "value" means.
//!
//! Mathematical answers are compared exactly: sums of rational multiples of square roots, powers of π and variables have
//! one canonical form, so `\frac{\sqrt{12}}{4}` equals `√3/2` and `1/3` does not equal `0.33`. What has no such form but
//! has a number (`\ln 2`, `2^{200}`) is compared as `f64` within a relative 1e-9, at one place if it has variables
//! (`\frac{x+2}{x-3}`); what has no number is compared as text.
//!
//! Conventions, where usage differs:
//! - Units, currency, degree and percent signs carry no value: `50\%` equals `50`.
//! - A bare list, `1, 2`, is a set of solutions: order does not count. `(1, 2)` is a point or an interval: order counts.
//! - `1,234` is one number; `1, 234` and `(1,234)` are two.
//! - `x = 5` is `5`; `x = 1, x = 2` is a set; `y = 2, x = 1` is the point `(1,2)`.
//!
//! Text from a model is hostile: nothing here panics, recursion is bounded, and so is the work per answer.
//!
//! ```
//! use r1core::answer::{AnswerKind, equal, extract, normalise};
//! let reply = "<think>2/4 ... is that 0.5? Yes.</think>The answer is \\boxed{\\dfrac{2}{4}}.";
//! let answer = extract(&AnswerKind::Math, reply).unwrap();
//! assert_eq!(answer, r"\dfrac{2}{4}");
//! assert_eq!(normalise(&AnswerKind::Math, &answer), "1/2");
//! assert!(equal(&AnswerKind::Math, &answer, "0.5"));
//! ```

mod boxed;
mod choice;
mod exact;
mod extract;
mod integer;
mod kind;
mod number;
mod parser;
mod rational;
mod token;
mod using;
mod value;

pub use extract::{extract, stated};
pub use kind::{AnswerKind, Pattern};

use value::Value;

/// Longest answer, in bytes, that is read as mathematics; a longer one is compared as text.
const MAX_MATH_BYTES: usize = 2000;

/// The canonical text of an answer: two answers of one value have one text wherever the value has an exact form.
///
/// Votes are counted under this text. It is idempotent, never empty for an answer that is not blank, and reads well:
/// `1/2`, `2√3`, `(0,π]`, `\{1,2\}`.
pub fn normalise(kind: &AnswerKind, answer: &str) -> String {
    match kind {
        AnswerKind::Exact | AnswerKind::Regex(_) => collapse(answer),
        AnswerKind::Choice => choice::letter(answer).map_or_else(|| collapse(answer), String::from),
        AnswerKind::Math => settle(answer, |text| Value::read(text).to_string()),
        AnswerKind::Using(numbers) => using::normal(numbers, answer),
        AnswerKind::Integer => settle(answer, |text| match integer::read(text) {
            Some(integer) => integer,
            None => Value::read(text).to_string(),
        }),
    }
}

/// Whether two answers have one value. Symmetric.
///
/// ```
/// use r1core::answer::{AnswerKind, equal};
/// assert!(equal(&AnswerKind::Integer, "1,234", "1234"));
/// assert!(equal(&AnswerKind::Math, r"\frac{1}{1+\sqrt 2}", r"\sqrt{2} - 1"));
/// assert!(!equal(&AnswerKind::Math, "1/3", "0.33"));
/// ```
pub fn equal(kind: &AnswerKind, a: &str, b: &str) -> bool {
    let by_text = normalise(kind, a) == normalise(kind, b);
    match kind {
        AnswerKind::Math | AnswerKind::Integer => by_text || Value::read(a).equals(&Value::read(b)),
        AnswerKind::Choice | AnswerKind::Exact | AnswerKind::Regex(_) | AnswerKind::Using(_) => by_text,
    }
}

/// Every run of white space becomes one space, none at the ends.
fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Repeats a canonical form until it stands. Once is enough for anything that people write.
fn settle(answer: &str, canonical: impl Fn(&str) -> String) -> String {
    // White space counts only in what is too long to be read: narrow spaces may group digits.
    let mut text = if answer.len() > MAX_MATH_BYTES { collapse(answer) } else { answer.trim().to_owned() };
    for _ in 0..4 {
        if text.len() > MAX_MATH_BYTES {
            break;
        }
        let next = canonical(&text);
        if next.is_empty() {
            // An answer of markup alone (`$$`) has no value but is still an answer.
            return collapse(&text);
        }
        if next == text {
            break;
        }
        text = next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> [AnswerKind; 6] {
        [
            AnswerKind::Using(vec![1, 2, 3]),
            AnswerKind::Integer,
            AnswerKind::Math,
            AnswerKind::Choice,
            AnswerKind::Exact,
            AnswerKind::Regex(Pattern::new("a(.*)b").unwrap()),
        ]
    }

    /// Text of the pieces that the reader knows, in any order.
    fn answers() -> impl Strategy<Value = String> {
        let pieces = [
            "1",
            "2",
            "10",
            "0",
            "007",
            "234",
            "3.5",
            ".5",
            "e5",
            "1e3",
            "x",
            "y",
            "ab",
            "xyz",
            "yes",
            "no",
            "and",
            "or",
            "cm",
            "m",
            "e",
            "i",
            "π",
            "pi",
            "\\pi",
            "√",
            "\\sqrt",
            "\\sqrt[3]",
            "\\frac",
            "\\dfrac",
            "\\binom",
            "{",
            "}",
            "(",
            ")",
            "[",
            "]",
            "\\{",
            "\\}",
            "\\langle",
            "\\rangle",
            "+",
            "-",
            "−",
            "*",
            "**",
            "/",
            "^",
            "_",
            "=",
            "\\in",
            ",",
            ", ",
            "{,}",
            "\\,",
            "\\!",
            " ",
            ".",
            "!",
            "%",
            "\\%",
            "^\\circ",
            "°",
            "$",
            "\\text{",
            "\\text{ cm}",
            "\\mathrm{m}",
            "\\mathbf{",
            "\\left",
            "\\right",
            "\\pm",
            "\\cup",
            "\\infty",
            "\\sin",
            "\\ln",
            "\\log_2",
            "\\cdot",
            "\\times10^",
            "|",
            "<",
            ":",
            ";",
            "\\",
            "\\\\",
            "\\boxed{",
            "½",
            "²",
            "\u{a0}",
            "é",
        ];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..14).prop_map(|v| v.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn normalising_twice_changes_nothing(text in answers()) {
            for kind in kinds() {
                let once = normalise(&kind, &text);
                prop_assert_eq!(normalise(&kind, &once), once.clone(), "{:?}", kind);
                prop_assert_eq!(once.is_empty(), text.trim().is_empty());
            }
        }

        #[test]
        fn equality_is_reflexive_symmetric_and_survives_normalising(a in answers(), b in answers()) {
            for kind in kinds() {
                prop_assert!(equal(&kind, &a, &a));
                prop_assert_eq!(equal(&kind, &a, &b), equal(&kind, &b, &a));
                prop_assert!(equal(&kind, &a, &normalise(&kind, &a)));
            }
        }

        #[test]
        fn any_text_is_survived(text in any::<String>(), more in answers()) {
            for kind in kinds() {
                let reply = format!("{text}\\boxed{{{more}}} the answer is {more}\n{text}");
                extract(&kind, &reply);
                extract(&kind, &text);
                normalise(&kind, &text);
            }
        }
    }

    #[test]
    fn hostile_shapes_end_quickly() {
        let heavy = [
            "(",
            "{",
            "\\{",
            "\\sqrt{",
            "2^{",
            "2^",
            "-",
            "\\frac{1}{",
            "\\boxed{",
            "1,",
            "\\text{",
            "(a+b)^9",
            "\\sqrt{999999999989}",
            "\\pm 1,",
        ];
        for piece in heavy {
            for count in [100, 150_000 / piece.len()] {
                let text = piece.repeat(count);
                for kind in kinds() {
                    extract(&kind, &text);
                    normalise(&kind, &text);
                    assert!(equal(&kind, &text, &text));
                }
            }
        }
    }
}
