//! Steps of sequences into passes over the stages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use r1_ggml::HostMemory;

use super::graph::{Outputs, Shape};
use super::slots::{Lease, Slots};
use super::stage::{Batch, Stage};
use super::weights::DeviceModel;
use crate::cancel::CancelToken;
use crate::model::{Answers, Step, Wanted};
use crate::sampler::argmax;
use crate::{Error, ErrorKind, Result};

/// Positions are padded to multiples of this at least, as fused attention likes them.
const CELLS: usize = 256;
/// Rows of one pass at most; longer steps are cut.
const ROWS: usize = 4096;
/// Sequences of one pass at most.
const STREAMS: usize = 256;
/// Logits from which on a GPU chooses the best token of every row itself, in some 80 us for any number of rows on an H100:
/// fewer come to the host sooner. ggml's CPU code, which is for tests, always chooses.
const MANY: usize = 1 << 19;
/// The graph that tells what a device can do.
const PROBE: Shape = Shape { slot: 0, streams: 1, tokens: 1, cells: CELLS, outputs: Outputs::All, best: false };
/// Values of logits that one pass gives at most, so that asking for all of a long prompt's takes bounded memory.
const LOGITS: usize = 64 << 20;

/// Runs the layers that are on devices for one runner.
#[derive(Debug)]
pub(crate) struct Engine {
    model: Arc<DeviceModel>,
    shared: Arc<Shared>,
    /// Logits of the last run.
    logits: HostMemory,
    /// Where they were left on the device: the row of its result for each step.
    left: Vec<usize>,
}

/// What an engine and the sequences in its cache share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) slots: Slots,
    pub(super) position_bytes: usize,
    model: Arc<DeviceModel>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stages: Vec<Stage>,
    stride: usize,
    /// The residual stream between stages.
    hidden: Vec<f32>,
}

/// One sequence's part of a run.
#[derive(Debug)]
struct Member {
    lease: Arc<Lease>,
    /// Positions that it has.
    past: usize,
    /// Its first row among the run's rows, and its rows.
    first: usize,
    rows: usize,
    /// Its first logits among the run's, where it wants any.
    output: Option<usize>,
}

impl Engine {
    /// Starts queues on the devices.
    pub(crate) fn new(model: &Arc<DeviceModel>) -> Result<Engine> {
        let mut stages = Vec::new();
        for (weights, fused) in model.stages.iter().zip(&model.fused_attention) {
            stages.push(Stage::new(&model.config, weights, *fused, CELLS, 1)?);
        }
        let last = model.stages.last().ok_or_else(|| Error::new(ErrorKind::Internal, "no device"))?;
        let logits = HostMemory::new(&last.device, 4)?;
        let slots = Slots::default();
        slots.grow(1);
        let on_devices = model.config.layers.get(model.cpu_layers..).unwrap_or_default();
        let position_bytes = on_devices.iter().map(|l| l.attention.cache_values() * size_of::<u16>()).sum();
        let state = Mutex::new(State { stages, stride: CELLS, hidden: Vec::new() });
        let shared = Arc::new(Shared { slots, position_bytes, model: Arc::clone(model), state });
        Ok(Engine { model: Arc::clone(model), shared, logits, left: Vec::new() })
    }

    /// Plans a token's graph on every stage: which have fused attention, or an error that says what a device cannot do.
    pub(super) fn probe(model: &DeviceModel) -> Result<Vec<bool>> {
        let shape = PROBE;
        let plan = |weights, fused| {
            Stage::new(&model.config, weights, fused, CELLS, 1)?.prepare(&model.config, weights, shape)
        };
        model
            .stages
            .iter()
            .map(|weights| match plan(weights, true) {
                Ok(_) => Ok(true),
                Err(e) if e.kind() == ErrorKind::Unsupported => plan(weights, false).map(|_| false),
                Err(e) => Err(e),
            })
            .collect()
    }

