//! The forward pass: new tokens of one or many sequences in, logits out.

use super::Model;
use super::attention::{self, AttentionScratch};
use super::feed_forward::{self, FeedForwardScratch};
use super::head::{Answers, Head};
use super::project::Projector;
use crate::cache::KvCache;
use crate::cancel::{CancelToken, cancelled};
use crate::device::default_threads;
use crate::sampler::Scores;
use crate::threads::Threads;
use crate::{Error, ErrorKind, Result};
use r1_kernels::{Isa, Team, ThreadStart, ops};

/// New tokens of one sequence. They take the positions after those in `cache`.
#[derive(Debug)]
pub struct Step<'a> {
    /// The sequence's past; holds the new positions too when the run succeeds.
    pub cache: &'a mut KvCache,
    /// At least one token.
    pub tokens: &'a [u32],
    /// What is wanted of it besides.
    pub wanted: Wanted,
}

/// What is wanted of a [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: the step only fills the cache.
    None,
    /// The token with the last position's highest logit, for greedy choices: [`Runner::best`] has it. Costs less than
    /// [`Wanted::Last`].
    Best,
    /// The last position's logits.
    Last,
    /// Every position's logits.
    All,
}

/// Runs a model's forward pass on its own team of threads, reusing its buffers. One caller at a time; make one runner
/// for each thread that works.
///
/// The result for a sequence depends on its tokens and positions only: other sequences in the same run, the split of
/// its tokens into runs, the number of threads and the instruction set change no bit of it.
#[derive(Debug)]
pub struct Runner {
    model: Model,
    team: Team,
    start: Option<ThreadStart>,
    cancel: CancelToken,
    buffers: Buffers,
    /// Runs the layers that are on devices; started by the first run.
    #[cfg(feature = "ggml")]
    engine: Option<crate::ggml::Engine>,
}

#[derive(Debug, Default)]
struct Buffers {
    /// The rows' positions, the steps' rows one after the other.
    positions: Vec<usize>,
    /// Bytes of one embedding row.
    embedding: Vec<u8>,
    /// Indices of the rows of which anything is wanted.
    wanted: Vec<usize>,
    /// The residual stream, `[row][embedding_length]`.
    residual: Vec<f32>,
    /// A block's normed input or its output, `[row][embedding_length]`.
    normed: Vec<f32>,
    rotations: Vec<Rotations>,
    projector: Projector,
    attention: AttentionScratch,
    feed_forward: FeedForwardScratch,
    head: Head,
    answers: Answers,
}

/// Cosines and sines of every row for one rope variant, `[row][n_rot / 2]` each.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
    pub(super) half: usize,
}

/// What the blocks of a layer share.
pub(super) struct Pass<'a> {
    pub(super) isa: Isa,
    pub(super) team: &'a Team,
    /// Every row's position in its sequence.
    pub(super) positions: &'a [usize],
    pub(super) norm_eps: f32,
    pub(super) width: usize,
}

impl Runner {
    /// A runner with `threads` (a number, the caller's thread included, or more about them). Its runs stop while `cancel`
    /// is fired.
    pub fn new(model: &Model, threads: impl Into<Threads>, cancel: CancelToken) -> Runner {
        let Threads { count, start } = threads.into();
        let team = Team::with_start(count.unwrap_or_else(default_threads), cancel.flag(), start.clone());
        Runner {
            model: model.clone(),
            team,
            start,
            cancel,
            buffers: Buffers::default(),
            #[cfg(feature = "ggml")]
            engine: None,
        }
    }

    /// A second runner of the same model with threads of its own, as many and begun alike.
    pub fn fork(&self, cancel: CancelToken) -> Runner {
        Runner::new(&self.model, Threads { count: Some(self.threads()), start: self.start.clone() }, cancel)
    }

