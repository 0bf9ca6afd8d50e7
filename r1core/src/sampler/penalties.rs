//! Step 2: penalties on what was said lately.

use std::collections::{HashMap, VecDeque};

use super::SamplerOptions;

/// The latest accepted tokens and how often each is among them.
#[derive(Debug, Clone)]
pub(super) struct History {
    window: usize,
    recent: VecDeque<u32>,
    counts: HashMap<u32, u32>,
}

impl History {
    pub(super) fn new(window: u32) -> Self {
        Self { window: window as usize, recent: VecDeque::new(), counts: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.recent.clear();
        self.counts.clear();
    }

    pub(super) fn push(&mut self, id: u32) {
        if self.window == 0 {
            return;
        }
        if self.recent.len() == self.window
            && let Some(oldest) = self.recent.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
        self.recent.push_back(id);
        *self.counts.entry(id).or_insert(0) += 1;
    }
}

/// Repetition penalty first, then frequency and presence, each touching only tokens of the window.
pub(super) fn apply(logits: &mut [f32], history: &History, options: &SamplerOptions) {
    for (&id, &count) in &history.counts {
        let Some(logit) = logits.get_mut(id as usize) else { continue };
        *logit = if *logit > 0.0 { *logit / options.repetition_penalty } else { *logit * options.repetition_penalty };
        *logit -= count as f32 * options.frequency_penalty + options.presence_penalty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest() {
        let mut history = History::new(2);
        for id in [5, 5, 6] {
            history.push(id);
        }
        assert_eq!(history.counts, HashMap::from([(5, 1), (6, 1)]));
    }
}
