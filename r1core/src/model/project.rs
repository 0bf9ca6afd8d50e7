//! Projections: rows of activations times weight matrices that share them.

use super::runner::{Pass, rows_of_task};
use crate::weights::Linear;
use r1_kernels::{ActivationKind, Activations, Isa, Job, Team, matmul_best, matmul_group, ops};

/// The forms of activations, in the order of a [`Projector`]'s buffers.
const KINDS: [ActivationKind; 3] = [ActivationKind::F32, ActivationKind::Q8x32, ActivationKind::Q8x256];

/// Fewest values that are worth waking the team for: a microsecond or two of quantising.
const PARALLEL_VALUES: usize = 8192;

/// The quantised forms of sets of activation rows, each made when a matrix first asks for it.
#[derive(Debug, Default)]
pub(super) struct Projector {
    quantised: [Activations; 3],
    routed: [Vec<Activations>; 3],
}

/// Values of a set of rows that the team shares out; smaller sets are a task each.
const SHARED_VALUES: usize = 1 << 16;

/// Rows of `source` (`[row][len]`) times several matrices: `out[i] = matrix * source[rows[i]] + bias`.
pub(super) struct Routed<'a> {
    pub(super) source: &'a [f32],
    pub(super) len: usize,
    /// All rows where absent.
    pub(super) rows: Option<&'a [u32]>,
    pub(super) outputs: Vec<(&'a Linear, &'a mut [f32])>,
}

/// What is projected.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// Rows of so many values.
    Plain(&'a [f32], usize),
    /// The RMS norms, with these weights, of rows that are as long. They are quantised as they come and never written.
    Normed(&'a [f32], &'a [f32]),
}

impl Rows<'_> {
    fn quantise(self, pass: &Pass<'_>, kind: ActivationKind, to: &mut Activations) {
        match self {
            Rows::Plain(xs, len) => to.quantize(pass.isa, pass.team, kind, len, xs),
            Rows::Normed(xs, weight) => to.quantize_norm(pass.isa, pass.team, kind, xs, weight, pass.norm_eps),
        }
    }
}

impl Projector {
    /// For each of `outputs`: `out[row] = matrix * xs[row] + bias`, with `out` `[row][outputs]`.
    pub(super) fn project(&mut self, pass: &Pass<'_>, xs: Rows<'_>, outputs: &mut [(&Linear, &mut [f32])]) {
        let (isa, team) = (pass.isa, pass.team);
        for (kind, quantised) in KINDS.into_iter().zip(&mut self.quantised) {
            if outputs.iter().all(|(linear, _)| linear.matrix.format().activation() != kind) {
                continue;
            }
            xs.quantise(pass, kind, quantised);
            let mut jobs: Vec<Job<'_>> = outputs
                .iter_mut()
                .filter(|(linear, _)| linear.matrix.format().activation() == kind)
                .map(|(linear, out)| Job { matrix: &linear.matrix, x: quantised, out })
                .collect();
            matmul_group(isa, team, &mut jobs);
        }
        outputs.iter_mut().for_each(|(linear, out)| add_bias(isa, team, linear, out));
    }

    /// For every row of `xs` the output of `linear` with the greatest value, and that value; the first of equal ones.
    /// `None` for rows that have none above minus infinity.
    pub(super) fn best(&mut self, pass: &Pass<'_>, xs: Rows<'_>, linear: &Linear) -> Vec<Option<(u32, f32)>> {
        let wanted = linear.matrix.format().activation();
        let buffers = KINDS.into_iter().zip(&mut self.quantised).find(|(kind, _)| *kind == wanted);
        let Some((kind, quantised)) = buffers else { return Vec::new() };
        xs.quantise(pass, kind, quantised);
        let bests = matmul_best(pass.isa, pass.team, &linear.matrix, quantised);
        bests.into_iter().map(|best| best.map(|(row, value)| (row as u32, value))).collect()
    }

