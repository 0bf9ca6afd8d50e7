//! A model on a device beside the CPU: how far their distributions are apart, what sampling and reasoning control cost,
//! and what a vote gains from running its samples together.
//!
//! `cargo bench -p r1core --features ggml --bench devices -- BACKEND [MODEL.gguf] [CPU]`, with `R1_GGML_LIB_DIR` set. Prints
//! one JSON object a line. Without a model the shipped one runs; with `CPU` the CPU's distributions are compared.

use std::time::Instant;

use r1core::sampler::Sampler;
use r1core::{
    CacheType, CancelToken, Chat, ChatOptions, Event, GenerateOptions, Gguf, KvCache, LoadMode, Model, ModelOptions,
    Runner, SamplerOptions, SessionOptions, Step, ThinkOptions, VoteOptions, Wanted,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SHIPPED: &[u8] = include_bytes!("../models/r1-tiny-q8_0.gguf");

fn main() -> Outcome {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let Some(backend) = args.next() else {
        eprintln!("usage: devices BACKEND [MODEL.gguf] [CPU]");
        return Ok(());
    };
    let file = args.next();
    let options = ModelOptions { backend: Some(backend), ..ModelOptions::default() };
    let open = |options: &ModelOptions| match &file {
        Some(file) => Model::open_with(file, options),
        None => Gguf::from_bytes(SHIPPED).and_then(|gguf| Model::load(gguf, options)),
    };
    let start = Instant::now();
    let model = open(&options)?;
    println!(
        r#"{{"model":{:?},"placement":{:?},"load_seconds":{:.2}}}"#,
        model.name().unwrap_or_default(),
        format!("{:?}", model.placement()),
        start.elapsed().as_secs_f64()
    );
    if file.is_none() || args.next().is_some() {
        agreement(&open(&ModelOptions { load: LoadMode::Map, ..ModelOptions::default() })?, &model)?;
    }
    control(&model)?;
    if file.is_none() {
        vote(&model)?;
    }
    Ok(())
}

/// Text that models of language know, one prompt a line.
const TEXTS: [&str; 3] = [
    "What is 37 * 24?",
    "The quick brown fox jumps over the lazy dog. Paris is the capital of France, and Berlin is the capital of",
    "To find the sum of the first n odd numbers, note that 1 = 1, 1 + 3 = 4, 1 + 3 + 5 = 9, so the sum is",
];

/// Divergence of the device's distributions from the CPU's, along what the CPU generates.
fn agreement(cpu: &Model, device: &Model) -> Outcome {
    let vocabulary = cpu.config().vocabulary;
    for text in TEXTS {
        let mut session = cpu.session(SessionOptions { context: Some(256), ..SessionOptions::default() })?;
        let prompt = cpu.tokenizer().encode(text, Default::default());
        let options = GenerateOptions { sampler: SamplerOptions::greedy(), max_tokens: Some(48), ..Default::default() };
        session.generate(&prompt, &options)?.try_for_each(|event| event.map(drop))?;
        let ids = session.tokens();
        let run = |model: &Model| -> Outcome<Vec<f32>> {
            let mut cache = KvCache::new(model.config(), CacheType::F16, 512);
            let mut runner = Runner::new(model, None, CancelToken::new());
            let mut steps = [Step { cache: &mut cache, tokens: ids, wanted: Wanted::All }];
            Ok(runner.run(&mut steps)?.to_vec())
        };
        let (wanted, got) = (run(cpu)?, run(device)?);
        let (mut sum, mut max, mut same) = (0.0, 0.0_f64, 0);
        for (wanted, got) in wanted.chunks(vocabulary).zip(got.chunks(vocabulary)) {
            let (p, q) = (log_probs(wanted), log_probs(got));
            let kl: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
            sum += kl;
            max = max.max(kl);
            same += usize::from(best(&p) == best(&q));
        }
        let rows = ids.len();
        println!(
            r#"{{"test":"agreement","rows":{rows},"mean_kl":{:.3e},"max_kl":{max:.3e},"same_best":{:.4}}}"#,
            sum / rows as f64,
            same as f64 / rows as f64
        );
    }
    Ok(())
}

fn log_probs(row: &[f32]) -> Vec<f64> {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|l| (f64::from(*l) - max).exp()).sum();
    row.iter().map(|l| f64::from(*l) - max - sum.ln()).collect()
}

