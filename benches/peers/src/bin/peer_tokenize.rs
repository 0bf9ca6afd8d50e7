//! `r1 tokenize` of either engine: bytes on stdin, ids on one line.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::llama::{Loading, Model};
use r1_peers::ours;

const USAGE: &str = "\
peer_tokenize -m FILE [--engine llama] [--bos] [--special] [--json]
bytes on stdin -> ids on one line; engines: llama, r1core";

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let path: PathBuf = args.required("-m")?;
    let name = args.value("--engine")?.unwrap_or_else(|| String::from("llama"));
    let (bos, special, json) = (args.flag("--bos"), args.flag("--special"), args.flag("--json"));
    args.finish()?;
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let ids = match name.as_str() {
        "llama" => llama(&path, &text, bos, special)?,
        "r1core" => ours::tokenize(&path, &text, bos, special)?,
        _ => return Err(format!("no engine is called '{name}'").into()),
    };
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({ "ids": ids }))?;
    } else {
        let words: Vec<String> = ids.iter().map(i32::to_string).collect();
        writeln!(out, "{}", words.join(" "))?;
    }
    Ok(())
}

fn llama(path: &Path, text: &[u8], bos: bool, special: bool) -> Result<Vec<i32>> {
    Model::load(path, Loading { vocabulary_only: true, ..Loading::default() })?.tokenize(text, bos, special)
}
