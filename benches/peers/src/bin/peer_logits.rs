//! `r1 logits` of any engine: lines of ids on stdin, log-probabilities out.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use r1_peers::args::Args;
use r1_peers::engine::{self, BATCH, Running};
use r1_peers::{Result, dump, figures, passes};

const USAGE: &str = "\
peer_logits -m FILE [--engine llama] [--top 20] [--all-positions] [--dump FILE] [--exact] [--batch 512] [--threads 2]
lines of ids on stdin; for each line {\"ids\": n, \"top\": [[id, logprob], ...]} of its last position
  --all-positions  one such object for every position, with \"position\": p
  --dump FILE      writes the raw logits too: u32 positions, u32 vocabulary, f32 rows (little-endian)
  --exact          f32 cache and no flash attention: a reference, for a file of f32 weights
  --batch N        positions in one call at most
  --engine NAME    llama, llama-no-repack (its weights stay in their blocks) or r1core";

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let path: PathBuf = args.required("-m")?;
    let top = args.value("--top")?.unwrap_or(20);
    let threads = args.value("--threads")?.unwrap_or(2);
    let dump_to: Option<PathBuf> = args.value("--dump")?;
    let name = args.value("--engine")?.unwrap_or_else(|| String::from("llama"));
    let batch = args.value("--batch")?.unwrap_or(BATCH).clamp(1, BATCH);
    let (all, exact) = (args.flag("--all-positions"), args.flag("--exact"));
    args.flag("--json"); // the only form there is
    args.finish()?;
    let lines = std::io::stdin().lock().lines().map(|line| ids(&line?)).collect::<Result<Vec<_>>>()?;
    let longest = lines.iter().map(Vec::len).max().unwrap_or(0);

    let mut engine = engine::open(&name, &path, Running { context: longest.max(1), branches: 1, threads, exact })?;
    let mut dump = dump_to.map(|path| dump::Writer::create(&path, engine.vocabulary())).transpose()?;
    let mut out = std::io::stdout().lock();
    for ids in lines.iter().filter(|ids| !ids.is_empty()) {
        let mut take = |position: Option<usize>, logits: &[f32]| {
            let mut object = serde_json::json!({ "ids": ids.len(), "top": figures::top(logits, top) });
            if let Some(position) = position {
                object["position"] = position.into();
            }
            writeln!(out, "{object}")?;
            dump.as_mut().map_or(Ok(()), |dump| dump.row(logits))
        };
        if all {
            passes::every_position(&mut *engine, ids, batch, |position, logits| take(Some(position), logits))?;
        } else {
            passes::last_position(&mut *engine, ids, batch, |logits| take(None, logits))?;
        }
    }
    dump.map_or(Ok(()), dump::Writer::finish)
}

fn ids(line: &str) -> Result<Vec<i32>> {
    line.split_whitespace().map(|word| word.parse().map_err(|_| format!("'{word}' is not a token id").into())).collect()
}
