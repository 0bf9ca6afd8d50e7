//! Which experts a token uses, and with what weights.

use super::super::runner::Pass;
use crate::config::{ExpertsConfig, Gating, Groups};
use r1_kernels::{Isa, ops};

/// One expert of one token.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Chosen {
    pub(super) expert: u32,
    /// Factor on its output.
    pub(super) weight: f32,
}

/// Least sum that weights are divided by: the smallest normal half float, as in llama.cpp.
const LEAST_SUM: f32 = 6.103_515_6e-5;

/// Chooses for every row. `logits` are `[row][count]` and become scores; `chosen` is `[row][used]`, best first.
pub(super) fn choose(
    pass: &Pass<'_>,
    config: &ExpertsConfig,
    bias: Option<&[f32]>,
    logits: &mut [f32],
    chosen: &mut [Chosen],
) {
    pass.team.for_each_chunk(logits, config.count, |_, logits| match config.router.gating {
        Gating::Softmax => ops::softmax_slice(pass.isa, logits),
        Gating::Sigmoid => ops::sigmoid(pass.isa, logits),
        Gating::SoftmaxOfChosen => {}
    });
    let scores = &*logits;
    pass.team.for_each_chunk(chosen, config.used, |row, chosen| {
        choose_row(pass.isa, config, bias, &scores[row * config.count..][..config.count], chosen);
    });
}

/// Chooses for one row: the best `chosen.len()` of `scores`, the bias counted, the lowest index on a tie.
fn choose_row(isa: Isa, config: &ExpertsConfig, bias: Option<&[f32]>, scores: &[f32], chosen: &mut [Chosen]) {
    let merit = |e: usize| scores[e] + bias.map_or(0.0, |b| b[e]);
    let mut best = Best::new(chosen.len());
    match config.router.groups {
        None => (0..scores.len()).for_each(|e| best.offer(merit(e), e)),
        Some(Groups { count, used }) => {
            let size = scores.len() / count;
            let mut groups = Best::new(used);
            for group in 0..count {
                let mut two = Best::new(size.min(2));
                (group * size..(group + 1) * size).for_each(|e| two.offer(merit(e), e));
                groups.offer(two.list().iter().map(|(merit, _)| merit).sum(), group);
            }
            // Ascending, so that ties are decided alike with groups and without.
            for group in (0..count).filter(|g| groups.list().iter().any(|(_, kept)| kept == g)) {
                (group * size..(group + 1) * size).for_each(|e| best.offer(merit(e), e));
            }
        }
    }
    // At most 64, like everything that `Best` holds.
    let mut weights = [0.0; Best::MOST];
    let weights = &mut weights[..chosen.len()];
    for (weight, (_, expert)) in weights.iter_mut().zip(best.list()) {
        *weight = scores[*expert];
    }
    if config.router.gating == Gating::SoftmaxOfChosen {
        ops::softmax_slice(isa, weights);
    }
    if config.router.normalise {
        let sum = weights.iter().sum::<f32>().max(LEAST_SUM);
        weights.iter_mut().for_each(|w| *w /= sum);
    }
    for ((chosen, (_, expert)), weight) in chosen.iter_mut().zip(best.list()).zip(weights) {
        *chosen = Chosen { expert: *expert as u32, weight: *weight * config.router.scale };
    }
}

/// The best few of a row of numbers, best first; the earlier offer wins a tie, and a NaN counts as the least.
struct Best {
    list: [(f32, usize); Best::MOST],
    len: usize,
    wanted: usize,
}

impl Best {
    /// As many as the configuration allows a token to use.
    const MOST: usize = 64;

    fn new(wanted: usize) -> Best {
        Best { list: [(0.0, 0); Best::MOST], len: 0, wanted: wanted.min(Best::MOST) }
    }

    fn offer(&mut self, merit: f32, index: usize) {
        let merit = if merit.is_nan() { f32::NEG_INFINITY } else { merit };
        let list = &mut self.list;
        if self.len == self.wanted {
            match self.len.checked_sub(1) {
                Some(last) if merit > list[last].0 => self.len = last,
                _ => return,
            }
        }
        let mut at = self.len;
        while at > 0 && merit > list[at - 1].0 {
            list[at] = list[at - 1];
            at -= 1;
        }
        list[at] = (merit, index);
        self.len += 1;
    }

