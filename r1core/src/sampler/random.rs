//! Random numbers by counter: no state, so nothing can shift them.

/// 64 random bits for one position of one sequence: two rounds of the SplitMix64 finaliser over seed and position.
pub(crate) fn bits(seed: u64, position: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    mix(mix(seed.wrapping_add(GOLDEN)).wrapping_add(position.wrapping_mul(GOLDEN)))
}

/// The uniform number in [0, 1) that a [`Sampler`](super::Sampler) with `seed` uses for `position`.
pub fn uniform(seed: u64, position: u64) -> f64 {
    // 53 bits: every value is exact in f64 and below 1.
    (bits(seed, position) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of these numbers changes what a seed means to every host.
    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let pinned = [5_197_578_548_964_807_871, 12_035_550_249_420_947_055, 12_870_963_724_712_631_011];
        assert_eq!([bits(0, 0), bits(0, 1), bits(42, 0)], pinned);
    }

    #[test]
    fn bits_are_balanced_over_positions_and_seeds() {
        for column in [|i| bits(7, i), |i| bits(i, 7)] {
            for bit in 0..64 {
                let ones = (0..4096).filter(|&i| column(i) >> bit & 1 == 1).count();
                assert!((1850..2250).contains(&ones), "bit {bit}: {ones} of 4096");
            }
        }
    }
}
