//! `r1 perplexity`: how well the model predicts a text.

use r1core::{EncodeOptions, KvCache, Runner, Step, Wanted, log_prob};
use serde_json::json;

use crate::args::PerplexityArgs;
use crate::output::{Failure, Outcome, json_line};
use crate::{interrupt, open};

/// Logits computed at a time: bounds the buffer for large vocabularies.
const CHUNK: usize = 64;

pub(crate) fn run(args: &PerplexityArgs) -> Outcome {
    let text = std::fs::read(&args.file).map_err(|e| Failure::File(args.file.display().to_string(), e))?;
    let model = open::model(&args.model)?;
    let tokenizer = model.tokenizer();
    let mut ids = tokenizer.encode_bytes(&text, EncodeOptions::default());
    ids.truncate(args.max_tokens.unwrap_or(usize::MAX));
    let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
    let context = (args.context as usize).min(model.config().context_length);
    let vocabulary = model.config().vocabulary;
    let mut runner = Runner::new(&model, args.model.threads.map(usize::from), interrupt::token());

    let (mut nll, mut scored) = (0.0, 0usize);
    for piece in ids.chunks(context - usize::from(bos.is_some())) {
        let sequence: Vec<u32> = bos.into_iter().chain(piece.iter().copied()).collect();
        let mut cache = KvCache::new(model.config(), r1core::CacheType::F16, sequence.len());
        for start in (0..sequence.len()).step_by(CHUNK) {
            let tokens = &sequence[start..sequence.len().min(start + CHUNK)];
            let logits = runner.run(&mut [Step { cache: &mut cache, tokens, wanted: Wanted::All }])?;
            let targets = sequence[start + 1..].iter();
            for (row, target) in logits.chunks_exact(vocabulary).zip(targets) {
                nll -= f64::from(log_prob(row, *target));
                scored += 1;
            }
        }
    }
    if scored == 0 {
        return Err(Failure::Usage("the text is too short: nothing to predict".into()));
    }
    let mean = nll / scored as f64;
    if args.json {
        json_line(&json!({ "tokens": scored, "nll": mean, "perplexity": mean.exp() }))
    } else {
        println!("{scored} tokens, {mean:.5} nats each, perplexity {:.4}", mean.exp());
        Ok(())
    }
}
