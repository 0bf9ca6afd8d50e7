//! Speed of the products, one thread, weights in the cache: time for 256 weights and one column.
//!
//! `cargo bench -p r1-kernels --bench matmul [-- [FORMAT | ISA | in-place | stream | pack | best | norm] ...]`. Formats take turns, so
//! that a noisy neighbour hurts all alike; the table shows the median and the best of the turns. Cycles are estimated
//! with the clock that a chain of multiplications shows at that moment. `in-place` leaves the weights in the layout of
//! the file. `stream` reads weights from memory instead, one column, packed and in place, next to a plain read of the
//! same memory; `pack` measures repacking; `best` the last product of a model for its best token alone;
//! `norm` norms and quantises rows, in two sweeps and in one.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use r1_kernels::{Activations, Format, Isa, Matrix, Team, limits, matmul, matmul_best, ops};

const TURNS: usize = 21;
const COLUMNS: [usize; 5] = [1, 2, 4, 8, 64];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let formats: Vec<Format> = named(Format::all(), &words, Format::name);
    let isas: Vec<Isa> = named(Isa::available(), &words, Isa::name);
    if words.iter().any(|word| word == "stream") {
        isas.iter().for_each(|&isa| formats.iter().for_each(|&format| stream(isa, format)));
    } else if words.iter().any(|word| word == "best") {
        isas.iter().for_each(|&isa| formats.iter().for_each(|&format| best(isa, format)));
    } else if words.iter().any(|word| word == "norm") {
        isas.iter().for_each(|&isa| norm(isa));
    } else if words.iter().any(|word| word == "pack") {
        isas.iter().for_each(|&isa| formats.iter().for_each(|&format| pack(isa, format)));
    } else {
        let in_place = words.iter().any(|word| word == "in-place");
        isas.iter().for_each(|&isa| hot(isa, &formats, in_place));
    }
}

/// The items whose names are among the words; all where none is.
fn named<T: Copy>(all: impl Iterator<Item = T>, words: &[String], name: impl Fn(T) -> &'static str) -> Vec<T> {
    let all: Vec<T> = all.collect();
    let chosen: Vec<T> = all.iter().copied().filter(|&item| words.iter().any(|word| word == name(item))).collect();
    if chosen.is_empty() { all } else { chosen }
}

/// Blocks of small scales; the codes do not matter to the time.
fn weights(format: Format, rows: usize, cols: usize) -> Vec<u8> {
    let mut data = vec![0x11; format.row_bytes(cols).expect("whole blocks") * rows];
    data.iter_mut().step_by(3).for_each(|byte| *byte = 0x2a);
    data
}

fn matrix(format: Format, rows: usize, cols: usize, in_place: bool) -> Matrix {
    let weights = weights(format, rows, cols);
    let matrix = if in_place {
        let all = 0..weights.len();
        Matrix::in_place(format, rows, cols, Arc::new(weights), all)
    } else {
        Matrix::pack(Isa::detect(), format, rows, cols, &weights, &mut |_| true)
    };
    matrix.expect("a matrix")
}

fn activations(isa: Isa, format: Format, len: usize, columns: usize) -> Activations {
    let xs: Vec<f32> = (0..len * columns).map(|i| ((i * 7919) % 2001) as f32 / 1000.0 - 1.0).collect();
    let mut x = Activations::new();
    x.quantize(isa, &Team::new(1), format.activation(), len, &xs);
    x
}

fn hot(isa: Isa, formats: &[Format], in_place: bool) {
    let team = Team::new(1);
    println!("{:<7} {:<7} {:>10}   median ns / best ns / best cycles", isa.name(), "format", "columns");
    // Half a megabyte of weights at most: they stay in the second-level cache.
    let (rows, cols) = (128, 2048);
    let cases: Vec<_> = formats.iter().map(|&format| (format, matrix(format, rows, cols, in_place))).collect();
    let mut out = vec![0.0; rows * COLUMNS[COLUMNS.len() - 1]];
    for columns in COLUMNS {
        let xs: Vec<_> = formats.iter().map(|&format| activations(isa, format, cols, columns)).collect();
        let units = (rows * cols / 256 * columns) as f64;
        let mut times = vec![Vec::new(); cases.len()];
        let mut ghz: f64 = 0.0;
        for _ in 0..TURNS {
            ghz = ghz.max(clock());
            for (((_, w), x), times) in cases.iter().zip(&xs).zip(&mut times) {
                let mut once = || {
                    let begin = Instant::now();
                    matmul(isa, &team, w, x, black_box(&mut out[..rows * columns]));
                    begin.elapsed().as_nanos() as f64 / units
                };
                once();
                times.push((0..3).map(|_| once()).fold(f64::INFINITY, f64::min));
            }
        }
        for ((format, _), times) in cases.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            let (median, best) = (times[TURNS / 2], times[0]);
            println!("{:<7} {format:<7} {columns:>10}   {median:6.2} / {best:6.2} / {:6.2}", isa.name(), best * ghz);
        }
    }
}