    /// The model that runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Threads that work, the caller's included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Runs `steps` as one batch and returns the wanted logits as `[row][vocabulary]`, in the order of the steps and
    /// their positions. Steps that want their best token have no row among them.
    ///
    /// # Errors
    /// `Argument` for an empty step, a token outside the vocabulary or another model's cache, `ContextFull` where a cache
    /// lacks room, `OutOfMemory`, `Cancelled`. After an error every cache holds what it held before.
    pub fn run(&mut self, steps: &mut [Step<'_>]) -> Result<&[f32]> {
        self.team.take_dropped();
        self.cancel.check()?;
        self.buffers.answers.begin(&[]);
        self.buffers.collect_rows(steps, self.model.inner.weights.embedding.rows())?;
        #[cfg(feature = "ggml")]
        {
            if let Some(devices) = self.model.inner.devices.clone() {
                return self.run_devices(&devices, steps);
            }
            if steps.iter().any(|step| step.cache.lease().is_some()) {
                return Err(Error::new(ErrorKind::Argument, "the cache was filled by another model"));
            }
        }
        self.run_layers(steps)?;
        let Runner { model, team, buffers, .. } = self;
        let Buffers { positions, residual, normed, projector, head, answers, .. } = buffers;
        let inner = &*model.inner;
        let config = &inner.config;
        let pass = Pass { isa: inner.isa, team, positions, norm_eps: config.norm_eps, width: config.embedding_length };
        answers.begin(steps);
        head.run(&pass, config, &inner.weights, projector, residual, normed, answers);
        // Nothing counts that was computed while tasks were dropped, even if the flag is down again by now.
        if team.take_dropped() {
            answers.begin(&[]);
            return Err(cancelled());
        }
        for step in steps {
            step.cache.commit(step.tokens.len());
        }
        Ok(head.first(answers.whole(), config.vocabulary))
    }

    /// The token with the highest logit of a step of the last run that wanted [`Wanted::Best`], and that logit. Of equal
    /// ones it is the lowest token; a logit that is not a number counts as minus infinity. `None` where no logit is
    /// above minus infinity, and for steps that wanted something else.
    pub fn best(&self, step: usize) -> Option<(u32, f32)> {
        self.buffers.answers.best(step).first().copied()
    }

    /// What the last run gave for a step.
    pub(crate) fn scores(&mut self, step: usize) -> StepScores<'_> {
        StepScores { runner: self, step }
    }

    /// All logits of the last position of a step of the last run, for steps that wanted [`Wanted::Best`] (or
    /// [`Wanted::Last`]): computed or fetched only now, where they have not been before.
    ///
    /// # Errors
    /// `Argument` for other steps, and where the last run failed.
    pub fn logits(&mut self, step: usize) -> Result<&[f32]> {
        let what = "the last run computed no logits for that step";
        let row = self.buffers.answers.place(step).ok_or_else(|| Error::new(ErrorKind::Argument, what))?;
        #[cfg(feature = "ggml")]
        if let Some(engine) = &mut self.engine {
            return engine.logits(row);
        }
        self.buffers.head.row(row, self.model.inner.config.vocabulary)
    }

    /// As [`Runner::run`], with the later layers on devices.
    #[cfg(feature = "ggml")]
    fn run_devices(
        &mut self,
        devices: &std::sync::Arc<crate::ggml::DeviceModel>,
        steps: &mut [Step<'_>],
    ) -> Result<&[f32]> {
        for step in steps.iter_mut() {
            self.model.check_cache(step.cache.kind())?;
            step.cache.check_room(step.tokens.len())?;
            step.cache.keep_layers(devices.cpu_layers);
        }
        if devices.takes_tokens() {
            self.buffers.residual.clear();
        } else {
            self.run_layers(steps)?;
            if self.team.take_dropped() {
                return Err(cancelled());
            }
        }
        let engine = match &mut self.engine {
            Some(engine) => engine,
            none => none.insert(crate::ggml::Engine::new(devices)?),
        };
        let Buffers { residual, answers, .. } = &mut self.buffers;
        answers.begin(steps);
        let run = engine.run(steps, residual, answers, &self.cancel);
        if run.is_err() {
            answers.begin(&[]);
        }
        let logits = run?;
        for step in steps {
            step.cache.commit(step.tokens.len());
        }
        Ok(logits)
    }

    /// Embeds the rows of `steps` and runs them through the layers that are on the CPU: the residual stream of all rows,
    /// or of the wanted ones where these are all layers.
    fn run_layers(&mut self, steps: &mut [Step<'_>]) -> Result<()> {
        let Runner { model, team, cancel, buffers, .. } = self;
        let inner = &*model.inner;
        let (config, weights) = (&inner.config, &inner.weights);
        let width = config.embedding_length;
        for step in steps.iter_mut() {
            step.cache.reserve(step.tokens.len())?;
        }
        let positions = std::mem::take(&mut buffers.positions);
        let pass = Pass { isa: inner.isa, team, positions: &positions, norm_eps: config.norm_eps, width };

        buffers.residual.resize(positions.len() * width, 0.0);
        buffers.normed.resize(positions.len() * width, 0.0);
        let tokens = steps.iter().flat_map(|s| s.tokens.iter().copied());
        for (token, out) in tokens.zip(buffers.residual.chunks_exact_mut(width)) {
            weights.embedding.row(token, &mut buffers.embedding, out)?;
            if config.embedding_scale != 1.0 {
                ops::scale(pass.isa, out, config.embedding_scale);
            }
        }
        buffers.rotations.resize_with(config.ropes.len(), Rotations::default);
        for (rotations, rope) in buffers.rotations.iter_mut().zip(&inner.ropes) {
            rotations.fill(rope, &positions);
        }

        let last = config.layers.len() - 1;
        for (il, (layer, layer_weights)) in config.layers.iter().zip(&weights.layers).enumerate() {
            cancel.check()?;
            // Past the last layer's cache only the wanted rows matter.
            let wanted = (il == last).then_some(&*buffers.wanted);
            attention::run(
                &pass,
                il,
                &layer.attention,
                &layer_weights.attention,
                &buffers.rotations[layer.attention.rope()],
                steps,
                &mut buffers.projector,
                &mut buffers.attention,
                &mut buffers.residual,
                &mut buffers.normed,
            );
            if let Some(wanted) = wanted {
                keep_rows(&mut buffers.residual, wanted, width);
            }
            if !buffers.residual.is_empty() {
                feed_forward::run(
                    &pass,
                    &layer.feed_forward,
                    &layer_weights.feed_forward,
                    &mut buffers.projector,
                    &mut buffers.feed_forward,
                    &mut buffers.residual,
                    &mut buffers.normed,
                );
            }
        }

        buffers.positions = positions;
        Ok(())
    }
}

/// What a run gave for one of its steps.
pub(crate) struct StepScores<'a> {
    runner: &'a mut Runner,
    step: usize,
}

impl Scores for StepScores<'_> {
    fn top(&self) -> &[(u32, f32)] {
        self.runner.buffers.answers.best(self.step)
    }

