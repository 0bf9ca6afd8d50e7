//! Sampling: each step against a naive one, frequencies against probabilities, and numbers that depend on nothing else.

use proptest::prelude::*;
use r1core::ErrorKind;
use r1core::sampler::{Sampler, SamplerOptions, log_prob, top_logprobs, uniform};

fn off() -> SamplerOptions {
    SamplerOptions { temperature: 1.0, top_p: 1.0, ..SamplerOptions::default() }
}

/// Textbook sampling in f64 with full sorts: the tokens that may be drawn and their probabilities, by id.
fn naive(logits: &[f32], options: &SamplerOptions) -> Vec<(u32, f64)> {
    let mut tokens: Vec<(u32, f64)> = (0u32..).zip(logits).map(|(id, l)| (id, f64::from(*l))).collect();
    tokens.retain(|(_, l)| *l > f64::NEG_INFINITY);
    tokens.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if options.top_k > 0 {
        tokens.truncate(options.top_k as usize);
    }
    let max = tokens[0].1;
    for (_, l) in &mut tokens {
        *l = ((*l - max) / f64::from(options.temperature)).exp();
    }
    let total: f64 = tokens.iter().map(|t| t.1).sum();
    let mut reached = 0.0;
    let mut keep = 0;
    while keep < tokens.len() && (keep == 0 || reached < f64::from(options.top_p) * total - 1e-9) {
        reached += tokens[keep].1;
        keep += 1;
    }
    tokens.truncate(keep);
    let floor = f64::from(options.min_p) * tokens[0].1;
    tokens.retain(|t| t.1 >= floor - 1e-9);
    let total: f64 = tokens.iter().map(|t| t.1).sum();
    let mut out: Vec<_> = tokens.into_iter().map(|(id, w)| (id, w / total)).collect();
    out.sort_by_key(|t| t.0);
    out
}

/// The token that inverse-transform sampling over ascending ids picks for `u`, and how far `u` is from an edge.
fn inverse(distribution: &[(u32, f64)], u: f64) -> (u32, f64) {
    let (mut below, mut edge) = (0.0, f64::INFINITY);
    let mut picked = None;
    for &(id, p) in distribution {
        edge = edge.min((u - below).abs());
        below += p;
        if picked.is_none() && u < below {
            picked = Some(id);
        }
    }
    (picked.unwrap_or(distribution[distribution.len() - 1].0), edge)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_step_equals_a_naive_one(
        // Distinct logits, so that rounding cannot move a cut between equal ones.
        steps in prop::collection::vec(1u32..200, 1..300),
        order in any::<u64>(),
        temperature in 0.2f32..3.0,
        top_k in 0u32..40,
        top_p in 0.05f32..1.0,
        min_p in prop_oneof![Just(0.0f32), 0.01f32..0.5],
        seed in any::<u64>(),
        position in any::<u64>(),
    ) {
        let mut logits: Vec<f32> = steps.iter().scan(0u32, |sum, s| { *sum += s; Some(*sum as f32 * 0.001 - 5.0) }).collect();
        let n = logits.len();
        for i in (1..n).rev() {
            logits.swap(i, (uniform(order, i as u64) * (i + 1) as f64) as usize);
        }
        let options = SamplerOptions { temperature, top_k, top_p, min_p, seed, ..off() };
        let expected = naive(&logits, &options);
        let sampled = Sampler::new(options).unwrap().sample(&logits, position).unwrap();
        let (id, edge) = inverse(&expected, uniform(seed, position));
        if edge > 1e-4 {
            let cut = naive(&logits, &SamplerOptions { temperature, top_k, top_p: (top_p - 2e-6).max(0.01), min_p, ..off() });
            // Skips the rare case in which f32 and f64 disagree about where the nucleus ends.
            prop_assert!(sampled.id == id || cut.len() != expected.len());
        }
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let exact = (f64::from(logits[sampled.id as usize]).exp() / total).ln();
        prop_assert!((f64::from(sampled.logprob) - exact).abs() < 1e-5);
        prop_assert_eq!(sampled.logprob, log_prob(&logits, sampled.id));
    }

    #[test]
    fn top_logprobs_are_the_sorted_head(logits in prop::collection::vec(-30f32..30.0, 1..200), n in 0usize..50) {
        let top = top_logprobs(&logits, n);
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        ids.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        ids.truncate(n);
        prop_assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), ids);
        prop_assert!(top.iter().all(|(id, logprob)| *logprob == log_prob(&logits, *id)));
    }
}

