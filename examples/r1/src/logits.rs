//! `r1 logits`: the most probable next tokens, for comparison with other engines.

use std::io::{self, BufRead};

use r1core::{SessionOptions, top_logprobs};
use serde_json::json;

use crate::args::LogitsArgs;
use crate::output::{Outcome, json_line};
use crate::{open, tokenize};

pub(crate) fn run(args: &LogitsArgs) -> Outcome {
    let model = open::model(&args.model)?;
    let context = model.config().context_length;
    let mut session = model.session(SessionOptions {
        prefill_chunk: args.chunk,
        context: Some(context),
        ..open::session_options(&args.model, None)
    })?;
    for line in io::stdin().lock().lines() {
        let ids = tokenize::parse_ids(&line?)?;
        if ids.is_empty() {
            continue;
        }
        session.truncate(0);
        session.prefill(&ids)?;
        let top = top_logprobs(session.logits()?, args.top);
        if args.json {
            json_line(&json!({ "ids": ids.len(), "top": top }))?;
        } else {
            println!("after {} ids:", ids.len());
            for (id, logprob) in top {
                let piece = model.tokenizer().decode(&[id], true);
                println!("{id:>8} {logprob:>9.4}  {:?}", String::from_utf8_lossy(&piece));
            }
        }
    }
    Ok(())
}
