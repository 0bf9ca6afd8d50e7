//! Two ways to choose tokens: inside thoughts and outside.

use crate::Result;
use crate::reasoning::Phase;
use crate::sampler::{Sampler, SamplerOptions, Scores, Steer};

/// The samplers of one sequence.
#[derive(Debug)]
pub(super) struct Profiles {
    thinking: Sampler,
    /// `None` where answers are sampled as thoughts are.
    answering: Option<Sampler>,
    /// The latest token was sampled inside a thought.
    inside: bool,
}

impl Profiles {
    pub(super) fn new(thinking: &SamplerOptions, answering: Option<&SamplerOptions>) -> Result<Self> {
        let answering = answering.map(|options| Sampler::new(options.clone())).transpose()?;
        Ok(Self { thinking: Sampler::new(thinking.clone())?, answering, inside: false })
    }

    /// Chooses the token for `position`.
    pub(super) fn choose(
        &mut self,
        phase: Phase,
        scores: &mut dyn Scores,
        position: u64,
        steer: Steer<'_>,
    ) -> Result<u32> {
        let inside = phase == Phase::Thinking;
        if inside != self.inside {
            // What was thought must not be penalised when it is said.
            self.inside = inside;
            self.current().reset();
        }
        self.current().choose(scores, position, steer)
    }

    /// Whether the best token is likely to be all that a choice in `phase` needs.
    pub(super) fn is_greedy(&self, phase: Phase) -> bool {
        match &self.answering {
            Some(answering) if phase != Phase::Thinking => answering.is_greedy(),
            _ => self.thinking.is_greedy(),
        }
    }

    /// The token that [`Profiles::sample`] will most likely draw for a later `position`. Changes nothing.
    pub(super) fn foresee(&mut self, phase: Phase, logits: &[f32], position: u64) -> Option<u32> {
        let inside = std::mem::replace(&mut self.inside, phase == Phase::Thinking);
        let foreseen = self.current().sample(logits, position).ok();
        self.inside = inside;
        foreseen.map(|sampled| sampled.id)
    }

    /// Enters the token that was drawn last into the history of penalties.
    pub(super) fn accept(&mut self, id: u32) {
        self.current().accept(id);
    }

    fn current(&mut self) -> &mut Sampler {
        match &mut self.answering {
            Some(answering) if !self.inside => answering,
            _ => &mut self.thinking,
        }
    }
}