    /// Whether the last device can choose the best token of a row.
    pub(super) fn probe_choice(model: &DeviceModel) -> Result<bool> {
        let last = model.stages.last().zip(model.fused_attention.last());
        let (weights, fused) = last.ok_or_else(|| Error::new(ErrorKind::Internal, "no device"))?;
        let mut stage = Stage::new(&model.config, weights, *fused, CELLS, 1)?;
        match stage.prepare(&model.config, weights, Shape { best: true, ..PROBE }) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Runs the steps' rows through the devices' layers, answers, and returns the wanted logits in order. `residual`
    /// holds the rows after the CPU's layers, `[row][embedding_length]`; it is not looked at where the first device takes
    /// tokens.
    pub(crate) fn run(
        &mut self,
        steps: &mut [Step<'_>],
        residual: &[f32],
        answers: &mut Answers,
        cancel: &CancelToken,
    ) -> Result<&[f32]> {
        let Engine { model, shared, logits, left } = self;
        left.clear();
        let vocabulary = model.config.vocabulary;
        // Before our own lock: two runners may want each other's sequences.
        let foreign = export_foreign(shared, steps)?;
        let mut state = shared.lock();
        let members = place(model, shared, &mut state, steps, foreign, answers)?;

        let chooses = |step: &Step<'_>| step.wanted == Wanted::Best && step.tokens.len() == 1;
        let worth = !model.on_gpus() || steps.len() * vocabulary >= MANY;
        let best = model.chooses && worth && steps.len() <= STREAMS && steps.iter().all(chooses);
        // What the device chooses from stays there; a row of it may be asked for.
        let rows = if best { 1 } else { answers.rows() };
        let bytes = rows * vocabulary * size_of::<f32>();
        if logits.as_slice().len() < bytes {
            let last = model.stages.last().ok_or_else(|| Error::new(ErrorKind::Internal, "no device"))?;
            *logits = HostMemory::new(&last.device, bytes.next_power_of_two())?;
        }
        let tokens: Vec<i32> = steps.iter().flat_map(|s| s.tokens.iter().map(|t| *t as i32)).collect();
        let mut run =
            Run { model, state: &mut state, tokens: &tokens, residual, cancel, logits: logits.as_mut_slice(), best };

        let (mut single, longer): (Vec<_>, Vec<_>) = members.iter().zip(&*steps).partition(|(m, _)| m.rows == 1);
        single.sort_by_key(|(m, _)| m.lease.slot());
        for group in single.chunks_mut(STREAMS) {
            run.compact(shared, group)?;
            let slot = run.streams(shared, group)?;
            if best {
                *left = members.iter().map(|m| m.lease.slot() - slot).collect();
                run.choose(left, answers)?;
            }
        }
        for (member, step) in longer {
            run.prompt(member, step.wanted)?;
        }
        drop(state);
        if best {
            return Ok(&[]);
        }
        let outside = || Error::new(ErrorKind::Internal, "logits outside their memory");
        let logits = logits.values::<f32>(0, answers.rows() * vocabulary).ok_or_else(outside)?;
        answers.choose(logits, vocabulary);
        Ok(&logits[..answers.whole() * vocabulary])
    }

    /// All logits of a row of the last run, fetched where they were left on the device.
    pub(crate) fn logits(&mut self, row: usize) -> Result<&[f32]> {
        let Engine { model, shared, logits, left } = self;
        let bytes = model.config.vocabulary * size_of::<f32>();
        let outside = || Error::new(ErrorKind::Internal, "logits outside their memory");
        let place = match left.get(row) {
            Some(&row) => {
                let out = logits.as_mut_slice().get_mut(..bytes).ok_or_else(outside)?;
                shared.lock().stages.last_mut().ok_or_else(outside)?.read(vec![(row, out)])?;
                0
            }
            None => row * bytes,
        };
        logits.values::<f32>(place, model.config.vocabulary).ok_or_else(outside)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run over the stages.
struct Run<'a> {
    model: &'a DeviceModel,
    state: &'a mut State,
    tokens: &'a [i32],
    residual: &'a [f32],
    cancel: &'a CancelToken,
    logits: &'a mut [u8],
    /// The device chooses the best token of every row.
    best: bool,
}

impl Run<'_> {
    /// Moves sequences of `group` (sorted by slot) closer together where that makes the pass smaller.
    fn compact(&mut self, shared: &Arc<Shared>, group: &mut [(&Member, &Step<'_>)]) -> Result<()> {
        let Some((first, _)) = group.first() else { return Ok(()) };
        let start = first.lease.slot();
        let end = start + streams_for(group.len());
        let mut copies = Vec::new();
        for (member, _) in group.iter().rev() {
            let slot = member.lease.slot();
            if slot < end {
                break;
            }
            let Some(free) = shared.slots.take(start..end) else { break };
            copies.push((slot, free, member.past));
            member.lease.move_to(free);
        }
        if !copies.is_empty() {
            self.copy(&copies)?;
            group.sort_by_key(|(m, _)| m.lease.slot());
        }
        Ok(())
    }

    fn copy(&mut self, copies: &[(usize, usize, usize)]) -> Result<()> {
        let copies: Vec<_> = copies.iter().copied().filter(|(_, _, len)| *len > 0).collect();
        if copies.is_empty() {
            return Ok(());
        }
        self.state.stages.iter_mut().try_for_each(|stage| stage.copy_slots(&copies))
    }

    /// One token of every sequence of `group`, as one pass over neighbouring slots. Slots between them that are not
    /// asked for compute something that nobody looks at. Returns the first slot.
    fn streams(&mut self, shared: &Shared, group: &[(&Member, &Step<'_>)]) -> Result<usize> {
        let (Some((first, _)), Some((last, _))) = (group.first(), group.last()) else { return Ok(0) };
        let slots = shared.slots.count();
        let span = last.lease.slot() - first.lease.slot() + 1;
        let streams = streams_for(span).min(slots);
        let slot = first.lease.slot().min(slots - streams);
        let stride = self.state.stride;
        let longest = group.iter().map(|(m, _)| m.past + 1).max().unwrap_or(1);
        let cells = cells_for(longest).min(stride);
        let shape = Shape { slot, streams, tokens: 1, cells, outputs: Outputs::All, best: self.best };
        let width = self.model.config.embedding_length;

        let mut tokens = vec![0; streams];
        let mut positions = vec![0; streams];
        let mut cells: Vec<i64> = (0..streams).map(|i| (slots * stride + slot + i) as i64).collect();
        let mut residual = Vec::new();
        if !self.residual.is_empty() {
            residual.resize(streams * width, 0.0);
        }
        for (member, _) in group {
            let i = member.lease.slot() - slot;
            tokens[i] = self.tokens[member.first];
            positions[i] = member.past as i32;
            cells[i] = (member.lease.slot() * stride + member.past) as i64;
            if let Some(row) = residual.get_mut(i * width..(i + 1) * width) {
                row.copy_from_slice(&self.residual[member.first * width..][..width]);
            }
        }
        let batch = Batch { shape, tokens: &tokens, positions: &positions, cells: &cells, wanted: &[] };
        self.pass(&batch, &residual)?;
        if self.best {
            return Ok(slot);
        }
        // The rows of the result by the place of their logits, so that each part of memory is cut off once.
        let mut rows: Vec<(usize, usize)> =
            group.iter().filter_map(|(m, _)| Some((m.output?, m.lease.slot() - slot))).collect();
        rows.sort_unstable();
        self.take(&rows)?;
        Ok(slot)
    }

    /// Answers with the best tokens that the device chose, `rows` being the steps' rows of its result. Where it is not sure
    /// of one, all logits are looked at.
    fn choose(&mut self, rows: &[usize], answers: &mut Answers) -> Result<()> {
        let Some(stage) = self.state.stages.last_mut() else { return Ok(()) };
        let best = stage.read_best()?;
        for (step, &row) in rows.iter().enumerate() {
            let chosen = match best.get(row).copied().flatten() {
                Some(best) => Some(best),
                None => {
                    let mut bytes = vec![0; self.model.config.vocabulary * size_of::<f32>()];
                    stage.read(vec![(row, &mut bytes)])?;
                    let logits: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                    argmax(&logits)
                }
            };
            answers.set_best(step, chosen);
        }
        Ok(())
    }

    /// A prompt, or several forced tokens, of one sequence.
    fn prompt(&mut self, member: &Member, wanted: Wanted) -> Result<()> {
        let stride = self.state.stride;
        let config = &self.model.config;
        let most = match wanted {
            Wanted::All => (LOGITS / config.vocabulary).clamp(1, ROWS),
            _ => ROWS,
        };
        let (slot, width) = (member.lease.slot(), config.embedding_length);
        let mut done = 0;
        while done < member.rows {
            self.cancel.check()?;
            let count = most.min(member.rows - done);
            let past = member.past + done;
            let ends = done + count == member.rows;
            let outputs = match wanted {
                Wanted::All => Outputs::All,
                Wanted::Best | Wanted::Last if ends && count == 1 => Outputs::All,
                Wanted::Best | Wanted::Last if ends => Outputs::Some(1),
                _ => Outputs::None,
            };
            let cells = cells_for(past + count).min(stride);
            let shape = Shape { slot, streams: 1, tokens: count, cells, outputs, best: false };
            let positions: Vec<i32> = (past..past + count).map(|p| p as i32).collect();
            let cells: Vec<i64> = (past..past + count).map(|p| (slot * stride + p) as i64).collect();
            let first = member.first + done;
            let residual = self.residual.get(first * width..(first + count) * width).unwrap_or_default();
            let batch = Batch {
                shape,
                tokens: &self.tokens[first..first + count],
                positions: &positions,
                cells: &cells,
                wanted: &[count as i32 - 1],
            };
            self.pass(&batch, residual)?;
            match (member.output, outputs) {
                (Some(output), Outputs::All) if wanted == Wanted::All => {
                    let rows: Vec<_> = (0..count).map(|row| (output + done + row, row)).collect();
                    self.take(&rows)?;
                }
                (Some(output), Outputs::All | Outputs::Some(_)) => self.take(&[(output, 0)])?,
                _ => {}
            }
            done += count;
        }
        Ok(())
    }

    /// Runs a batch through all stages.
    fn pass(&mut self, batch: &Batch<'_>, residual: &[f32]) -> Result<()> {
        let State { stages, hidden, .. } = &mut *self.state;
        let count = stages.len();
        let mut entry = residual;
        for (i, (stage, weights)) in stages.iter_mut().zip(&self.model.stages).enumerate() {
            self.cancel.check()?;
            stage.run(&self.model.config, weights, batch, entry)?;
            if i + 1 < count {
                hidden.resize(batch.shape.rows() * self.model.config.embedding_length, 0.0);
                let mut bytes = vec![0; hidden.len() * size_of::<f32>()];
                stage.read(vec![(0, &mut bytes)])?;
                for (value, bytes) in hidden.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
                entry = hidden;
            }
        }
        Ok(())
    }

    /// Copies rows of the last result to the logits: (place among the logits, row), by ascending place.
    fn take(&mut self, rows: &[(usize, usize)]) -> Result<()> {
        let row_bytes = self.model.config.vocabulary * size_of::<f32>();
        let mut parts = Vec::new();
        let mut rest = &mut *self.logits;
        let mut at = 0;
        let mut i = 0;
        while let Some((place, row)) = rows.get(i) {
            // Neighbours on both sides travel together.
            let run = rows[i..].iter().enumerate().take_while(|(n, r)| **r == (place + n, row + n)).count();
            let (_, from) = rest.split_at_mut((place - at) * row_bytes);
            let (part, behind) = from.split_at_mut(run * row_bytes);
            parts.push((*row, part));
            rest = behind;
            at = place + run;
            i += run;
        }
        match self.state.stages.last_mut() {
            Some(stage) => stage.read(parts),
            None => Ok(()),
        }
    }
}

/// A sequence's keys and values as bytes: for every stage, its tensors.
type Exported = Vec<Vec<Vec<u8>>>;

/// Reads the sequences that other engines hold; `None` for those that are ours.
fn export_foreign(shared: &Arc<Shared>, steps: &[Step<'_>]) -> Result<Vec<Option<Exported>>> {
    steps
        .iter()
        .map(|step| match step.cache.lease() {
            Some(lease) if !Arc::ptr_eq(&lease.shared, shared) => {
                if !Arc::ptr_eq(&lease.shared.model, &shared.model) {
                    return Err(other_model());
                }
                let mut state = lease.shared.lock();
                let (slot, len) = (lease.slot(), step.cache.len());
                state.stages.iter_mut().map(|stage| stage.export(slot, len)).collect::<Result<_>>().map(Some)
            }
            _ => Ok(None),
        })
        .collect()
}

/// Gives every step a slot of its own with room for its rows.
fn place(
    model: &DeviceModel,
    shared: &Arc<Shared>,
    state: &mut State,
    steps: &mut [Step<'_>],
    foreign: Vec<Option<Exported>>,
    answers: &Answers,
) -> Result<Vec<Member>> {
    let needs_slot = |step: &Step<'_>, foreign: &Option<Exported>| {
        foreign.is_some() || step.cache.lease().is_none_or(|lease| Arc::strong_count(lease) > 1)
    };
    let new = steps.iter().zip(&foreign).filter(|(step, foreign)| needs_slot(step, foreign)).count();
    let cells = steps.iter().map(|s| s.cache.len() + s.tokens.len()).max().unwrap_or(1);
    let capacity = steps.iter().map(|s| s.cache.capacity()).max().unwrap_or(1);
    let missing = new.saturating_sub(shared.slots.free());
    reserve(model, shared, state, shared.slots.count() + missing, cells, capacity)?;

    let no_slot = || Error::new(ErrorKind::Internal, "no slot of the device's cache is free");
    let mut copies = Vec::new();
    let mut first = 0;
    let mut members = Vec::with_capacity(steps.len());
    for (i, (step, foreign)) in steps.iter_mut().zip(foreign).enumerate() {
        let past = step.cache.len();
        if needs_slot(step, &foreign) {
            let slot = shared.slots.take(0..usize::MAX).ok_or_else(no_slot)?;
            let lease = Lease::new(shared, slot);
            match (&foreign, step.cache.lease()) {
                (Some(parts), _) => {
                    for (stage, parts) in state.stages.iter_mut().zip(parts) {
                        stage.import(slot, parts)?;
                    }
                }
                (None, Some(old)) => copies.push((old.slot(), slot, past, Arc::clone(old))),
                (None, None) if past > 0 => {
                    return Err(other_model());
                }
                (None, None) => {}
            }
            step.cache.set_lease(lease);
        }
        let lease = Arc::clone(step.cache.lease().ok_or_else(no_slot)?);
        let rows = step.tokens.len();
        // The last row's place; with all rows, the others are before it.
        let before = if step.wanted == Wanted::All { rows - 1 } else { 0 };
        members.push(Member { lease, past, first, rows, output: answers.place(i).map(|last| last - before) });
        first += rows;
    }
    let moves: Vec<_> =
        copies.iter().filter(|(.., len, _)| *len > 0).map(|(from, to, len, _)| (*from, *to, *len)).collect();
    if !moves.is_empty() {
        state.stages.iter_mut().try_for_each(|stage| stage.copy_slots(&moves))?;
    }
    Ok(members)
}

/// Grows the cache to `slots` slots of `cells` positions at least; further where memory allows, so that it is rare.
fn reserve(
    model: &DeviceModel,
    shared: &Shared,
    state: &mut State,
    slots: usize,
    cells: usize,
    capacity: usize,
) -> Result<()> {
    let count = shared.slots.count();
    if slots <= count && cells <= state.stride {
        return Ok(());
    }
    let exact = (slots.max(count), cells_for(cells).max(state.stride));
    let roomy = (
        if slots > count { slots.max((count * 3 / 2).min(count + 16)) } else { count },
        if cells > state.stride { exact.1.max(cells_for((2 * cells).min(capacity))) } else { state.stride },
    );
    let mut grow = |(slots, stride): (usize, usize)| {
        // All of it before any of it counts, so that a failure changes nothing.
        let stages = state.stages.iter_mut().zip(&model.stages);
        let new: Vec<_> = stages
            .map(|(stage, weights)| stage.enlarged(&model.config, weights, stride, slots))
            .collect::<Result<_>>()?;
        state.stages.iter_mut().zip(new).for_each(|(stage, cache)| stage.adopt(cache));
        state.stride = stride;
        shared.slots.grow(slots);
        Ok::<_, Error>(())
    };
    match grow(roomy) {
        Err(e) if e.kind() == ErrorKind::OutOfMemory && roomy != exact => grow(exact),
        result => result,
    }
}

fn other_model() -> Error {
    Error::new(ErrorKind::Argument, "the cache was filled by another model")
}

/// Positions that a graph looks at for `count`: padded, so that a graph lasts for hundreds of tokens.
fn cells_for(count: usize) -> usize {
    count.next_multiple_of(CELLS.max(count.next_power_of_two() / 16))
}

/// Slots that a graph looks at for `count`: few different numbers, so that graphs last while sequences end.
fn streams_for(count: usize) -> usize {
    count.next_multiple_of((count.next_power_of_two() / 8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_small_and_stable() {
        for count in (1..5000).chain([32_768, 100_000]) {
            let cells = cells_for(count);
            assert!(cells >= count && cells.is_multiple_of(CELLS) && cells_for(cells) == cells, "{count}: {cells}");
            assert!(cells <= count + count / 8 + CELLS, "{count}: {cells}");
            let streams = streams_for(count);
            assert!(streams >= count && streams <= count + count / 4 && streams_for(streams) == streams, "{count}");
        }
    }
}
