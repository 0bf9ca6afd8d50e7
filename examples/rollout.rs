//! Rollouts for a trainer: prompts in, one JSON line a sample out.
//!
//! ```sh
//! cargo run --release -p r1core --example rollout -- MODEL TASKS [--samples 16] [--temperature 1] [--top-p 1]
//!     [--limit 1024] [--seed 0] [--tasks N] [--threads N]
//! ```
//!
//! A task is a line as `r1 eval` reads it: `{"prompt": "What is 6*7?", "answer": "42", "kind": "integer"}`. With
//! `"thought": "6*7 = 4"` the model goes on from a thought that has begun. The samples of a task share its prompt and decode
//! as one batch. A line of the output:
//!
//! * `task`, `sample`: indices, 0-based;
//! * `prompt`, `tokens`: ids, the end token included where the model wrote it;
//! * `logprobs`: of each token under the model's own distribution, which is the one sampled from at temperature 1 without
//!   cuts; null where it is not known (forced tokens). `sampled`: whether the model chose the token; a trainer masks the
//!   others;
//! * `thought`, `text`, `answer`, `finish`, `closed` (the model closed its thought and ended its reply);
//! * `rewards`: `accuracy`, `format` (one thought, closed by the model, then one `\boxed{}`, then the end token) and
//!   `language` (the share of the thought's words in Latin letters); `reward`, their sum as DeepSeek-R1 weighs them;
//! * `advantage`: (reward - mean) / deviation over the task's samples, 0 where all are equal (GRPO).

use std::io::{BufRead, BufReader, Write};

