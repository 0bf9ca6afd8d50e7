//! Engines on the same file in one process, in turns, so that a noisy machine troubles all of them alike.

use std::path::PathBuf;
use std::time::Instant;

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::engine::{self, BATCH, Engine, Running, Want};
use r1_peers::figures::quantile;
use r1_peers::llama;

const USAGE: &str = "\
speed -m FILE [-p 512] [-n 128] [--threads 2] [--rounds 5] [--engines llama,llama-no-repack,r1core] [--json]
Prefill of -p tokens and decode of -n tokens after an empty context, in interleaved rounds; prints medians in
tokens per second and the ratio to the first engine.";

struct Lane {
    name: String,
    engine: Box<dyn Engine>,
    prefill: Vec<f64>,
    decode: Vec<f64>,
}

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let path: PathBuf = args.required("-m")?;
    let prompt = args.value("-p")?.unwrap_or(512);
    let generated = args.value("-n")?.unwrap_or(128);
    let threads = args.value("--threads")?.unwrap_or(2);
    let rounds = args.value("--rounds")?.unwrap_or(5);
    let names = args.value("--engines")?.unwrap_or_else(|| String::from("llama,llama-no-repack,r1core"));
    let json = args.flag("--json");
    args.finish()?;
    llama::require_native_build()?;

    let running = Running { context: prompt.max(generated).max(1), threads, exact: false };
    let mut lanes = Vec::new();
    for name in names.split(',') {
        let engine = engine::open(name, &path, running)?;
        lanes.push(Lane { name: name.to_owned(), engine, prefill: Vec::new(), decode: Vec::new() });
    }
    let vocabulary = lanes.first().map_or(0, |lane| lane.engine.vocabulary());
    let prompt = some_ids(prompt, vocabulary, 1);
    let generated = some_ids(generated, vocabulary, 2);

    for lane in &mut lanes {
        compute(&mut *lane.engine, &prompt, BATCH)?;
        compute(&mut *lane.engine, &generated[..generated.len().min(8)], 1)?;
        lane.engine.rest();
    }
    for round in 0..rounds {
        // Who goes first changes from round to round.
        let count = lanes.len();
        for turn in 0..count {
            let lane = &mut lanes[(turn + round) % count];
            lane.prefill.push(compute(&mut *lane.engine, &prompt, BATCH)?);
            lane.decode.push(compute(&mut *lane.engine, &generated, 1)?);
            lane.engine.rest();
        }
    }

    let mut first = None;
    for lane in lanes {
        let (prefill, decode) = (quantile(lane.prefill.clone(), 0.5), quantile(lane.decode.clone(), 0.5));
        let (best_prefill, best_decode) = (quantile(lane.prefill, 1.0), quantile(lane.decode, 1.0));
        let &mut (first_prefill, first_decode) = first.get_or_insert((prefill, decode));
        let (prefill_ratio, decode_ratio) = (prefill / first_prefill, decode / first_decode);
        let name = lane.name;
        if json {
            let figures = serde_json::json!({
                "engine": name, "threads": threads, "rounds": rounds, "prefill_tokens": prompt.len(), "decode_tokens": generated.len(),
                "prefill": prefill, "decode": decode, "prefill_best": best_prefill, "decode_best": best_decode,
                "prefill_ratio": prefill_ratio, "decode_ratio": decode_ratio,
            });
            println!("{figures}");
        } else {
            println!(
                "{name:18} prefill {prefill:8.1} t/s (best {best_prefill:8.1}, x{prefill_ratio:.2})   \
                 decode {decode:7.2} t/s (best {best_decode:7.2}, x{decode_ratio:.2})"
            );
        }
    }
    Ok(())
}

/// Computes `ids` from an empty context, `batch` of them a call, with the logits of each call's last; tokens per second.
fn compute(engine: &mut dyn Engine, ids: &[i32], batch: usize) -> Result<f64> {
    let start = Instant::now();
    engine.clear()?;
    for chunk in ids.chunks(batch) {
        engine.decode(chunk, Want::Last)?;
    }
    Ok(ids.len() as f64 / start.elapsed().as_secs_f64())
}

/// `n` ids spread over the vocabulary, the same for the same seed (a linear congruential sequence's high bits).
fn some_ids(n: usize, vocabulary: usize, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize % vocabulary.max(1)) as i32
    };
    (0..n).map(|_| next()).collect()
}