    fn all(&mut self) -> Result<&[f32]> {
        self.runner.logits(self.step)
    }
}

impl Buffers {
    /// Lists the rows of `steps` and checks every token.
    fn collect_rows(&mut self, steps: &[Step<'_>], vocabulary: usize) -> Result<()> {
        self.positions.clear();
        self.wanted.clear();
        for step in steps {
            if step.tokens.is_empty() {
                return Err(Error::new(ErrorKind::Argument, "a step needs at least one token"));
            }
            if let Some(bad) = step.tokens.iter().find(|t| **t as usize >= vocabulary) {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("token {bad} is outside the vocabulary of {vocabulary}"),
                ));
            }
            let (start, first) = (self.positions.len(), step.cache.len());
            let count = step.tokens.len();
            self.positions.extend(first..first + count);
            match step.wanted {
                Wanted::None => {}
                Wanted::Best | Wanted::Last => self.wanted.push(start + count - 1),
                Wanted::All => self.wanted.extend(start..start + count),
            }
        }
        Ok(())
    }
}

impl Rotations {
    fn fill(&mut self, rope: &ops::Rope, positions: &[usize]) {
        self.half = rope.pairs();
        self.cos.resize(positions.len() * self.half, 0.0);
        self.sin.resize(positions.len() * self.half, 0.0);
        let out = self.cos.chunks_exact_mut(self.half).zip(self.sin.chunks_exact_mut(self.half));
        for (position, (cos, sin)) in positions.iter().zip(out) {
            rope.angles(*position, cos, sin);
        }
    }

    /// Cosines and sines of one row.
    pub(super) fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let range = row * self.half..(row + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// Values of a task that is a pass over memory: a microsecond or two, enough to be worth a hand-over.
const SHARE: usize = 1 << 13;

/// Rows of `width` values that make a task.
pub(super) fn rows_of_task(width: usize) -> usize {
    (SHARE / width).max(1)
}

/// RMS norm of every row of `xs` into `out`, both `[row][width]`.
pub(super) fn norm_rows(pass: &Pass<'_>, xs: &[f32], weight: &[f32], out: &mut Vec<f32>) {
    let width = weight.len();
    let share = rows_of_task(width) * width;
    out.resize(xs.len(), 0.0);
    pass.team.for_each_chunk(out, share, |task, out| {
        let xs = xs[task * share..].chunks_exact(width);
        for (x, out) in xs.zip(out.chunks_exact_mut(width)) {
            ops::rms_norm(pass.isa, x, weight, pass.norm_eps, out);
        }
    });
}

/// Adds a block's output to the residual stream, through the block's post norm where it has one.
pub(super) fn add_to_residual(pass: &Pass<'_>, output: &mut [f32], post_norm: Option<&[f32]>, residual: &mut [f32]) {
    let share = rows_of_task(pass.width) * pass.width;
    if let Some(weight) = post_norm {
        pass.team.for_each_chunk(output, share, |_, rows| {
            ops::rms_norm_heads(pass.isa, rows, weight, pass.norm_eps, weight.len());
        });
    }
    let output = &*output;
    pass.team.for_each_chunk(residual, share, |task, residual| {
        ops::add(pass.isa, residual, &output[task * share..][..residual.len()]);
    });
}

/// Moves the wanted rows to the front and drops the others. `wanted` ascends.
fn keep_rows(rows: &mut Vec<f32>, wanted: &[usize], width: usize) {
    for (to, from) in wanted.iter().enumerate() {
        rows.copy_within(from * width..(from + 1) * width, to * width);
    }
    rows.truncate(wanted.len() * width);
}
