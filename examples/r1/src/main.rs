//! The `r1` command line: runs, inspects and measures reasoning models with r1core.
//!
//! Results go to standard output, progress and errors to standard error. Exit codes: 0 for success, 1 for an error (one
//! line says what and where), 2 for bad usage, 130 when interrupted. `R1_LOG=info|debug` tells more on standard error.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod chat;
mod devices;
mod eval;
mod inspect;
mod interrupt;
mod log;
mod logits;
mod open;
mod output;
mod perplexity;
mod rules;
mod run;
mod template;
mod tokenize;
mod vote;

use std::process::ExitCode;

use args::{Cli, Verb};
use clap::Parser;
use output::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Chat(args) => chat::run(&args),
        Verb::Tokenize(args) => tokenize::tokenize(&args),
        Verb::Detokenize(args) => tokenize::detokenize(&args),
        Verb::Template(args) => template::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Perplexity(args) => perplexity::run(&args),
        Verb::Logits(args) => logits::run(&args),
        Verb::Devices(args) => devices::run(&args),
        Verb::RpcServer(args) => devices::serve(&args),
        Verb::Eval(args) => eval::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(130),
        // The reader of our output has gone; there is nobody to tell.
        Err(Failure::Io(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("r1: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
