//! Engines on the same file in one process, in turns, so that a noisy machine troubles all of them alike.

use std::path::{Path, PathBuf};
use std::time::Instant;

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::figures::quantile;
use r1_peers::llama::{self, BATCH, Context, Loading, Model, Running, Want};

const USAGE: &str = "\
speed -m FILE [-p 512] [-n 128] [--threads 2] [--rounds 5] [--engines llama,llama-no-repack] [--json]
Prefill of -p tokens and decode of -n tokens after an empty context, in interleaved rounds; prints medians in
tokens per second and the ratio to the first engine.";

/// Something that runs a model.
trait Engine {
    /// Computes `ids` from an empty context, as few calls as it takes, for the logits of the last.
    fn prefill(&mut self, ids: &[i32]) -> Result<()>;
    /// Computes `ids` from an empty context one by one, for the logits of each.
    fn decode(&mut self, ids: &[i32]) -> Result<()>;
    /// Leaves the processor to others until the next call.
    fn rest(&mut self);
}

struct LlamaCpp(Context<'static>);

impl LlamaCpp {
    fn load(path: &Path, repack: bool, running: Running) -> Result<Self> {
        // The model lives as long as the process, so the context may borrow it for ever.
        let model: &'static Model = Box::leak(Box::new(Model::load(path, Loading { repack, ..Loading::default() })?));
        Ok(Self(Context::new(model, running)?))
    }
}

impl Engine for LlamaCpp {
    fn prefill(&mut self, ids: &[i32]) -> Result<()> {
        self.0.clear();
        ids.chunks(BATCH).try_for_each(|chunk| self.0.decode(chunk, Want::Last))
    }

    fn decode(&mut self, ids: &[i32]) -> Result<()> {
        self.0.clear();
        ids.iter().try_for_each(|&id| self.0.decode(&[id], Want::Last))
    }

    fn rest(&mut self) {
        self.0.rest();
    }
}

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
    let names = args.value("--engines")?.unwrap_or_else(|| String::from("llama,llama-no-repack"));
    let json = args.flag("--json");
    args.finish()?;
    llama::require_native_build()?;

    let running = Running { context: prompt.max(generated).max(1), threads, exact: false };
    let mut lanes = Vec::new();
    for name in names.split(',') {
        let engine: Box<dyn Engine> = match name {
            "llama" => Box::new(LlamaCpp::load(&path, true, running)?),
            "llama-no-repack" => Box::new(LlamaCpp::load(&path, false, running)?),
            _ => return Err(format!("no engine is called '{name}'").into()),
        };
        lanes.push(Lane { name: name.to_owned(), engine, prefill: Vec::new(), decode: Vec::new() });
    }
    let vocabulary = Model::load(&path, Loading { vocabulary_only: true, ..Loading::default() })?.vocabulary();
    let prompt = some_ids(prompt, vocabulary, 1);
    let generated = some_ids(generated, vocabulary, 2);

    for lane in &mut lanes {
        lane.engine.prefill(&prompt)?;
        lane.engine.decode(&generated[..generated.len().min(8)])?;
        lane.engine.rest();
    }
    for round in 0..rounds {
        // Who goes first changes from round to round.
        let count = lanes.len();
        for turn in 0..count {
            let lane = &mut lanes[(turn + round) % count];
            let rate = timed(prompt.len(), || lane.engine.prefill(&prompt))?;
            lane.prefill.push(rate);
            let rate = timed(generated.len(), || lane.engine.decode(&generated))?;
            lane.decode.push(rate);
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

/// Tokens per second of work on `tokens` tokens.
fn timed(tokens: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(tokens as f64 / start.elapsed().as_secs_f64())
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
