//! What the machine can do at most, measured: the marks that decode and prefill are held against.

use std::hint::black_box;
use std::time::Instant;

use crate::isa::{Isa, Level};
use crate::team::Team;

/// More than any cache that the threads share.
const BYTES: usize = 256 << 20;

/// Bytes of a task, as of a task of a product with one column.
const PART: usize = 128 << 10;

/// Times that each is measured; the best counts, since whatever disturbs only slows.
const TURNS: usize = 5;

/// Multiply-adds of 8-bit integers in one call of a probe, for each thread.
const STEPS: usize = 200_000;

/// Bytes a second that the team's threads read from memory together. Takes 256 MB and about a tenth of a second.
pub fn read_bandwidth(team: &Team) -> f64 {
    let words = vec![1u64; BYTES / size_of::<u64>()];
    best(|| {
        read(team, &words);
        BYTES as f64
    })
}

/// Reads `words` once, shared out among the team's threads.
pub fn read(team: &Team, words: &[u64]) {
    let parts: Vec<&[u64]> = words.chunks(PART / size_of::<u64>()).collect();
    team.run(parts.len(), |part| {
        black_box(parts[part].iter().fold(0u64, |sum, &word| sum.wrapping_add(word)));
    });
}

/// Multiply-adds of 8-bit integers a second that the team's threads do together at most, from registers, with the instruction
/// that the products use; `None` where there is no probe for the instruction set. Takes a few milliseconds.
pub fn int8_products(isa: Isa, team: &Team) -> Option<f64> {
    let probe: Option<fn() -> usize> = match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` proves that the processor has the features.
        Level::Avx512 => Some(|| unsafe { probe_avx512() }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` proves that the processor has the features.
        Level::Avx2 => Some(|| unsafe { probe_avx2() }),
        _ => None,
    };
    let probe = probe?;
    let threads = team.threads();
    Some(best(|| {
        team.run(threads, |_| {
            black_box(probe());
        });
        (threads * probe_products(isa)) as f64
    }))
}

/// Multiply-adds of one call of the probe.
fn probe_products(isa: Isa) -> usize {
    let lanes = if isa.level() == Level::Avx512 { 64 } else { 32 };
    STEPS * CHAINS * lanes
}

/// Independent sums: enough to hide the latency of the instruction.
const CHAINS: usize = 12;

/// The best rate of what `act` says that it did.
fn best(mut act: impl FnMut() -> f64) -> f64 {
    let rate = |_| {
        let begin = Instant::now();
        let done = act();
        done / begin.elapsed().as_secs_f64()
    };
    (0..TURNS).map(rate).fold(0.0, f64::max)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn probe_avx512() -> usize {
    use std::arch::x86_64::*;
    let (a, b) = (_mm512_set1_epi8(black_box(3)), _mm512_set1_epi8(black_box(5)));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, a, b);
        }
        // A loop whose sums could be multiplied out would measure nothing.
        // SAFETY: no instruction.
        unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_epi32(sum) as usize).fold(0, usize::wrapping_add)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn probe_avx2() -> usize {
    use std::arch::x86_64::*;
    let (a, b) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi8(black_box(5)));
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            // The product must be taken anew for each chain, as for codes that differ.
            let mut a = a;
            // SAFETY: no instruction; the register is only made opaque.
            unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) a, options(pure, nomem, nostack, preserves_flags)) };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    }
    let mut words = [0i32; 8];
    sums.into_iter().fold(0usize, |all, sum| {
        // SAFETY: 32 bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), sum) };
        words.iter().fold(all, |all, word| all.wrapping_add(*word as usize))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_rates() {
        let team = Team::new(2);
        assert!(read_bandwidth(&team) > 1e8);
        for isa in Isa::available() {
            let products = int8_products(isa, &team);
            assert_eq!(products.is_some(), matches!(isa.level(), Level::Avx2 | Level::Avx512));
            assert!(products.is_none_or(|rate| rate > 1e8 && rate < 1e14), "{products:?}");
        }
    }
}
