//! The exact form of a value: a sum of rational multiples of √n and powers of symbols, unique for its value.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use super::rational::{Rational, gcd};

/// Most terms of a sum.
const MAX_TERMS: usize = 32;

/// Largest number under a root; at this size trial division by numbers up to 10,000 proves it free of squares.
const MAX_RADICAND: u128 = 1_000_000_000_000;

/// Work that one answer may cost, in products of terms. What costs more has no exact form.
#[derive(Debug)]
pub(super) struct Fuel(u32);

impl Fuel {
    pub(super) fn new() -> Self {
        Self(20_000)
    }

    fn burn(&mut self, amount: usize) -> Option<()> {
        self.0 = self.0.checked_sub(u32::try_from(amount).ok()?)?;
        Some(())
    }
}

/// Powers of symbols (variables, π, e, i), sorted by symbol, no zero exponents; and √`radicand`, free of squares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Monomial {
    symbols: Vec<(char, i32)>,
    radicand: u64,
}

impl Monomial {
    fn unit() -> Self {
        Self { symbols: Vec::new(), radicand: 1 }
    }

    fn degree(&self) -> i64 {
        self.symbols.iter().map(|(_, exponent)| i64::from(*exponent)).sum()
    }

    /// The product, and the rational factor that falls out of it (√2·√6 = 2√3, i·i = -1).
    fn mul(&self, other: &Self) -> Option<(Self, Rational)> {
        let mut exponents: BTreeMap<char, i32> = self.symbols.iter().copied().collect();
        for (symbol, exponent) in &other.symbols {
            let sum = exponents.entry(*symbol).or_insert(0);
            *sum = sum.checked_add(*exponent)?;
        }
        let mut negative = false;
        if let Some(power) = exponents.get_mut(&'i') {
            let turns = power.rem_euclid(4);
            negative = turns >= 2;
            *power = turns % 2;
        }
        let common = gcd(self.radicand.into(), other.radicand.into());
        let radicand = (u128::from(self.radicand) / common).checked_mul(u128::from(other.radicand) / common)?;
        if radicand > MAX_RADICAND {
            return None;
        }
        let symbols = exponents.into_iter().filter(|(_, exponent)| *exponent != 0).collect();
        let factor = Rational::integer(i128::try_from(common).ok()?)?;
        let product = Self { symbols, radicand: u64::try_from(radicand).ok()? };
        Some((product, if negative { factor.neg() } else { factor }))
    }

    /// 1 over the monomial, and the rational factor: 1/√n = √n/n.
    fn invert(&self) -> Option<(Self, Rational)> {
        let mut symbols = Vec::with_capacity(self.symbols.len());
        for (symbol, exponent) in &self.symbols {
            symbols.push((*symbol, exponent.checked_neg()?));
        }
        let factor = Rational::new(1, self.radicand.into())?;
        // The product with one brings `i` back into its range.
        let (inverse, sign) = Self { symbols, radicand: self.radicand }.mul(&Self::unit())?;
        Some((inverse, factor.mul(sign)?))
    }
}

/// A sum of monomials with rational, non-zero coefficients. Two sums are equal exactly if their values are: square roots of
/// numbers free of squares and powers of π are linearly independent over the rationals (for e beside π: as far as known).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    terms: BTreeMap<Monomial, Rational>,
}

