//! What a controller wishes for one step.

use super::candidates::argmax;

/// What a controller wishes for one step. The default wishes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Steer<'a> {
    /// Tokens that must not come, unless nothing else can. Ids outside the vocabulary are ignored.
    pub forbid: &'a [u32],
    /// A token that is drawn nearer to the best one.
    pub raise: Option<Raise>,
}

/// Raises one token to `logit + strength * (best - margin - logit)`, if that is more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Raise {
    /// The token.
    pub id: u32,
    /// How far, from 0 to 1.
    pub strength: f32,
    /// How far below the best token it always stays.
    pub margin: f32,
}

impl Steer<'_> {
    /// Whether it wishes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.forbid.is_empty() && self.raise.is_none()
    }

    /// Whether it only forbids tokens other than the best one: then the masses of the rest do not change.
    pub(super) fn spares(&self, best: u32) -> bool {
        self.raise.is_none() && !self.forbid.contains(&best)
    }

    /// Applies it to the logits; a wish that would leave no token is ignored.
    pub(super) fn apply(&self, logits: &mut [f32]) {
        if let Some(Raise { id, strength, margin }) = self.raise
            && let Some((_, best)) = argmax(logits)
            && let Some(logit) = logits.get_mut(id as usize)
        {
            let raised = *logit + strength * (best - margin - *logit);
            *logit = if raised > *logit { raised } else { *logit };
        }
        let possible = |(id, logit): (usize, &f32)| *logit > f32::NEG_INFINITY && !self.forbid.contains(&(id as u32));
        if !logits.iter().enumerate().any(possible) {
            return;
        }
        for &id in self.forbid {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sampler::{Sampler, SamplerOptions};

    proptest! {
        #[test]
        fn forbidden_tokens_are_as_if_impossible(
            logits in prop::collection::vec(prop_oneof![8 => -8f32..8.0, 1 => Just(f32::NEG_INFINITY)], 1..40),
            forbid in prop::collection::vec(0u32..50, 0..6),
            temperature in prop::sample::select(vec![0.0f32, 0.6, 2.0]),
            top_k in prop::sample::select(vec![0u32, 3]),
            repetition_penalty in prop::sample::select(vec![1.0f32, 1.5]),
            position in any::<u64>(),
        ) {
            let options = SamplerOptions { temperature, top_k, repetition_penalty, ..Default::default() };
            let mut sampler = Sampler::new(options).unwrap();
            sampler.accept(1);
            let mut without = logits.clone();
            forbid.iter().filter_map(|id| without.get_mut(*id as usize).map(|l| *l = f32::NEG_INFINITY)).count();
            let steer = Steer { forbid: &forbid, raise: None };
            let got = sampler.sample_steered(&logits, position, steer).map(|sampled| sampled.id).ok();
            let expected = sampler.sample(&without, position).map(|sampled| sampled.id).ok();
            // Where nothing else is possible, a forbidden token comes after all.
            let expected = expected.or_else(|| sampler.sample(&logits, position).map(|sampled| sampled.id).ok());
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_raised_token_comes_near_the_best_but_not_past_it() {
        let raised = |strength, logit: f32| {
            let mut logits = [4.0, logit, f32::NEG_INFINITY];
            let raise = Some(Raise { id: 1, strength, margin: 0.25 });
            Steer { forbid: &[], raise }.apply(&mut logits);
            logits[1]
        };
        assert_eq!([raised(0.5, -4.25), raised(1.0, -4.25)], [-0.25, 3.75]);
        assert_eq!([raised(1.0, 3.9), raised(1.0, 4.0)], [3.9, 4.0], "never lowered");
        assert_eq!(raised(0.5, f32::NEG_INFINITY), f32::NEG_INFINITY);
    }
}