fn best(row: &[f64]) -> Option<usize> {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]))
}

/// Tokens a second of the runner alone, with sampling, and with the whole session and its reasoning control; medians.
fn control(model: &Model) -> Outcome {
    const TOKENS: usize = 128;
    let prompt = model.tokenizer().encode(TEXTS[2], Default::default());
    let sampler = SamplerOptions { seed: 1, ..SamplerOptions::default() };
    let mut speeds: [Vec<f64>; 3] = Default::default();
    for _ in 0..4 {
        let mut session = model.session(SessionOptions { context: Some(1024), ..SessionOptions::default() })?;
        session.prefill(&prompt)?;
        let start = Instant::now();
        for i in 0..TOKENS {
            session.prefill(&[((i * 31) % model.config().vocabulary) as u32])?;
        }
        speeds[0].push(TOKENS as f64 / start.elapsed().as_secs_f64());

        let mut session = model.session(SessionOptions { context: Some(1024), ..SessionOptions::default() })?;
        session.prefill(&prompt)?;
        let mut draws = Sampler::new(sampler.clone())?;
        let start = Instant::now();
        for i in 0..TOKENS {
            let token = draws.sample(session.logits()?, i as u64)?.id;
            session.prefill(&[token])?;
        }
        speeds[1].push(TOKENS as f64 / start.elapsed().as_secs_f64());

        let mut session = model.session(SessionOptions { context: Some(1024), ..SessionOptions::default() })?;
        let options = GenerateOptions {
            sampler: sampler.clone(),
            max_tokens: Some(TOKENS + 1),
            think: ThinkOptions { budget: Some(100_000), ..ThinkOptions::default() },
            thought_open: Some(true),
            ignore_end: true,
            ..GenerateOptions::default()
        };
        let mut tokens = 0;
        let mut time = 0.0;
        for event in session.generate(&prompt, &options)? {
            if let Event::Usage(usage) = event? {
                tokens = usage.generated();
                time = usage.decode.as_secs_f64();
            }
        }
        speeds[2].push(tokens as f64 / time);
    }
    let [bare, sampled, controlled] = speeds.map(|mut speeds| {
        speeds.remove(0);
        speeds.sort_by(f64::total_cmp);
        speeds[1]
    });
    println!(
        r#"{{"test":"control","bare":{bare:.1},"sampled":{sampled:.1},"controlled":{controlled:.1},"control_cost":{:.4}}}"#,
        sampled / controlled - 1.0
    );
    Ok(())
}

/// Samples a second: one by one, 16 together, and 16 with early stop.
fn vote(model: &Model) -> Outcome {
    let question = "What is 37 * 24?";
    let chat =
        || -> Outcome<Chat> { Ok(Chat::new(model.session(SessionOptions::default())?, ChatOptions::default())?) };
    let options = VoteOptions { samples: 16, ..VoteOptions::default() };
    let start = Instant::now();
    let mut alone = chat()?;
    for i in 0..16 {
        let options = options.sample_options(i);
        alone.send(question, &options)?.try_for_each(|event| event.map(drop))?;
        alone = chat()?;
    }
    let one_by_one = 16.0 / start.elapsed().as_secs_f64();
    for (name, eager) in [("together", true), ("early_stop", false)] {
        for _ in 0..2 {
            let options = VoteOptions { eager, ..options.clone() };
            let start = Instant::now();
            let result = chat()?.vote(question, &options)?.result()?;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                r#"{{"test":"vote","how":"{name}","answer":{:?},"finished":{},"tokens":{},"seconds":{seconds:.3},"samples_per_second":{:.2},"one_by_one":{one_by_one:.2}}}"#,
                result.answer.unwrap_or_default(),
                result.finished,
                result.tokens,
                result.finished as f64 / seconds
            );
        }
    }
    Ok(())
}
