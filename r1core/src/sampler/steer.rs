//! What a controller wishes for one step.

use super::TokenMask;
use super::candidates::argmax;

/// What a controller wishes for one step. The default wishes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Steer<'a> {
    /// Tokens that may come; `None` allows all. This is no wish but a law: where no token of it is possible, nothing is
    /// drawn. Its [`iter`](TokenMask::iter) need not have the tokens of `keep`.
    pub mask: Option<&'a TokenMask>,
    /// Tokens that `mask` does not bind: the tags and ends that a controller needs.
    pub keep: &'a [u32],
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
    /// Whether a token may come, as far as the mask is concerned.
    pub fn allows(&self, id: u32) -> bool {
        self.mask.is_none_or(|mask| mask.contains(id) || self.keep.contains(&id))
    }

    /// Makes `out` a copy of the logits in which tokens that may not come are impossible.
    pub(super) fn copy(&self, logits: &[f32], out: &mut Vec<f32>) {
        let Some(mask) = self.mask else {
            out.clear();
            return out.extend_from_slice(logits);
        };
        mask.copy(logits, out);
        for &id in self.keep {
            if let (Some(to), Some(from)) = (out.get_mut(id as usize), logits.get(id as usize)) {
                *to = *from;
            }
        }
    }

    /// Whether it wishes nothing, the mask aside.
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
            let steer = Steer { forbid: &forbid, ..Default::default() };
            let got = sampler.sample_steered(&logits, position, steer).map(|sampled| sampled.id).ok();
            let expected = sampler.sample(&without, position).map(|sampled| sampled.id).ok();
            // Where nothing else is possible, a forbidden token comes after all.
            let expected = expected.or_else(|| sampler.sample(&logits, position).map(|sampled| sampled.id).ok());
            prop_assert_eq!(got, expected);
        }
    }

    proptest! {
        #[test]
        fn a_mask_is_never_given_up(
            logits in prop::collection::vec(
                prop_oneof![8 => -8f32..8.0, 2 => Just(f32::NEG_INFINITY), 1 => Just(f32::NAN)], 1..150),
            allow in prop::collection::vec(0u32..150, 0..9),
            keep in prop::collection::vec(0u32..150, 0..2),
            forbid in prop::collection::vec(0u32..150, 0..4),
            raise in prop::option::of(0u32..150),
            temperature in prop::sample::select(vec![0.0f32, 0.6, 2.0]),
            top_k in prop::sample::select(vec![0u32, 3]),
            repetition_penalty in prop::sample::select(vec![1.0f32, 1.5]),
            position in any::<u64>(),
        ) {
            let options = SamplerOptions { temperature, top_k, repetition_penalty, ..Default::default() };
            let mut sampler = Sampler::new(options).unwrap();
            sampler.accept(1);
            let mut mask = TokenMask::none(logits.len());
            allow.iter().for_each(|id| mask.allow(*id));
            let raise = raise.map(|id| Raise { id, strength: 1.0, margin: 0.1 });
            let steer = Steer { mask: Some(&mask), keep: &keep, forbid: &forbid, raise };
            let possible = |id: &u32| {
                logits.get(*id as usize).is_some_and(|logit| *logit > f32::NEG_INFINITY)
                    && (allow.contains(id) || keep.contains(id))
            };
            let wanted: Vec<u32> = (0..150).filter(possible).collect();
            match sampler.sample_steered(&logits, position, steer) {
                Ok(sampled) => {
                    prop_assert!(wanted.contains(&sampled.id) && steer.allows(sampled.id));
                    let wished = |id: &u32| !forbid.contains(id);
                    prop_assert!(wished(&sampled.id) || !wanted.iter().any(wished));
                    prop_assert_eq!(sampled.logprob, crate::sampler::log_prob(&logits, sampled.id));
                }
                Err(e) => {
                    prop_assert!(wanted.is_empty(), "{:?}", wanted);
                    prop_assert!(e.remedy_text().is_some() && e.to_string().contains("allowed"), "{}", e);
                }
            }
        }
    }

    #[test]
    fn a_raised_token_comes_near_the_best_but_not_past_it() {
        let raised = |strength, logit: f32| {
            let mut logits = [4.0, logit, f32::NEG_INFINITY];
            let raise = Some(Raise { id: 1, strength, margin: 0.25 });
            Steer { raise, ..Default::default() }.apply(&mut logits);
            logits[1]
        };
        assert_eq!([raised(0.5, -4.25), raised(1.0, -4.25)], [-0.25, 3.75]);
        assert_eq!([raised(1.0, 3.9), raised(1.0, 4.0)], [3.9, 4.0], "never lowered");
        assert_eq!(raised(0.5, f32::NEG_INFINITY), f32::NEG_INFINITY);
    }
}
