//! Evaluates an expression while reading it: sums, products (also without a sign), powers, roots, fractions, functions.

use super::exact::Fuel;
use super::number::Number;
use super::token::{Bracket, FUNCTIONS, Token};

/// Deepest nesting of brackets, roots, fractions and exponents. Each level takes a handful of stack frames.
const MAX_DEPTH: usize = 24;

/// The number that the tokens stand for; `None` if they are not one expression or have no known value.
pub(super) fn evaluate(tokens: &[Token], fuel: &mut Fuel) -> Option<Number> {
    let mut parser = Parser { tokens: letters(tokens)?, at: 0, depth: 0, fuel };
    let number = parser.expression()?;
    (parser.at == parser.tokens.len() && number.is_known()).then_some(number)
}

/// The tokens with every two-letter word as a product; `None` if there is a longer word.
fn letters(tokens: &[Token]) -> Option<Vec<Token>> {
    let mut out = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Word(word) if word.len() == 2 && word != "no" => out.extend(word.chars().map(Token::Letter)),
            Token::Word(_) => return None,
            token => out.push(token.clone()),
        }
    }
    Some(out)
}

struct Parser<'f> {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    fuel: &'f mut Fuel,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn ahead(&self, count: usize) -> Option<&Token> {
        self.tokens.get(self.at + count)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn take_symbol(&mut self, symbol: char) -> bool {
        self.take(&Token::Symbol(symbol))
    }

    /// Any run of signs; whether they make a minus.
    fn signs(&mut self) -> bool {
        let mut negative = false;
        loop {
            if self.take_symbol('-') {
                negative = !negative;
            } else if !self.take_symbol('+') {
                return negative;
            }
        }
    }

    fn expression(&mut self) -> Option<Number> {
        let mut sum = self.term()?;
        loop {
            // The sign is read by the term.
            match self.peek() {
                Some(Token::Symbol('+' | '-')) => {
                    let term = self.term()?;
                    sum = sum.add(&term, self.fuel);
                }
                _ => return Some(sum),
            }
        }
    }

    fn term(&mut self) -> Option<Number> {
        let mut negative = self.signs();
        let mut product = self.power()?;
        loop {
            if self.take_symbol('*') {
                negative ^= self.signs();
                let factor = self.power()?;
                product = product.mul(&factor, self.fuel);
            } else if self.take_symbol('/') {
                negative ^= self.signs();
                let divisor = self.power()?;
                product = product.div(&divisor, self.fuel);
            } else if self.starts_factor() {
                let factor = self.power()?;
                product = product.mul(&factor, self.fuel);
            } else {
                return Some(if negative { product.neg() } else { product });
            }
        }
    }

    /// Whether a factor follows without a sign. A number does not: `2 3` is no product.
    fn starts_factor(&self) -> bool {
        match self.peek() {
            Some(
                Token::Letter(_) | Token::Symbol('√') | Token::Open(Bracket::Round | Bracket::Square | Bracket::Group),
            ) => true,
            Some(Token::Command(name)) => name == "frac" || name == "binom" || FUNCTIONS.contains(&name.as_str()),
            _ => false,
        }
    }

    fn power(&mut self) -> Option<Number> {
        if let Some(mixed) = self.mixed() {
            return Some(mixed);
        }
        let mut base = self.primary()?;
        while let Some(Token::Symbol('!' | '%' | '°')) = self.peek() {
            // Percent and degree signs are units: they carry no value.
            if self.take_symbol('!') {
                base = base.factorial();
            } else {
                self.at += 1;
            }
        }
        if !self.take_symbol('^') {
            return Some(base);
        }
        let negative = self.signs();
        let exponent = self.nested(Self::power)?;
        let exponent = if negative { exponent.neg() } else { exponent };
        Some(base.pow(&exponent, self.fuel))
    }

