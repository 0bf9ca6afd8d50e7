//! Speed of attention over caches that are larger than the processor's: the shape of a 1.5B model (12 query heads, 2
//! key-value heads of 128, 28 layers).
//!
//! `cargo bench -p r1-kernels --bench attention [-- [decode | prefill | shared] [f16 | q8_0 | f32] [threads=N]
//! [layers=N] [depth=N] ...]`. Each figure stands beside what bounds it: for decode a plain read of the same memory, for
//! prefill the multiply-adds that this processor does at most (one vector of 16 a cycle). Kinds take turns.

use std::hint::black_box;
use std::time::Instant;

use r1_kernels::ops::{AttentionBuffers, AttentionRun, AttentionShape, KvSlice, PAGE, Q8_BLOCK, Q8Rows, attend_batch};
use r1_kernels::{Isa, Team};

const HEADS: usize = 2;
const DIM: usize = 128;
const GROUP: usize = 6;
const TURNS: usize = 7;

/// Half of a head's page.
const HALF: usize = DIM * PAGE;
const SCALES: usize = DIM / Q8_BLOCK * PAGE;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    F16,
    F32,
    Q8,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::F16 => "f16",
            Kind::F32 => "f32",
            Kind::Q8 => "q8_0",
        }
    }
}

/// All layers' keys and values of [`PAGE`] positions.
enum Page {
    F16(Vec<u16>),
    F32(Vec<f32>),
    Q8(Vec<i8>, Vec<u16>),
}

impl Page {
    fn new(kind: Kind, layers: usize, seed: usize) -> Page {
        let heads = layers * HEADS;
        let number = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7 ^ seed) % 1999) as f32 / 1000.0 - 1.0;
        match kind {
            // A few numbers, again and again: making them is not what is measured.
            Kind::F16 => Page::F16((0..heads * 2 * HALF).map(|i| 0x3000 + (i * 7919 % 2048) as u16).collect()),
            Kind::F32 => Page::F32((0..heads * 2 * HALF).map(number).collect()),
            Kind::Q8 => {
                let codes = (0..heads * 2 * HALF).map(|i| (i * 7919 % 255) as i8).collect();
                Page::Q8(codes, vec![0x2000; heads * 2 * SCALES])
            }
        }
    }

    fn slice(&self, layer: usize, head: usize) -> KvSlice<'_> {
        let half = |i: usize| ((layer * HEADS + head) * 2 + i) * HALF..((layer * HEADS + head) * 2 + i + 1) * HALF;
        let part = |i: usize| ((layer * HEADS + head) * 2 + i) * SCALES..((layer * HEADS + head) * 2 + i + 1) * SCALES;
        match self {
            Page::F16(data) => KvSlice::F16 { k: &data[half(0)], v: &data[half(1)] },
            Page::F32(data) => KvSlice::F32 { k: &data[half(0)], v: &data[half(1)] },
            Page::Q8(codes, scales) => KvSlice::Q8_0 {
                k: Q8Rows { codes: &codes[half(0)], scales: &scales[part(0)] },
                v: Q8Rows { codes: &codes[half(1)], scales: &scales[part(1)] },
            },
        }
    }

    /// The page's memory as words.
    fn words(&self) -> &[u64] {
        // SAFETY: any bytes are words; `align_to` gives the aligned middle.
        unsafe {
            match self {
                Page::F16(data) => data.align_to().1,
                Page::F32(data) => data.align_to().1,
                Page::Q8(codes, _) => codes.align_to().1,
            }
        }
    }
}

struct Setting {
    isa: Isa,
    team: Team,
    layers: usize,
    shape: AttentionShape,
}

impl Setting {
    /// Seconds of all layers of one pass.
    fn pass(&self, runs: &[AttentionRun], page: &(dyn Fn(usize, usize) -> usize + Sync), pages: &[Page]) -> f64 {
        let rows: usize = runs.iter().map(|run| run.rows).sum();
        let row = HEADS * GROUP * DIM;
        let q: Vec<f32> = (0..rows * row).map(|i| (i % 101) as f32 / 100.0 - 0.5).collect();
        let mut out = vec![0.0; rows * row];
        let mut buffers = AttentionBuffers::new();
        let start = Instant::now();
        for layer in 0..self.layers {
            let slice = |sequence: usize, head: usize, number: usize| pages[page(sequence, number)].slice(layer, head);
            attend_batch(self.isa, &self.team, &self.shape, HEADS, runs, &q, &slice, &mut buffers, &mut out);
        }
        black_box(&out);
        start.elapsed().as_secs_f64()
    }

    /// Seconds of a plain read of some pages.
    fn read(&self, pages: &[Page]) -> f64 {
        let start = Instant::now();
        self.team.run(pages.len(), |page| {
            black_box(pages[page].words().as_chunks::<32>().0.iter().fold([0u64; 32], |mut sums, words| {
                sums.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
                sums
            }));
        });
        start.elapsed().as_secs_f64()
    }

