//! Every kernel gives the bits of the definition, `dot_row`: whatever the instruction set, the number of columns, how
//! they are cut into tiles, and how many threads take part. Batching, speculation and prefill in parts rest on this.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use r1_kernels::{
    Activations, Format, Isa, Job, Matrix, PackError, Packer, Team, dot_row, matmul, matmul_best, matmul_group,
};

/// A small generator, so that a failing case is named by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// -1.0 .. 1.0
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Scales that files may hold: zero, the smallest, negative, the largest, usual ones.
const HARD_SCALES: [u16; 8] = [0x0000, 0x8000, 0x0001, 0x83ff, 0x7bff, 0xfbff, 0x3c00, 0x9c01];

/// Byte offsets of a block's f16 scales.
fn scales_at(format: Format) -> &'static [usize] {
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::IQ4_NL | Format::IQ4_XS => &[0],
        Format::IQ1_S | Format::IQ2_XXS | Format::IQ2_XS | Format::IQ2_S | Format::IQ3_XXS | Format::IQ3_S => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
        Format::TQ1_0 => &[52],
        Format::TQ2_0 => &[64],
        Format::F32 | Format::F16 | Format::BF16 | Format::MXFP4 | Format::IQ1_M => &[],
    }
}

/// Rows of random blocks with finite scales; `hard` mixes in the extreme ones.
fn weights(random: &mut Random, format: Format, values: usize, hard: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..format.row_bytes(values).expect("whole blocks")).map(|_| random.next() as u8).collect();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        let value = random.unit();
        match format {
            Format::F32 => block.copy_from_slice(&value.to_le_bytes()),
            Format::F16 => block.copy_from_slice(&half::f16::from_f32(value).to_le_bytes()),
            Format::BF16 => block.copy_from_slice(&half::bf16::from_f32(value).to_le_bytes()),
            Format::MXFP4 => {
                block[0] = if hard && random.below(4) == 0 { random.below(3) as u8 } else { 110 + block[0] % 16 };
            }
            _ => {}
        }
        let mut scale = || {
            let usual = half::f16::from_f32(0.02 + 0.01 * random.unit()).to_bits();
            if hard && random.below(3) == 0 { HARD_SCALES[random.below(8)] } else { usual }
        };
        for &at in scales_at(format) {
            block[at..at + 2].copy_from_slice(&scale().to_le_bytes());
        }
        if format == Format::IQ1_M {
            // Its scale is in the high nibbles of four u16.
            let bits = scale();
            for (i, scales) in block[48..].chunks_exact_mut(2).enumerate() {
                scales[1] = scales[1] & 15 | ((bits >> (4 * i)) as u8 & 15) << 4;
            }
        }
    }
    bytes
}

/// Columns with outliers, zero blocks and amplitudes from tiny to large.
fn columns(random: &mut Random, len: usize, columns: usize) -> Vec<f32> {
    let mut xs = vec![0.0; len * columns];
    for x in xs.chunks_mut(32) {
        let amplitude = [0.0, 1e-30, 1e-3, 1.0, 1.0, 300.0][random.below(6)];
        x.iter_mut().for_each(|x| *x = amplitude * random.unit());
        if random.below(4) == 0 {
            x[0] = 40.0 * amplitude;
        }
    }
    xs
}

struct Case {
    format: Format,
    rows: usize,
    len: usize,
    data: Vec<u8>,
    xs: Vec<f32>,
}

impl Case {
    fn new(seed: u64, format: Format, rows: usize, blocks: usize, n: usize) -> Case {
        let random = &mut Random(seed);
        let len = blocks * format.block_len().max(32);
        let data = weights(random, format, rows * len, true);
        let xs = columns(random, len, n);
        Case { format, rows, len, data, xs }
    }

    fn pack(&self, isa: Isa) -> Matrix {
        Matrix::pack(isa, self.format, self.rows, self.len, &self.data, &mut |_| true).expect("a matrix")
    }

    /// The rows in place, in the midst of other bytes.
    fn in_place(&self) -> Matrix {
        let bytes = [&[0xff; 3][..], &self.data, &[0xff; 100]].concat();
        let range = 3..3 + self.data.len();
        Matrix::in_place(self.format, self.rows, self.len, Arc::new(bytes), range).expect("a matrix")
    }

