//! The model that ships predicts what another engine says it predicts. The reference comes from llama.cpp, see
//! `golden/logits/make.sh`; both engines round activations to 8 bits, each in its own way, hence the tolerance.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use r1core::{CancelToken, KvCache, Model, Runner, Step, Wanted, top_logprobs};

/// Nats by which two engines' roundings may differ on this model; its tokens below 1 % are left out.
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
