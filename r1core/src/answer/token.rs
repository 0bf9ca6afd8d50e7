//! From the text of an answer to tokens: one spelling for what LaTeX, Unicode and plain text write differently.

use std::fmt;

/// A kind of bracket. Braces that group (`{}`) and braces that show (`\{ \}`) differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Group,
    Set,
    Round,
    Square,
    Angle,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Digits with an optional point and exponent, no sign, no separators.
    Number(String),
    /// A variable or a constant: one letter, Latin or Greek.
    Letter(char),
    /// Two or more Latin letters.
    Word(String),
    /// A LaTeX command that is not spelled as a symbol, without its backslash.
    Command(String),
    /// An operator or any other character.
    Symbol(char),
    /// An opening bracket.
    Open(Bracket),
    /// A closing bracket.
    Close(Bracket),
    /// A separator of a list; also `and` and `or` between values.
    Comma,
}

/// Commands that only arrange.
const SILENT: &[&str] = &[
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "quad",
    "qquad",
    "limits",
    "boxed",
    "fbox",
    "rm",
    "bf",
    "it",
    "mathstrut",
    "strut",
    "thinspace",
    "enspace",
    "dollar",
];

/// Commands that set their argument as text or in another face: the argument is read in place.
const FACES: &[&str] =
    &["text", "textrm", "textbf", "textit", "mathrm", "mathbf", "mathit", "mathsf", "mbox", "operatorname", "bm"];

/// Commands whose argument, right behind a value, is a unit.
const UNIT_FACES: &[&str] = &["text", "textrm", "mathrm", "mbox", "operatorname"];

/// Commands that are letters.
const LETTERS: &[(&str, char)] = &[
    ("pi", 'π'),
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("epsilon", 'ε'),
    ("varepsilon", 'ε'),
    ("theta", 'θ'),
    ("lambda", 'λ'),
    ("mu", 'μ'),
    ("rho", 'ρ'),
    ("sigma", 'σ'),
    ("tau", 'τ'),
    ("phi", 'φ'),
    ("varphi", 'φ'),
    ("omega", 'ω'),
];

/// Commands that are symbols.
const SYMBOLS: &[(&str, char)] = &[
    ("cdot", '*'),
    ("times", '*'),
    ("ast", '*'),
    ("div", '/'),
    ("sqrt", '√'),
    ("infty", '∞'),
    ("pm", '±'),
    ("mp", '∓'),
    ("cup", '∪'),
    ("in", '∈'),
    ("circ", '°'),
    ("degree", '°'),
    ("le", '≤'),
    ("leq", '≤'),
    ("leqslant", '≤'),
    ("ge", '≥'),
    ("geq", '≥'),
    ("geqslant", '≥'),
    ("ne", '≠'),
    ("neq", '≠'),
    ("lt", '<'),
    ("gt", '>'),
    ("approx", '≈'),
    ("emptyset", '∅'),
    ("varnothing", '∅'),
    ("mid", '|'),
    ("vert", '|'),
    ("lvert", '|'),
    ("rvert", '|'),
    ("colon", ':'),
    ("to", '→'),
    ("rightarrow", '→'),
];

/// Commands that are brackets.
const BRACKETS: &[(&str, Token)] = &[
    ("lbrace", Token::Open(Bracket::Set)),
    ("rbrace", Token::Close(Bracket::Set)),
    ("langle", Token::Open(Bracket::Angle)),
    ("rangle", Token::Close(Bracket::Angle)),
    ("lparen", Token::Open(Bracket::Round)),
    ("rparen", Token::Close(Bracket::Round)),
];

/// Words that are functions; as commands they keep their name.
pub(super) const FUNCTIONS: &[&str] =
    &["sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "ln", "log", "lg", "exp"];

fn find<T: Clone>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
}

/// What an open brace does when it closes.
enum Brace {
    /// A group in the answer; the count is how many one-digit arguments are still due after it.
    Group(u8),
    /// The argument of a face command: leaves no trace.
    Face,
}

/// Reads all of `text`. Linear in its length.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, out: Vec::new(), braces: Vec::new(), depth: 0, digits_due: 0 };
    while let Some(first) = lexer.rest.chars().next() {
        lexer.step(first);
    }
    trim(lexer.out)
}

/// Removes sentence punctuation and emphasis around the answer.
fn trim(mut tokens: Vec<Token>) -> Vec<Token> {
    let outer = |token: &Token| matches!(token, Token::Symbol('.' | ';' | ':' | '*' | '^') | Token::Comma);
    while tokens.last().is_some_and(outer) {
        tokens.pop();
    }
    let leading = tokens.iter().take_while(|token| matches!(token, Token::Symbol('*' | '^'))).count();
    tokens.drain(..leading);
    tokens
}

