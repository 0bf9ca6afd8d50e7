//! Models predict what another engine says they predict: the one that ships, and one of every kind of architecture. The
//! reference comes from llama.cpp, see `golden/logits/make.sh`.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/gguf_writer.rs"]
mod gguf_writer;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use r1core::{CacheType, CancelToken, KvCache, Model, ModelOptions, Runner, Step, Wanted, top_logprobs};
use tiny_models::{KINDS, Shape};

/// Nats by which two engines may differ on the model that ships, as both round activations to 8 bits, each in its own
/// way; tokens below 1 % are left out.
const TOLERANCE: f32 = 0.1;
const RARE: f32 = -4.6;

#[test]
fn next_tokens_are_those_of_the_reference_engine() {
    let root = env!("CARGO_MANIFEST_DIR");
    let model = Model::open(format!("{root}/../models/r1-tiny-q8_0.gguf")).unwrap();
    let golden = std::fs::read_to_string(format!("{root}/../tests/golden/logits/r1-tiny.jsonl")).unwrap();
    let mut runner = Runner::new(&model, Some(2), CancelToken::new());
    let mut compared = 0;
    for line in golden.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let tokens: Vec<u32> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let mut cache = KvCache::new(model.config(), Default::default(), tokens.len());
        let logits = runner.run(&mut [Step { cache: &mut cache, tokens: &tokens, wanted: Wanted::Last }]).unwrap();
        let ours = top_logprobs(logits, model.config().vocabulary);
        for (rank, entry) in case["top"].as_array().unwrap().iter().enumerate() {
            let (id, logprob) = (entry[0].as_u64().unwrap() as u32, entry[1].as_f64().unwrap() as f32);
            if logprob < RARE {
                continue;
            }
            let own = ours.iter().find(|(own, _)| *own == id).unwrap().1;
            assert!((own - logprob).abs() < TOLERANCE, "token {id}: {own} here, {logprob} there, after {tokens:?}");
            assert!(rank > 0 || ours[0].0 == id, "another best token after {tokens:?}");
            compared += 1;
        }
    }
    assert!(compared >= 6, "the reference has something to say");
}

/// Weights and cache of F32 leave nothing to round, so that any difference is one of the wiring. (The other engine reads
/// the gate of `gemma3` from a table of half floats.)
#[test]
fn every_architecture_is_wired_as_in_the_reference_engine() {
    let root = env!("CARGO_MANIFEST_DIR");
    let golden = std::fs::read_to_string(format!("{root}/../tests/golden/logits/shapes.jsonl")).unwrap();
    let golden: Vec<serde_json::Value> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tokens: Vec<u32> = (0..100).map(|i| (i * 7919 + 3) % 320).collect();
    for kind in KINDS {
        let case = golden.iter().find(|case| case["kind"] == kind).unwrap();
        let model = Shape::new(kind, "F32").model(&ModelOptions::default());
        let mut cache = KvCache::new(model.config(), CacheType::F32, tokens.len());
        let mut runner = Runner::new(&model, Some(2), CancelToken::new());
        let logits = runner.run(&mut [Step { cache: &mut cache, tokens: &tokens, wanted: Wanted::Last }]).unwrap();
        let ours = top_logprobs(logits, model.config().vocabulary);
        for entry in case["top"].as_array().unwrap() {
            let (id, logprob) = (entry[0].as_u64().unwrap() as u32, entry[1].as_f64().unwrap() as f32);
            let own = ours.iter().find(|(own, _)| *own == id).unwrap().1;
            assert!((own - logprob).abs() < 1e-3, "{kind}, token {id}: {own} here, {logprob} there");
        }
    }
}