impl Sum {
    pub(super) fn rational(value: Rational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(Monomial::unit(), value);
        }
        Self { terms }
    }

    pub(super) fn symbol(symbol: char) -> Self {
        let monomial = Monomial { symbols: vec![(symbol, 1)], radicand: 1 };
        Self { terms: BTreeMap::from([(monomial, Rational::ONE)]) }
    }

    /// The square root of a rational; of a negative one, i times the root.
    pub(super) fn sqrt(value: Rational) -> Option<Self> {
        if value.is_negative() {
            return Self::sqrt(value.neg())?.mul(&Self::symbol('i'), &mut Fuel::new());
        }
        let (num, den) = (value.num().unsigned_abs(), value.den().unsigned_abs());
        let (a, b) = (num.isqrt(), den.isqrt());
        if a * a == num && b * b == den {
            return Some(Self::rational(Rational::new(i128::try_from(a).ok()?, i128::try_from(b).ok()?)?));
        }
        let inside = num.checked_mul(den)?;
        if inside > MAX_RADICAND {
            return None;
        }
        let (root, radicand) = split_square(u64::try_from(inside).ok()?);
        let coefficient = Rational::new(root.into(), value.den())?;
        Some(Self { terms: BTreeMap::from([(Monomial { symbols: Vec::new(), radicand }, coefficient)]) })
    }

    /// The value, if it is rational.
    pub(super) fn to_rational(&self) -> Option<Rational> {
        match self.terms.len() {
            0 => Some(Rational::ZERO),
            1 => self.terms.get(&Monomial::unit()).copied(),
            _ => None,
        }
    }

    pub(super) fn neg(&self) -> Self {
        Self { terms: self.terms.iter().map(|(monomial, c)| (monomial.clone(), c.neg())).collect() }
    }

    pub(super) fn add(&self, other: &Self, fuel: &mut Fuel) -> Option<Self> {
        fuel.burn(other.terms.len())?;
        let mut sum = self.clone();
        for (monomial, coefficient) in &other.terms {
            sum.put(monomial.clone(), *coefficient)?;
        }
        Some(sum)
    }

    pub(super) fn mul(&self, other: &Self, fuel: &mut Fuel) -> Option<Self> {
        fuel.burn(self.terms.len().checked_mul(other.terms.len())?)?;
        let mut product = Self { terms: BTreeMap::new() };
        for (left, a) in &self.terms {
            for (right, b) in &other.terms {
                let (monomial, factor) = left.mul(right)?;
                product.put(monomial, a.mul(*b)?.mul(factor)?)?;
            }
        }
        Some(product)
    }

    /// 1 over the sum, for one term, and for two where the conjugate helps: 1/(1+√2) = √2-1.
    pub(super) fn invert(&self, fuel: &mut Fuel) -> Option<Self> {
        let mut terms = self.terms.iter();
        match (terms.next(), terms.next(), terms.next()) {
            (Some((monomial, coefficient)), None, None) => {
                let (inverse, factor) = monomial.invert()?;
                Some(Self { terms: BTreeMap::from([(inverse, coefficient.invert()?.mul(factor)?)]) })
            }
            (Some((monomial, coefficient)), Some(_), None) => {
                let mut conjugate = self.clone();
                conjugate.terms.insert(monomial.clone(), coefficient.neg());
                let norm = self.mul(&conjugate, fuel)?;
                if norm.terms.len() != 1 {
                    return None;
                }
                conjugate.mul(&norm.invert(fuel)?, fuel)
            }
            _ => None,
        }
    }

    /// The sum to a whole power, or the root of a rational to one.
    pub(super) fn pow(&self, exponent: Rational, fuel: &mut Fuel) -> Option<Self> {
        let base = match exponent.den() {
            1 => self.clone(),
            2 => Self::sqrt(self.to_rational()?)?,
            _ => return None,
        };
        let base = if exponent.is_negative() { base.invert(fuel)? } else { base };
        let mut left = u32::try_from(exponent.num().unsigned_abs()).ok()?;
        let mut square = base;
        let mut power = Self::rational(Rational::ONE);
        while left > 0 {
            if left & 1 == 1 {
                power = power.mul(&square, fuel)?;
            }
            left >>= 1;
            if left > 0 {
                square = square.mul(&square, fuel)?;
            }
        }
        Some(power)
    }

    fn put(&mut self, monomial: Monomial, coefficient: Rational) -> Option<()> {
        let sum = match self.terms.get(&monomial) {
            Some(present) => present.add(coefficient)?,
            None => coefficient,
        };
        if sum.is_zero() {
            self.terms.remove(&monomial);
        } else {
            self.terms.insert(monomial, sum);
        }
        (self.terms.len() <= MAX_TERMS).then_some(())
    }
}

/// `1/2`, `-2√3/5`, `π/4`, `x^2+3x*y-1`: highest degree first, then by letter, and readable by the parser as the same sum.
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        let mut terms: Vec<_> = self.terms.iter().collect();
        terms.sort_by_cached_key(|(monomial, _)| {
            let symbols: Vec<_> =
                monomial.symbols.iter().map(|(symbol, exponent)| (*symbol, Reverse(*exponent))).collect();
            (Reverse(monomial.degree()), symbols, monomial.radicand)
        });
        for (index, (monomial, coefficient)) in terms.into_iter().enumerate() {
            match (coefficient.is_negative(), index) {
                (true, _) => f.write_str("-")?,
                (false, 0) => {}
                (false, _) => f.write_str("+")?,
            }
            f.write_str(&term_text(monomial, *coefficient))?;
        }
        Ok(())
    }
}

