//! `r1 tokenize` and `r1 detokenize`.

use std::io::{self, Read, Write};

use r1core::EncodeOptions;
use serde_json::json;

use crate::args::{DetokenizeArgs, TokenizeArgs};
use crate::open;
use crate::output::{Failure, Outcome, json_line};

pub(crate) fn tokenize(args: &TokenizeArgs) -> Outcome {
    let tokenizer = open::tokenizer(args.model.as_deref())?;
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let ids = tokenizer.encode_bytes(&text, EncodeOptions { add_bos: args.bos, parse_special: args.special });
    if args.json {
        return json_line(&json!({ "ids": ids }));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (i, id) in ids.iter().enumerate() {
        write!(out, "{}{id}", if i == 0 { "" } else { " " })?;
    }
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

pub(crate) fn detokenize(args: &DetokenizeArgs) -> Outcome {
    let tokenizer = open::tokenizer(args.model.as_deref())?;
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let ids = parse_ids(&text)?;
    if let Some(bad) = ids.iter().find(|id| **id as usize >= tokenizer.len()) {
        return Err(Failure::Usage(format!("token {bad} is outside the vocabulary of {}", tokenizer.len())));
    }
    let mut out = io::stdout().lock();
    out.write_all(&tokenizer.decode(&ids, args.special))?;
    out.flush()?;
    Ok(())
}

/// Token ids separated by white space or commas.
pub(crate) fn parse_ids(text: &str) -> Outcome<Vec<u32>> {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().map_err(|_| Failure::Usage(format!("'{word}' is not a token id"))))
        .collect()
}
