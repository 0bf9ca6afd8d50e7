//! A number as far as it is known: exactly, or as `f64`.

use super::exact::{Fuel, Sum};
use super::rational::Rational;

/// How far two numbers may be apart, relative to the larger, if one of them has no exact form.
const TOLERANCE: f64 = 1e-9;

/// Largest `n` whose factorial fits 128 bits.
const MAX_FACTORIAL: i128 = 33;

/// The result of evaluating an expression.
#[derive(Debug, Clone)]
pub(super) struct Number {
    exact: Option<Sum>,
    /// At one fixed place of the variables ([`place`]); not finite where overflow, a pole or i leave no number.
    approx: f64,
    /// Written as digits alone: its value is exact even if it does not fit.
    literal: bool,
}

impl Number {
    /// A literal as the lexer gives it.
    pub(super) fn literal(text: &str) -> Self {
        let approx = text.parse().unwrap_or(f64::NAN);
        Self { exact: Rational::parse(text).map(Sum::rational), approx, literal: true }
    }

    pub(super) fn symbol(symbol: char) -> Self {
        let approx = match symbol {
            'π' => std::f64::consts::PI,
            'e' => std::f64::consts::E,
            'i' => f64::NAN,
            variable => place(variable),
        };
        Self { exact: Some(Sum::symbol(symbol)), approx, literal: false }
    }

    fn rational(value: Option<Rational>, approx: f64) -> Self {
        Self { exact: value.map(Sum::rational), approx, literal: false }
    }

    fn known(exact: Option<Sum>, approx: f64) -> Self {
        Self { exact, approx, literal: false }
    }

    /// Whether anything is known.
    pub(super) fn is_known(&self) -> bool {
        self.exact.is_some() || self.approx.is_finite()
    }

    pub(super) fn exact(&self) -> Option<&Sum> {
        self.exact.as_ref()
    }

    pub(super) fn approx(&self) -> f64 {
        self.approx
    }

    fn integer(&self) -> Option<i128> {
        self.exact.as_ref()?.to_rational()?.to_integer()
    }

    pub(super) fn neg(self) -> Self {
        Self { exact: self.exact.map(|sum| sum.neg()), approx: -self.approx, literal: self.literal }
    }

    pub(super) fn add(self, other: &Self, fuel: &mut Fuel) -> Self {
        let exact = both(&self, other).and_then(|(a, b)| a.add(b, fuel));
        Self::known(exact, self.approx + other.approx)
    }

    pub(super) fn mul(self, other: &Self, fuel: &mut Fuel) -> Self {
        let exact = both(&self, other).and_then(|(a, b)| a.mul(b, fuel));
        Self::known(exact, self.approx * other.approx)
    }

    pub(super) fn div(self, other: &Self, fuel: &mut Fuel) -> Self {
        let exact = both(&self, other).and_then(|(a, b)| {
            let inverse = b.invert(fuel)?;
            a.mul(&inverse, fuel)
        });
        Self::known(exact, self.approx / other.approx)
    }

    pub(super) fn pow(self, exponent: &Self, fuel: &mut Fuel) -> Self {
        let exact = both(&self, exponent).and_then(|(a, b)| a.pow(b.to_rational()?, fuel));
        Self::known(exact, libm::pow(self.approx, exponent.approx))
    }

    pub(super) fn sqrt(self) -> Self {
        let exact = self.exact.and_then(|sum| Sum::sqrt(sum.to_rational()?));
        Self::known(exact, libm::sqrt(self.approx))
    }

    /// The root of whole degree `index`; exact where it is a whole number.
    pub(super) fn root(self, index: &Self) -> Self {
        let approx = libm::pow(self.approx, 1.0 / index.approx);
        let exact = self.integer().zip(index.integer()).and_then(|(value, index)| {
            let nearest = libm::round(approx);
            // Above 2^53 the rounded root could miss.
            let root = (nearest.abs() < 9e15).then_some(nearest as i128)?;
            (root.checked_pow(u32::try_from(index).ok()?)? == value).then(|| Rational::integer(root))?
        });
        Self::rational(exact, approx)
    }