/// One term without its sign.
fn term_text(monomial: &Monomial, coefficient: Rational) -> String {
    let num = coefficient.num().unsigned_abs();
    let mut text = String::new();
    if num != 1 || (monomial.symbols.is_empty() && monomial.radicand == 1) {
        text.push_str(&num.to_string());
    }
    if monomial.radicand != 1 {
        text.push_str(&format!("√{}", monomial.radicand));
    }
    for (symbol, exponent) in &monomial.symbols {
        let last = text.chars().last();
        // Without the sign, two letters would read as a word and `2e-3` as a number.
        let word = symbol.is_ascii_alphabetic() && last.is_some_and(|c| c.is_ascii_alphabetic());
        let scientific = matches!(symbol, 'e' | 'E') && last.is_some_and(|c| c.is_ascii_digit());
        if word || scientific {
            text.push('*');
        }
        text.push(*symbol);
        if *exponent != 1 {
            text.push_str(&format!("^{exponent}"));
        }
    }
    if coefficient.den() != 1 {
        text.push_str(&format!("/{}", coefficient.den()));
    }
    text
}

/// `n = root² · rest` with `rest` free of squares. Exact for n up to [`MAX_RADICAND`]: what is left after the primes up to
/// its cube root has at most two prime factors, so it is a square or free of squares.
fn split_square(mut n: u64) -> (u64, u64) {
    let (mut root, mut rest) = (1, 1);
    let mut d = 2;
    while d * d * d <= n {
        let mut count = 0;
        while n.is_multiple_of(d) {
            n /= d;
            count += 1;
        }
        root *= d.pow(count / 2);
        rest *= d.pow(count % 2);
        d += 1;
    }
    let whole = n.isqrt();
    if whole * whole == n { (root * whole, rest) } else { (root, rest * n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(n: i128) -> Sum {
        Sum::sqrt(Rational::integer(n).unwrap()).unwrap()
    }

    #[test]
    fn squares_leave_the_root() {
        for n in 1..3000u64 {
            let (root, rest) = split_square(n);
            assert_eq!(root * root * rest, n);
            assert!((2..60).all(|d| rest % (d * d) != 0), "{n}");
        }
        assert_eq!(split_square(999_983 * 999_983), (999_983, 1));
        assert_eq!(split_square(2 * 9973 * 9973), (9973, 2));
        assert_eq!(split_square(1_000_000_000_000), (1_000_000, 1));
    }

    #[test]
    fn one_value_has_one_sum() {
        let fuel = &mut Fuel::new();
        let one = Sum::rational(Rational::ONE);
        assert_eq!(root(12).to_string(), "2√3");
        assert_eq!(root(2).mul(&root(6), fuel), Some(root(12)));
        let inverse = one.add(&root(2), fuel).unwrap().invert(fuel).unwrap();
        assert_eq!(inverse, root(2).add(&one.neg(), fuel).unwrap());
        assert_eq!(root(-4).mul(&root(-9), fuel), Some(Sum::rational(Rational::integer(-6).unwrap())));
        assert_eq!(Sum::symbol('i').invert(fuel).unwrap().to_string(), "-i");
        assert_eq!(Sum::rational(Rational::ZERO).invert(fuel), None);
    }

    #[test]
    fn the_text_cannot_be_misread() {
        let fuel = &mut Fuel::new();
        let two = Sum::rational(Rational::integer(2).unwrap());
        let e = two.mul(&Sum::symbol('e'), fuel).unwrap();
        assert_eq!(e.to_string(), "2*e");
        assert_eq!(Sum::symbol('l').mul(&Sum::symbol('n'), fuel).unwrap().to_string(), "l*n");
    }

    #[test]
    fn work_is_bounded() {
        let fuel = &mut Fuel::new();
        let mut sum = Sum::symbol('a');
        for symbol in 'b'..='h' {
            sum = sum.add(&Sum::symbol(symbol), fuel).unwrap();
        }
        assert_eq!(sum.pow(Rational::integer(9).unwrap(), fuel), None);
        assert_eq!(Sum::rational(Rational::integer(2).unwrap()).pow(Rational::integer(1 << 40).unwrap(), fuel), None);
    }
}