/// Gigabytes a second of weights larger than any cache, one column, one thread and two.
fn stream(isa: Isa, format: Format) {
    let cols = 1536;
    let rows = (256 << 20) / format.row_bytes(cols).expect("whole blocks");
    let cases = [("packed", matrix(format, rows, cols, false)), ("in place", matrix(format, rows, cols, true))];
    let bytes = rows * format.row_bytes(cols).expect("whole blocks");
    let plain = vec![1u64; bytes / 8];
    let x = activations(isa, format, cols, 1);
    let mut out = vec![0.0; rows];
    for threads in [1, 2] {
        let team = Team::new(threads);
        let mut rates = [("packed", Vec::new()), ("in place", Vec::new()), ("read", Vec::new())];
        for _ in 0..TURNS / 2 {
            let rate = |begin: Instant| bytes as f64 / begin.elapsed().as_secs_f64() / 1e9;
            for ((_, w), (_, rates)) in cases.iter().zip(&mut rates) {
                let begin = Instant::now();
                matmul(isa, &team, w, &x, black_box(&mut out));
                rates.push(rate(begin));
            }
            let begin = Instant::now();
            limits::read(&team, &plain);
            rates[2].1.push(rate(begin));
        }
        for (what, rates) in &mut rates {
            rates.sort_by(f64::total_cmp);
            let (median, best) = (rates[rates.len() / 2], rates[rates.len() - 1]);
            println!("{:<7} {format:<7} {threads} threads, {what:<8} {median:5.1} GB/s, best {best:5.1}", isa.name());
        }
    }
}

/// The greatest of 49,152 and 151,936 results: found in all of them, and while they are computed.
fn best(isa: Isa, format: Format) {
    for (rows, cols) in [(49_152, 768), (151_936, 1536)] {
        let w = matrix(format, rows, cols, false);
        for columns in [1, 8] {
            let x = activations(isa, format, cols, columns);
            let mut out = vec![0.0; rows * columns];
            let team = Team::new(2);
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..TURNS {
                let begin = Instant::now();
                matmul(isa, &team, &w, &x, &mut out);
                out.chunks(rows).for_each(|column| _ = black_box(ops::argmax(isa, column)));
                times[0].push(begin.elapsed().as_secs_f64() * 1e3);
                let begin = Instant::now();
                black_box(matmul_best(isa, &team, &w, &x));
                times[1].push(begin.elapsed().as_secs_f64() * 1e3);
            }
            let [all, best] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                (times[TURNS / 2], times[0])
            });
            println!(
                "{:<7} {format:<7} {rows} x {cols}, {columns} columns, 2 threads: all {:.2} ms (best {:.2}), best token {:.2} ms (best {:.2})",
                isa.name(),
                all.0,
                all.1,
                best.0,
                best.1
            );
        }
    }
}

/// Microseconds to norm and quantise rows: each sweep by itself, and one sweep.
fn norm(isa: Isa) {
    let team = Team::new(2);
    let cases = [(1536, Format::Q4_K), (576, Format::Q4_1)].into_iter();
    for ((len, format), columns) in cases.flat_map(|case| [1, 8, 512].map(|columns| (case, columns))) {
        let (kind, weight) = (format.activation(), vec![1.1; len]);
        let xs: Vec<f32> = (0..len * columns).map(|i| ((i * 7919) % 2001) as f32 / 1000.0 - 1.0).collect();
        let (mut normed, mut x) = (vec![0.0; xs.len()], Activations::new());
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..20 * TURNS {
            let begin = Instant::now();
            let share = (8192 / len) * len;
            team.for_each_chunk(&mut normed, share, |task, out| {
                let rows = xs[task * share..].chunks_exact(len).zip(out.chunks_exact_mut(len));
                rows.for_each(|(x, out)| ops::rms_norm(isa, x, &weight, 1e-6, out));
            });
            x.quantize(isa, &team, kind, len, &normed);
            times[0].push(begin.elapsed().as_secs_f64() * 1e6);
            let begin = Instant::now();
            x.quantize_norm(isa, &team, kind, &xs, &weight, 1e-6);
            times[1].push(begin.elapsed().as_secs_f64() * 1e6);
        }
        let [two, one] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            (times[times.len() / 2], times[0])
        });
        println!(
            "{:<7} {columns:>4} rows of {len}, 2 threads: two sweeps {:.1} us (best {:.1}), one {:.1} us (best {:.1})",
            isa.name(),
            two.0,
            two.1,
            one.0,
            one.1
        );
    }
}

/// Gigabytes a second of repacking, source in the cache.
fn pack(isa: Isa, format: Format) {
    let (rows, cols) = (64, 4096);
    let data = weights(format, rows, cols);
    let mut rates: Vec<f64> = (0..TURNS)
        .map(|_| {
            let begin = Instant::now();
            black_box(Matrix::pack(isa, format, rows, cols, black_box(&data), &mut |_| true).expect("a matrix"));
            data.len() as f64 / begin.elapsed().as_secs_f64() / 1e9
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{:<7} {format:<7} {:5.2} GB/s packed, best {:5.2}", isa.name(), rates[TURNS / 2], rates[TURNS - 1]);
}

/// Gigahertz, by a chain of multiplications of three cycles each.
fn clock() -> f64 {
    const LINKS: u32 = 20_000;
    let begin = Instant::now();
    let mut x = black_box(3u64);
    for _ in 0..LINKS {
        x = black_box(x.wrapping_mul(x));
    }
    black_box(x);
    f64::from(LINKS) * 3.0 / begin.elapsed().as_nanos() as f64
}