    fn activations(&self, isa: Isa, team: &Team) -> Activations {
        let mut x = Activations::new();
        x.quantize(isa, team, self.format.activation(), self.len, &self.xs);
        x
    }

    /// `[column][row]` bits by the definition.
    fn defined(&self) -> Vec<u32> {
        let x = self.activations(Isa::SCALAR, &Team::new(1));
        let rows: Vec<&[u8]> = self.data.chunks_exact(self.format.row_bytes(self.len).expect("whole blocks")).collect();
        (0..x.columns())
            .flat_map(|column| {
                rows.iter().map(|row| dot_row(self.format, row, &x, column).to_bits()).collect::<Vec<_>>()
            })
            .collect()
    }

    fn check(&self, teams: &[Team]) {
        let (defined, in_place) = (self.defined(), self.in_place());
        for isa in Isa::available() {
            let packed = self.pack(isa);
            for (team, matrix) in teams.iter().flat_map(|team| [(team, &packed), (team, &in_place)]) {
                self.check_product(isa, team, matrix, 0..self.rows, &defined);
            }
        }
    }

    /// Multiplies `matrix`, which has rows `rows` of the case, and compares with `defined`, the results of all rows.
    fn check_product(&self, isa: Isa, team: &Team, matrix: &Matrix, rows: Range<usize>, defined: &[u32]) {
        let x = self.activations(isa, team);
        let mut out = vec![f32::NAN; rows.len() * x.columns()];
        matmul(isa, team, matrix, &x, &mut out);
        for (i, out) in out.iter().enumerate() {
            let (column, row) = (i / rows.len(), rows.start + i % rows.len());
            let defined = defined[column * self.rows + row];
            assert_eq!(
                out.to_bits(),
                defined,
                "{} {matrix:?}, {} columns, {} threads: column {column} row {row}: {out} is not {}",
                isa.name(),
                x.columns(),
                team.threads(),
                f32::from_bits(defined)
            );
        }
    }
}

fn teams() -> [Team; 3] {
    [1, 2, 4].map(Team::new)
}

#[test]
fn every_kernel_gives_the_bits_of_the_definition() {
    let teams = teams();
    for format in Format::all() {
        for (i, n) in [1, 2, 3, 4, 5, 6, 7, 8, 9, 17].into_iter().enumerate() {
            for rows in [1, 16, 17 + i, 40] {
                Case::new((i * 64 + rows) as u64, format, rows, 1 + i % 4, n).check(&teams[i % 3..][..1]);
            }
        }
    }
}

#[test]
fn threads_and_tiles_do_not_change_a_bit() {
    let teams = teams();
    for (format, rows, n) in [(Format::Q4_K, 700, 1), (Format::Q8_0, 300, 37), (Format::Q6_K, 20, 100)] {
        Case::new(rows as u64, format, rows, 4, n).check(&teams);
    }
}

#[test]
fn rows_longer_than_a_cache_give_the_bits_of_the_definition() {
    let teams = teams();
    for format in Format::all() {
        for n in [1, 11] {
            Case::new(3, format, 150, 10_240 / format.block_len().max(32), n).check(&teams[1..2]);
        }
    }
}

#[test]
fn a_group_of_products_equals_its_members() {
    let teams = teams();
    for isa in Isa::available() {
        for n in [1, 5] {
            let cases: Vec<Case> = [(Format::Q4_K, 33), (Format::Q6_K, 16), (Format::Q3_K, 1), (Format::Q4_K, 100)]
                .into_iter()
                .cycle()
                .take(11)
                .enumerate()
                .map(|(i, (format, rows))| {
                    let mut case = Case::new(i as u64, format, rows, 2, n);
                    case.xs = columns(&mut Random(7), case.len, n);
                    case
                })
                .collect();
            let matrices: Vec<Matrix> = cases
                .iter()
                .enumerate()
                .map(|(i, case)| if i % 2 == 0 { case.pack(isa) } else { case.in_place() })
                .collect();
            let mut outs: Vec<Vec<f32>> = cases.iter().map(|case| vec![f32::NAN; case.rows * n]).collect();
            let x = cases[0].activations(isa, &teams[1]);
            let mut jobs: Vec<Job<'_>> =
                matrices.iter().zip(&mut outs).map(|(matrix, out)| Job { matrix, x: &x, out }).collect();
            matmul_group(isa, &teams[1], &mut jobs);
            for (case, out) in cases.iter().zip(&outs) {
                assert_eq!(out.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), case.defined());
            }
        }
    }
}