/// Pearson's chi-square of `draws` positions against the naive distribution.
fn chi_square(logits: &[f32], options: &SamplerOptions, draws: u64) -> (f64, usize) {
    let expected = naive(logits, options);
    let mut sampler = Sampler::new(options.clone()).expect("valid options");
    let mut counts = vec![0u64; logits.len()];
    for position in 0..draws {
        counts[sampler.sample(logits, position).expect("a token").id as usize] += 1;
    }
    let mut sum = 0.0;
    for &(id, p) in &expected {
        let mean = p * draws as f64;
        sum += (counts[id as usize] as f64 - mean).powi(2) / mean;
        counts[id as usize] = 0;
    }
    assert!(counts.iter().all(|c| *c == 0), "a token outside the cut was drawn");
    (sum, expected.len() - 1)
}

#[test]
fn frequencies_follow_the_probabilities() {
    let logits: Vec<f32> = (0..20).map(|i| ((i * 7) % 20) as f32 * 0.2).collect();
    for seed in [1, 2, 3] {
        for options in [
            SamplerOptions { seed, ..off() },
            SamplerOptions { seed, temperature: 0.6, top_p: 0.95, ..off() },
            SamplerOptions { seed, top_k: 5, ..off() },
            SamplerOptions { seed, min_p: 0.2, temperature: 2.0, ..off() },
        ] {
            let (chi, degrees) = chi_square(&logits, &options, 50_000);
            // Mean `degrees`, variance twice that; five standard deviations.
            let bound = degrees as f64 + 5.0 * (2.0 * degrees as f64).sqrt();
            assert!(chi < bound, "{chi} for {degrees} degrees of freedom: {options:?}");
        }
    }
}

#[test]
fn a_position_draws_the_same_whatever_came_before() {
    let logits: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
    let options = SamplerOptions { seed: 9, ..SamplerOptions::default() };
    let mut forward = Sampler::new(options.clone()).unwrap();
    let ids: Vec<_> = (0..50).map(|p| forward.sample(&logits, p).unwrap()).collect();
    let mut backward = Sampler::new(options).unwrap();
    for position in (0..50).rev() {
        backward.sample(&logits[..500], 7).unwrap();
        assert_eq!(backward.sample(&logits, position).unwrap(), ids[position as usize]);
    }
    assert!(ids.windows(2).any(|pair| pair[0].id != pair[1].id));
}

/// Changing these changes what a seed means to every host.
#[test]
fn the_tokens_of_a_seed_never_change() {
    let logits: Vec<f32> = (0..152_064).map(|i| ((i * 7919) % 15_013) as f32 * 1e-3).collect();
    let mut sampler = Sampler::new(SamplerOptions { seed: 42, ..SamplerOptions::default() }).unwrap();
    let ids: Vec<u32> = (0..4).map(|p| sampler.sample(&logits, p).unwrap().id).collect();
    assert_eq!(ids, [106_128, 52_245, 145_343, 73_990]);
}

#[test]
fn greedy_takes_the_first_of_equals_and_ignores_nan() {
    let mut sampler = Sampler::new(SamplerOptions::greedy()).unwrap();
    let mut logits = vec![f32::NAN; 100];
    logits[40] = 1.0;
    logits[70] = 1.0;
    logits[90] = 0.5;
    assert_eq!(sampler.sample(&logits, 0).unwrap().id, 40);
    logits[80] = f32::INFINITY;
    let sampled = sampler.sample(&logits, 0).unwrap();
    assert_eq!((sampled.id, sampled.logprob), (80, 0.0));
}

#[test]
fn impossible_rows_are_errors_and_nan_is_never_drawn() {
    let mut sampler = Sampler::new(off()).unwrap();
    for logits in [vec![], vec![f32::NEG_INFINITY; 40], vec![f32::NAN; 3]] {
        assert_eq!(sampler.sample(&logits, 0).unwrap_err().kind(), ErrorKind::State);
        assert_eq!(top_logprobs(&logits, 3), []);
    }
    for options in [off(), SamplerOptions { top_k: 3, ..off() }, SamplerOptions { top_p: 0.9, min_p: 0.1, ..off() }] {
        let mut sampler = Sampler::new(options).unwrap();
        for position in 0..50 {
            let logits = [f32::NAN, 1.0, f32::NEG_INFINITY, 1.0, f32::NAN];
            assert!(matches!(sampler.sample(&logits, position).unwrap().id, 1 | 3));
        }
    }
}

