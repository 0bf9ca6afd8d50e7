//! What an answer is: the kind decides how it is found and compared.

use std::fmt;
use std::str::FromStr;

use regex_lite::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind, Result};

/// The kind of a task's answer. Its name (`integer`, `math`, `choice`, `exact`, `regex:PATTERN`,
/// `using:3,5,8`) is its form in task files
/// and on the command line.
///
/// ```
/// use r1core::answer::AnswerKind;
/// assert_eq!("choice".parse::<AnswerKind>().unwrap(), AnswerKind::Choice);
/// assert_eq!("regex:total=(\\d+)".parse::<AnswerKind>().unwrap().to_string(), "regex:total=(\\d+)");
/// assert!("essay".parse::<AnswerKind>().is_err());
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum AnswerKind {
    /// A whole number of any length (AIME). Units, spaces and thousands separators do not count.
    Integer,
    /// A mathematical expression, point, interval or set (MATH).
    #[default]
    Math,
    /// One letter, A to Z (GPQA, MMLU).
    Choice,
    /// Text, compared byte for byte but for white space.
    Exact,
    /// An expression in the four basic operations that uses exactly these numbers, each as often as it stands here
    /// (countdown). Two answers are equal if both do and their values are.
    Using(Vec<u32>),
    /// Text found by a pattern, compared as [`AnswerKind::Exact`].
    Regex(Pattern),
}

impl AnswerKind {
    /// The name without a pattern: `integer`, `math`, `choice`, `exact`, `regex` or `using`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Math => "math",
            Self::Choice => "choice",
            Self::Exact => "exact",
            Self::Regex(_) => "regex",
            Self::Using(_) => "using",
        }
    }
}

impl fmt::Display for AnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::Regex(pattern) = self {
            write!(f, ":{}", pattern.as_str())?;
        }
        if let Self::Using(numbers) = self {
            for (i, number) in numbers.iter().enumerate() {
                write!(f, "{}{number}", if i == 0 { ":" } else { "," })?;
            }
        }
        Ok(())
    }
}

impl FromStr for AnswerKind {
    type Err = Error;

    /// Fails with [`ErrorKind::Argument`] for an unknown name or a pattern that does not compile.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "integer" => Self::Integer,
            "math" => Self::Math,
            "choice" => Self::Choice,
            "exact" => Self::Exact,
            _ => match (text.strip_prefix("regex:"), text.strip_prefix("using:").map(numbers)) {
                (Some(pattern), _) => Self::Regex(Pattern::new(pattern)?),
                (None, Some(Some(numbers))) => Self::Using(numbers),
                (None, _) => {
                    return Err(Error::new(ErrorKind::Argument, format!("unknown kind of answer {text:?}"))
                        .remedy("use integer, math, choice, exact, regex:PATTERN or using:NUMBER,..."));
                }
            },
        })
    }
}

/// Whole numbers between commas.
fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split(',').map(|number| number.trim().parse().ok()).collect()
}

impl Serialize for AnswerKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AnswerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A compiled regular expression: the answer is the first group of the last match, or the whole match if the pattern has
/// no group. Matching takes time linear in the text; two patterns are equal if their texts are.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles `pattern` (the syntax of the `regex` crate, ASCII classes).
    ///
    /// Fails with [`ErrorKind::Argument`] if it is malformed or too large.
    pub fn new(pattern: &str) -> Result<Self> {
        Regex::new(pattern).map(Self).map_err(|error| {
            Error::new(ErrorKind::Argument, format!("the answer pattern {pattern:?} does not compile")).source(error)
        })
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The answer in `text`, if the pattern matches.
    pub(crate) fn last_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let found = self.0.captures_iter(text).last()?;
        Some(found.get(1).or_else(|| found.get(0))?.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_through_json() {
        for name in ["integer", "math", "choice", "exact", "regex:x=(\\d+)", "using:3,5,8"] {
            let json = serde_json::to_string(name).unwrap();
            let kind: AnswerKind = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
        }
        for bad in ["\"regex:(\"", "\"using:\"", "\"using:1,x\"", "\"using:-1\""] {
            assert!(serde_json::from_str::<AnswerKind>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_gives_its_first_group_or_the_whole_match() {
        assert_eq!(Pattern::new("x=(\\d+)").unwrap().last_in("x=1 x=22"), Some("22"));
        assert_eq!(Pattern::new("\\d+").unwrap().last_in("1 22"), Some("22"));
        assert_eq!(Pattern::new("(a)|b").unwrap().last_in("a b"), Some("b"));
        assert_eq!(Pattern::new("c").unwrap().last_in("a b"), None);
    }
}
