//! The value of an answer: a number, a point or interval, a set, a union, or text.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::MAX_MATH_BYTES;
use super::exact::Fuel;
use super::number::Number;
use super::parser;
use super::token::{Bracket, Spelled, Token, tokens};

/// Deepest nesting of points and sets.
const MAX_DEPTH: usize = 6;

/// Two-letter units that are removed behind a number; longer words always are.
const UNITS: &[&str] = &[
    "cm", "mm", "km", "dm", "nm", "kg", "mg", "ml", "mL", "ft", "in", "lb", "oz", "mi", "yd", "hr", "ms", "ns", "Hz",
    "kJ", "kW", "kN",
];

/// What an answer stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number or an expression; the text is its spelling where it has no exact form.
    Number(Number, String),
    /// Plus or minus infinity.
    Infinity { negative: bool },
    /// A point or an interval: order counts.
    Tuple(Bracket, Vec<Value>, Bracket),
    /// A set or a list of solutions, sorted, without repetitions.
    Set(Vec<Value>),
    /// A union, sorted.
    Union(Vec<Value>),
    /// Anything else, in one spelling.
    Text(String),
}

impl Value {
    /// Reads any text.
    pub(super) fn read(text: &str) -> Self {
        if text.len() > MAX_MATH_BYTES {
            return Self::Text(super::collapse(text));
        }
        let tokens = tokens(text);
        let fuel = &mut Fuel::new();
        whole(&tokens, fuel).unwrap_or_else(|| Self::Text(Spelled(&tokens).to_string()))
    }

    /// Whether the text is mathematics.
    pub(super) fn is_math(&self) -> bool {
        !matches!(self, Self::Text(_))
    }

    /// Symmetric equality by value.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let all = |a: &[Self], b: &[Self]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b));
        match (self, other) {
            (Self::Number(a, left), Self::Number(b, right)) => a.equals(b).unwrap_or(left == right),
            (Self::Infinity { negative: a }, Self::Infinity { negative: b }) => a == b,
            (Self::Tuple(open, a, close), Self::Tuple(open2, b, close2)) => {
                open == open2 && close == close2 && all(a, b)
            }
            (Self::Set(a), Self::Set(b)) | (Self::Union(a), Self::Union(b)) => all(a, b),
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }

    /// By number first, then by text: a total order, so that sets compare without regard to order.
    fn order(&self, other: &Self) -> Ordering {
        let number = |value: &Self| match value {
            Self::Number(number, _) if number.approx().is_finite() => Some(number.approx()),
            _ => None,
        };
        let by_number = match (number(self), number(other)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        by_number.then_with(|| self.to_string().cmp(&other.to_string()))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Self], separator: &str| {
            items.iter().enumerate().try_for_each(|(index, item)| {
                f.write_str(if index == 0 { "" } else { separator })?;
                write!(f, "{item}")
            })
        };
        match self {
            Self::Number(number, text) => match number.exact() {
                Some(sum) => write!(f, "{sum}"),
                None => f.write_str(text),
            },
            Self::Infinity { negative } => f.write_str(if *negative { "-∞" } else { "∞" }),
            Self::Tuple(open, items, close) => {
                f.write_str(open.texts().0)?;
                list(f, items, ",")?;
                f.write_str(close.texts().1)
            }
            Self::Set(items) => {
                f.write_str("\\{")?;
                list(f, items, ",")?;
                f.write_str("\\}")
            }
            Self::Union(items) => list(f, items, "∪"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A whole answer: a union, a bare list or one item.
fn whole(tokens: &[Token], fuel: &mut Fuel) -> Option<Value> {
    let parts = split(tokens, &Token::Symbol('∪'));
    if parts.len() > 1 {
        let mut items = items(&parts, 0, fuel)?;
        items.sort_by(Value::order);
        return Some(Value::Union(items));
    }
    let parts = split(tokens, &Token::Comma);
    if parts.len() < 2 {
        return item(tokens, 0, fuel);
    }
    let items = items(&parts, 0, fuel)?;
    Some(point(&parts, &items).unwrap_or_else(|| set(items)))
}

/// `y = 2, x = 1`: a point, its coordinates in the order of their names. `None` unless every part has a name of its own.
fn point(parts: &[&[Token]], items: &[Value]) -> Option<Value> {
    let mut coordinates = BTreeMap::new();
    for (part, item) in parts.iter().zip(items) {
        // Indices do not make a name: x_1 and x_2 are two solutions.
        let name = name(part)?.first()?;
        if coordinates.insert(Spelled(std::slice::from_ref(name)).to_string(), item.clone()).is_some() {
            return None;
        }
    }
    Some(Value::Tuple(Bracket::Round, coordinates.into_values().collect(), Bracket::Round))
}

fn items(parts: &[&[Token]], depth: usize, fuel: &mut Fuel) -> Option<Vec<Value>> {
    parts.iter().map(|part| item(part, depth, fuel)).collect()
}

/// A set of the items; a set among them (from `±`) gives its members.
fn set(items: Vec<Value>) -> Value {
    let mut flat = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Set(members) => flat.extend(members),
            other => flat.push(other),
        }
    }
    flat.sort_by(Value::order);
    flat.dedup_by(|a, b| a.to_string() == b.to_string());
    Value::Set(flat)
}

/// One item: a bracketed list, a value with `±`, an infinity or an expression.
fn item(tokens: &[Token], depth: usize, fuel: &mut Fuel) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut tokens = bare(tokens, false);
    while let Some((open, inside, close)) = enclosed(tokens) {
        let parts = split(inside, &Token::Comma);
        match (open, close) {
            (Bracket::Set, Bracket::Set) if inside.is_empty() => return Some(Value::Set(Vec::new())),
            (Bracket::Set, Bracket::Set) => return Some(set(items(&parts, depth + 1, fuel)?)),
            (Bracket::Group, Bracket::Group) if parts.len() > 1 => return Some(set(items(&parts, depth + 1, fuel)?)),
            (Bracket::Round | Bracket::Square | Bracket::Angle, Bracket::Round | Bracket::Square | Bracket::Angle)
                if parts.len() > 1 =>
            {
                let read = |part: &&[Token]| {
                    item(part, depth + 1, fuel).unwrap_or_else(|| Value::Text(Spelled(part).to_string()))
                };
                return Some(Value::Tuple(open, parts.iter().map(read).collect(), close));
            }
            // Brackets around one item only group.
            (Bracket::Round, Bracket::Round)
            | (Bracket::Square, Bracket::Square)
            | (Bracket::Group, Bracket::Group) => {
                tokens = bare(inside, false);
            }
            _ => return None,
        }
    }
    if tokens.iter().any(|token| matches!(token, Token::Symbol('±' | '∓'))) {
        let upper = number(&with_sign(tokens, '+', '-'), fuel)?;
        let lower = number(&with_sign(tokens, '-', '+'), fuel)?;
        return Some(set(vec![upper, lower]));
    }
    match tokens {
        [Token::Symbol('∞')] | [Token::Symbol('+'), Token::Symbol('∞')] => {
            Some(Value::Infinity { negative: false })
        }
        [Token::Symbol('-'), Token::Symbol('∞')] => Some(Value::Infinity { negative: true }),
        [Token::Symbol('∅')] => Some(Value::Set(Vec::new())),
        _ => number(tokens, fuel),
    }
}

fn number(tokens: &[Token], fuel: &mut Fuel) -> Option<Value> {
    let number = parser::evaluate(tokens, fuel)?;
    Some(Value::Number(number, Spelled(tokens).to_string()))
}

fn with_sign(tokens: &[Token], plus_minus: char, minus_plus: char) -> Vec<Token> {
    let sign = |token: &Token| match token {
        Token::Symbol('±') => Token::Symbol(plus_minus),
        Token::Symbol('∓') => Token::Symbol(minus_plus),
        other => other.clone(),
    };
    tokens.iter().map(sign).collect()
}

/// The parts between separators that stand outside all brackets.
fn split<'t>(tokens: &'t [Token], separator: &Token) -> Vec<&'t [Token]> {
    let mut depth = 0usize;
    tokens
        .split(|token| {
            match token {
                Token::Open(_) => depth += 1,
                Token::Close(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && token == separator
        })
        .collect()
}

/// The first and last token, if they are one pair of brackets, and what is inside.
fn enclosed(tokens: &[Token]) -> Option<(Bracket, &[Token], Bracket)> {
    let [Token::Open(open), inside @ .., Token::Close(close)] = tokens else { return None };
    let mut depth = 1usize;
    for token in inside {
        match token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return None;
        }
    }
    (depth == 1).then_some((*open, inside, *close))
}