struct Lexer<'t> {
    rest: &'t str,
    out: Vec<Token>,
    braces: Vec<Brace>,
    /// Open brackets other than groups: inside them a comma separates, outside it may group thousands.
    depth: usize,
    /// After `\frac`, arguments that may be a single digit: `\frac12` is one half.
    digits_due: u8,
}

impl<'t> Lexer<'t> {
    fn step(&mut self, first: char) {
        let after = self.rest.get(first.len_utf8()..).unwrap_or_default();
        match first {
            '0'..='9' => return self.number(),
            '.' if after.starts_with(|c: char| c.is_ascii_digit()) => return self.number(),
            'a'..='z' | 'A'..='Z' => return self.word(),
            '\\' => {
                self.rest = after;
                return self.command();
            }
            _ => self.rest = after,
        }
        match first {
            '{' => {
                let due = self.digits_due.saturating_sub(1);
                self.digits_due = 0;
                self.braces.push(Brace::Group(due));
                self.out.push(Token::Open(Bracket::Group));
            }
            '}' => self.close_brace(),
            '(' => self.open(Bracket::Round),
            '[' => self.open(Bracket::Square),
            '⟨' => self.open(Bracket::Angle),
            ')' => self.close(Bracket::Round),
            ']' => self.close(Bracket::Square),
            '⟩' => self.close(Bracket::Angle),
            ',' => self.out.push(Token::Comma),
            '*' if self.rest.starts_with('*') => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                self.out.push(Token::Symbol('^'));
            }
            '−' | '–' | '—' | '﹣' | '－' => self.out.push(Token::Symbol('-')),
            '×' | '·' | '⋅' | '∙' | '∗' => self.out.push(Token::Symbol('*')),
            '÷' | '∕' | '⁄' => self.out.push(Token::Symbol('/')),
            '²' => self.out.extend([Token::Symbol('^'), Token::Number("2".into())]),
            '³' => self.out.extend([Token::Symbol('^'), Token::Number("3".into())]),
            '°' | 'º' | '˚' => self.degree(),
            '$' | '€' | '£' | '~' | '`' | '"' | '\u{200b}' | '\u{feff}' => {}
            c if c.is_whitespace() => {}
            c if is_greek(c) => self.letter(c),
            c => self.out.push(Token::Symbol(c)),
        }
    }

    fn open(&mut self, bracket: Bracket) {
        self.depth += 1;
        self.out.push(Token::Open(bracket));
    }

    fn close(&mut self, bracket: Bracket) {
        self.depth = self.depth.saturating_sub(1);
        self.out.push(Token::Close(bracket));
    }

    /// A letter is one argument of a pending `\frac`.
    fn letter(&mut self, letter: char) {
        self.digits_due = self.digits_due.saturating_sub(1);
        self.out.push(Token::Letter(letter));
    }

    fn close_brace(&mut self) {
        match self.braces.pop() {
            Some(Brace::Face) => return,
            Some(Brace::Group(due)) => self.digits_due = due,
            None => {}
        }
        match self.out.as_slice() {
            // `^{\circ}` is a degree sign, `x^{2}` is `x^2`.
            [.., Token::Symbol('^'), Token::Open(Bracket::Group), Token::Symbol('°')] => {
                self.out.truncate(self.out.len() - 3);
                self.out.push(Token::Symbol('°'));
            }
            [.., Token::Symbol('^' | '_'), Token::Open(Bracket::Group), Token::Number(_) | Token::Letter(_)] => {
                let inner = self.out.pop();
                self.out.pop();
                self.out.extend(inner);
            }
            _ => self.out.push(Token::Close(Bracket::Group)),
        }
    }

    fn degree(&mut self) {
        if self.out.last() == Some(&Token::Symbol('^')) {
            self.out.pop();
        }
        self.out.push(Token::Symbol('°'));
    }

    fn number(&mut self) {
        if self.digits_due > 0 {
            self.digits_due -= 1;
            if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
                let (digit, rest) = self.rest.split_at(1);
                self.out.push(Token::Number(digit.into()));
                self.rest = rest;
                return;
            }
        }
        let mut number = String::new();
        self.digits(&mut number);
        if (1..=3).contains(&number.len()) && !number.starts_with('0') {
            while let Some(rest) = self.thousands() {
                self.rest = rest;
                self.digits(&mut number);
            }
        }
        if let Some(after) = self.rest.strip_prefix('.').filter(|after| after.starts_with(|c: char| c.is_ascii_digit()))
        {
            self.rest = after;
            number.push('.');
            self.digits(&mut number);
        }
        if let Some(length) = exponent(self.rest) {
            let (exponent, rest) = self.rest.split_at(length);
            number.push_str(exponent);
            self.rest = rest;
        }
        self.out.push(Token::Number(number));
    }

    fn digits(&mut self, number: &mut String) {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(count);
        number.push_str(digits);
        self.rest = rest;
    }

    /// The text from the next group of three digits on, if a thousands separator comes first.
    fn thousands(&self) -> Option<&'t str> {
        let separators = ["{,}", ",\\!", "\\,", "\\ ", "\u{a0}", "\u{202f}", "\u{2009}"];
        let plain = (self.depth == 0).then_some(",");
        let rest = separators.into_iter().chain(plain).find_map(|separator| self.rest.strip_prefix(separator))?;
        (rest.bytes().take_while(u8::is_ascii_digit).count() == 3).then_some(rest)
    }

    fn word(&mut self) {
        let count = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = self.rest.split_at(count);
        self.rest = rest;
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "and" | "or" if self.out.last() == Some(&Token::Comma) => {}
            "and" | "or" if self.after_value() => self.out.push(Token::Comma),
            "pi" => self.letter('π'),
            "sqrt" => self.out.push(Token::Symbol('√')),
            "inf" | "infinity" => self.out.push(Token::Symbol('∞')),
            name if FUNCTIONS.contains(&name) => self.out.push(Token::Command(lower)),
            _ => match word.chars().next() {
                Some(letter) if count == 1 => self.letter(letter),
                // Two letters may be a product, so their case counts; longer words are prose.
                _ if count == 2 && lower != "no" => self.out.push(Token::Word(word.into())),
                _ => self.out.push(Token::Word(lower)),
            },
        }
    }

    fn after_value(&self) -> bool {
        matches!(
            self.out.last(),
            Some(Token::Number(_) | Token::Letter(_) | Token::Close(_) | Token::Symbol('%' | '°' | '∞' | '!'))
        )
    }

    /// Reads what follows a backslash.
    fn command(&mut self) {
        let count = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if count == 0 {
            return self.escape();
        }
        let (name, rest) = self.rest.split_at(count);
        self.rest = rest;
        if SILENT.contains(&name) {
            return;
        }
        if FACES.contains(&name) {
            return self.face(name);
        }
        match name {
            "circ" | "degree" => return self.degree(),
            "frac" | "dfrac" | "tfrac" | "cfrac" => {
                self.digits_due = 2;
                return self.out.push(Token::Command("frac".into()));
            }
            "binom" | "dbinom" | "tbinom" => {
                self.digits_due = 2;
                return self.out.push(Token::Command("binom".into()));
            }
            _ => {}
        }
        if let Some(letter) = find(LETTERS, name) {
            self.letter(letter);
        } else if let Some(symbol) = find(SYMBOLS, name) {
            self.out.push(Token::Symbol(symbol));
        } else if let Some(bracket) = find(BRACKETS, name) {
            match bracket {
                Token::Open(bracket) => self.open(bracket),
                Token::Close(bracket) => self.close(bracket),
                _ => {}
            }
        } else {
            self.out.push(Token::Command(name.into()));
        }
    }

    fn escape(&mut self) {
        let Some(next) = self.rest.chars().next() else { return };
        let after = self.rest.get(next.len_utf8()..).unwrap_or_default();
        match next {
            '{' => self.open(Bracket::Set),
            '}' => self.close(Bracket::Set),
            '\\' => self.out.push(Token::Command("\\".into())),
            '|' => self.out.push(Token::Symbol('‖')),
            // Spaces of several widths, and the marks of display mathematics.
            ',' | ';' | ':' | '!' | '>' | ' ' | '(' | ')' | '[' | ']' => {}
            // Anything else is the character itself.
            _ => return,
        }
        self.rest = after;
    }

    /// Reads the opening of `\text{...}`; drops all of it where it is a unit.
    fn face(&mut self, name: &str) {
        let Some(inside) = self.rest.trim_start_matches(' ').strip_prefix('{') else { return };
        self.rest = inside;
        let unit_place = matches!(
            self.out.last(),
            Some(Token::Number(_) | Token::Close(Bracket::Group | Bracket::Round) | Token::Symbol('%'))
        );
        if UNIT_FACES.contains(&name) && unit_place && self.digits_due == 0 {
            // A unit has no markup and no digits, so the first of those or the closing brace decides: linear overall.
            let length =
                inside.bytes().take(48).take_while(|byte| !byte.is_ascii_digit() && !b"\\{}".contains(byte)).count();
            let unit = inside.get(..length).unwrap_or_default().trim();
            if inside.get(length..).is_some_and(|rest| rest.starts_with('}'))
                && !matches!(unit, "and" | "or" | "" | ",")
            {
                self.rest = skip_power(inside.get(length + 1..).unwrap_or_default());
                return;
            }
        }
        self.braces.push(Brace::Face);
    }
}