    /// Every projection of `routed` in one parallel region (one for each kind of activations). Neighbours with the same
    /// rows of the same source share their quantised form.
    pub(super) fn project_routed(&mut self, isa: Isa, team: &Team, routed: &mut [Routed<'_>]) {
        for (kind, buffers) in KINDS.into_iter().zip(&mut self.routed) {
            let wants =
                |r: &Routed<'_>| r.outputs.iter().any(|(linear, _)| linear.matrix.format().activation() == kind);
            // The sets of rows to quantise, and which of them each projection reads.
            let mut sets: Vec<Set<'_>> = Vec::new();
            let reads: Vec<usize> = routed
                .iter()
                .map(|r| {
                    let set = Set { source: r.source, len: r.len, rows: r.rows };
                    if wants(r) && !sets.last().is_some_and(|last| last.is_same(&set)) {
                        sets.push(set);
                    }
                    sets.len().saturating_sub(1)
                })
                .collect();
            if sets.is_empty() {
                continue;
            }
            if buffers.len() < sets.len() {
                buffers.resize_with(sets.len(), Activations::new);
            }
            let buffers = &mut buffers[..sets.len()];
            quantise(isa, team, kind, &sets, buffers);
            let mut jobs: Vec<Job<'_>> = Vec::with_capacity(2 * routed.len());
            for (r, read) in routed.iter_mut().zip(reads) {
                for (linear, out) in &mut r.outputs {
                    if linear.matrix.format().activation() == kind {
                        jobs.push(Job { matrix: &linear.matrix, x: &buffers[read], out });
                    }
                }
            }
            matmul_group(isa, team, &mut jobs);
        }
        if routed.iter().any(|r| r.outputs.iter().any(|(linear, _)| linear.bias.is_some())) {
            team.for_each_chunk(routed, 1, |_, routed| {
                for (linear, out) in routed.iter_mut().flat_map(|r| &mut r.outputs) {
                    add_bias(isa, team, linear, out);
                }
            });
        }
    }
}

/// Rows to quantise.
struct Set<'a> {
    source: &'a [f32],
    len: usize,
    rows: Option<&'a [u32]>,
}

impl Set<'_> {
    /// Whether it is the same rows of the same buffer.
    fn is_same(&self, other: &Set<'_>) -> bool {
        std::ptr::eq(self.source, other.source) && self.len == other.len && self.rows == other.rows
    }

    fn values(&self) -> usize {
        self.rows.map_or(self.source.len(), |rows| rows.len() * self.len)
    }

    fn quantise(&self, isa: Isa, kind: ActivationKind, to: &mut Activations) {
        to.prepare(kind, self.len, self.values() / self.len);
        let all = 0..(self.source.len() / self.len) as u32;
        let mut put = |column: usize, row: u32| {
            to.quantize_column(isa, column, &self.source[row as usize * self.len..][..self.len]);
        };
        match self.rows {
            Some(rows) => rows.iter().enumerate().for_each(|(column, row)| put(column, *row)),
            None => all.for_each(|row| put(row as usize, row)),
        }
    }
}

/// Quantises every set into the buffer of the same place.
fn quantise(isa: Isa, team: &Team, kind: ActivationKind, sets: &[Set<'_>], buffers: &mut [Activations]) {
    let is_large = |set: &Set<'_>| set.rows.is_none() && set.values() > SHARED_VALUES;
    for (set, buffer) in sets.iter().zip(buffers.iter_mut()).filter(|(set, _)| is_large(set)) {
        buffer.quantize(isa, team, kind, set.len, set.source);
    }
    let one = |i: usize, buffer: &mut [Activations]| {
        if let (set, Some(buffer)) = (&sets[i], buffer.first_mut())
            && !is_large(set)
        {
            set.quantise(isa, kind, buffer);
        }
    };
    if sets.iter().map(Set::values).sum::<usize>() < PARALLEL_VALUES {
        buffers.chunks_mut(1).enumerate().for_each(|(i, buffer)| one(i, buffer));
    } else {
        team.for_each_chunk(buffers, 1, one);
    }
}

fn add_bias(isa: Isa, team: &Team, linear: &Linear, out: &mut [f32]) {
    if let Some(bias) = &linear.bias {
        let rows = rows_of_task(bias.len());
        team.for_each_chunk(out, rows * bias.len(), |_, rows| {
            rows.chunks_exact_mut(bias.len()).for_each(|row| ops::add(isa, row, bias));
        });
    }
}