/// The tokens without `x =` before and units behind. `letters` also removes a single letter (`5 m`) as a unit.
pub(super) fn bare(tokens: &[Token], letters: bool) -> &[Token] {
    without_units(without_name(tokens), letters)
}

/// Signs between a name and its value.
fn binds(token: &Token) -> bool {
    matches!(token, Token::Symbol('=' | '∈' | '≈'))
}

/// The name that the first `=` (or `∈`, `≈`) gives a value: `x`, `f(x)`, `(a, b)`, `x_1`.
fn name(tokens: &[Token]) -> Option<&[Token]> {
    let name = tokens.get(..tokens.iter().position(binds)?)?;
    let starts = matches!(name.first(), Some(Token::Letter(_) | Token::Word(_) | Token::Open(Bracket::Round)));
    let mut indexed = false;
    let only_names = name.iter().all(|token| {
        let fits = match token {
            Token::Number(_) => indexed,
            Token::Letter(_) | Token::Word(_) | Token::Comma | Token::Symbol('_' | '\'') => true,
            Token::Open(bracket) | Token::Close(bracket) => matches!(bracket, Bracket::Round | Bracket::Group),
            _ => false,
        };
        indexed = *token == Token::Symbol('_');
        fits
    });
    (starts && only_names && name.len() <= 12).then_some(name)
}

/// What follows the last `=`, if a name precedes the first.
fn without_name(tokens: &[Token]) -> &[Token] {
    let rest = tokens.iter().rposition(binds).and_then(|last| tokens.get(last + 1..)).unwrap_or_default();
    // Inside brackets an `=` belongs to one item.
    let depth = rest.iter().fold(0i32, |depth, token| match token {
        Token::Open(_) => depth.saturating_add(1),
        Token::Close(_) => depth.saturating_sub(1),
        _ => depth,
    });
    if !rest.is_empty() && depth == 0 && name(tokens).is_some() { rest } else { tokens }
}

fn without_units(mut tokens: &[Token], letters: bool) -> &[Token] {
    let unit = |token: &Token| match token {
        Token::Word(word) => word.len() > 2 || UNITS.contains(&word.as_str()),
        Token::Letter(c) => letters && c.is_ascii_alphabetic(),
        _ => false,
    };
    // An answer that begins with a word is prose.
    if tokens.first().is_none_or(|token| matches!(token, Token::Word(_) | Token::Letter(_))) {
        return tokens;
    }
    loop {
        tokens = match tokens {
            [rest @ .., last, Token::Symbol('^'), Token::Number(_)] if unit(last) => rest,
            [rest @ .., before, Token::Symbol('/'), Token::Letter(_)] if unit(before) => rest,
            [rest @ .., Token::Symbol('/'), last] if unit(last) => rest,
            [rest @ .., last] if unit(last) => rest,
            [rest @ .., Token::Symbol('%' | '°')] => rest,
            _ => return tokens,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &str) -> String {
        Value::read(answer).to_string()
    }

    #[test]
    fn shapes_are_told_apart() {
        assert_eq!(text("(1, 2]"), "(1,2]");
        assert_eq!(text("2, 1, 2"), r"\{1,2\}");
        assert_eq!(text("x = 1 \\pm \\sqrt{2}"), r"\{1-√2,1+√2\}");
        assert_eq!(text("[3, \\infty) \\cup (-\\infty, -3]"), "(-∞,-3]∪[3,∞)");
        assert_eq!(text("((1,2),(3,x))"), "((1,2),(3,x))");
        assert_eq!(text("(north, 5)"), "(north,5)");
        assert_eq!(text("x^2+y^2=1"), "x^2+y^2=1");
    }

    #[test]
    fn names_and_units_are_removed() {
        assert_eq!(text("f(x) = 2x"), "2x");
        assert_eq!(text("(x, y) = (1, 2)"), "(1,2)");
        assert_eq!(text("x_1 = 10/2 = 5"), "5");
        assert_eq!(text("12 square units"), "12");
        assert_eq!(text("60 km/h"), "60");
        assert_eq!(text("a + b = 5"), "a+b=5");
        assert_eq!(text("y = 2, x = 1"), "(1,2)");
        assert_eq!(text("x_1 = 2, x_2 = 1"), r"\{1,2\}");
        assert_eq!(text("no solution"), "no solution");
    }

    #[test]
    fn what_is_not_mathematics_is_text() {
        assert!(!Value::read("Evelyn").is_math());
        assert!(Value::read("1/2").is_math());
    }
}
