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

/// A distribution's likeliest id; of equals the smallest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Winner {
    /// The likeliest id.
    pub id: usize,
    /// How far the second lies below it, in nats.
    pub margin: f64,
}

impl Winner {
    /// The winner of a row.
    pub fn of(logits: &[f32]) -> Self {
        let (mut id, mut best, mut second) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
        for (i, &x) in logits.iter().enumerate() {
            if x > best {
                (id, best, second) = (i, x, best);
            } else if x > second {
                second = x;
            }
        }
        Self { id, margin: f64::from(best) - f64::from(second) }
    }
}

/// Positions with a clear winner, and how many of them a second opinion agrees on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Positions that count.
    pub clear: usize,
    /// Those where the winners differ.
    pub missed: usize,
}

impl Agreement {
    /// Counts a position, if it is `clear`.
    pub fn add(&mut self, clear: bool, agreed: bool) {
        self.clear += usize::from(clear);
        self.missed += usize::from(clear && !agreed);
    }

    /// The share that agrees.
    pub fn share(self) -> f64 {
        (self.clear - self.missed) as f64 / self.clear.max(1) as f64
    }
}

/// How one engine's distributions lie to the true ones, position by position.
#[derive(Debug)]
pub struct Distance {
    margin: f64,
    divergences: Vec<f64>,
    /// With the truth, where the truth has a clear winner.
    pub agreement: Agreement,
}

impl Distance {
    /// No positions yet. A winner is clear that lies `margin` nats or more above the second.
    pub fn new(margin: f64) -> Self {
        Self { margin, divergences: Vec::new(), agreement: Agreement::default() }
    }

    /// Adds a position.
    pub fn add(&mut self, truth: &[f32], other: &[f32]) {
        self.divergences.push(divergence(truth, other));
        let best = Winner::of(truth);
        self.agreement.add(best.margin >= self.margin, Winner::of(other).id == best.id);
    }

    /// Mean divergence in nats.
    pub fn mean(&self) -> f64 {
        self.divergences.iter().sum::<f64>() / self.divergences.len().max(1) as f64
    }

    /// The divergence that the fraction `q` of all positions stays under.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(self.divergences.clone(), q)
    }
}

/// How two engines agree, and whom the truth is with where they do not.
#[derive(Debug, Default)]
pub struct Pair {
    margin: f64,
    /// Where the first engine has a clear winner.
    pub first_clear: Agreement,
    /// Where both engines have a clear winner.
    pub both_clear: Agreement,
    /// Where the truth has a clear winner.
    pub truth_clear: Agreement,
    /// Of `first_clear.missed`: the truth's winner is the first engine's.
    pub first_right: usize,
    /// Of `first_clear.missed`: the truth's winner is the second engine's.
    pub second_right: usize,
}

impl Pair {
    /// No positions yet; `margin` as in [`Distance::new`].
    pub fn new(margin: f64) -> Self {
        Self { margin, ..Self::default() }
    }

    /// Adds a position.
    pub fn add(&mut self, truth: &[f32], first: &[f32], second: &[f32]) {
        let [truth, first, second] = [truth, first, second].map(Winner::of);
        let agreed = first.id == second.id;
        let clear = |winner: Winner| winner.margin >= self.margin;
        let [truth_clear, first_clear, second_clear] = [truth, first, second].map(clear);
        self.first_clear.add(first_clear, agreed);
        self.both_clear.add(first_clear && second_clear, agreed);
        self.truth_clear.add(truth_clear, agreed);
        if first_clear && !agreed {
            self.first_right += usize::from(truth.id == first.id);
            self.second_right += usize::from(truth.id == second.id);
        }
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
    fn of_equals_the_smaller_id_wins_by_nothing() {
        assert_eq!(Winner::of(&[1.0, 3.0, 3.0, -1.0]), Winner { id: 1, margin: 0.0 });
        assert_eq!(Winner::of(&[1.0, 3.0, 5.5]), Winner { id: 2, margin: 2.5 });
    }

    #[test]
    fn a_close_call_is_no_disagreement() {
        let mut distance = Distance::new(0.05);
        distance.add(&[1.0, 0.99], &[0.0, 1.0]);
        assert_eq!(distance.agreement, Agreement { clear: 0, missed: 0 });
        distance.add(&[1.0, 0.0], &[0.0, 1.0]);
        assert_eq!(distance.agreement, Agreement { clear: 1, missed: 1 });
    }

    #[test]
    fn a_disagreement_is_laid_to_the_engine_that_misses_the_truth() {
        let mut pair = Pair::new(0.05);
        pair.add(&[1.0, 0.0], &[0.0, 1.0], &[0.02, 0.0]);
        assert_eq!((pair.first_right, pair.second_right), (0, 1));
        assert_eq!(pair.first_clear, Agreement { clear: 1, missed: 1 });
        assert_eq!(pair.both_clear, Agreement { clear: 0, missed: 0 });
        pair.add(&[1.0, 0.0], &[1.0, 0.0], &[0.0, 1.0]);
        assert_eq!((pair.first_right, pair.second_right), (1, 1));
        assert_eq!(pair.truth_clear, Agreement { clear: 2, missed: 2 });
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(quantile(vec![4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        assert!(quantile(vec![], 0.5).is_nan());
    }
}