    pub(super) fn factorial(self) -> Self {
        let value = self.integer().filter(|n| (0..=MAX_FACTORIAL).contains(n));
        let exact = value.and_then(|n| (1..=n).try_fold(1i128, i128::checked_mul)).and_then(Rational::integer);
        let whole = self.approx >= 0.0 && libm::trunc(self.approx) == self.approx;
        Self::rational(exact, if whole { libm::tgamma(self.approx + 1.0) } else { f64::NAN })
    }

    pub(super) fn binomial(self, chosen: &Self) -> Self {
        let exact = self.integer().zip(chosen.integer()).and_then(|(n, k)| {
            if !(0..=n).contains(&k) || n > 1000 {
                return None;
            }
            let k = k.min(n - k);
            // Each partial product is itself a binomial coefficient, so the division is exact.
            let product = (1..=k).try_fold(1i128, |product, i| Some(product.checked_mul(n - k + i)? / i))?;
            Rational::integer(product)
        });
        let approx = exact.map_or(f64::NAN, |value| value.num() as f64);
        Self::rational(exact, approx)
    }

    /// A function by name, of an angle in radians.
    pub(super) fn apply(self, function: &str) -> Self {
        let x = self.approx;
        let approx = match function {
            "sin" => libm::sin(x),
            "cos" => libm::cos(x),
            "tan" => libm::tan(x),
            "cot" => 1.0 / libm::tan(x),
            "sec" => 1.0 / libm::cos(x),
            "csc" => 1.0 / libm::sin(x),
            "arcsin" => libm::asin(x),
            "arccos" => libm::acos(x),
            "arctan" => libm::atan(x),
            "ln" | "log" => libm::log(x),
            "lg" => libm::log10(x),
            "exp" => libm::exp(x),
            _ => f64::NAN,
        };
        Self::known(None, approx)
    }

    /// The logarithm to a base.
    pub(super) fn log(self, base: &Self) -> Self {
        Self::known(None, libm::log(self.approx) / libm::log(base.approx))
    }

    /// Equal by exact form; else within the tolerance. `None` if two literals are too long to tell: their texts decide.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        match both(self, other) {
            Some((a, b)) => Some(a == b),
            None if self.literal && other.literal => None,
            None => {
                let (a, b) = (self.approx, other.approx);
                Some(a.is_finite() && b.is_finite() && (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()))
            }
        }
    }
}

/// Where a variable is evaluated: between 1 and 2, different for every letter, and no value that anybody writes. Two
/// expressions without a common exact form, such as `(x+2)/(x-3)` in two spellings, are compared there.
fn place(variable: char) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let turns = f64::from(u32::from(variable)) * GOLDEN;
    1.0 + (turns - libm::floor(turns))
}

fn both<'n>(a: &'n Number, b: &'n Number) -> Option<(&'n Sum, &'n Sum)> {
    a.exact.as_ref().zip(b.exact.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Number {
        Number::literal(text)
    }

    fn text(number: &Number) -> String {
        number.exact().map_or_else(|| "inexact".to_owned(), Sum::to_string)
    }

    #[test]
    fn whole_results_stay_exact() {
        assert_eq!(text(&n("5").factorial()), "120");
        assert_eq!(text(&n("34").factorial()), "inexact");
        assert_eq!(text(&n("10").binomial(&n("3"))), "120");
        assert_eq!(text(&n("8").root(&n("3"))), "2");
        assert_eq!(text(&n("9").root(&n("3"))), "inexact");
        assert!(n("2.5").factorial().approx().is_nan());
    }

    #[test]
    fn long_literals_are_left_to_their_texts() {
        let long = "1".repeat(60);
        assert_eq!(n(&long).equals(&n(&long)), None);
        assert_eq!(n("2").pow(&n("200"), &mut Fuel::new()).equals(&n("1.6069380442589903e60")), Some(true));
    }
}
