//! What a budget costs: accuracy against thought tokens, for several ways to close a thought.
//!
//! `cargo run --release -p r1core --example think_budget [MODEL [TASKS]]` prints one table row for each way. Tasks are
//! generated arithmetic; a task's own seed makes its thought the same under every budget up to the cut, so that the rows
//! differ by the close alone.

use std::collections::HashMap;

use r1core::answer::{AnswerKind, equal, extract};
use r1core::reasoning::{Boundary, Ramp, ThinkOptions};
use r1core::{Chat, ChatOptions, Event, GenerateOptions, Model, SamplerOptions, SessionOptions};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/r1-tiny-q8_0.gguf");
const BUDGETS: [usize; 5] = [32, 64, 128, 256, 512];
const QWEN: &str =
    "Considering the limited time by the user, I have to give the solution based on the thinking directly now.\n";

fn main() -> r1core::Result<()> {
    let mut words = std::env::args().skip(1);
    let model = Model::open(words.next().unwrap_or_else(|| SHIPPED.into()))?;
    let count = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let tasks: Vec<Task> = (0..count).map(Task::new).collect();
    let free: Vec<Reply> =
        tasks.iter().map(|task| task.run(&model, ThinkOptions::unguarded())).collect::<Result<_, _>>()?;
    report("no budget", 0, &free);
    let mut kinds: HashMap<&str, (usize, usize, usize)> = HashMap::new();
    for (task, reply) in tasks.iter().zip(&free) {
        let kind = kinds.entry(task.kind).or_default();
        *kind = (kind.0 + 1, kind.1 + usize::from(reply.right), kind.2 + reply.thought);
    }
    for (kind, (tasks, right, thought)) in kinds {
        println!("#   {kind}: {right} of {tasks} right, {} thought tokens on average", thought / tasks);
    }
    for budget in BUDGETS {
        for (name, options) in ways(budget) {
            let replies: Result<Vec<Reply>, _> = tasks
                .iter()
                .zip(&free)
                .map(|(task, free)| {
                    // A thought that ends before any of this begins is what it was; the ramp begins earlier.
                    let begins = if options.ramp.is_some() { budget * 4 / 5 } else { budget };
                    if free.thought < begins { Ok(*free) } else { task.run(&model, options.clone()) }
                })
                .collect();
            report(name, budget, &replies?);
        }
    }
    Ok(())
}

fn ways(budget: usize) -> Vec<(&'static str, ThinkOptions)> {
    let closed = |message: Option<&str>| ThinkOptions {
        budget: Some(budget),
        message: message.map(str::to_owned),
        ..ThinkOptions::default()
    };
    let newline = closed(Some(""));
    vec![
        ("hard cut", closed(None)),
        ("newline", newline.clone()),
        ("Qwen text", closed(Some(QWEN))),
        ("**Final Answer**", closed(Some("**Final Answer**\n"))),
        ("So the answer is", closed(Some("So the answer is clear.\n"))),
        ("newline at line end", ThinkOptions { boundary: Boundary::Line, ..newline.clone() }),
        ("newline at sentence end", ThinkOptions { boundary: Boundary::Sentence, ..newline.clone() }),
        ("newline with ramp", ThinkOptions { ramp: Some(Ramp::default()), ..newline }),
    ]
}

fn report(way: &str, budget: usize, replies: &[Reply]) {
    let share = |count: usize| 100.0 * count as f64 / replies.len() as f64;
    let mean = |value: fn(&Reply) -> usize| replies.iter().map(value).sum::<usize>() as f64 / replies.len() as f64;
    println!(
        "| {budget} | {way} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
        share(replies.iter().filter(|reply| reply.right).count()),
        share(replies.iter().filter(|reply| reply.boxed).count()),
        mean(|reply| reply.thought),
        mean(|reply| reply.answer),
        replies.iter().filter(|reply| reply.forced).count(),
    );
}

/// What became of a task.
#[derive(Clone, Copy)]
struct Reply {
    right: bool,
    boxed: bool,
    forced: bool,
    thought: usize,
    answer: usize,
}

/// A problem with its solution.
struct Task {
    kind: &'static str,
    prompt: String,
    solution: i64,
    seed: u64,
}

impl Task {
    fn new(seed: u64) -> Task {
        // SplitMix64: the tasks are the same on every machine.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
        let mut pick = |from: i64, to: i64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            from + ((z ^ (z >> 31)) % (to - from + 1) as u64) as i64
        };
        let (kind, prompt, solution) = match seed % 4 {
            0 => {
                let (a, b) = (pick(12, 99), pick(12, 99));
                ("two digits", format!("What is {a} * {b}?"), a * b)
            }
            1 => {
                let (a, b) = (pick(101, 999), pick(12, 99));
                ("three digits", format!("What is {a} * {b}?"), a * b)
            }
            2 => {
                let (a, b, c, d) = (pick(2, 99), pick(2, 99), pick(2, 20), pick(2, 99));
                ("expression", format!("What is ({a} + {b}) * {c} - {d}?"), (a + b) * c - d)
            }
            _ => {
                let (a, x, b) = (pick(2, 12), pick(2, 30), pick(1, 50));
                ("equation", format!("Solve for x: {a}x + {b} = {}", a * x + b), x)
            }
        };
        Task { kind, prompt, solution, seed }
    }

    fn run(&self, model: &Model, think: ThinkOptions) -> r1core::Result<Reply> {
        let session = model.session(SessionOptions { threads: Some(1), ..Default::default() })?;
        let mut chat = Chat::new(session, ChatOptions::default())?;
        let sampler = SamplerOptions { seed: self.seed, ..Default::default() };
        let options = GenerateOptions { sampler, max_tokens: Some(1200), think, ..Default::default() };
        let (mut text, mut usage) = (String::new(), Default::default());
        for event in chat.send(&self.prompt, &options)? {
            match event? {
                Event::Answer(piece) => text += &piece,
                Event::Usage(counts) => usage = counts,
                _ => {}
            }
        }
        let r1core::Usage { reasoning, answer, forced, .. } = usage;
        let found = extract(&AnswerKind::Integer, &text);
        let right = found.is_some_and(|found| equal(&AnswerKind::Integer, &found, &self.solution.to_string()));
        Ok(Reply { right, boxed: text.contains("\\boxed"), forced: forced > 0, thought: reasoning, answer })
    }
}
