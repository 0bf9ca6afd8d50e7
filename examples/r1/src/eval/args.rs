//! Flags of `r1 eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use r1core::voting::EarlyStop;

use crate::args::{ModelArgs, SamplingArgs, SessionArgs, TemplateChoice};

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,
    #[command(flatten)]
    pub(super) session: SessionArgs,
    #[command(flatten)]
    pub(super) sampling: SamplingArgs,
    #[command(flatten)]
    pub(super) template: TemplateChoice,
    /// Tasks, one JSON object a line: {"prompt", "answer", "kind": integer|math|choice|exact|regex, "pattern", "group"}
    #[arg(value_name = "TASKFILE")]
    pub(super) tasks: PathBuf,
    /// Give the prompts to the model as they are, without a chat template
    #[arg(long)]
    pub(super) raw: bool,
    /// Samples of every task [default: 16; with --preset paper: 64]
    #[arg(short = 'k', long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) samples: Option<u16>,
    /// Read only the first N tasks
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// Measure the accuracy under these thinking budgets, too (tokens)
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub(super) budgets: Vec<usize>,
    /// Measure votes that end early, too: certain, window:N, beta:P or first:M; may be given several times
    #[arg(long, value_name = "RULE")]
    pub(super) early_stop: Vec<EarlyStop>,
    /// Settings by name; single flags win over them
    #[arg(long, value_name = "NAME", value_enum)]
    pub(super) preset: Option<Preset>,
    /// Keep every task's samples in this file (JSON lines); a run with the same settings goes on where one ended
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Draw accuracy against budget (or, without budgets, against votes) into this file
    #[arg(long, value_name = "SVG")]
    pub(super) plot: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Preset {
    /// The DeepSeek-R1 paper: 32,768 tokens, temperature 0.6, top-p 0.95, 64 samples
    Paper,
}
