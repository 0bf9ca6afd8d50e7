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
