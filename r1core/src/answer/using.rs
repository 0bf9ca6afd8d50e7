//! Expressions that must use given numbers: countdown puzzles.

use super::{collapse, settle, value::Value};

/// `100 from 5, 16, 25, 36` where the answer uses exactly these numbers and no other operation than the four basic ones;
/// else its own text.
pub(super) fn normal(numbers: &[u32], answer: &str) -> String {
    let mut wanted = numbers.to_vec();
    wanted.sort_unstable();
    match literals(answer) {
        Some(mut used) => {
            used.sort_unstable();
            if used != wanted {
                return collapse(answer);
            }
        }
        None => return collapse(answer),
    }
    let value = settle(answer, |text| Value::read(text).to_string());
    let list: Vec<String> = wanted.iter().map(u32::to_string).collect();
    format!("{value} from {}", list.join(", "))
}

/// The whole numbers in an expression of the four basic operations, in LaTeX or plain; `None` where there is more.
fn literals(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (word, after) = if first.is_ascii_digit() {
            split(rest, 0, |c| c.is_ascii_digit())
        } else if first == '\\' {
            split(rest, 1, |c| c.is_ascii_alphabetic())
        } else {
            rest.split_at(first.len_utf8())
        };
        match word {
            _ if first.is_ascii_digit() => numbers.push(word.parse().ok()?),
            "\\frac" | "\\dfrac" | "\\tfrac" | "\\times" | "\\cdot" | "\\div" | "\\left" | "\\right" => {}
            "+" | "-" | "*" | "/" | "(" | ")" | "{" | "}" | "×" | "÷" | "·" | "−" | "[" | "]" => {}
            _ if first.is_whitespace() => {}
            _ => return None,
        }
        rest = after;
    }
    Some(numbers)
}

/// Cuts after the bytes from `start` on that satisfy `inside`.
fn split(text: &str, start: usize, inside: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text[start..].find(|c| !inside(c)).map_or(text.len(), |at| start + at);
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_counts_where_the_numbers_are_the_given_ones() {
        let numbers = [36, 16, 25, 5];
        for right in ["(36 - 16)*25/5", r"\frac{(36-16)\times 25}{5}", r"\left(36-16\right) \cdot 25 ÷ 5"] {
            assert_eq!(normal(&numbers, right), "100 from 5, 16, 25, 36", "{right}");
        }
        assert_eq!(normal(&numbers, "36+16+25+5"), "82 from 5, 16, 25, 36");
        for wrong in ["100", "(36-16)*5", "36 - 16 + 25*5 - 45", "3616255", "36^16*25*5", r"\sqrt{36}+16+25+5", "", "a"]
        {
            assert_eq!(normal(&numbers, wrong), wrong);
        }
        assert_eq!(normal(&numbers, "100 from 5, 16, 25, 36"), "100 from 5, 16, 25, 36", "a normal form stays");
        assert_eq!(normal(&[4_000_000_000], "99999999999"), "99999999999");
    }
}