#[test]
fn the_definition_is_the_product_of_the_dequantised_values() {
    for format in Format::all() {
        let random = &mut Random(format.id().into());
        let len = 1024;
        let data = weights(random, format, len, false);
        let xs: Vec<f32> = (0..len).map(|_| random.unit()).collect();
        let mut x = Activations::new();
        x.quantize(Isa::SCALAR, &Team::new(1), format.activation(), len, &xs);
        let mut w = vec![0.0; len];
        format.dequantize(&data, &mut w);

        let exact: f64 = w.iter().zip(&xs).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
        // Activations are off by at most half a step of 1/127 of the largest; errors of 1024 values add as noise.
        let norm = w.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>().sqrt();
        let bound = if format.block_len() == 1 { 1e-5 } else { 3.0 * 0.5 / 127.0 };
        let found = f64::from(dot_row(format, &data, &x, 0));
        assert!((found - exact).abs() <= bound * norm, "{format}: {found}, exactly {exact}, norm {norm}");
    }
}

#[test]
fn a_shape_that_differs_from_the_data_is_an_error() {
    let pack =
        |format, rows, cols, bytes| Matrix::pack(Isa::detect(), format, rows, cols, &vec![0; bytes], &mut |_| true);
    let in_place =
        |format, rows, cols, bytes| Matrix::in_place(format, rows, cols, Arc::new(vec![0; bytes + 1]), 1..bytes + 1);
    assert_eq!(pack(Format::Q4_K, 3, 256, 3 * 144).unwrap().rows(), 3);
    assert_eq!(in_place(Format::Q4_K, 3, 256, 3 * 144).unwrap().rows(), 3);
    for (format, rows, cols, bytes) in [
        (Format::Q4_K, 3, 256, 3 * 144 - 1),
        (Format::Q4_K, 3, 255, 3 * 144),
        (Format::Q4_K, 0, 256, 0),
        (Format::Q8_0, 3, 0, 0),
        (Format::F32, usize::MAX / 4, 8, 32),
        (Format::F32, 2, usize::MAX / 4 + 1, 0),
        (Format::Q6_K, 1 << 40, 1 << 40, 210),
    ] {
        for matrix in [pack(format, rows, cols, bytes), in_place(format, rows, cols, bytes)] {
            assert!(matches!(matrix, Err(PackError::Shape { .. })), "{format} {rows}x{cols}: {matrix:?}");
        }
    }
}

#[test]
fn rows_in_place_must_lie_in_the_bytes() {
    let bytes = Arc::new(vec![0; 3 * 34]);
    let in_place = |range| Matrix::in_place(Format::Q8_0, 2, 32, bytes.clone(), range);
    assert!(in_place(34..3 * 34).is_ok());
    #[allow(clippy::reversed_empty_ranges, reason = "what is tested")]
    for range in [35..35 + 68, 0..34, 68..0, usize::MAX - 67..usize::MAX, 200..268] {
        assert!(matches!(in_place(range.clone()), Err(PackError::Shape { .. })), "{range:?}");
    }
}

#[test]
fn a_part_of_a_matrix_gives_the_bits_of_its_rows() {
    for format in [Format::Q4_K, Format::Q8_0, Format::F16] {
        let case = Case::new(5, format, 100, 3, 9);
        let (defined, team) = (case.defined(), Team::new(2));
        for isa in Isa::available() {
            for (matrix, start) in [(case.pack(isa), 32), (case.in_place(), 32), (case.in_place(), 33)] {
                for rows in [start..100, start..start + 1, start + 16..start + 50] {
                    let part = matrix.part(rows.clone()).expect("a part");
                    case.check_product(isa, &team, &part, rows, &defined);
                    let start = start + 32;
                    let part = matrix.part(16..100).and_then(|m| m.part(start - 16..100 - 16)).expect("a part of one");
                    case.check_product(isa, &team, &part, start..100, &defined);
                }
                assert!(matrix.part(5..5).is_none() && matrix.part(48..101).is_none());
            }
            assert!(case.pack(isa).part(33..40).is_none(), "groups of 16 rows cannot be cut");
        }
    }
}

