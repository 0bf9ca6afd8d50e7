//! Attention of a whole batch, shared out over a team.

use super::attention::{AttentionScratch, AttentionShape, attend_rows, attend_split, merge};
use super::page::KvSlice;
use crate::isa::Isa;
use crate::team::Team;
use std::sync::{Mutex, PoisonError};

/// Rows of a batch that continue one sequence: a prompt's chunk, or the one row of a decode step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionRun {
    /// The name by which `pages` knows the sequence.
    pub sequence: usize,
    /// The position of the first row.
    pub first_position: usize,
    /// The number of rows, at consecutive positions.
    pub rows: usize,
}

/// Buffers that grow to the largest batch and are used again.
#[derive(Debug, Default)]
pub struct AttentionBuffers {
    scratch: Pool,
    /// What each task leaves for the second region, one chunk a task.
    results: Vec<f32>,
}

/// A stack of scratch buffers: as many as tasks ever ran at once.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<(AttentionScratch, Vec<f32>)>>);

/// A part of the batch, for one key-value head.
#[derive(Clone, Copy)]
struct Task {
    run: AttentionRun,
    /// The first row in the batch.
    row: usize,
    kv_head: usize,
    part: Part,
}

#[derive(Clone, Copy)]
enum Part {
    /// A tile of `rows` rows.
    Rows { rows: usize },
    /// One split of one row.
    Split { split: usize },
}

/// Where the second region finds one row and head.
#[derive(Clone, Copy)]
enum Source {
    /// The row `row` of what the task left.
    Row { task: usize, row: usize },
    /// Partial results of that many tasks.
    Splits { task: usize, splits: usize },
}

impl AttentionBuffers {
    /// Empty buffers.
    pub fn new() -> AttentionBuffers {
        AttentionBuffers::default()
    }
}

impl Pool {
    fn with(&self, task: impl FnOnce(&mut AttentionScratch, &mut Vec<f32>)) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (mut scratch, mut rows) = taken.unwrap_or_default();
        task(&mut scratch, &mut rows);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((scratch, rows));
    }
}

/// Attention for all rows of `runs`, one run after the other: `q` is `[row][kv_heads][group][head_dim_k]`, `out`
/// `[row][kv_heads][group][head_dim_v]`. `pages` gives the page of (sequence, key-value head, page number); it has to
/// hold the keys and values of all rows already. Every row gets the bits that [`attend`](super::attend) gives it.
///
/// A batch of single rows is shared out by (row, head, split), any other by (head, tile of rows).
///
/// # Panics
///
/// When `q`, `out` or a page does not fit the shape.
#[expect(clippy::too_many_arguments, reason = "where, what, from, with, to")]
pub fn attend_batch<'a>(
    isa: Isa,
    team: &Team,
    shape: &AttentionShape,
    kv_heads: usize,
    runs: &[AttentionRun],
    q: &[f32],
    pages: &(dyn Fn(usize, usize, usize) -> KvSlice<'a> + Sync),
    buffers: &mut AttentionBuffers,
    out: &mut [f32],
) {
    let rows: usize = runs.iter().map(|run| run.rows).sum();
    let (q_head, out_head) = (shape.group * shape.head_dim_k, shape.group * shape.head_dim_v);
    assert_eq!(q.len(), rows * kv_heads * q_head, "the queries do not fit the runs");
    assert_eq!(out.len(), rows * kv_heads * out_head, "the output does not fit the runs");
    if out.is_empty() {
        return;
    }
    let (tasks, sources) = plan(shape, kv_heads, runs);
    let single = runs.iter().all(|run| run.rows == 1);
    let chunk = if single { shape.partial_len() } else { shape.tile_rows() * out_head };
    let AttentionBuffers { scratch: pool, results } = buffers;
    results.resize(results.len().max(tasks.len() * chunk), 0.0);
    let results = &mut results[..tasks.len() * chunk];

    team.for_each_chunk(results, chunk, |index, result| {
        let Task { run, row, kv_head, part } = tasks[index];
        let page = |page| pages(run.sequence, kv_head, page);
        let q_of = |row: usize| &q[(row * kv_heads + kv_head) * q_head..][..q_head];
        pool.with(|scratch, queries| match part {
            Part::Split { split } => {
                attend_split(isa, shape, q_of(row), run.first_position, split, &page, scratch, result);
            }
            Part::Rows { rows } => {
                queries.clear();
                (row..row + rows).for_each(|row| queries.extend_from_slice(q_of(row)));
                let result = &mut result[..rows * out_head];
                attend_rows(isa, shape, queries, run.first_position, &page, scratch, result);
            }
        });
    });

    let results = &*results;
    team.for_each_chunk(out, out_head, |index, out| match sources[index] {
        Source::Row { task, row } => out.copy_from_slice(&results[task * chunk + row * out_head..][..out_head]),
        Source::Splits { task, splits } => {
            let partials = &results[task * chunk..][..splits * chunk];
            pool.with(|scratch, _| merge(isa, shape, partials, scratch, out));
        }
    });
}

/// The tasks, and for each (row, head) of the output where it comes from.
fn plan(shape: &AttentionShape, kv_heads: usize, runs: &[AttentionRun]) -> (Vec<Task>, Vec<Source>) {
    let single = runs.iter().all(|run| run.rows == 1);
    let (mut tasks, mut sources) = (Vec::new(), Vec::new());
    let mut row = 0;
    for &run in runs {
        if single {
            for kv_head in 0..kv_heads {
                let splits = shape.splits(run.first_position);
                sources.push(Source::Splits { task: tasks.len(), splits: splits.len() });
                tasks.extend(splits.map(|split| Task { run, row, kv_head, part: Part::Split { split } }));
            }
        } else {
            for start in (0..run.rows).step_by(shape.tile_rows()) {
                let rows = shape.tile_rows().min(run.rows - start);
                let tile = AttentionRun { first_position: run.first_position + start, ..run };
                for tile_row in 0..rows {
                    let source = |kv_head| Source::Row { task: tasks.len() + kv_head, row: tile_row };
                    sources.extend((0..kv_heads).map(source));
                }
                let task = |kv_head| Task { run: tile, row: row + start, kv_head, part: Part::Rows { rows } };
                tasks.extend((0..kv_heads).map(task));
            }
        }
        row += run.rows;
    }
    (tasks, sources)
}
