//! The attention blocks: grouped-query and latent.

mod grouped;
mod latent;

use std::ops::Range;
use std::sync::Arc;

use super::project::Projector;
use super::runner::{Pass, Rotations, Step};
use crate::cache::{Page, PageLayout};
use crate::config::AttentionConfig;
use crate::weights::AttentionWeights;
use r1_kernels::ops::{AttentionRun, PAGE};

/// Buffers that a pass reuses, those of each kind of block.
#[derive(Debug, Default)]
pub(super) struct AttentionScratch {
    grouped: grouped::Scratch,
    latent: latent::Scratch,
}

/// `residual += block(norm(residual))`; writes the new positions to the caches on the way. `output` is
/// room for what is added.
#[expect(clippy::too_many_arguments, reason = "the block's inputs, weights and buffers, each a noun of its own")]
pub(super) fn run(
    pass: &Pass<'_>,
    layer: usize,
    config: &AttentionConfig,
    weights: &AttentionWeights,
    rotations: &Rotations,
    steps: &mut [Step<'_>],
    projector: &mut Projector,
    scratch: &mut AttentionScratch,
    residual: &mut [f32],
    output: &mut Vec<f32>,
) {
    match (config, weights) {
        (AttentionConfig::Grouped(config), AttentionWeights::Grouped(weights)) => {
            let scratch = &mut scratch.grouped;
            grouped::run(pass, layer, config, weights, rotations, steps, projector, scratch, residual, output);
        }
        (AttentionConfig::Latent(config), AttentionWeights::Latent(weights)) => {
            let scratch = &mut scratch.latent;
            latent::run(pass, layer, config, weights, rotations, steps, projector, scratch, residual, output);
        }
        _ => unreachable!("weights are loaded as the configuration says"),
    }
}

/// The steps as the kernels see them.
fn runs(steps: &[Step<'_>]) -> Vec<AttentionRun> {
    let run = |(sequence, step): (usize, &Step<'_>)| AttentionRun {
        sequence,
        first_position: step.cache.len(),
        rows: step.tokens.len(),
    };
    steps.iter().enumerate().map(run).collect()
}

/// Gives every page of the caches that the pass writes to, with the rows of the batch that belong into it, to `write`;
/// a page a task.
fn write_pages(pass: &Pass<'_>, steps: &mut [Step<'_>], write: impl Fn(&mut Page, &PageLayout, Range<usize>) + Sync) {
    struct Task<'p> {
        page: &'p mut Page,
        layout: Arc<PageLayout>,
        rows: Range<usize>,
    }
    let mut tasks = Vec::new();
    let mut first_row = 0;
    for step in steps.iter_mut() {
        let (start, count) = (step.cache.len(), step.tokens.len());
        let layout = step.cache.layout();
        for (page_start, page) in step.cache.pages_from(start) {
            let begin = page_start.max(start) - start;
            let end = (page_start + PAGE).min(start + count) - start;
            let rows = first_row + begin..first_row + end;
            tasks.push(Task { page, layout: Arc::clone(&layout), rows });
        }
        first_row += count;
    }
    pass.team.for_each_chunk(&mut tasks, 1, |_, tasks| {
        for task in tasks {
            write(task.page, &task.layout, task.rows.clone());
        }
    });
}
