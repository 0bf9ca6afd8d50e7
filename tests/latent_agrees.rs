//! Latent attention is attention over shared rows, the same bits for a row whoever computes it with whatever others.

use r1_kernels::ops::{
    AttentionRun, KvElement, LatentBuffers, LatentPage, LatentShape, PAGE, Q8_BLOCK, Q8Rows, attend_latent, store_v,
    store_v_q8,
};
use r1_kernels::{Isa, Team};

/// Numbers from a fixed sequence, in -1..1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn row(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next()).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    F16,
    F32,
    Q8,
}

/// The rows of one sequence in pages whose unused slots hold NaN.
struct Cache {
    kind: Kind,
    f16: Vec<Vec<u16>>,
    f32: Vec<Vec<f32>>,
    q8: Vec<(Vec<i8>, Vec<u16>)>,
    /// What the pages say, row by row.
    rows: Vec<Vec<f32>>,
}

impl Cache {
    fn new(numbers: &mut Numbers, kind: Kind, len: usize, row: usize) -> Cache {
        let rows = (0..len).map(|_| numbers.row(row)).collect();
        Cache::of(kind, rows)
    }

    fn of(kind: Kind, mut rows: Vec<Vec<f32>>) -> Cache {
        let (row, scales) = (rows[0].len(), rows[0].len().div_ceil(Q8_BLOCK));
        let pages = rows.len().div_ceil(PAGE);
        let mut f16 = vec![vec![0x7e00; row * PAGE]; pages];
        let mut f32 = vec![vec![f32::NAN; row * PAGE]; pages];
        let mut q8 = vec![(vec![1; row * PAGE], vec![0x7e00; scales * PAGE]); pages];
        for (position, values) in rows.iter_mut().enumerate() {
            let (page, slot) = (position / PAGE, position % PAGE);
            match kind {
                Kind::F16 => {
                    store_v(Isa::detect(), &mut f16[page], slot, values);
                    values.iter_mut().for_each(|x| *x = u16::from_f32(*x).to_f32());
                }
                Kind::F32 => store_v(Isa::detect(), &mut f32[page], slot, values),
                Kind::Q8 => {
                    let (codes, halves) = &mut q8[page];
                    store_v_q8(Isa::detect(), codes, halves, slot, values);
                    for (d, x) in values.iter_mut().enumerate() {
                        *x = f32::from(codes[slot * row + d]) * halves[slot * scales + d / Q8_BLOCK].to_f32();
                    }
                }
            }
        }
        Cache { kind, f16, f32, q8, rows }
    }

    fn page(&self, page: usize) -> LatentPage<'_> {
        match self.kind {
            Kind::F16 => LatentPage::F16(&self.f16[page]),
            Kind::F32 => LatentPage::F32(&self.f32[page]),
            Kind::Q8 => LatentPage::Q8_0(Q8Rows { codes: &self.q8[page].0, scales: &self.q8[page].1 }),
        }
    }
}

fn shape(heads: usize, latent: usize, rope: usize) -> LatentShape {
    LatentShape { heads, latent, rope, scale: 0.3 }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// One row alone, in plain Rust.
fn alone(shape: &LatentShape, q: &[f32], position: usize, cache: &Cache) -> Vec<f32> {
    let mut out = vec![f32::NAN; shape.heads * shape.latent];
    let run = [AttentionRun { sequence: 0, first_position: position, rows: 1 }];
    let page = |_: usize, page: usize| cache.page(page);
    let mut buffers = LatentBuffers::new();
    attend_latent(Isa::SCALAR, &Team::new(1), shape, &run, q, &page, &mut buffers, &mut out);
    out
}

#[test]
fn it_is_a_softmax_over_the_rows_up_to_the_position_and_stale_slots_do_not_leak() {
    let mut numbers = Numbers(1);
    for kind in [Kind::F16, Kind::F32, Kind::Q8] {
        for (shape, position) in [
            (shape(1, 1, 2), 0),
            (shape(4, 32, 16), 63),
            (shape(16, 512, 64), 64),
            (shape(20, 48, 8), 700),
            (shape(33, 40, 10), 129),
            (shape(128, 64, 16), 20),
        ] {
            let cache = Cache::new(&mut numbers, kind, position + 1, shape.row());
            let q = numbers.row(shape.heads * shape.row());
            let out = alone(&shape, &q, position, &cache);
            for (q, out) in q.chunks(shape.row()).zip(out.chunks(shape.latent)) {
                let dot = |row: &Vec<f32>| row.iter().zip(q).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
                let scores: Vec<f64> = cache.rows.iter().map(|row| dot(row) * f64::from(shape.scale)).collect();
                let greatest = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - greatest).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (d, out) in out.iter().enumerate() {
                    let sum: f64 = weights.iter().zip(&cache.rows).map(|(w, row)| w * f64::from(row[d])).sum();
                    assert!((f64::from(*out) - sum / total).abs() < 1e-5, "{shape:?} {kind:?} at {position}");
                }
            }
        }
    }
}

