//! The regularised incomplete beta function, for the posterior of a two-way vote.

use libm::{exp, lgamma, log, log1p};

/// Probability that the leader stays ahead of the second answer: with `lead` and `second` votes and a uniform prior, the
/// leader's share of votes among the two has the distribution Beta(lead + 1, second + 1), and this is its mass above 1/2
/// (Adaptive-Consistency, arXiv 2305.11860).
pub(super) fn leader_probability(lead: f64, second: f64) -> f64 {
    regularised(0.5, second + 1.0, lead + 1.0)
}

/// I_x(a, b) for 0 < x < 1 and a, b > 0. The error is some 1e-14 for the hundreds of votes that occur.
fn regularised(x: f64, a: f64, b: f64) -> f64 {
    let front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    // The fraction converges quickly below the mean; above, the mirrored function is used.
    let value = if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    };
    value.clamp(0.0, 1.0)
}

/// The continued fraction of I_x(a, b), evaluated from the front (Lentz).
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut product = d;
    // The number of steps grows as the square root of the larger argument.
    for step in 1..=2000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / guard(1.0 + numerator * d);
            c = guard(1.0 + numerator / c);
            change = c * d;
            product *= change;
        }
        if (change - 1.0f64).abs() < 1e-15 {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For whole numbers the probability is a binomial tail: P(X <= lead) of lead + second + 1 tosses.
    fn tail(lead: u32, second: u32) -> f64 {
        let n = lead + second + 1;
        let mut term = 0.5f64.powi(n as i32);
        let mut sum = 0.0;
        for k in 0..=lead {
            sum += term;
            term *= f64::from(n - k) / f64::from(k + 1);
        }
        sum
    }

    #[test]
    fn the_posterior_is_the_binomial_tail() {
        for lead in 0..60 {
            for second in 0..60 {
                let got = leader_probability(lead.into(), second.into());
                assert!((got - tail(lead, second)).abs() < 1e-12, "{lead} {second}: {got}");
            }
        }
    }

    #[test]
    fn the_function_is_monotonic_and_symmetric() {
        assert!((regularised(0.3, 2.5, 4.0) + regularised(0.7, 4.0, 2.5) - 1.0).abs() < 1e-14);
        assert!((regularised(0.25, 1.0, 1.0) - 0.25).abs() < 1e-14);
        assert!(leader_probability(3000.0, 10.0) > 0.999_999);
        assert!((leader_probability(5000.0, 5000.0) - 0.5).abs() < 1e-9);
    }
}
