//! `r1 run --votes`: many samples of one prompt, one answer.

use clap::Args;
use r1core::answer::AnswerKind;
use r1core::voting::EarlyStop;
use r1core::{Finish, GenerateOptions, Result, VoteEvent, VoteOptions, VoteResult, VoteSample};
use serde_json::{Value, json};

use crate::output::{Failure, Outcome, json_line, usage_json};

/// The vote on a reply.
#[derive(Debug, Args)]
pub(crate) struct VoteArgs {
    /// Take up to K samples of the reply, which share the prompt's memory, and print the answer that most of them give
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=4096))]
    votes: Option<u16>,
    /// When the vote may end early: never, certain, window:N, beta:P or first:M [default: certain]
    #[arg(long, value_name = "RULE", requires = "votes")]
    early_stop: Option<EarlyStop>,
    /// What an answer is: integer, math, choice, exact or regex:PATTERN [default: math]
    #[arg(long, value_name = "KIND", requires = "votes")]
    kind: Option<AnswerKind>,
}

impl VoteArgs {
    /// The vote that the flags ask for, if they do.
    pub(crate) fn options(&self, generate: &GenerateOptions) -> Option<VoteOptions> {
        Some(VoteOptions {
            samples: self.votes?.into(),
            generate: generate.clone(),
            kind: self.kind.clone().unwrap_or_default(),
            early_stop: self.early_stop.unwrap_or_default(),
            ..VoteOptions::default()
        })
    }
}

/// Shows a vote's events.
pub(crate) fn show(events: impl Iterator<Item = Result<VoteEvent>>, json: bool) -> Outcome {
    for event in events {
        match event? {
            VoteEvent::Sample(sample) if json => json_line(&sample_json(&sample))?,
            VoteEvent::Done(result) => {
                if json {
                    show_json(&result)?
                } else {
                    show_text(&result)
                }
                if result.reason.is_none() {
                    return Err(Failure::Interrupted);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn show_text(result: &VoteResult) {
    match (&result.answer, result.reply()) {
        (Some(answer), _) => println!("{answer}"),
        (None, Some(reply)) => println!("{}", reply.text.trim()),
        (None, None) => {}
    }
    let (votes, finished) = (result.votes, result.finished);
    let limit = if finished == result.limit { String::new() } else { format!(" (up to {} asked for)", result.limit) };
    let others: Vec<String> =
        result.counts.iter().skip(1).take(3).map(|count| format!("{}: {}", count.answer, count.votes)).collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    let saved = if result.saved == 0 { String::new() } else { format!(", some {} saved", result.saved) };
    eprintln!("r1: {votes} of {finished} votes{limit}{others}; {} tokens{saved}", result.tokens);
    if let (None, Some(reply)) = (&result.answer, result.reply()) {
        eprintln!("r1: no sample has an answer; this is the reply of sample {}", reply.index);
    }
}

fn show_json(result: &VoteResult) -> Outcome {
    if let Some(reply) = result.reply() {
        for (name, text) in [("thought", &reply.thought), ("answer", &reply.text)] {
            if !text.is_empty() {
                json_line(&json!({"type": name, "text": text}))?;
            }
        }
    }
    let counts: Vec<Value> = result.counts.iter().map(|c| json!({"answer": c.answer, "votes": c.votes})).collect();
    json_line(&json!({
        "type": "vote", "answer": result.answer, "votes": result.votes, "samples": result.limit,
        "finished": result.finished, "started": result.samples.len(), "confidence": result.confidence,
        "tokens": result.tokens, "saved": result.saved, "winner": result.winner, "counts": counts,
    }))?;
    json_line(&usage_json(&result.usage))?;
    let (finish, close) = match (result.reason, result.reply()) {
        (Some(_), Some(reply)) => (reply.finish, reply.close.as_str()),
        _ => (Finish::Cancelled, "none"),
    };
    json_line(&json!({"type": "done", "finish": finish.as_str(), "close": close}))
}

fn sample_json(sample: &VoteSample) -> Value {
    json!({
        "type": "sample", "sample": sample.index, "answer": sample.answer, "tokens": sample.usage.generated(),
        "finish": sample.finish.as_str(), "close": sample.close.as_str(),
    })
}
