//! DeepSeek-R1 itself, as far as a header goes: its numbers are understood, and memory and speed can be told beforehand.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/deepseek_r1.rs"]
mod deepseek_r1;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use deepseek_r1::{Mix, header};
use r1core::config::{AttentionConfig, Config, FeedForward, Gating, Groups};
use r1core::gguf::{Gguf, LoadMode};
use r1core::{CacheType, Estimate};

/// The header as a file, which is where headers without data can be opened from.
fn open(mix: Mix, merged: bool) -> (Gguf, Config) {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Relaxed);
    let path = std::env::temp_dir().join(format!("r1core-671b-{}-{number}.gguf", std::process::id()));
    std::fs::write(&path, header(mix, merged).header()).unwrap();
    let gguf = Gguf::open(&path, LoadMode::HeaderOnly).unwrap();
    std::fs::remove_file(path).unwrap();
    let config = Config::from_gguf(&gguf).unwrap();
    (gguf, config)
}

#[test]
fn both_forms_have_the_tensors_that_real_files_have() {
    for (merged, tensors) in [(false, 1086), (true, 1025)] {
        let (gguf, _) = open(Mix::Q4KM, merged);
        assert_eq!(gguf.tensors().len(), tensors);
        assert_eq!(gguf.tensors().iter().filter(|t| t.type_name() == "F32").count(), 361);
        let parameters: u64 = gguf.tensors().iter().map(|t| t.elements()).sum();
        assert_eq!(parameters / 1_000_000_000, 671);
    }
}

#[test]
fn its_layers_are_what_its_paper_says() {
    for merged in [false, true] {
        let (_, config) = open(Mix::Q8_0, merged);
        assert_eq!(config.layers.len(), 61);
        for (il, layer) in config.layers.iter().enumerate() {
            let AttentionConfig::Latent(attention) = &layer.attention else { panic!("layer {il}: not latent") };
            assert_eq!((attention.heads, attention.row_dim(), attention.value_dim), (128, 576, 128));
            assert!((attention.scale - 0.135_233_8).abs() < 1e-6, "{}", attention.scale);
            let FeedForward::Experts(experts) = &layer.feed_forward.kind else {
                assert!(il < 3, "layer {il}: no experts");
                continue;
            };
            assert_eq!((il >= 3, experts.count, experts.used, experts.width), (true, 256, 8, 2048));
            assert_eq!(experts.shared.map(|s| (s.width, s.gated)), Some((2048, false)));
            let router = experts.router;
            assert_eq!((router.gating, router.selection_bias, router.normalise), (Gating::Sigmoid, true, true));
            assert_eq!(router.groups, (!merged).then_some(Groups { count: 8, used: 4 }));
        }
    }
}

#[test]
fn memory_and_reads_are_told_from_the_header() {
    let estimate = |mix| {
        let (gguf, config) = open(mix, false);
        Estimate::new(&gguf, &config, Some(32_768), CacheType::F16).unwrap()
    };
    let billion = |bytes: u64| (bytes + 500_000_000) / 1_000_000_000;
    let e = estimate(Mix::Q4KM);
    // 61 layers of 576 half floats a position.
    assert_eq!(e.cache, 32_768 * 61 * 576 * 2);
    // Published files of this mix take 404 GB; a twentieth of the weights is used by a token.
    assert!((395..=410).contains(&billion(e.weights)), "{}", e.weights);
    assert!((18..=24).contains(&billion(e.read_per_token)), "{}", e.read_per_token);
    assert_eq!(e.read_per_token, e.weights - e.experts + e.experts / 32);
    assert!((700..=720).contains(&billion(estimate(Mix::Q8_0).weights)));
    assert!(estimate(Mix::IQ1S).weights < estimate(Mix::Q2K).weights);
}
