//! `r1 eval`: how often a model is right on tasks whose answers are known.

mod args;
mod hash;
mod measure;
mod plot;
mod progress;
mod record;
mod report;
mod settings;
mod task;

pub(crate) use args::EvalArgs;

use std::path::Path;

use crate::open;
use crate::output::{Failure, Outcome, json_line};
use crate::run::chat_options;
use measure::Meter;
use plot::{Chart, Line};
use progress::Progress;
use record::Records;
use report::Figures;
use settings::Settings;

pub(crate) fn run(args: &EvalArgs) -> Outcome {
    let tasks = task::read(&args.tasks, args.limit)?;
    let chat = if args.raw { None } else { Some(chat_options(&args.template)?) };
    let model = open::model(&args.model)?;
    let settings = Settings::new(args, &model)?;
    let mut records = Records::open(args.out.as_deref(), &settings.fingerprint)?;
    // The bars of single prompts would only flicker.
    let session = r1core::SessionOptions { progress: None, ..open::session_options(&args.model, Some(&args.session)) };
    let mut meter = Meter::new(model.session(session)?, chat);

    for pass in &settings.passes {
        let name = pass.to_string();
        let mut progress = Progress::new(name.clone(), tasks.len());
        for task in &tasks {
            if records.get(&task.key, &name).is_none() {
                let record = meter.measure(task, *pass, &settings).map_err(|failure| explain(failure, args))?;
                if let Some(why) = &record.error {
                    eprintln!("r1: {:?} counts as failed: {why}", task.prompt);
                }
                records.add(record)?;
            }
            progress.step(records.get(&task.key, &name).is_some_and(|record| record.correct));
        }
    }

    let figures = Figures::new(&tasks, &records, &settings);
    if let Some(path) = &args.plot {
        draw(&figures, path)?;
    }
    if args.json {
        return json_line(&figures.json());
    }
    figures.print();
    Ok(())
}

/// Says how to go on after Ctrl-C.
fn explain(failure: Failure, args: &EvalArgs) -> Failure {
    if let (Failure::Interrupted, Some(out)) = (&failure, &args.out) {
        eprintln!("r1: interrupted; the same command goes on from {}", out.display());
    }
    failure
}

/// Draws accuracy against budget, or without budgets against votes.
fn draw(figures: &Figures, path: &Path) -> Outcome {
    let consensus = format!("cons@{}", figures.samples.k);
    let chart = if figures.budgets.is_empty() {
        let points = figures.votes.iter().map(|(votes, accuracy)| (*votes as u64, *accuracy)).collect();
        Chart {
            title: "Accuracy against votes",
            x_label: "samples that vote",
            lines: vec![Line { name: "majority", points }],
        }
    } else {
        let budgets = &figures.budgets;
        let pass = budgets.iter().map(|(budget, report)| (*budget as u64, report.pass_at_1)).collect();
        let votes = budgets.iter().map(|(budget, report)| (*budget as u64, report.consensus)).collect();
        Chart {
            title: "Accuracy against thinking budget",
            x_label: "tokens of thought at most",
            lines: vec![Line { name: "pass@1", points: pass }, Line { name: &consensus, points: votes }],
        }
    };
    std::fs::write(path, chart.svg()).map_err(|e| Failure::File(path.display().to_string(), e))
}
