//! What guessing ahead brings on real models: the same replies with guesses off and on, in turns.
//!
//! `cargo bench -p r1core --bench speculation -- [MODEL.gguf] [max_tokens=200] [rounds=3] [threads=2]`. Without a model the
//! shipped one answers. The replies are compared, so a figure printed is a figure of equal text.

use std::time::Instant;

use r1core::{Chat, ChatOptions, Event, GenerateOptions, Model, SamplerOptions, Session, SessionOptions, Speculation};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf");

/// Replies that repeat their prompt, replies that repeat themselves, and replies that do neither.
const TASKS: [(&str, &str); 4] = [
    ("arithmetic", "What is 48 * 37? Show each step and check it."),
    (
        "rewrite code",
        "Rename the variable a to total in this code and print all of it again:\nfn sum(values: &[u32]) -> u32 {\n    \
         let mut a = 0;\n    for value in values {\n        a += value;\n    }\n    a\n}\n",
    ),
    (
        "quote",
        "Repeat this sentence three times: The library reads the weights once and shares them among all sessions of \
         the process.",
    ),
    ("prose", "Write a short story about a lighthouse keeper and a storm."),
];

fn main() {
    let mut path = SHIPPED.to_owned();
    let (mut max_tokens, mut rounds, mut threads) = (200, 3, 2);
    for arg in std::env::args().skip(1).filter(|arg| arg != "--bench") {
        match arg.split_once('=') {
            Some(("max_tokens", n)) => max_tokens = n.parse().expect("max_tokens=N"),
            Some(("rounds", n)) => rounds = n.parse().expect("rounds=N"),
            Some(("threads", n)) => threads = n.parse().expect("threads=N"),
            _ => path = arg,
        }
    }
    let model = Model::open(&path).expect("a model");
    println!("{path}: {threads} threads, {max_tokens} tokens at most, medians of {rounds} rounds in turns");
    for temperature in [0.0, 0.6] {
        for (name, task) in TASKS {
            let options = GenerateOptions {
                sampler: SamplerOptions { temperature, ..Default::default() },
                max_tokens: Some(max_tokens),
                ..Default::default()
            };
            let (mut plain, mut guessing) = (Vec::new(), Vec::new());
            let (mut made, mut taken) = (0, 0);
            for _ in 0..rounds {
                let off = reply(&model, threads, Speculation::Off, task, &options);
                let on = reply(&model, threads, Speculation::Auto, task, &options);
                assert_eq!(off.tokens, on.tokens, "guesses changed the text");
                plain.push(off.rate);
                guessing.push(on.rate);
                made += on.session.guesses().made;
                taken += on.session.guesses().taken;
            }
            let (plain, guessing) = (median(plain), median(guessing));
            println!(
                "T {temperature:.1}  {name:14} off {plain:8.1} t/s   auto {guessing:8.1} t/s   x{:.2}   \
                 {taken} of {made} guesses taken",
                guessing / plain
            );
        }
    }
}

struct Measured {
    session: Session,
    tokens: Vec<u32>,
    /// Tokens a second, the prompt apart.
    rate: f64,
}

fn reply(model: &Model, threads: usize, speculation: Speculation, task: &str, options: &GenerateOptions) -> Measured {
    let session =
        model.session(SessionOptions { threads: Some(threads), speculation, ..Default::default() }).expect("a session");
    let has_template = model.template_text().is_some();
    let template = (!has_template).then(|| "gemma".to_owned());
    let mut chat = Chat::new(session, ChatOptions { template, ..Default::default() }).expect("a chat");
    let (mut begin, mut generated) = (None, 0);
    for event in chat.send(task, options).expect("a reply") {
        begin.get_or_insert_with(Instant::now);
        if let Event::Usage(usage) = event.expect("an event") {
            generated = usage.generated();
        }
    }
    let seconds = begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
    let tokens = chat.session().tokens().to_vec();
    Measured { tokens, rate: generated as f64 / seconds, session: chat.into_session() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
