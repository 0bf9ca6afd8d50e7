//! Step 6: a floor relative to the likeliest token.

use super::candidates::Candidate;

/// Drops candidates lighter than `min_p` times the heaviest.
pub(super) fn cut(candidates: &mut Vec<Candidate>, min_p: f32) {
    if min_p <= 0.0 {
        return;
    }
    let Some(heaviest) = candidates.iter().map(|c| c.mass).max() else { return };
    let floor = (f64::from(min_p) * heaviest as f64) as u64;
    candidates.retain(|c| c.mass >= floor);
}
