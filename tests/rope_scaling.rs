//! What a file says of YaRN and LongRoPE means what its converter meant: the rotation's length, its frequencies and the scores' scale.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/gguf_writer.rs"]
mod gguf_writer;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use gguf_writer::GgufWriter;
use r1core::Config;
use r1core::config::AttentionConfig;
use r1core::gguf::Gguf;
use tiny_models::{Latent, Shape};

fn config(file: &GgufWriter) -> Config {
    Config::from_gguf(&Gguf::from_bytes(file.build()).unwrap()).unwrap()
}

fn scale(config: &Config) -> f64 {
    f64::from(match config.layers[0].attention {
        AttentionConfig::Grouped(grouped) => grouped.scale,
        AttentionConfig::Latent(latent) => latent.scale,
    })
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} is not {b}");
}

/// Heads as long as those of DeepSeek-R1.
fn deepseek(kind: &'static str) -> GgufWriter {
    let mut shape = Shape { layers: 1, ..Shape::new(kind, "Q8_0") };
    shape.latent = shape.latent.map(|latent| Latent { nope: 128, rope: 64, ..latent });
    shape.writer()
}

const MULTIPLIER: &str = "deepseek2.rope.scaling.yarn_log_multiplier";

#[test]
fn deepseek_lengthens_the_scores_and_not_the_rotation() {
    for kind in ["deepseek2", "deepseek2-merged", "deepseek2-moe"] {
        let r1 = config(&deepseek(kind));
        close(r1.ropes[0].multiplier(), 1.0);
        close(scale(&r1), 0.135_233_8);
        close(r1.ropes[0].freq_scale, 1.0 / 40.0);
        assert_eq!((r1.ropes[0].n_rot, r1.ropes[0].n_ctx_orig), (64, 64));
    }
    let lite = config(&deepseek("deepseek2-lite-moe"));
    close(lite.ropes[0].multiplier(), 1.0);
    close(scale(&lite), (1.0 + 0.0707 * 40f64.ln()).powi(2) / 192f64.sqrt());
}

#[test]
fn deepseek_without_the_multiplier_lengthens_both() {
    let length = 1.0 + 0.1 * 40f64.ln();
    let old = config(&deepseek("deepseek2").without(MULTIPLIER));
    close(old.ropes[0].multiplier(), length);
    close(scale(&old), length * length / 192f64.sqrt());
}

#[test]
fn deepseek_without_a_scaling_is_plain() {
    let kind = "deepseek2.rope.scaling.type";
    let plain = config(&deepseek("deepseek2").without(kind).str(kind, "none"));
    close(plain.ropes[0].multiplier(), 1.0);
    close(plain.ropes[0].freq_scale, 1.0);
    close(scale(&plain), 1.0 / 192f64.sqrt());
}

#[test]
fn other_families_lengthen_the_rotation_and_not_the_scores() {
    for kind in ["qwen2", "qwen3", "qwen3moe", "llama"] {
        let shape = Shape { layers: 1, yarn: Some(4.0), ..Shape::new(kind, "Q8_0") };
        let file = shape.writer();
        let yarn = config(&file);
        close(yarn.ropes[0].multiplier(), 1.0 + 0.1 * 4f64.ln());
        close(scale(&yarn), 1.0 / 8.0);
        assert_eq!((yarn.ropes[0].ext_factor, yarn.ropes[0].n_ctx_orig), (1.0, 64));
        let lengthened = config(&file.clone().f32(&format!("{kind}.rope.scaling.attn_factor"), 1.5));
        close(lengthened.ropes[0].multiplier(), 1.5 * (1.0 + 0.1 * 4f64.ln()));
        let unsaid = config(&file.without(&format!("{kind}.rope.scaling.original_context_length")));
        assert_eq!(unsaid.ropes[0].n_ctx_orig, 2048);
    }
}

#[test]
fn longrope_takes_the_factors_of_the_context_that_the_file_names() {
    let file = Shape { layers: 1, ..Shape::new("phi3", "Q8_0") }.writer();
    let rope = |file: &GgufWriter| config(file).ropes[0].clone();
    let long = rope(&file);
    close(long.multiplier(), 1.19f32.into());
    close(long.freq_scale, 1.0);
    assert_eq!(long.factors.as_ref().unwrap()[..3], [1.0, 1.125, 1.25]);
    let said = rope(&file.clone().str("phi3.rope.scaling.type", "longrope"));
    assert_eq!((said.factors, said.ext_factor), (long.factors, 0.0));
    let short = rope(&file.clone().without("phi3.context_length").u32("phi3.context_length", 64));
    assert!(short.factors.unwrap().iter().all(|f| *f == 1.0));
    let plain = rope(&file.without_tensor("rope_factors_long.weight"));
    assert_eq!(plain.factors, None);
}
