//! Fractions of 128-bit integers; every operation says when it does not fit.

/// A fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rational {
    num: i128,
    den: i128,
}

impl Rational {
    pub(super) const ZERO: Self = Self { num: 0, den: 1 };
    pub(super) const ONE: Self = Self { num: 1, den: 1 };

    /// `num / den`; `None` for a zero denominator or where the reduced fraction does not fit.
    pub(super) fn new(num: i128, den: i128) -> Option<Self> {
        if den == 0 {
            return None;
        }
        let common = gcd(num.unsigned_abs(), den.unsigned_abs());
        let (n, d) = (num.unsigned_abs() / common, den.unsigned_abs() / common);
        let n = i128::try_from(n).ok()?;
        Some(Self { num: if (num < 0) == (den < 0) { n } else { -n }, den: i128::try_from(d).ok()? })
    }

    pub(super) fn integer(value: i128) -> Option<Self> {
        Self::new(value, 1)
    }

    /// Reads `12`, `0.50`, `.5`, `1.5e-3`: digits, an optional fraction, an optional exponent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let mut num: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = i128::from(char::from(digit).to_digit(10)?);
            num = num.checked_mul(10)?.checked_add(digit)?;
        }
        let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let scale = 10i128.checked_pow(shift.unsigned_abs());
        match (num, scale) {
            (0, _) => Some(Self::ZERO),
            (_, None) => None,
            (_, Some(scale)) if shift < 0 => Self::new(num, scale),
            (_, Some(scale)) => Self::integer(num.checked_mul(scale)?),
        }
    }

    pub(super) fn num(self) -> i128 {
        self.num
    }

    pub(super) fn den(self) -> i128 {
        self.den
    }

    pub(super) fn is_zero(self) -> bool {
        self.num == 0
    }

    pub(super) fn is_negative(self) -> bool {
        self.num < 0
    }

    /// The value, if it is whole.
    pub(super) fn to_integer(self) -> Option<i128> {
        (self.den == 1).then_some(self.num)
    }

    pub(super) fn neg(self) -> Self {
        // `num` is never `i128::MIN`: `new` admits magnitudes up to `i128::MAX` only.
        Self { num: -self.num, den: self.den }
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let left = self.num.checked_mul(other.den)?;
        let right = other.num.checked_mul(self.den)?;
        Self::new(left.checked_add(right)?, self.den.checked_mul(other.den)?)
    }

    pub(super) fn mul(self, other: Self) -> Option<Self> {
        // Reducing across first keeps the products small.
        let a = Self::new(self.num, other.den)?;
        let b = Self::new(other.num, self.den)?;
        Self::new(a.num.checked_mul(b.num)?, a.den.checked_mul(b.den)?)
    }

    pub(super) fn invert(self) -> Option<Self> {
        Self::new(self.den, self.num)
    }
}

/// Greatest common divisor; `gcd(0, n) = n`.
pub(super) fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(num: i128, den: i128) -> Rational {
        Rational::new(num, den).unwrap()
    }

    #[test]
    fn decimals_are_read_exactly() {
        assert_eq!(Rational::parse("0.50"), Some(q(1, 2)));
        assert_eq!(Rational::parse(".125"), Some(q(1, 8)));
        assert_eq!(Rational::parse("1.5e-3"), Some(q(3, 2000)));
        assert_eq!(Rational::parse("12e2"), Some(q(1200, 1)));
        assert_eq!(Rational::parse("0e999999"), Some(Rational::ZERO));
        assert_eq!(Rational::parse("1e40"), None);
        assert_eq!(Rational::parse("9".repeat(50).as_str()), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Rational::new(1, 0), None);
        assert_eq!(Rational::new(i128::MIN, 1), None);
        assert_eq!(Rational::new(i128::MIN, 2), Some(q(i128::MIN / 2, 1)));
        assert_eq!(q(i128::MAX, 1).add(Rational::ONE), None);
        assert_eq!(q(1, 3).add(q(1, 6)), Some(q(1, 2)));
        assert_eq!(q(-2, 3).mul(q(3, 4)), Some(q(-1, 2)));
        assert_eq!(Rational::ZERO.invert(), None);
    }
}
