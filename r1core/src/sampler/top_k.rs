//! Step 4: the k likeliest tokens, found by counting rather than sorting.

use super::candidates::Candidate;

const BUCKETS: usize = 1 << 12;

/// A number that orders like the logit; 0 for what can never be drawn (minus infinity and NaN).
fn key(logit: f32) -> u32 {
    if logit.is_nan() || logit == f32::NEG_INFINITY {
        return 0;
    }
    let bits = logit.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn bucket(key: u32) -> usize {
    (key >> 20) as usize
}

/// Fills `candidates` with the `k` likeliest tokens (equal ones: lower ids first), in no particular order, masses 0.
pub(super) fn gather(logits: &[f32], k: usize, candidates: &mut Vec<Candidate>) {
    candidates.clear();
    if k == 0 {
        return;
    }
    let mut counts = [0u32; BUCKETS];
    for &logit in logits {
        counts[bucket(key(logit))] += 1;
    }
    // The lowest bucket that is needed to have k tokens.
    let mut above = 0;
    let mut lowest = 0;
    for (i, &count) in counts.iter().enumerate().rev() {
        above += count as usize;
        if above >= k {
            lowest = i;
            break;
        }
    }
    let possible = logits.iter().enumerate().filter(|&(_, &logit)| {
        let key = key(logit);
        key != 0 && bucket(key) >= lowest
    });
    candidates.extend(possible.map(|(id, &logit)| Candidate { id: id as u32, logit, mass: 0 }));
    if candidates.len() > k {
        candidates.select_nth_unstable_by(k - 1, Candidate::likelier);
        candidates.truncate(k);
    }
}