/// The bytes of `e-3` or `E5` at the start of `text`, if it is an exponent.
fn exponent(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let count = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let next = unsigned.as_bytes().get(count);
    (count > 0 && !next.is_some_and(u8::is_ascii_alphabetic)).then(|| text.len() - unsigned.len() + count)
}

/// Skips `^2` or `^{2}` behind a unit.
fn skip_power(text: &str) -> &str {
    let Some(power) = text.trim_start_matches(' ').strip_prefix('^') else { return text };
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    match power.strip_prefix('{') {
        Some(inside) if digit(inside) && inside.get(1..).is_some_and(|rest| rest.starts_with('}')) => {
            inside.get(2..).unwrap_or_default()
        }
        None if digit(power) => power.get(1..).unwrap_or_default(),
        _ => text,
    }
}

fn is_greek(c: char) -> bool {
    ('α'..='ω').contains(&c)
}

/// Tokens as text that reads as the same tokens.
pub(super) struct Spelled<'t>(pub(super) &'t [Token]);

impl fmt::Display for Spelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<&Token> = None;
        for (index, token) in self.0.iter().enumerate() {
            if before.is_some_and(|before| apart(before, token)) {
                f.write_str(" ")?;
            }
            match token {
                Token::Number(text) | Token::Word(text) => f.write_str(text)?,
                Token::Letter(c) | Token::Symbol(c) => write!(f, "{c}")?,
                Token::Command(name) => write!(f, "\\{name}")?,
                Token::Open(bracket) => f.write_str(bracket.texts().0)?,
                Token::Close(bracket) => f.write_str(bracket.texts().1)?,
                // The space keeps `1, 234` from reading as one number.
                Token::Comma if index + 1 < self.0.len() => f.write_str(", ")?,
                Token::Comma => f.write_str(",")?,
            }
            before = Some(token);
        }
        Ok(())
    }
}