    /// A mixed number: a whole number right before a proper fraction, `1\frac{1}{2}` or `1 1/2`.
    fn mixed(&mut self) -> Option<Number> {
        let digits = |token: Option<&Token>| match token {
            Some(Token::Number(text)) if text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse::<u64>().ok().map(|value| (value, text.clone()))
            }
            _ => None,
        };
        let (_, whole) = digits(self.peek())?;
        let open = Some(&Token::Open(Bracket::Group));
        let close = Some(&Token::Close(Bracket::Group));
        let (num, den, length) = match self.ahead(1)? {
            Token::Number(_) if self.ahead(2) == Some(&Token::Symbol('/')) => {
                (digits(self.ahead(1))?, digits(self.ahead(3))?, 4)
            }
            Token::Command(name) if name == "frac" => {
                if self.ahead(2) == open && self.ahead(4) == close && self.ahead(5) == open && self.ahead(7) == close {
                    (digits(self.ahead(3))?, digits(self.ahead(6))?, 8)
                } else {
                    (digits(self.ahead(2))?, digits(self.ahead(3))?, 4)
                }
            }
            _ => return None,
        };
        if num.0 >= den.0 {
            return None;
        }
        self.at += length;
        let fraction = Number::literal(&num.1).div(&Number::literal(&den.1), self.fuel);
        Some(Number::literal(&whole).add(&fraction, self.fuel))
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Number>) -> Option<Number> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let number = read(self);
        self.depth -= 1;
        number
    }

    fn primary(&mut self) -> Option<Number> {
        let token = self.peek()?.clone();
        self.at += 1;
        match token {
            Token::Number(text) => Some(Number::literal(&text)),
            // f(x) is the value of a function, not a product.
            Token::Letter('f' | 'g' | 'h' | 'F' | 'G' | 'P') if self.peek() == Some(&Token::Open(Bracket::Round)) => {
                None
            }
            Token::Letter(letter) => Some(Number::symbol(letter)),
            Token::Symbol('√') => self.root(),
            Token::Command(name) => self.command(&name),
            Token::Open(bracket @ (Bracket::Round | Bracket::Square | Bracket::Group)) => {
                let inside = self.nested(Self::expression)?;
                self.take(&Token::Close(bracket)).then_some(inside)
            }
            _ => None,
        }
    }

    fn root(&mut self) -> Option<Number> {
        let index = if self.take(&Token::Open(Bracket::Square)) {
            let index = self.nested(Self::expression)?;
            if !self.take(&Token::Close(Bracket::Square)) {
                return None;
            }
            Some(index)
        } else {
            None
        };
        let inside = self.nested(Self::primary)?;
        Some(match index {
            Some(index) => inside.root(&index),
            None => inside.sqrt(),
        })
    }

    fn command(&mut self, name: &str) -> Option<Number> {
        match name {
            "frac" => {
                let num = self.nested(Self::primary)?;
                let den = self.nested(Self::primary)?;
                Some(num.div(&den, self.fuel))
            }
            "binom" => {
                let n = self.nested(Self::primary)?;
                let k = self.nested(Self::primary)?;
                Some(n.binomial(&k))
            }
            "log" if self.take_symbol('_') => {
                let base = self.nested(Self::primary)?;
                Some(self.nested(Self::power)?.log(&base))
            }
            name if FUNCTIONS.contains(&name) => Some(self.nested(Self::power)?.apply(name)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::token::tokens;

    fn exact(text: &str) -> String {
        match evaluate(&tokens(text), &mut Fuel::new()) {
            Some(number) => number.exact().map_or_else(|| format!("≈{:.6}", number.approx()), |sum| sum.to_string()),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn precedence_is_the_usual_one() {
        assert_eq!(exact("-2^2"), "-4");
        assert_eq!(exact("2^3^2"), "512");
        assert_eq!(exact("1/2x"), "x/2");
        assert_eq!(exact("2*-3"), "-6");
        assert_eq!(exact("1-2-3"), "-4");
        assert_eq!(exact("3!^2"), "36");
        assert_eq!(exact(r"\sqrt{2}^4"), "4");
        assert_eq!(exact("2 3"), "none");
    }

    #[test]
    fn mixed_numbers_are_sums() {
        assert_eq!(exact(r"-1\frac{1}{2}"), "-3/2");
        assert_eq!(exact("2 3/4"), "11/4");
        assert_eq!(exact(r"2\frac34"), "11/4");
        assert_eq!(exact(r"2\frac{4}{3}"), "8/3");
    }

    #[test]
    fn functions_have_numbers() {
        assert_eq!(exact(r"\log_2 8"), "≈3.000000");
        assert_eq!(exact(r"\sin(\pi/6)"), "≈0.500000");
        assert_eq!(exact(r"\ln(-1)"), "none");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(exact(&deep(20)), "1");
        assert_eq!(exact(&deep(500)), "none");
        assert_eq!(exact(&"2^".repeat(500)), "none");
    }
}