#[test]
fn packing_reports_progress_and_stops_when_told() {
    let rows = 400_000;
    let data = vec![0; rows * 34];
    let pack =
        |progress: &mut dyn FnMut(usize) -> bool| Matrix::pack(Isa::detect(), Format::Q8_0, rows, 32, &data, progress);
    let mut seen = Vec::new();
    let mut note = |rows| {
        seen.push(rows);
        true
    };
    pack(&mut note).unwrap();
    assert!(seen.len() > 2 && seen.is_sorted() && seen.last() == Some(&rows), "{seen:?}");
    let second = seen[1];
    let mut calls = 0;
    let mut stop = |rows| {
        calls += 1;
        rows < second
    };
    assert_eq!(pack(&mut stop).unwrap_err(), PackError::Cancelled);
    assert_eq!(calls, 2, "goes on after it was told to stop");
}

#[test]
fn a_packer_keeps_its_matrices_apart() {
    for threads in [1, 3] {
        let (team, isa) = (Team::new(threads), Isa::detect());
        // Expecting far too little, so that it needs new pieces on the way; some stop in the middle.
        for expected in [0, 100_000, 1 << 30] {
            let mut packer = Packer::new(isa, expected);
            let cases: Vec<Case> = Format::all()
                .enumerate()
                .map(|(i, format)| Case::new(i as u64, format, 10 + 90 * (i % 3), 6, 2))
                .collect();
            let matrices: Vec<Matrix> = cases
                .iter()
                .map(|case| {
                    let mut pack =
                        |go_on: bool| packer.pack(&team, case.format, case.rows, case.len, &case.data, &mut |_| go_on);
                    assert_eq!(pack(false).unwrap_err(), PackError::Cancelled);
                    pack(true).expect("a matrix")
                })
                .collect();
            drop(packer);
            for (case, matrix) in cases.iter().zip(&matrices) {
                case.check_product(isa, &team, matrix, 0..case.rows, &case.defined());
            }
        }
    }
}

/// The first of the greatest values above minus infinity.
fn best_of(column: &[f32]) -> Option<(usize, u32)> {
    let best = column.iter().copied().filter(|v| !v.is_nan()).reduce(f32::max).filter(|v| *v > f32::NEG_INFINITY)?;
    column.iter().position(|v| *v == best).map(|row| (row, column[row].to_bits()))
}