    fn list(&self) -> &[(f32, usize)] {
        &self.list[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RouterConfig;

    fn config(count: usize, used: usize, router: RouterConfig) -> ExpertsConfig {
        ExpertsConfig { count, used, width: 1, router, shared: None }
    }

    fn plain() -> RouterConfig {
        RouterConfig { gating: Gating::Sigmoid, selection_bias: false, groups: None, normalise: false, scale: 1.0 }
    }

    fn row(config: &ExpertsConfig, bias: Option<&[f32]>, scores: &[f32]) -> Vec<(u32, f32)> {
        let mut chosen = vec![Chosen::default(); config.used];
        choose_row(Isa::detect(), config, bias, scores, &mut chosen);
        chosen.into_iter().map(|c| (c.expert, c.weight)).collect()
    }

    #[test]
    fn the_best_are_chosen_and_ties_go_to_the_lower_index() {
        let scores = [0.1, 0.9, 0.5, 0.9, 0.2, 0.5];
        assert_eq!(row(&config(6, 4, plain()), None, &scores), [(1, 0.9), (3, 0.9), (2, 0.5), (5, 0.5)]);
        assert_eq!(row(&config(6, 1, plain()), None, &scores), [(1, 0.9)]);
    }

    #[test]
    fn a_bias_moves_the_choice_and_not_the_weight() {
        let bias = [1.0, 0.0, 0.0, -1.0];
        assert_eq!(row(&config(4, 2, plain()), Some(&bias), &[0.1, 0.4, 0.3, 0.9]), [(0, 0.1), (1, 0.4)]);
    }

    #[test]
    fn only_the_best_groups_can_be_chosen() {
        let groups = RouterConfig { groups: Some(Groups { count: 3, used: 1 }), ..plain() };
        // The best expert stands in a poor group: the two best of a group decide.
        let scores = [0.9, 0.0, 0.6, 0.5, 0.1, 0.2];
        assert_eq!(row(&config(6, 2, groups), None, &scores), [(2, 0.6), (3, 0.5)]);
        let two = RouterConfig { groups: Some(Groups { count: 3, used: 2 }), ..plain() };
        assert_eq!(row(&config(6, 3, two), None, &scores), [(0, 0.9), (2, 0.6), (3, 0.5)]);
    }

    #[test]
    fn weights_are_normalised_then_scaled() {
        let router = RouterConfig { normalise: true, scale: 2.5, ..plain() };
        assert_eq!(row(&config(4, 2, router), None, &[0.25, 0.0, 0.75, 0.1]), [(2, 1.875), (0, 0.625)]);
        // A vanishing sum is bounded from below instead of dividing by zero.
        assert!(row(&config(2, 2, router), None, &[0.0, 0.0]).iter().all(|(_, w)| *w == 0.0));
    }

    #[test]
    fn a_softmax_of_the_chosen_adds_up_to_one() {
        let router = RouterConfig { gating: Gating::SoftmaxOfChosen, ..plain() };
        let chosen = row(&config(4, 2, router), None, &[-3.0, 2.0, 5.0, 1.0]);
        assert_eq!((chosen[0].0, chosen[1].0), (2, 1));
        assert!((chosen[0].1 + chosen[1].1 - 1.0).abs() < 1e-6 && (chosen[0].1 - 0.952_574_1).abs() < 1e-5);
    }

    #[test]
    fn nan_and_infinity_still_give_experts_that_differ() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for groups in [None, Some(Groups { count: 4, used: 2 })] {
                let router = RouterConfig { groups, normalise: true, ..plain() };
                let mut experts: Vec<u32> =
                    row(&config(8, 4, router), None, &[bad; 8]).into_iter().map(|(e, _)| e).collect();
                experts.sort_unstable();
                experts.dedup();
                assert!(experts.len() == 4 && experts.iter().all(|e| *e < 8), "{bad} {groups:?}");
            }
        }
    }
}