use r1core::answer::{AnswerKind, equal, extract};
use r1core::voting::{EarlyStop, Voters};
use r1core::{
    CloseReason, EncodeOptions, Error, ErrorKind, Finish, GenerateOptions, Message, Model, Provenance, RenderOptions,
    SamplerOptions, SessionOptions, ThinkOptions, VoteOptions, VoteSample,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Task {
    prompt: String,
    #[serde(default)]
    answer: String,
    #[serde(default)]
    kind: AnswerKind,
    #[serde(default)]
    thought: String,
}

fn main() -> r1core::Result<()> {
    let (files, flags) = arguments()?;
    let [model, tasks] = files.as_slice() else { return Err(usage("give a model and a file of tasks")) };
    let number = |name: &str, default: f64| flags.get(name).copied().unwrap_or(default);
    let model = Model::open(model)?;
    let threads = flags.get("threads").map(|n| *n as usize);
    let mut session = model.session(SessionOptions { threads, ..SessionOptions::default() })?;
    let file = std::fs::File::open(tasks).map_err(|e| Error::new(ErrorKind::Io, "cannot read the tasks").source(e))?;
    let mut out = std::io::stdout().lock();
    for (index, line) in BufReader::new(file).lines().take(number("tasks", f64::MAX) as usize).enumerate() {
        let line = line.map_err(|e| Error::new(ErrorKind::Io, "cannot read the tasks").source(e))?;
        let task: Task = serde_json::from_str(&line).map_err(|e| usage(&format!("line {}: {e}", index + 1)))?;
        let options = VoteOptions {
            samples: number("samples", 16.0) as usize,
            generate: GenerateOptions {
                sampler: SamplerOptions {
                    temperature: number("temperature", 1.0) as f32,
                    top_p: number("top-p", 1.0) as f32,
                    // A seed for every task.
                    seed: (number("seed", 0.0) as u64) << 32 | index as u64,
                    ..SamplerOptions::default()
                },
                max_tokens: Some(number("limit", 1024.0) as usize),
                // What the model does is what it is rewarded for: nothing is forced.
                think: ThinkOptions::unguarded(),
                logprobs: Some(0),
                ..GenerateOptions::default()
            },
            kind: task.kind.clone(),
            voters: Voters::All,
            early_stop: EarlyStop::Never,
            eager: true,
            ..VoteOptions::default()
        };
        let prompt = prompt(&model, &task)?;
        session.truncate(0);
        let mut samples = session.vote(&prompt, &options)?.result()?.samples;
        samples.sort_by_key(|sample| sample.index);
        let replies: Vec<Reply> = samples.iter().map(|sample| Reply::of(&model, &task, sample)).collect();
        let rewards: Vec<Rewards> = replies.iter().map(|reply| Rewards::of(&task, reply)).collect();
        let advantages = advantages(&rewards);
        for (((sample, reply), rewards), advantage) in samples.iter().zip(&replies).zip(&rewards).zip(advantages) {
            let line = json!({
                "task": index,
                "sample": sample.index,
                "prompt": prompt,
                "tokens": sample.chosen.iter().map(|token| token.id).collect::<Vec<_>>(),
                "logprobs": sample.chosen.iter().map(|token| token.logprob).collect::<Vec<_>>(),
                "sampled": sample.chosen.iter().map(|t| t.provenance == Provenance::Sampled).collect::<Vec<_>>(),
                "thought": reply.thought,
                "text": reply.text,
                "answer": extract(&task.kind, &reply.text),
                "finish": sample.finish.as_str(),
                "closed": reply.closed,
                "rewards": {"accuracy": rewards.accuracy, "format": rewards.format, "language": rewards.language},
                "reward": rewards.sum(),
                "advantage": advantage,
            });
            writeln!(out, "{line}").map_err(|e| Error::new(ErrorKind::Io, "cannot write").source(e))?;
        }
    }
    Ok(())
}

/// The ids that the model continues: the template's, and the thought so far.
fn prompt(model: &Model, task: &Task) -> r1core::Result<Vec<u32>> {
    let messages = [Message::user(&task.prompt)];
    let text = model.chat_template(None)?.render(&RenderOptions::new(&messages))?;
    let tokenizer = model.tokenizer();
    let mut ids = tokenizer.encode(&text, EncodeOptions { add_bos: false, parse_special: true });
    ids.extend(tokenizer.encode(&task.thought, EncodeOptions { add_bos: false, parse_special: false }));
    Ok(ids)
}

/// A sample's thought and what follows it.
struct Reply {
    thought: String,
    text: String,
    /// The model closed its thought and ended its reply.
    closed: bool,
}

impl Reply {
    fn of(model: &Model, task: &Task, sample: &VoteSample) -> Reply {
        let stopped = sample.finish == Finish::Stop;
        let (thought, text) = (sample.thought.clone(), sample.text.clone());
        if task.thought.is_empty() {
            return Reply { thought, text, closed: sample.close == CloseReason::Natural && stopped };
        }
        // The library sees a thought that the end of the prompt opens; one that has gone on for a while is text to it.
        let tokenizer = model.tokenizer();
        let close = tokenizer.encode("</think>", EncodeOptions { add_bos: false, parse_special: true });
        let ids: Vec<u32> = sample.chosen.iter().map(|token| token.id).collect();
        let read = |ids: &[u32]| String::from_utf8_lossy(&tokenizer.decode(ids, false)).into_owned();
        match ids.windows(close.len().max(1)).position(|window| window == close) {
            Some(at) => Reply { thought: read(&ids[..at]), text: read(&ids[at + close.len()..]), closed: stopped },
            None => Reply { thought: text, text: String::new(), closed: false },
        }
    }
}

struct Rewards {
    accuracy: f64,
    format: f64,
    language: f64,
}

impl Rewards {
    fn of(task: &Task, reply: &Reply) -> Rewards {
        let boxes = reply.text.matches("\\boxed{").count();
        let answer = extract(&task.kind, &reply.text);
        let right = answer.is_some_and(|answer| equal(&task.kind, &answer, &task.answer));
        let words: Vec<&str> = reply.thought.split(|c: char| !c.is_alphabetic()).filter(|w| w.len() > 1).collect();
        let latin = words.iter().filter(|word| word.is_ascii()).count();
        Rewards {
            accuracy: f64::from(u8::from(right)),
            format: f64::from(u8::from(reply.closed && boxes == 1)),
            language: if words.is_empty() { 1.0 } else { latin as f64 / words.len() as f64 },
        }
    }

    fn sum(&self) -> f64 {
        self.accuracy + self.format + self.language
    }
}

/// Group-relative advantages, with the population's deviation.
fn advantages(group: &[Rewards]) -> Vec<f64> {
    let count = group.len() as f64;
    let mean = group.iter().map(Rewards::sum).sum::<f64>() / count;
    let deviation = (group.iter().map(|r| (r.sum() - mean).powi(2)).sum::<f64>() / count).sqrt();
    group.iter().map(|r| if deviation > 1e-9 { (r.sum() - mean) / deviation } else { 0.0 }).collect()
}

type Flags = std::collections::HashMap<String, f64>;

fn arguments() -> r1core::Result<(Vec<String>, Flags)> {
    let (mut files, mut flags) = (Vec::new(), Flags::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            files.push(word);
            continue;
        };
        if !["samples", "temperature", "top-p", "limit", "seed", "tasks", "threads"].contains(&name) {
            return Err(usage(&format!("unknown flag {word}")));
        }
        let value = words.next().and_then(|value| value.parse().ok());
        flags.insert(name.to_owned(), value.ok_or_else(|| usage(&format!("{word} needs a number")))?);
    }
    Ok((files, flags))
}

fn usage(what: &str) -> Error {
    Error::new(ErrorKind::Argument, what).remedy("see the head of examples/rollout.rs")
}
