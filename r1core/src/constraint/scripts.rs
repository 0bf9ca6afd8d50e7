//! Which characters a text may have.

use std::fmt;
use std::str::FromStr;

use unicode_script::{Script, UnicodeScript};

use crate::{Error, ErrorKind, Result};

/// Names that stand for several scripts: languages that are written in more than one, with the codes of ISO 15924.
const TOGETHER: [(&str, &[Script]); 4] = [
    ("Japanese", &[Script::Han, Script::Hiragana, Script::Katakana]),
    ("Jpan", &[Script::Han, Script::Hiragana, Script::Katakana]),
    ("Korean", &[Script::Hangul, Script::Han]),
    ("Kore", &[Script::Hangul, Script::Han]),
];

/// Names of scripts that are listed at most.
const MOST: usize = 32;

/// A set of scripts of Unicode, to which a text is locked. Made from names: `latin`, `han`, `cyrillic,latin`, `Jpan`
/// (Unicode's names or the codes of ISO 15924, in any case, with commas between them).
///
/// Characters that belong to no script are always in the set: digits, punctuation, symbols, white space, emoji, letters of
/// mathematics. Marks that only some scripts use belong to those. Unassigned characters, those of private use and the
/// sign for a broken one (U+FFFD) are in no set.
///
/// ```
/// use r1core::constraint::Scripts;
/// let scripts: Scripts = "latin, greek".parse()?;
/// assert!("naïve, π = 3.14… ✓".chars().all(|c| scripts.admits(c)));
/// assert!(!scripts.admits('好') && !scripts.admits('я'));
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Scripts {
    /// By their numbers, each once.
    scripts: Vec<Script>,
}

impl Scripts {
    /// Whether a character is in the set.
    pub fn admits(&self, c: char) -> bool {
        match c.script() {
            Script::Unknown => false,
            _ if c == char::REPLACEMENT_CHARACTER => false,
            Script::Common | Script::Inherited if !c.is_alphabetic() => true,
            Script::Common | Script::Inherited => {
                let users = c.script_extension();
                let all = users.is_common() || users.is_inherited();
                all || self.scripts.iter().any(|script| users.contains_script(*script))
            }
            script => self.scripts.contains(&script),
        }
    }
}

impl FromStr for Scripts {
    type Err = Error;

    fn from_str(names: &str) -> Result<Self> {
        let mut scripts = Vec::new();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()).take(MOST) {
            scripts.extend_from_slice(&find(name)?);
        }
        if scripts.is_empty() {
            return Err(Error::new(ErrorKind::Argument, "a script lock names no script").remedy(HINT));
        }
        scripts.sort_unstable_by_key(|script| *script as u8);
        scripts.dedup();
        Ok(Self { scripts })
    }
}

const HINT: &str =
    "name scripts of Unicode, such as latin, han, cyrillic, arabic or japanese, with commas between them";

/// The scripts of a name, in any case.
fn find(name: &str) -> Result<Vec<Script>> {
    if let Some((_, scripts)) = TOGETHER.iter().find(|(together, _)| together.eq_ignore_ascii_case(name)) {
        return Ok(scripts.to_vec());
    }
    // Unicode writes Old_Italic and Latn: a capital begins each word.
    let mut begins = true;
    let spelled: String = name
        .chars()
        .map(|c| {
            let c = if c == ' ' || c == '-' { '_' } else { c };
            let spelled = if begins { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            begins = c == '_';
            spelled
        })
        .collect();
    let script = Script::from_full_name(&spelled).or_else(|| Script::from_short_name(&spelled));
    match script {
        Some(script) if !matches!(script, Script::Common | Script::Inherited | Script::Unknown) => Ok(vec![script]),
        _ => {
            let shown: String = name.chars().take(40).collect();
            Err(Error::new(ErrorKind::Argument, format!("there is no script '{shown}'")).remedy(HINT))
        }
    }
}

impl fmt::Display for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, script) in self.scripts.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "," }, script.full_name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scripts({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(names: &str) -> Scripts {
        names.parse().unwrap()
    }

    #[test]
    fn names_are_those_of_unicode_in_any_case() {
        for (names, same) in [
            ("latin", "Latn"),
            ("HAN, latin", "Latin,Hani"),
            ("old italic", "Old_Italic"),
            ("japanese", "hiragana,KATAKANA,Han"),
            (" cyrillic ,, Cyrl,", "Cyrillic"),
        ] {
            assert_eq!(scripts(names), scripts(same), "{names}");
            assert_eq!(scripts(&scripts(names).to_string()), scripts(names), "{names}");
        }
        for bad in ["", " , ", "latn1", "common", "Zinh", "unknown", "english", "lat\u{130}n", &"x".repeat(10_000)] {
            let e = bad.parse::<Scripts>().unwrap_err();
            assert!(e.kind() == ErrorKind::Argument && e.remedy_text().is_some() && e.to_string().len() < 300, "{e}");
        }
    }

    #[test]
    fn what_belongs_to_no_script_is_always_admitted() {
        for names in ["latin", "han", "arabic"] {
            let neutral = "0 9 .,;:!?()[]{}<>=+-*/\\^_~`'\"@#$%&|\n\t\r\u{a0}「」。、×÷√∑∫≤≠→✓😀𝐀ℝ№…—’\u{200d}\u{fe0f}";
            for c in neutral.chars() {
                assert!(scripts(names).admits(c), "{names} {c:?}");
            }
        }
    }

    #[test]
    fn letters_belong_to_their_scripts() {
        for (names, inside, outside) in [
            ("latin", "aZéßøŁﬁＡªº", "好яαעبอ한あアー々〆\u{fffd}\u{378}\u{e000}\u{f0000}"),
            ("han", "好㐀𠀀々〇", "aéяあア한"),
            ("cyrillic", "яЁ", "aα好"),
            ("japanese", "好あアー", "a한я"),
            ("arabic", "بـ\u{64b}", "aא好"),
            ("latin,greek", "aπΩ", "я好"),
        ] {
            let set = scripts(names);
            assert!(inside.chars().all(|c| set.admits(c)), "{names}: {:?}", inside.chars().find(|c| !set.admits(*c)));
            assert!(outside.chars().all(|c| !set.admits(c)), "{names}: {:?}", outside.chars().find(|c| set.admits(*c)));
        }
    }
}
