//! Latent attention of a whole batch, shared out over a team.

use super::super::attention::{finish, fold};
use super::super::batch::AttentionRun;
use super::tile::{Scratch, Tile, attend_pages, attend_tile, transpose};
use super::{LatentPage, LatentShape, SPAN, pages_of};
use crate::isa::Isa;
use crate::team::Team;
use std::sync::{Mutex, PoisonError};

/// Buffers that grow to the largest batch and are used again.
#[derive(Debug, Default)]
pub struct LatentBuffers {
    scratch: Pool,
    /// Queries of a batch of single rows, a tile after the other, each `[row()][lanes]`.
    queries: Vec<f32>,
    /// Partial results, one chunk a task.
    partials: Vec<f32>,
}

/// A stack of scratch buffers: as many as tasks ever ran at once.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Scratch>>);

impl LatentBuffers {
    /// Empty buffers.
    pub fn new() -> LatentBuffers {
        LatentBuffers::default()
    }
}

impl Pool {
    fn with(&self, task: impl FnOnce(&mut Scratch)) {
        let mut scratch = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        task(&mut scratch);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

/// What every task needs.
struct Work<'w, 'a> {
    isa: Isa,
    shape: LatentShape,
    runs: &'w [AttentionRun],
    /// `[row][heads][row()]`
    q: &'w [f32],
    pages: &'w (dyn Fn(usize, usize) -> LatentPage<'a> + Sync),
}

/// Latent attention for all rows of `runs`, one run after the other: `q` is `[row][heads][latent + rope]`, `out`
/// `[row][heads][latent]`. `pages` gives the page of (sequence, page number); it has to hold the rows of all positions
/// already. A row's result depends on its query, its position and its sequence's rows alone, bit for bit.
///
/// A batch of single rows is shared out by (row, heads, pages), any other by (rows, heads).
///
/// # Panics
///
/// When `q`, `out` or a page does not fit the shape.
#[expect(clippy::too_many_arguments, reason = "where, what, from, with, to")]
pub fn attend_latent<'a>(
    isa: Isa,
    team: &Team,
    shape: &LatentShape,
    runs: &[AttentionRun],
    q: &[f32],
    pages: &(dyn Fn(usize, usize) -> LatentPage<'a> + Sync),
    buffers: &mut LatentBuffers,
    out: &mut [f32],
) {
    let rows: usize = runs.iter().map(|run| run.rows).sum();
    assert_eq!(q.len(), rows * shape.heads * shape.row(), "the queries do not fit the runs");
    assert_eq!(out.len(), rows * shape.heads * shape.latent, "the output does not fit the runs");
    if out.is_empty() {
        return;
    }
    let work = Work { isa, shape: *shape, runs, q, pages };
    if runs.iter().all(|run| run.rows == 1) {
        work.single_rows(team, buffers, out);
    } else {
        work.tiles(team, buffers, out);
    }
}

impl Work<'_, '_> {
    /// The query of one row and head.
    fn query(&self, row: usize, head: usize) -> &[f32] {
        &self.q[(row * self.shape.heads + head) * self.shape.row()..][..self.shape.row()]
    }

    /// Fills `out` with the queries of a tile that begins at `row` and `head`.
    fn transpose(&self, tile: Tile, row: usize, head: usize, out: &mut [f32]) {
        let queries = (row..row + tile.rows).flat_map(|row| (head..head + tile.heads).map(move |head| (row, head)));
        transpose(queries.map(|(row, head)| self.query(row, head)), self.shape.row(), tile.lanes(), out);
    }

    /// Rows with neighbours: a task is a tile and goes over all its pages.
    fn tiles(&self, team: &Team, buffers: &LatentBuffers, out: &mut [f32]) {
        struct Task<'o> {
            sequence: usize,
            tile: Tile,
            row: usize,
            head: usize,
            out: &'o mut [f32],
        }
        let shape = &self.shape;
        let (mut tasks, mut rest, mut first_row) = (Vec::new(), out, 0);
        for run in self.runs {
            for start in (0..run.rows).step_by(shape.tile_rows()) {
                let rows = shape.tile_rows().min(run.rows - start);
                for head in (0..shape.heads).step_by(shape.tile_heads()) {
                    let heads = shape.tile_heads().min(shape.heads - head);
                    let tile = Tile { first_position: run.first_position + start, rows, heads };
                    let (out, after) = std::mem::take(&mut rest).split_at_mut(tile.queries() * shape.latent);
                    rest = after;
                    tasks.push(Task { sequence: run.sequence, tile, row: first_row + start, head, out });
                }
            }
            first_row += run.rows;
        }
        team.for_each_chunk(&mut tasks, 1, |_, tasks| {
            for Task { sequence, tile, row, head, out } in tasks {
                buffers.scratch.with(|scratch| {
                    scratch.queries.resize(shape.row() * tile.lanes(), 0.0);
                    self.transpose(*tile, *row, *head, &mut scratch.queries);
                    attend_tile(self.isa, shape, *tile, &|page| (self.pages)(*sequence, page), scratch);
                    finish(self.isa, shape.latent, shape.stride(), &scratch.total, out);
                });
            }
        });
    }