/// Whether two neighbours need a space between them, because they would read as one.
fn apart(left: &Token, right: &Token) -> bool {
    let letters = |token: &Token| match token {
        Token::Letter(c) => c.is_ascii_alphabetic(),
        Token::Word(_) => true,
        _ => false,
    };
    match (left, right) {
        (Token::Number(_) | Token::Symbol('.'), Token::Number(_)) => true,
        (Token::Number(_), right) => letters(right),
        (Token::Command(_), right) => letters(right),
        (left, right) => letters(left) && letters(right),
    }
}

impl Bracket {
    /// The opening and the closing text.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Group => ("{", "}"),
            Self::Set => ("\\{", "\\}"),
            Self::Round => ("(", ")"),
            Self::Square => ("[", "]"),
            Self::Angle => ("⟨", "⟩"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> String {
        Spelled(&tokens(text)).to_string()
    }

    #[test]
    fn markup_has_one_spelling() {
        assert_eq!(spelled(r"$\left(1,\,2\right)$"), "(1, 2)");
        assert_eq!(spelled(r"30^{\circ}"), "30°");
        assert_eq!(spelled(r"30^\circ"), "30°");
        assert_eq!(spelled(r"x \leq 3"), "x≤3");
        assert_eq!(spelled(r"\textbf{Even}."), "even");
        assert_eq!(spelled(r"**5**"), "5");
        assert_eq!(spelled(r"\dfrac12"), r"\frac1 2");
        assert_eq!(spelled(r"10110_{2}"), "10110_2");
    }

    #[test]
    fn thousands_are_grouped_outside_brackets_only() {
        assert_eq!(spelled("1,234,567.5"), "1234567.5");
        assert_eq!(spelled(r"1{,}234 1,\!234 1\,234"), "1234 1234 1234");
        assert_eq!(spelled("(1,234)"), "(1, 234)");
        assert_eq!(spelled("1,23 0,123 1, 234"), "1, 23 0, 123 1, 234");
    }

    #[test]
    fn units_in_text_go_with_their_power() {
        assert_eq!(spelled(r"5\text{ cm}^2"), "5");
        assert_eq!(spelled(r"5\text{ m/s}^{2}+1"), "5+1");
        assert_eq!(spelled(r"1 \text{ or } 2, \text{ and } 3"), "1, 2, 3");
        assert_eq!(spelled(r"3\mathbf{i}"), "3 i");
    }
}
