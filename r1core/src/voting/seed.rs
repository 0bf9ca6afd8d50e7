//! Seeds of samples.

use crate::sampler::bits;

/// Keeps the seeds of samples apart from the random numbers of positions, which come from the same function.
const DOMAIN: u64 = 0x766F_7465_2073_6565;

/// The seed of one sample of a vote or of an evaluation, from the seed of the whole. It depends on nothing else, so a
/// sample is the same however many there are. Sample 0 has the seed of the whole: it is the reply without a vote.
///
/// ```
/// use r1core::voting::sample_seed;
/// assert_eq!(sample_seed(42, 0), 42);
/// assert_ne!(sample_seed(42, 1), sample_seed(43, 1));
/// ```
pub fn sample_seed(seed: u64, sample: usize) -> u64 {
    if sample == 0 { seed } else { bits(seed ^ DOMAIN, sample as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn seeds_of_samples_differ_and_never_change() {
        let seeds: HashSet<u64> = (0..64).flat_map(|seed| (0..64).map(move |i| sample_seed(seed, i))).collect();
        assert_eq!(seeds.len(), 64 * 64);
        // A change of this number changes every vote.
        assert_eq!(sample_seed(0, 1), 1_916_331_885_041_659_752);
    }
}
