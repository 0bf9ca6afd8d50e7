//! What guessing ahead brings to votes: the same votes with guesses off and on, in turns.
//!
//! `cargo bench -p r1core --bench votes -- [MODEL.gguf] [max_tokens=200] [rounds=2] [threads=2] [tasks=3] [samples=4,8,16]`.
//! Without a model the shipped one answers. The tasks are some of `models/tasks/tasks.jsonl`. The results are compared, so
//! a figure printed is a figure of equal votes. The tail of a vote is the time in which four samples or fewer run; `certain`
//! is a vote of 16 as it is by default, where some samples begin when others have ended.

use std::time::{Duration, Instant};

use r1core::voting::EarlyStop;
use r1core::{
    Chat, ChatOptions, GenerateOptions, Guesses, Model, SessionOptions, Speculation, VoteEvent, VoteOptions, VoteSample,
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf");
const TASKS: &str = include_str!("../models/tasks/tasks.jsonl");

/// Samples that make a tail.
const TAIL: usize = 4;

fn main() {
    let mut path = SHIPPED.to_owned();
    let (mut max_tokens, mut rounds, mut threads, mut tasks) = (200, 2, 2, 3);
    let mut samples = vec![4, 8, 16];
    for arg in std::env::args().skip(1).filter(|arg| arg != "--bench") {
        match arg.split_once('=') {
            Some(("max_tokens", n)) => max_tokens = n.parse().expect("max_tokens=N"),
            Some(("rounds", n)) => rounds = n.parse().expect("rounds=N"),
            Some(("threads", n)) => threads = n.parse().expect("threads=N"),
            Some(("tasks", n)) => tasks = n.parse().expect("tasks=N"),
            Some(("samples", list)) => samples = list.split(',').map(|n| n.parse().expect("samples=N,N")).collect(),
            _ => path = arg,
        }
    }
    let model = Model::open(&path).expect("a model");
    println!("{path}: {threads} threads, {max_tokens} tokens at most, {tasks} tasks, {rounds} rounds in turns");
    println!("| samples | time without guesses over with | of the tail | guesses taken |");
    println!("|---|---|---|---|");
    let never = samples.iter().map(|samples| (*samples, EarlyStop::Never));
    for (samples, early_stop) in never.chain([(16, EarlyStop::Certain)]) {
        let generate = GenerateOptions { max_tokens: Some(max_tokens), ..Default::default() };
        let options = VoteOptions { samples, early_stop, generate, ..Default::default() };
        let (mut off, mut on) = (Times::default(), Times::default());
        for task in prompts().step_by(7).take(tasks) {
            for round in 0..rounds {
                let run = |how, times: &mut Times| vote(&model, threads, how, &task, &options, times);
                let (plain, guessing) = if round % 2 == 0 {
                    let plain = run(Speculation::Off, &mut off);
                    (plain, run(Speculation::Auto, &mut on))
                } else {
                    let guessing = run(Speculation::Auto, &mut on);
                    (run(Speculation::Off, &mut off), guessing)
                };
                assert_eq!(plain, guessing, "guesses changed the vote");
            }
        }
        let ratio = |off: Duration, on: Duration| off.as_secs_f64() / on.as_secs_f64();
        let name = if early_stop == EarlyStop::Never { "" } else { " certain" };
        println!(
            "| {samples}{name} | {:.2} ({:.1} s) | {:.2} ({:.1} s) | {} of {} |",
            ratio(off.all, on.all),
            off.all.as_secs_f64(),
            ratio(off.tail, on.tail),
            off.tail.as_secs_f64(),
            on.guesses.taken,
            on.guesses.made,
        );
    }
}

/// Sums over some votes, the prompts apart.
#[derive(Default)]
struct Times {
    all: Duration,
    tail: Duration,
    guesses: Guesses,
}

/// The prompts of the tasks.
fn prompts() -> impl Iterator<Item = String> {
    TASKS.lines().filter_map(|line| {
        let task: serde_json::Value = serde_json::from_str(line).expect("a task");
        Some(task["prompt"].as_str()?.to_owned())
    })
}

/// Text, tokens and answers of the samples, and the winner.
type Outcome = (Vec<(String, String, Vec<u32>, Option<String>)>, Option<String>);

fn vote(
    model: &Model,
    threads: usize,
    speculation: Speculation,
    prompt: &str,
    options: &VoteOptions,
    times: &mut Times,
) -> Outcome {
    let session =
        model.session(SessionOptions { threads: Some(threads), speculation, ..Default::default() }).expect("a session");
    let template = model.template_text().is_none().then(|| "gemma".to_owned());
    let mut chat = Chat::new(session, ChatOptions { template, ..Default::default() }).expect("a chat");
    let (mut begin, mut tail, mut result) = (None, None, None);
    for event in chat.vote(prompt, options).expect("a vote") {
        match event.expect("an event") {
            VoteEvent::Progress(progress) => {
                begin.get_or_insert_with(Instant::now);
                if progress.running <= TAIL {
                    tail.get_or_insert_with(Instant::now);
                }
            }
            VoteEvent::Done(done) => result = Some(done),
            _ => {}
        }
    }
    let since = |start: Option<Instant>| start.map_or(Duration::ZERO, |start| start.elapsed());
    times.all += since(begin);
    times.tail += since(tail);
    let Guesses { made, taken } = chat.session().guesses();
    times.guesses.made += made;
    times.guesses.taken += taken;
    let result = result.expect("a result");
    let parts = |sample: &VoteSample| {
        (sample.thought.clone(), sample.text.clone(), sample.tokens.clone(), sample.answer.clone())
    };
    (result.samples.iter().map(parts).collect(), result.answer)
}