#[test]
fn extreme_logits_and_temperatures_stay_finite() {
    for temperature in [f32::MIN_POSITIVE, 1e-20, 1e20, f32::MAX] {
        let mut sampler = Sampler::new(SamplerOptions { temperature, ..off() }).unwrap();
        for logits in [[f32::MAX, f32::MIN, 0.0], [f32::INFINITY, 1.0, f32::NEG_INFINITY], [-1e38, -1e38, -2e38]] {
            assert!(sampler.sample(&logits, 3).unwrap().logprob <= 0.0);
        }
    }
}

#[test]
fn options_outside_their_range_are_named() {
    type Set = fn(&mut SamplerOptions, f32);
    let fields: [(&str, Set, &[f32]); 6] = [
        ("temperature", |o, v| o.temperature = v, &[-0.1, f32::INFINITY]),
        ("top_p", |o, v| o.top_p = v, &[0.0, -1.0, 1.1]),
        ("min_p", |o, v| o.min_p = v, &[-0.1, 1.5]),
        ("repetition_penalty", |o, v| o.repetition_penalty = v, &[0.0, -1.0, f32::INFINITY]),
        ("presence_penalty", |o, v| o.presence_penalty = v, &[f32::INFINITY]),
        ("logit_bias", |o, v| o.logit_bias = vec![(0, v)], &[f32::INFINITY]),
    ];
    for (name, set, bad) in fields {
        for value in bad.iter().chain(&[f32::NAN]) {
            let mut options = SamplerOptions::default();
            set(&mut options, *value);
            let error = Sampler::new(options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Argument);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    let mut sampler = Sampler::new(SamplerOptions { logit_bias: vec![(9, 1.0)], ..off() }).unwrap();
    assert_eq!(sampler.sample(&[0.0; 9], 0).unwrap_err().kind(), ErrorKind::Argument);
}

#[test]
fn bias_forbids_and_forces() {
    let options =
        SamplerOptions { logit_bias: vec![(2, f32::NEG_INFINITY), (0, 2.0), (0, 2.0)], ..SamplerOptions::greedy() };
    let sampled = Sampler::new(options).unwrap().sample(&[0.0, 3.0, 9.0], 0).unwrap();
    assert_eq!(sampled.id, 0);
    // The log-probability is the model's, not the edited one.
    assert!((sampled.logprob + 9.0).abs() < 0.01);
}

#[test]
fn penalties_touch_only_the_window() {
    let greedy = |options: SamplerOptions, history: &[u32], logits: &[f32]| {
        let mut sampler = Sampler::new(options).unwrap();
        history.iter().for_each(|id| sampler.accept(*id));
        sampler.sample(logits, 0).unwrap().id
    };
    let repetition = SamplerOptions { repetition_penalty: 2.0, ..SamplerOptions::greedy() };
    assert_eq!(greedy(repetition.clone(), &[0], &[3.0, 2.0]), 1);
    assert_eq!(greedy(repetition.clone(), &[0], &[-1.0, -1.5]), 1);
    assert_eq!(greedy(repetition, &[1], &[3.0, 2.0]), 0);
    let presence = SamplerOptions { presence_penalty: 1.5, ..SamplerOptions::greedy() };
    assert_eq!(greedy(presence.clone(), &[0, 0, 0], &[3.0, 1.4]), 0);
    assert_eq!(greedy(presence, &[0], &[3.0, 1.6]), 1);
    let frequency = SamplerOptions { frequency_penalty: 0.5, ..SamplerOptions::greedy() };
    assert_eq!(greedy(frequency.clone(), &[0, 0], &[3.0, 1.9]), 0);
    assert_eq!(greedy(frequency.clone(), &[0, 0, 0], &[3.0, 1.9]), 1);
    let window = SamplerOptions { penalty_window: 2, ..frequency };
    assert_eq!(greedy(window.clone(), &[0, 0, 0], &[3.0, 1.9]), 0);
    assert_eq!(greedy(window, &[0, 0, 1, 1], &[3.0, 2.9]), 0);
    let mut sampler = Sampler::new(SamplerOptions { presence_penalty: 5.0, ..SamplerOptions::greedy() }).unwrap();
    sampler.accept(0);
    sampler.reset();
    assert_eq!(sampler.sample(&[1.0, 0.0], 0).unwrap().id, 0);
}
