//! Step 5: the nucleus (Holtzman et al. 2020), found by halving rather than sorting.

use super::candidates::{Candidate, total};

/// Keeps the smallest set of likeliest candidates whose mass reaches `top_p` of the whole; at least one.
pub(super) fn cut(candidates: &mut Vec<Candidate>, top_p: f32) {
    if top_p >= 1.0 || candidates.len() < 2 {
        return;
    }
    let target = (f64::from(top_p) * total(candidates) as f64) as u64;
    // Invariant: everything before `start` is kept and has the mass `kept`; everything from `end` on is dropped; the
    // cut lies between. Masses are integers, so sums do not depend on how the selection permutes.
    let (mut start, mut end, mut kept) = (0, candidates.len(), 0u64);
    while end - start > 1 {
        let half = (end - start) / 2;
        candidates[start..end].select_nth_unstable_by(half, Candidate::likelier);
        let upper = total(&candidates[start..start + half]);
        if kept + upper >= target {
            end = start + half;
        } else {
            start += half;
            kept += upper;
        }
    }
    candidates.truncate(end);
}
