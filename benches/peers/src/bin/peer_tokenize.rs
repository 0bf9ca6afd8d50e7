//! llama.cpp's `r1 tokenize`: bytes on stdin, ids on one line.

use std::io::{Read, Write};
use std::path::PathBuf;

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::llama::{Loading, Model};

const USAGE: &str = "peer_tokenize -m FILE [--bos] [--special] [--json]    bytes on stdin -> ids on one line";

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let path: PathBuf = args.required("-m")?;
    let (bos, special, json) = (args.flag("--bos"), args.flag("--special"), args.flag("--json"));
    args.finish()?;
    let model = Model::load(&path, Loading { vocabulary_only: true, ..Loading::default() })?;
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let ids = model.tokenize(&text, bos, special)?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({ "ids": ids }))?;
    } else {
        let words: Vec<String> = ids.iter().map(i32::to_string).collect();
        writeln!(out, "{}", words.join(" "))?;
    }
    Ok(())
}