    fn decode(&self, kind: Kind, depth: usize) {
        let pages: Vec<Page> = (0..depth.div_ceil(PAGE)).map(|seed| Page::new(kind, self.layers, seed)).collect();
        let bytes: usize = pages.iter().map(|page| size_of_val(page.words())).sum();
        let run = [AttentionRun { sequence: 0, first_position: depth - 1, rows: 1 }];
        let times = turns(|| [self.pass(&run, &|_, page| page, &pages), self.read(&pages)]);
        println!(
            "decode  {:<5} depth {depth:>6}: {:7.2} ms, {:5.1} GB/s; plain read {:5.1} GB/s; {:3.0} %",
            kind.name(),
            times[0] * 1e3,
            bytes as f64 / times[0] / 1e9,
            bytes as f64 / times[1] / 1e9,
            100.0 * times[1] / times[0]
        );
    }

    fn prefill(&self, kind: Kind, depth: usize) {
        const ROWS: usize = 512;
        let pages: Vec<Page> = (0..depth.div_ceil(PAGE)).map(|seed| Page::new(kind, self.layers, seed)).collect();
        let run = [AttentionRun { sequence: 0, first_position: depth - ROWS, rows: ROWS }];
        let [time] = turns(|| [self.pass(&run, &|_, page| page, &pages)]);
        let pairs: usize = (depth - ROWS + 1..=depth).sum();
        let macs = (pairs * HEADS * GROUP * 2 * DIM * self.layers) as f64;
        println!(
            "prefill {:<5} depth {depth:>6}: {:7.1} ms for {ROWS} rows, {:5.1} GMAC/s",
            kind.name(),
            time * 1e3,
            macs / time / 1e9
        );
    }

    /// Sequences that share a prompt, against sequences with copies of it.
    fn shared(&self, kind: Kind, sequences: usize, prompt: usize) {
        let (own, whole) = (2, prompt / PAGE);
        let pages: Vec<Page> = (0..sequences * (whole + own)).map(|seed| Page::new(kind, self.layers, seed)).collect();
        let runs: Vec<AttentionRun> =
            (0..sequences).map(|sequence| AttentionRun { sequence, first_position: prompt + PAGE, rows: 1 }).collect();
        let apart = |sequence: usize, page: usize| sequence * (whole + own) + page;
        let together = |sequence: usize, page: usize| apart(if page < whole { 0 } else { sequence }, page);
        let times = turns(|| [self.pass(&runs, &together, &pages), self.pass(&runs, &apart, &pages)]);
        println!(
            "shared  {:<5} {sequences:>3} sequences on {prompt:>5}: {:7.2} ms; with copies {:7.2} ms; {:4.2} times",
            kind.name(),
            times[0] * 1e3,
            times[1] * 1e3,
            times[1] / times[0]
        );
    }
}

/// Medians of interleaved turns.
fn turns<const N: usize>(mut turn: impl FnMut() -> [f64; N]) -> [f64; N] {
    turn();
    let times: Vec<[f64; N]> = (0..TURNS).map(|_| turn()).collect();
    std::array::from_fn(|n| {
        let mut times: Vec<f64> = times.iter().map(|times| times[n]).collect();
        times.sort_by(f64::total_cmp);
        times[TURNS / 2]
    })
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let number = |name: &str| {
        let value = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.parse().expect("a number"))
    };
    let chosen = |names: &[&'static str]| -> Vec<&'static str> {
        let chosen: Vec<_> = names.iter().copied().filter(|name| words.iter().any(|word| word == name)).collect();
        if chosen.is_empty() { names.to_vec() } else { chosen }
    };
    let kinds: Vec<Kind> = [Kind::F16, Kind::Q8, Kind::F32]
        .into_iter()
        .filter(|kind| chosen(&["f16", "q8_0", "f32"]).contains(&kind.name()))
        .collect();
    let isa = Isa::available().find(|isa| words.iter().any(|word| word == isa.name())).unwrap_or(Isa::detect());
    let setting = Setting {
        isa,
        team: Team::new(number("threads").unwrap_or(2)),
        layers: number("layers").unwrap_or(28),
        shape: AttentionShape {
            head_dim_k: DIM,
            head_dim_v: DIM,
            group: GROUP,
            scale: (DIM as f32).sqrt().recip(),
            window: None,
            soft_cap: None,
        },
    };
    println!("{} kernels, {} threads, {} layers", isa.name(), setting.team.threads(), setting.layers);
    for test in chosen(&["decode", "prefill", "shared"]) {
        for &kind in &kinds {
            match test {
                "decode" => setting.decode(kind, number("depth").unwrap_or(8192)),
                "prefill" => setting.prefill(kind, number("depth").unwrap_or(4096)),
                _ => {
                    setting.shared(kind, 8, 512);
                    setting.shared(kind, 16, number("depth").unwrap_or(2000));
                }
            }
        }
    }
}