/// A batch of runs, one a sequence, against its rows one by one.
fn check_batch(shape: &LatentShape, kind: Kind, runs: &[(usize, usize)]) {
    let mut numbers = Numbers(17);
    let caches: Vec<Cache> =
        runs.iter().map(|&(first, rows)| Cache::new(&mut numbers, kind, first + rows, shape.row())).collect();
    let rows: usize = runs.iter().map(|run| run.1).sum();
    let q = numbers.row(rows * shape.heads * shape.row());
    let positions = runs
        .iter()
        .enumerate()
        .flat_map(|(s, &(first, rows))| (first..first + rows).map(move |position| (s, position)));
    let expected: Vec<f32> = q
        .chunks(shape.heads * shape.row())
        .zip(positions)
        .flat_map(|(q, (s, position))| alone(shape, q, position, &caches[s]))
        .collect();
    let batch: Vec<AttentionRun> = runs
        .iter()
        .enumerate()
        .map(|(index, &(first_position, rows))| AttentionRun { sequence: 10 + index, first_position, rows })
        .collect();
    let page = |sequence: usize, page: usize| caches[sequence - 10].page(page);
    for threads in 1..=3 {
        let team = Team::new(threads);
        let mut buffers = LatentBuffers::new();
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; rows * shape.heads * shape.latent];
            attend_latent(isa, &team, shape, &batch, &q, &page, &mut buffers, &mut out);
            assert_eq!(bits(&out), bits(&expected), "{shape:?}, {runs:?}, {threads} threads, {}", isa.name());
        }
    }
}

#[test]
fn a_batch_equals_its_rows_whatever_the_threads_and_the_instruction_set() {
    for kind in [Kind::F16, Kind::F32, Kind::Q8] {
        check_batch(&shape(16, 64, 16), kind, &[(0, 1)]);
        check_batch(&shape(16, 64, 16), kind, &[(0, 40)]);
        check_batch(&shape(4, 40, 6), kind, &[(60, 10), (3, 1), (0, 70)]);
        check_batch(&shape(40, 32, 16), kind, &[(510, 5), (511, 1)]);
    }
    // Whole spans a task, and pages a task, give the same.
    check_batch(&shape(16, 32, 16), Kind::F16, &[(5000, 1)]);
    check_batch(&shape(16, 32, 16), Kind::F16, &[(1100, 1), (700, 1)]);
    check_batch(&shape(128, 32, 16), Kind::F16, &[(600, 3)]);
    check_batch(&shape(7, 33, 2), Kind::F16, &[(1030, 9)]);
    check_batch(&shape(2, 512, 64), Kind::F16, &[]);
}

#[test]
fn an_infinite_value_of_a_later_row_stays_with_that_row() {
    let shape = shape(16, 32, 16);
    let mut numbers = Numbers(3);
    let mut rows: Vec<Vec<f32>> = (0..8).map(|_| numbers.row(shape.row())).collect();
    rows[7][..shape.latent].fill(f32::INFINITY);
    let cache = Cache::of(Kind::F32, rows);
    let q: Vec<f32> = numbers.row(8 * shape.heads * shape.row());
    let mut out = vec![0.0; 8 * shape.heads * shape.latent];
    let run = [AttentionRun { sequence: 0, first_position: 0, rows: 8 }];
    let page = |_: usize, page: usize| cache.page(page);
    let mut buffers = LatentBuffers::new();
    attend_latent(Isa::detect(), &Team::new(2), &shape, &run, &q, &page, &mut buffers, &mut out);
    let (before, last) = out.split_at(7 * shape.heads * shape.latent);
    assert!(before.iter().all(|x| x.is_finite()));
    assert!(last.iter().all(|x| !x.is_finite()));
}
