//! `r1 perplexity` of any engine: how well a model predicts a text.

use std::path::PathBuf;

use r1_peers::args::Args;
use r1_peers::engine::{self, BATCH, Running};
use r1_peers::llama::{Loading, Model};
use r1_peers::{Result, figures, passes};

const USAGE: &str = "\
peer_perplexity -m FILE -f TEXTFILE [--engine llama] [--window 512] [--limit TOKENS] [--exact] [--threads 2] [--json]
Windows do not overlap, begin with what the model puts before a text, and score every token but their first.
nll is the mean over the scored tokens, in nats. Engines: llama, llama-no-repack, r1core; all score llama.cpp's ids.";

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let path: PathBuf = args.required("-m")?;
    let text: PathBuf = args.required("-f")?;
    let window = args.value("--window")?.unwrap_or(512);
    let limit = args.value("--limit")?.unwrap_or(usize::MAX);
    let threads = args.value("--threads")?.unwrap_or(2);
    let name = args.value("--engine")?.unwrap_or_else(|| String::from("llama"));
    let (exact, json) = (args.flag("--exact"), args.flag("--json"));
    args.finish()?;

    let text = std::fs::read(&text).map_err(|e| format!("{}: {e}", text.display()))?;
    let model = Model::load(&path, Loading { vocabulary_only: true, ..Loading::default() })?;
    let mut ids = model.tokenize(&text, false, false)?;
    ids.truncate(limit);
    let mut engine = engine::open(&name, &path, Running { context: window, branches: 1, threads, exact })?;
    let (mut total, mut tokens) = (0.0, 0);
    for window in passes::windows(&ids, model.leading(), window) {
        passes::every_position(&mut *engine, &window, BATCH, |position, logits| {
            if let Some(&next) = window.get(position + 1) {
                total += figures::log_sum_exp(logits) - f64::from(logits[usize::try_from(next)?]);
                tokens += 1;
            }
            Ok(())
        })?;
    }
    let nll = total / f64::from(tokens);
    if json {
        println!("{}", serde_json::json!({ "tokens": tokens, "nll": nll, "perplexity": nll.exp() }));
    } else {
        println!("{tokens} tokens, {nll:.6} nats each, perplexity {:.4}", nll.exp());
    }
    Ok(())
}
