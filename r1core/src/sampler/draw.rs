//! Step 7: the draw.

use super::candidates::{Candidate, total};

/// Picks a candidate with probability proportional to its mass. Candidates are walked by ascending id, so that their
/// order on arrival does not matter.
pub(super) fn pick(candidates: &mut [Candidate], random: u64) -> Option<u32> {
    candidates.sort_unstable_by_key(|c| c.id);
    // High half of a 64 x 64 bit product: uniform in 0..total.
    let mut ticket = ((u128::from(random) * u128::from(total(candidates))) >> 64) as u64;
    for c in candidates.iter() {
        if ticket < c.mass {
            return Some(c.id);
        }
        ticket -= c.mass;
    }
    None
}
