//! Distributions and their distances, in f64.

/// ln Σ exp(logit) over the whole vocabulary.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    top + logits.iter().map(|&x| (f64::from(x) - top).exp()).sum::<f64>().ln()
}

/// The `n` likeliest ids with their log-probabilities, likeliest first; of equals the smaller id first.
pub fn top(logits: &[f32], n: usize) -> Vec<(usize, f64)> {
    let total = log_sum_exp(logits);
    let before = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    if n < ids.len() {
        ids.select_nth_unstable_by(n, before);
        ids.truncate(n);
    }
    ids.sort_unstable_by(before);
    ids.into_iter().map(|id| (id, f64::from(logits[id]) - total)).collect()
}

/// The Kullback-Leibler divergence of `other` from `truth`, in nats: Σ p ln(p / q).
pub fn divergence(truth: &[f32], other: &[f32]) -> f64 {
    let (p_total, q_total) = (log_sum_exp(truth), log_sum_exp(other));
    let term = |(&p, &q): (&f32, &f32)| {
        let (p, q) = (f64::from(p) - p_total, f64::from(q) - q_total);
        p.exp() * (p - q)
    };
    truth.iter().zip(other).map(term).sum()
}

/// How one set of distributions lies to the true ones, position by position.
#[derive(Debug, Default)]
pub struct Distance {
    divergences: Vec<f64>,
    clear: usize,
    agreed: usize,
}

impl Distance {
    /// Positions where the two likeliest tokens of the truth lie closer than this (in nats) have no clear winner.
    pub const MARGIN: f64 = 0.05;

    /// Adds a position.
    pub fn add(&mut self, truth: &[f32], other: &[f32]) {
        self.divergences.push(divergence(truth, other));
        let best = top(truth, 2);
        if best.len() < 2 || best[0].1 - best[1].1 >= Self::MARGIN {
            self.clear += 1;
            self.agreed += usize::from(top(other, 1)[0].0 == best[0].0);
        }
    }

    /// Mean divergence in nats.
    pub fn mean(&self) -> f64 {
        self.divergences.iter().sum::<f64>() / self.divergences.len().max(1) as f64
    }

    /// The divergence that the fraction `q` of all positions stays under.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(self.divergences.clone(), q)
    }

    /// Share of the positions with a clear winner where both agree on it.
    pub fn agreement(&self) -> f64 {
        self.agreed as f64 / self.clear.max(1) as f64
    }

    /// Positions with a clear winner, and those of them where the other one disagrees.
    pub fn clear(&self) -> (usize, usize) {
        (self.clear, self.clear - self.agreed)
    }
}

/// The value that the fraction `q` of `values` stays under; 0.5 is the median.
pub fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = q * values.len().saturating_sub(1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    match (values.get(low), values.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * (at - low as f64),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_definition() {
        let (p, q) = ([0.75f64, 0.25], [0.5f64, 0.5]);
        let logits = |d: [f64; 2]| d.map(|x| (x.ln() + 7.0) as f32);
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        assert!((divergence(&logits(p), &logits(q)) - expected).abs() < 1e-6);
        assert_eq!(divergence(&logits(p), &logits(p)), 0.0);
    }

    #[test]
    fn top_is_sorted_normalised_and_breaks_ties_by_id() {
        let found = top(&[1.0, 3.0, 3.0, -1.0], 3);
        assert_eq!(found.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 2, 0]);
        let all: f64 = top(&[1.0, 3.0, 3.0, -1.0], 9).iter().map(|t| t.1.exp()).sum();
        assert!((all - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_close_call_is_no_disagreement() {
        let mut distance = Distance::default();
        distance.add(&[1.0, 0.99], &[0.0, 1.0]);
        assert_eq!(distance.clear(), (0, 0));
        distance.add(&[1.0, 0.0], &[0.0, 1.0]);
        assert_eq!(distance.clear(), (1, 1));
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(quantile(vec![4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert!(quantile(vec![], 0.5).is_nan());
    }
}