#[test]
fn the_best_of_a_product_is_that_of_all_its_results() {
    let teams = teams();
    for (i, format) in Format::all().enumerate() {
        for n in [1, 2, 9, 40] {
            let mut case = Case::new(i as u64, format, 300 + i, 2, n);
            // Ties: the rows of the middle come once more at the end.
            let (row_bytes, half) = (case.data.len() / case.rows, case.rows / 2);
            case.data.copy_within(0..half * row_bytes, (case.rows - half) * row_bytes);
            for isa in Isa::available() {
                let (packed, in_place, partly) = (case.pack(isa), case.in_place(), case.in_place());
                Packer::new(isa, 0).pack_on(&teams[0], &partly, 100 * row_bytes).expect("some rows");
                for (team, matrix) in teams.iter().zip([&packed, &in_place, &partly]) {
                    let x = case.activations(isa, team);
                    let mut all = vec![0.0; case.rows * n];
                    matmul(isa, team, matrix, &x, &mut all);
                    let expected: Vec<_> = all.chunks(case.rows).map(best_of).collect();
                    let best = matmul_best(isa, team, matrix, &x);
                    let best: Vec<_> = best.into_iter().map(|b| b.map(|(row, v)| (row, v.to_bits()))).collect();
                    assert_eq!(best, expected, "{matrix:?}, {n} columns, {} threads", team.threads());
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_is_never_the_best() {
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (isa, team) = (Isa::detect(), Team::new(2));
    let mut x = Activations::new();
    x.quantize(isa, &team, Format::F32.activation(), 1, &[1.0, -1.0]);
    let mut rows = vec![f32::NAN; 5000];
    let best = |rows: &[f32]| {
        let matrix = Matrix::pack(isa, Format::F32, rows.len(), 1, &bytes(rows), &mut |_| true).expect("a matrix");
        matmul_best(isa, &team, &matrix, &x)
    };
    assert_eq!(best(&rows), [None, None]);
    rows[4000..4010].fill(f32::NEG_INFINITY);
    assert_eq!(best(&rows), [None, Some((4000, f32::INFINITY))]);
    rows[3000] = -2.0;
    rows[4900] = -2.0;
    assert_eq!(best(&rows), [Some((3000, -2.0)), Some((4000, f32::INFINITY))]);
}

#[test]
fn a_matrix_can_be_used_while_it_is_packed() {
    let team = Team::new(2);
    for (i, format) in Format::all().enumerate() {
        let case = Case::new(i as u64, format, 170, 3, 1 + 8 * (i % 2));
        let (isa, defined) = (Isa::detect(), case.defined());
        let (matrix, row_bytes) = (case.in_place(), case.data.len() / case.rows);
        let part = matrix.part(32..100).expect("a part");
        let mut packer = Packer::new(isa, case.data.len());
        let mut next = 0;
        while let Some(rows) = packer.pack_on(&team, &matrix.clone(), 40 * row_bytes).expect("some rows") {
            assert_eq!(rows, next..case.rows.min(next + 32), "{format}");
            next = rows.end;
            assert_eq!(matrix.is_packed(), next == case.rows);
            case.check_product(isa, &team, &matrix, 0..case.rows, &defined);
            case.check_product(isa, &team, &part, 32..100, &defined);
        }
        assert!(next == case.rows && matrix.bytes() > 0 && part.bytes() == 0, "{format}");
        assert!([matrix.bytes_packed(), case.pack(isa).bytes()] == [matrix.bytes(); 2], "{format}");
        // What is packed from the beginning has nothing left to do.
        assert_eq!(packer.pack_on(&team, &case.pack(isa), 1 << 20), Ok(None));
    }
}

#[test]
fn packing_that_is_stopped_leaves_the_matrix_usable() {
    let case = Case::new(1, Format::Q4_K, 200, 4, 3);
    let (isa, matrix, defined) = (Isa::detect(), case.in_place(), case.defined());
    let mut packer = Packer::new(isa, case.data.len());
    let stop = Arc::new(AtomicBool::new(false));
    for threads in [1, 3] {
        let team = Team::with_stop(threads, Arc::clone(&stop));
        packer.pack_on(&team, &matrix, 30_000).expect("some rows");
        let before = matrix.bytes();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(packer.pack_on(&team, &matrix, 30_000), Err(PackError::Cancelled));
        stop.store(false, Ordering::Relaxed);
        assert!(matrix.bytes() == before && !matrix.is_packed());
        case.check_product(isa, &Team::new(2), &matrix, 0..case.rows, &defined);
    }
    while packer.pack_on(&Team::new(2), &matrix, 30_000).expect("some rows").is_some() {}
    case.check_product(isa, &Team::new(2), &matrix, 0..case.rows, &defined);
}

#[test]
fn threads_may_pack_and_use_one_matrix_at_once() {
    let case = Case::new(2, Format::Q6_K, 500, 4, 1);
    let (isa, matrix, defined) = (Isa::detect(), case.in_place(), case.defined());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (team, mut packer) = (Team::new(1), Packer::new(isa, case.data.len()));
                while !matrix.is_packed() {
                    packer.pack_on(&team, &matrix, 20_000).expect("some rows, or none");
                    case.check_product(isa, &team, &matrix, 0..case.rows, &defined);
                }
            });
        }
    });
    case.check_product(isa, &Team::new(1), &matrix, 0..case.rows, &defined);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_gives_the_bits_of_the_definition(
        format in 0..25usize, rows in 1..80usize, blocks in 1..5usize, n in 1..20usize, threads in 1..4usize,
        seed in any::<u64>(),
    ) {
        let format = Format::all().nth(format).unwrap();
        Case::new(seed, format, rows, blocks, n).check(&[Team::new(threads)]);
    }
}