    /// Single rows: their pages are shared out too, in whole spans where these are enough to go round.
    fn single_rows(&self, team: &Team, buffers: &mut LatentBuffers, out: &mut [f32]) {
        /// Tasks of each thread that make a fair share.
        const TASKS_PER_THREAD: usize = 4;
        let shape = &self.shape;
        let heads_of = |tile: usize| {
            let head = tile * shape.tile_heads();
            (head, shape.tile_heads().min(shape.heads - head))
        };
        let tile_of = |row: usize, tile: usize| Tile {
            first_position: self.runs[row].first_position,
            rows: 1,
            heads: heads_of(tile).1,
        };
        let tiles = shape.tiles();
        let LatentBuffers { scratch, queries, partials } = buffers;
        // Equal chunks, though the last tile of a row may be smaller.
        let query_chunk = shape.row() * tile_of(0, 0).lanes();
        queries.resize(self.runs.len() * tiles * query_chunk, 0.0);
        team.for_each_chunk(queries, query_chunk, |index, out| {
            let (row, tile) = (index / tiles, index % tiles);
            self.transpose(tile_of(row, tile), row, heads_of(tile).0, out);
        });

        let spans: usize = self.runs.iter().map(|run| pages_of(run.first_position).div_ceil(SPAN) * tiles).sum();
        let unit = if spans >= TASKS_PER_THREAD * team.threads() { SPAN } else { 1 };
        // The first task of each row, and one more.
        let mut tasks = Vec::new();
        let mut first_task = Vec::with_capacity(self.runs.len());
        for (row, run) in self.runs.iter().enumerate() {
            first_task.push(tasks.len());
            for tile in 0..tiles {
                let pages = pages_of(run.first_position);
                tasks.extend((0..pages).step_by(unit).map(|page| (row, tile, page..pages.min(page + unit))));
            }
        }
        let chunk = shape.tile_heads() * shape.stride();
        partials.resize(partials.len().max(tasks.len() * chunk), 0.0);
        let partials = &mut partials[..tasks.len() * chunk];
        let (queries, scratch) = (&*queries, &*scratch);
        team.for_each_chunk(partials, chunk, |index, out| {
            let (row, tile, range) = tasks[index].clone();
            let queries = &queries[(row * tiles + tile) * query_chunk..][..query_chunk];
            let page = |page| (self.pages)(self.runs[row].sequence, page);
            scratch.with(|scratch| {
                let mut total = std::mem::take(&mut scratch.total);
                attend_pages(self.isa, shape, tile_of(row, tile), queries, range, &page, scratch, &mut total);
                out[..total.len()].copy_from_slice(&total);
                scratch.total = total;
            });
        });

        let (partials, stride) = (&*partials, shape.stride());
        team.for_each_chunk(out, shape.latent, |index, out| {
            let (row, head) = (index / shape.heads, index % shape.heads);
            let units = pages_of(self.runs[row].first_position).div_ceil(unit);
            let first = first_task[row] + head / shape.tile_heads() * units;
            let partial = |task: usize| &partials[task * chunk + head % shape.tile_heads() * stride..][..stride];
            scratch.with(|scratch| {
                // Units of a span, then spans.
                let Scratch { total, span, .. } = scratch;
                for start in (0..units).step_by(SPAN / unit) {
                    let into = if start == 0 { &mut *total } else { &mut *span };
                    into.clear();
                    into.extend_from_slice(partial(first + start));
                    for task in start + 1..units.min(start + SPAN / unit) {
                        fold(self.isa, shape.wide_latent(), into, partial(first + task));
                    }
                    if start > 0 {
                        fold(self.isa, shape.wide_latent(), total, span);
                    }
                }
                finish(self.isa, shape.latent, stride, total, out);
            });
        });
    }
}
