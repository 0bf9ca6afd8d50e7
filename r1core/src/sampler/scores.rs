//! Choosing from as little of a row of logits as is enough.

use super::{Sampler, Steer};
use crate::Result;

/// What is known of a row of logits.
pub(crate) trait Scores {
    /// The highest logits with their tokens, the highest first and equal ones by token: every logit that is not among them
    /// is lower than the last. Empty where all have to be looked at.
    fn top(&self) -> &[(u32, f32)];

    /// All logits, which may have to be computed or fetched now.
    ///
    /// # Errors
    /// As the run that gave them.
    fn all(&mut self) -> Result<&[f32]>;
}

impl Scores for &[f32] {
    fn top(&self) -> &[(u32, f32)] {
        &[]
    }

    fn all(&mut self) -> Result<&[f32]> {
        Ok(self)
    }
}

impl Sampler {
    /// Whether the token with the highest logit is likely to be all that the next choice needs.
    pub(crate) fn is_greedy(&self) -> bool {
        self.options.temperature == 0.0 && self.options.logit_bias.is_empty() && !self.options.has_penalties()
    }

    /// As [`Sampler::sample_steered`], without the log-probability and from as little as is enough. The token is the same.
    ///
    /// # Errors
    /// As [`Sampler::sample_steered`] and [`Scores::all`].
    pub(crate) fn choose(&mut self, scores: &mut dyn Scores, position: u64, steer: Steer<'_>) -> Result<u32> {
        match self.choose_top(scores.top(), steer) {
            Some(id) => Ok(id),
            None => self.draw(scores.all()?, position, steer).map(|drawn| drawn.id),
        }
    }

    /// The choice among the highest logits; `None` where the others might matter.
    fn choose_top(&self, top: &[(u32, f32)], steer: Steer<'_>) -> Option<u32> {
        if !self.is_greedy() || steer.mask.is_some() || steer.raise.is_some() {
            return None;
        }
        let mut possible = top.iter().filter(|(_, logit)| *logit > f32::NEG_INFINITY);
        possible.find(|(id, _)| !steer.forbid.contains(id)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::{Raise, SamplerOptions, argmax};

    /// The highest of some logits.
    struct Top<'a>(Vec<(u32, f32)>, &'a [f32]);

    impl Scores for Top<'_> {
        fn top(&self) -> &[(u32, f32)] {
            &self.0
        }

        fn all(&mut self) -> Result<&[f32]> {
            Ok(self.1)
        }
    }

    proptest! {
        #[test]
        fn the_best_token_gives_the_choice_of_all_logits(
            logits in prop::collection::vec(
                prop_oneof![8 => -4f32..4.0, 2 => Just(3.5), 1 => Just(f32::NEG_INFINITY), 1 => Just(f32::NAN)], 1..40),
            forbid in prop::collection::vec(0u32..40, 0..4),
            raise in prop::option::of(0u32..40),
            temperature in prop::sample::select(vec![0.0f32, 0.0, 0.6]),
            repetition_penalty in prop::sample::select(vec![1.0f32, 1.5]),
            position in any::<u64>(),
        ) {
            let options = SamplerOptions { temperature, repetition_penalty, ..Default::default() };
            let mut sampler = Sampler::new(options).unwrap();
            sampler.accept(1);
            let raise = raise.map(|id| Raise { id, strength: 1.0, margin: -0.1 });
            let steer = Steer { forbid: &forbid, raise, ..Default::default() };
            let all = sampler.sample_steered(&logits, position, steer).map(|sampled| sampled.id).ok();
            let mut best = Top(argmax(&logits).into_iter().collect(), &logits);
            prop_assert_eq!(sampler.choose(&mut best, position, steer).ok(), all);
            prop_assert_eq!(sampler.choose(&mut &logits[..], position, steer).ok(), all);
        }
    }
}
