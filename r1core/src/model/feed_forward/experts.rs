//! A mixture of experts.
//!
//! The rows of a pass are sorted by expert, so that each chosen expert's weights are read once, for all rows that use
//! it, and the others not at all. A row's result is a sum over its experts from the best to the least, then the shared
//! one; nothing in it depends on what other rows use.

use super::super::project::{Projector, Routed, Rows};
use super::super::runner::Pass;
use super::activate;
use super::router::{self, Chosen};
use crate::config::{ExpertsConfig, Gate};
use crate::weights::{ExpertsWeights, GatedWeights};
use r1_kernels::ops;

/// Buffers that a pass reuses. A *slot* is one row at one of its experts; the slots of an expert are neighbours.
#[derive(Debug, Default)]
pub(super) struct ExpertsScratch {
    /// `[row][count]`
    logits: Vec<f32>,
    /// `[row][used]`, best first.
    chosen: Vec<Chosen>,
    routes: Routes,
    /// `[slot][width]`, then `[row][width of the shared expert]`.
    gate: Vec<f32>,
    /// As `gate`.
    up: Vec<f32>,
    /// `[slot][embedding_length]`, then `[row][embedding_length]` of the shared expert.
    outputs: Vec<f32>,
    /// `[row]`: factors on the shared expert's output.
    factors: Vec<f32>,
}

/// Replaces every row of `x`, `[row][embedding_length]`, by the block's output.
pub(super) fn run(
    pass: &Pass<'_>,
    config: &ExpertsConfig,
    kind: Gate,
    weights: &ExpertsWeights,
    projector: &mut Projector,
    scratch: &mut ExpertsScratch,
    x: &mut [f32],
) {
    let (d, used, width) = (pass.width, config.used, config.width);
    let rows = x.len() / d;
    let slots = rows * used;
    let shared_width = config.shared.map_or(0, |s| s.width);
    let ExpertsScratch { logits, chosen, routes, gate, up, outputs, factors } = scratch;

    logits.resize(rows * config.count, 0.0);
    chosen.resize(slots, Chosen::default());
    let shared = weights.shared.as_ref();
    let factor = shared.and_then(|s| s.factor.as_ref());
    factors.resize(if factor.is_some() { rows } else { 0 }, 0.0);
    let mut outs = vec![(&weights.router, &mut logits[..])];
    outs.extend(factor.map(|factor| (factor, &mut factors[..])));
    projector.project(pass, Rows::Plain(x, d), &mut outs);
    ops::sigmoid(pass.isa, factors);
    router::choose(pass, config, weights.selection_bias.as_deref(), logits, chosen);
    routes.sort(chosen, used, config.count);
    routes.groups.iter().for_each(|group| weights.prefetch(group.expert));

    gate.resize(slots * width + rows * shared_width, 0.0);
    up.resize(gate.len(), 0.0);
    let blocks = || {
        let experts = routes
            .groups
            .iter()
            .map(|group| (&weights.experts[group.expert], group.slots.len(), Some(&routes.rows[group.slots.clone()])));
        experts.chain(shared.map(|s| (&s.block, rows, None)))
    };
    let (mut gates, mut ups) = (&mut gate[..], &mut up[..]);
    let mut jobs: Vec<Routed<'_>> = blocks()
        .map(|(block, count, rows): (&GatedWeights, _, _)| {
            let inner = count * block.gate.matrix.rows();
            let outputs = vec![(&block.gate, take(&mut gates, inner)), (&block.up, take(&mut ups, inner))];
            Routed { source: x, len: d, rows, outputs }
        })
        .collect();
    projector.project_routed(pass.isa, pass.team, &mut jobs);
    drop(jobs);
    activate(pass, kind, gate, up);

    outputs.resize((slots + if shared.is_some() { rows } else { 0 }) * d, 0.0);
    let (mut sources, mut outs) = (&gate[..], &mut outputs[..]);
    let mut jobs: Vec<Routed<'_>> = blocks()
        .map(|(block, count, _): (&GatedWeights, _, _)| {
            let len = block.gate.matrix.rows();
            let (source, rest) = sources.split_at(count * len);
            sources = rest;
            Routed { source, len, rows: None, outputs: vec![(&block.down, take(&mut outs, count * d))] }
        })
        .collect();
    projector.project_routed(pass.isa, pass.team, &mut jobs);
    drop(jobs);

    // Parts of a single row, or whole rows.
    let chunk = if rows == 1 { d.div_ceil(4).next_multiple_of(16) } else { d };
    let shared_outputs = shared.map(|_| &outputs[slots * d..]);
    pass.team.for_each_chunk(x, chunk, |index, x| {
        let (row, start) = (index * chunk / d, index * chunk % d);
        x.fill(0.0);
        for (chosen, slot) in chosen[row * used..][..used].iter().zip(&routes.slots[row * used..]) {
            let output = &outputs[*slot as usize * d + start..][..x.len()];
            ops::add_scaled(pass.isa, x, output, chosen.weight);
        }
        if let Some(shared) = shared_outputs {
            let output = &shared[row * d + start..][..x.len()];
            ops::add_scaled(pass.isa, x, output, factors.get(row).copied().unwrap_or(1.0));
        }
    });
}

/// Splits the first `len` elements off.
fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (first, others) = std::mem::take(rest).split_at_mut(len);
    *rest = others;
    first
}

/// The rows of a pass, sorted by the experts they use.
#[derive(Debug, Default)]
struct Routes {
    /// The experts in use: those with the most rows first, the lower number on a tie.
    groups: Vec<Group>,
    /// `[slot]`: its row; an expert's rows ascend.
    rows: Vec<u32>,
    /// `[row][used]`: the slot.
    slots: Vec<u32>,
    /// `[expert]`: its rows, then its next slot.
    next: Vec<usize>,
}

#[derive(Debug)]
struct Group {
    expert: usize,
    slots: std::ops::Range<usize>,
}

impl Routes {
    fn sort(&mut self, chosen: &[Chosen], used: usize, experts: usize) {
        self.next.clear();
        self.next.resize(experts, 0);
        for c in chosen {
            self.next[c.expert as usize] += 1;
        }
        let counts = &self.next;
        self.groups.clear();
        self.groups.extend((0..experts).filter(|e| counts[*e] > 0).map(|e| Group { expert: e, slots: 0..counts[e] }));
        // The largest first: the team ends on small tasks, and the n-th largest buffer is never larger than the pass
        // divided by n. A stable sort, so ties stay in order.
        self.groups.sort_by_key(|group| std::cmp::Reverse(group.slots.len()));
        let mut start = 0;
        for Group { expert, slots } in &mut self.groups {
            *slots = start..start + slots.len();
            self.next[*expert] = start;
            start = slots.end;
        }
        self.rows.resize(chosen.len(), 0);
        self.slots.resize(chosen.len(), 0);
        for (place, c) in chosen.iter().enumerate() {
            let slot = self.next[c.expert as usize];
            self.next[c.expert as usize] += 1;
            self.rows[slot] = (place / used) as u32;
            self.slots[place] = slot as u32;
        }
    }
}
