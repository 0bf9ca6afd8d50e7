//! What is measured, and under which settings.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use r1core::voting::EarlyStop;
use r1core::{GenerateOptions, Model};
use serde_json::json;

use super::args::{EvalArgs, Preset};
use super::hash;
use crate::output::{Failure, Outcome};

/// The paper's limits; temperature and top-p are its own by default.
const PAPER: (u16, usize) = (64, 32_768);

/// Samples without a preset.
const SAMPLES: u16 = 16;

/// Bytes at both ends of a model file that stand for all of it.
const EDGE: u64 = 1 << 20;

/// One way to run all tasks. Its text names it in result files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pass {
    /// All samples, thoughts as long as they come.
    Samples,
    /// All samples, thoughts of so many tokens at most.
    Budget(usize),
    /// Votes that end early.
    EarlyStop(EarlyStop),
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pass::Samples => f.write_str("samples"),
            Pass::Budget(budget) => write!(f, "budget:{budget}"),
            Pass::EarlyStop(rule) => write!(f, "early_stop:{rule}"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Settings {
    /// Samples of a task.
    pub(super) samples: usize,
    pub(super) generate: GenerateOptions,
    pub(super) passes: Vec<Pass>,
    /// Names model and settings in result files.
    pub(super) fingerprint: String,
}

impl Settings {
    pub(super) fn new(args: &EvalArgs, model: &Model) -> Outcome<Settings> {
        let mut generate = args.sampling.options();
        let mut samples = SAMPLES;
        if let Some(Preset::Paper) = args.preset {
            samples = PAPER.0;
            generate.max_tokens = generate.max_tokens.or(Some(PAPER.1));
        }
        let samples = args.samples.unwrap_or(samples);
        let budgets = args.budgets.iter().copied().map(Pass::Budget);
        let rules = args.early_stop.iter().copied().map(Pass::EarlyStop);
        let fingerprint = fingerprint(args, model, samples, &generate)?;
        Ok(Settings {
            samples: samples.into(),
            generate,
            passes: [Pass::Samples].into_iter().chain(budgets).chain(rules).collect(),
            fingerprint,
        })
    }

    /// How one pass generates.
    pub(super) fn generate(&self, pass: Pass) -> GenerateOptions {
        let mut generate = self.generate.clone();
        if let Pass::Budget(budget) = pass {
            generate.think.budget = Some(budget);
        }
        generate
    }
}

/// Everything that a sample depends on, the task aside.
fn fingerprint(args: &EvalArgs, model: &Model, samples: u16, generate: &GenerateOptions) -> Outcome<String> {
    let (s, t) = (&generate.sampler, &generate.think);
    let settings = json!({
        "samples": samples, "max_tokens": generate.max_tokens, "stop": generate.stop,
        "temperature": s.temperature, "top_p": s.top_p, "top_k": s.top_k, "min_p": s.min_p, "seed": s.seed,
        "penalties": [s.repetition_penalty, s.presence_penalty, s.frequency_penalty],
        "think": [t.budget, t.block_budget, t.grace, t.answer_reserve, Some(t.minimum), Some(t.max_extensions)],
        "close": [format!("{:?} {:?} {:?} {:?}", t.boundary, t.on_budget, t.ramp, t.loops), t.wait.clone()],
        "message": t.message, "deadlines": format!("{:?} {:?}", t.deadline_think, t.deadline_total),
        "context": args.session.context, "cache": format!("{:?}", args.session.cache),
        "template": args.template.template, "system": args.template.system, "no_think": args.template.no_think,
        "raw": args.raw, "model": model.name(), "weights": model.weight_bytes(),
    });
    Ok(hash::name(&[settings.to_string().as_bytes(), &edges(args)?]))
}

/// The beginning and the end of the model file; nothing for the model that ships.
fn edges(args: &EvalArgs) -> Outcome<Vec<u8>> {
    let Some(path) = &args.model.model else { return Ok(Vec::new()) };
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = length.to_le_bytes().to_vec();
        file.by_ref().take(EDGE).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(length.saturating_sub(EDGE)))?;
        file.take(EDGE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|e| Failure::File(path.display().to_string(), e))
}
