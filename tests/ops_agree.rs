//! Every float operation gives the same bits at every level, and attention is attention.

use r1_kernels::ops::*;
use r1_kernels::{Isa, Team};

const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 63, 64, 257, 1000];

/// Numbers from a fixed sequence, in -1..1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn row(&mut self, len: usize, size: f32) -> Vec<f32> {
        (0..len).map(|_| self.next() * size).collect()
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// Runs `op` at every level on rows of every length and compares with plain Rust.
fn agrees(name: &str, op: impl Fn(Isa, &mut [f32], &[f32])) {
    let mut numbers = Numbers(1);
    for len in LENGTHS {
        for size in [1.0, 30.0, 200.0] {
            let (mut x, y) = (numbers.row(len, size), numbers.row(len, size));
            if len > 60 {
                let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-42, 3e38, -3e38];
                x[17..17 + odd.len()].copy_from_slice(&odd);
            }
            let mut expected = x.clone();
            op(Isa::SCALAR, &mut expected, &y);
            for isa in Isa::available() {
                let mut x = x.clone();
                op(isa, &mut x, &y);
                assert_eq!(bits(&x), bits(&expected), "{name}, {len} elements, {}", isa.name());
            }
        }
    }
}

/// The same for operations that give one number.
fn number_agrees(name: &str, op: impl Fn(Isa, &[f32], &[f32]) -> f32) {
    agrees(name, |isa, x, y| {
        let number = op(isa, x, y);
        x.fill(number);
    });
    // Without the odd values that `agrees` puts in.
    let mut numbers = Numbers(2);
    for len in LENGTHS.into_iter().chain([20_000]) {
        let (x, y) = (numbers.row(len, 20.0), numbers.row(len, 20.0));
        let expected = op(Isa::SCALAR, &x, &y);
        for isa in Isa::available() {
            assert_eq!(op(isa, &x, &y).to_bits(), expected.to_bits(), "{name}, {len} elements, {}", isa.name());
        }
    }
}

#[test]
fn elementwise_operations_agree() {
    agrees("exp", |isa, x, _| exp_slice(isa, x));
    agrees("silu_mul", silu_mul);
    agrees("gelu_mul", gelu_mul);
    agrees("add", add);
    agrees("scale", |isa, x, _| scale(isa, x, 0.37));
    agrees("soft_cap", |isa, x, _| soft_cap(isa, x, 30.0));
}

#[test]
fn scalar_functions_agree_with_slices() {
    let x = Numbers(3).row(1000, 100.0);
    let mut y = x.clone();
    exp_slice(Isa::detect(), &mut y);
    assert_eq!(bits(&y), bits(&x.iter().map(|&x| exp(x)).collect::<Vec<_>>()));
    for (op, one) in [(silu_mul as fn(Isa, &mut [f32], &[f32]), silu as fn(f32) -> f32), (gelu_mul, gelu)] {
        let mut y = x.clone();
        op(Isa::detect(), &mut y, &[1.0; 1000]);
        assert_eq!(bits(&y), bits(&x.iter().map(|&x| one(x)).collect::<Vec<_>>()));
    }
}

#[test]
fn reductions_agree() {
    number_agrees("dot", dot);
    number_agrees("max", |isa, x, _| max(isa, x));
    number_agrees("argmax", |isa, x, _| argmax(isa, x) as f32);
    number_agrees("sum_exp", |isa, x, _| sum_exp(isa, x, 19.5) as f32);
}

#[test]
fn norms_agree() {
    agrees("rms_norm", |isa, x, w| {
        let mut out = vec![0.0; x.len()];
        rms_norm(isa, x, w, 1e-6, &mut out);
        x.copy_from_slice(&out);
    });
    let mut numbers = Numbers(4);
    for head_dim in [1, 15, 16, 17, 64, 80, 128, 256] {
        let (x, w) = (numbers.row(3 * head_dim, 5.0), numbers.row(head_dim, 2.0));
        let mut expected = x.clone();
        rms_norm_heads(Isa::SCALAR, &mut expected, &w, 1e-5, head_dim);
        for isa in Isa::available() {
            let mut x = x.clone();
            rms_norm_heads(isa, &mut x, &w, 1e-5, head_dim);
            assert_eq!(bits(&x), bits(&expected), "head of {head_dim}, {}", isa.name());
        }
    }
}

#[test]
fn rotations_agree() {
    let mut numbers = Numbers(5);
    for (head_dim, n_rot) in [(2, 2), (16, 14), (64, 64), (80, 32), (128, 128), (192, 64)] {
        let rope = Rope::new(&RopeScaling { n_rot, ..RopeScaling::default() });
        let (mut cos, mut sin) = (vec![0.0; n_rot / 2], vec![0.0; n_rot / 2]);
        rope.angles(777, &mut cos, &mut sin);
        for kind in [RopeKind::Norm, RopeKind::Neox] {
            let x = numbers.row(3 * head_dim, 2.0);
            let mut expected = x.clone();
            Rope::rotate(Isa::SCALAR, kind, &cos, &sin, &mut expected, head_dim);
            for isa in Isa::available() {
                let mut x = x.clone();
                Rope::rotate(isa, kind, &cos, &sin, &mut x, head_dim);
                assert_eq!(bits(&x), bits(&expected), "{kind:?}, head of {head_dim}, {}", isa.name());
            }
        }
    }
}

/// One key-value head: its pages, and the keys and values as they read back.
struct Cache<E> {
    pages: Vec<(Vec<E>, Vec<E>)>,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

trait Slice: KvElement {
    const NAN: Self;
    fn slice<'a>(k: &'a [Self], v: &'a [Self]) -> KvSlice<'a>;
}

impl Slice for f32 {
    const NAN: f32 = f32::NAN;
    fn slice<'a>(k: &'a [f32], v: &'a [f32]) -> KvSlice<'a> {
        KvSlice::F32 { k, v }
    }
}

impl Slice for u16 {
    const NAN: u16 = 0x7e00;
    fn slice<'a>(k: &'a [u16], v: &'a [u16]) -> KvSlice<'a> {
        KvSlice::F16 { k, v }
    }
}

impl<E: Slice> Cache<E> {
    /// Positions `0..len` filled, the rest of the last page NaN; `hidden` positions at the front NaN too.
    fn new(numbers: &mut Numbers, len: usize, hidden: usize, shape: &AttentionShape) -> Cache<E> {
        let (dim_k, dim_v) = (shape.head_dim_k, shape.head_dim_v);
        let page = (vec![E::NAN; dim_k * PAGE], vec![E::NAN; dim_v * PAGE]);
        let mut cache = Cache { pages: vec![page; len.div_ceil(PAGE)], keys: Vec::new(), values: Vec::new() };
        for position in 0..len {
            let (k, v) = (numbers.row(dim_k, 1.0), numbers.row(dim_v, 1.0));
            if position >= hidden {
                let (page_k, page_v) = &mut cache.pages[position / PAGE];
                store_k(Isa::detect(), page_k, position % PAGE, &k);
                store_v(Isa::detect(), page_v, position % PAGE, &v);
            }
            let read = |x: Vec<f32>| x.into_iter().map(|x| E::from_f32(x).to_f32()).collect();
            cache.keys.push(read(k));
            cache.values.push(read(v));
        }
        cache
    }

    fn page(&self, page: usize) -> KvSlice<'_> {
        E::slice(&self.pages[page].0, &self.pages[page].1)
    }

    /// Softmax attention in double precision.
    fn reference(&self, shape: &AttentionShape, q: &[f32], position: usize) -> Vec<f64> {
        let keys = position.saturating_sub(shape.window.map_or(position, |w| w - 1))..position + 1;
        let mut out = Vec::new();
        for q in q.chunks(shape.head_dim_k) {
            let scores = keys.clone().map(|key| {
                let dot: f64 = q.iter().zip(&self.keys[key]).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                let score = dot * f64::from(shape.scale);
                shape.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
            });
            let weights: Vec<f64> = scores.map(f64::exp).collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..shape.head_dim_v {
                let weighted = keys.clone().zip(&weights).map(|(key, w)| w * f64::from(self.values[key][d]));
                out.push(weighted.sum::<f64>() / sum);
            }
        }
        out
    }
}

fn shape(head_dim: usize, group: usize, window: Option<usize>) -> AttentionShape {
    let scale = 2.0 / (head_dim as f32).sqrt();
    AttentionShape { head_dim_k: head_dim, head_dim_v: head_dim, group, scale, window, soft_cap: None }
}

/// Attention of one row at one level.
fn attended<E: Slice>(isa: Isa, shape: &AttentionShape, q: &[f32], position: usize, cache: &Cache<E>) -> Vec<f32> {
    let mut out = vec![0.0; shape.group * shape.head_dim_v];
    attend(isa, shape, q, position, &|page| cache.page(page), &mut AttentionScratch::new(), &mut out);
    out
}

/// One row against the reference, at every level and by its splits.
fn check<E: Slice>(shape: &AttentionShape, position: usize) {
    let mut numbers = Numbers(position as u64 + 7);
    let hidden = shape.keys(position).start;
    let cache: Cache<E> = Cache::new(&mut numbers, position + 1, hidden, shape);
    let q = numbers.row(shape.group * shape.head_dim_k, 2.0);
    let expected = attended(Isa::SCALAR, shape, &q, position, &cache);
    for (got, exact) in expected.iter().zip(cache.reference(shape, &q, position)) {
        assert!((f64::from(*got) - exact).abs() < 1e-5, "{shape:?} at {position}: {got} is not {exact}");
    }
    for isa in Isa::available() {
        let out = attended(isa, shape, &q, position, &cache);
        assert_eq!(bits(&out), bits(&expected), "{shape:?} at {position}, {}", isa.name());
        // Splits in any order, merged in theirs.
        let (splits, len) = (shape.splits(position), shape.partial_len());
        let mut partials = vec![0.0; splits.len() * len];
        for split in splits.clone().rev() {
            let partial = &mut partials[(split - splits.start) * len..][..len];
            let mut scratch = AttentionScratch::new();
            attend_split(isa, shape, &q, position, split, &|page| cache.page(page), &mut scratch, partial);
        }
        let mut merged = vec![0.0; out.len()];
        merge(isa, shape, &partials, &mut AttentionScratch::new(), &mut merged);
        assert_eq!(bits(&merged), bits(&expected));
    }
}

#[test]
fn attention_is_a_softmax_and_stale_slots_do_not_leak() {
    for position in [0, 15, 16, 63, 64, 511, 512, 1500] {
        check::<u16>(&shape(64, 3, None), position);
        check::<f32>(&shape(64, 3, None), position);
    }
    for head_dim in [24, 64, 80, 128, 256] {
        check::<u16>(&shape(head_dim, 2, None), 600);
        check::<f32>(&shape(head_dim, 1, None), 600);
    }
    for group in 1..=8 {
        check::<u16>(&shape(64, group, None), 130);
        check::<f32>(&shape(64, group, None), 70);
    }
}

#[test]
fn wide_groups_and_uneven_heads_are_attention_too() {
    check::<u16>(&AttentionShape { head_dim_k: 80, head_dim_v: 40, ..shape(80, 37, None) }, 200);
    check::<f32>(&AttentionShape { head_dim_k: 48, head_dim_v: 16, ..shape(48, 17, None) }, 600);
}

#[test]
fn a_window_hides_what_is_before_it() {
    for window in [1, 5, 64, 512, 513] {
        for position in [0, 4, 63, 64, 511, 512, 513, 1100] {
            check::<u16>(&shape(16, 4, Some(window)), position);
        }
    }
}

#[test]
fn a_soft_cap_applies_to_the_scaled_score() {
    check::<f32>(&AttentionShape { soft_cap: Some(1.5), ..shape(64, 2, None) }, 70);
}

/// Rows together against rows one by one.
fn check_rows<E: Slice>(shape: &AttentionShape, first: usize, rows: usize) {
    let mut numbers = Numbers(11);
    let cache: Cache<E> = Cache::new(&mut numbers, first + rows, shape.keys(first).start, shape);
    let row = shape.group * shape.head_dim_k;
    let q = numbers.row(rows * row, 2.0);
    let mut alone = Vec::new();
    for (index, q) in q.chunks(row).enumerate() {
        alone.extend(attended(Isa::detect(), shape, q, first + index, &cache));
    }
    for isa in Isa::available() {
        let mut out = vec![0.0; alone.len()];
        attend_rows(isa, shape, &q, first, &|page| cache.page(page), &mut AttentionScratch::new(), &mut out);
        assert_eq!(bits(&out), bits(&alone), "{shape:?}, {rows} rows from {first}, {}", isa.name());
    }
}

#[test]
fn rows_together_equal_rows_alone() {
    for group in 1..=8 {
        check_rows::<u16>(&shape(32, group, None), 0, 70);
        check_rows::<f32>(&shape(32, group, Some(9)), 500, 30);
    }
    for (first, rows) in [(0, 1), (0, 130), (60, 10), (505, 20), (1020, 5)] {
        check_rows::<u16>(&shape(64, 6, None), first, rows);
        check_rows::<u16>(&shape(64, 4, Some(50)), first, rows);
        check_rows::<f32>(&shape(64, 1, Some(512)), first, rows);
    }
}

/// A batch of runs, one a sequence, against its rows one by one.
fn check_batch<E: Slice>(shape: &AttentionShape, kv_heads: usize, runs: &[(usize, usize)]) {
    let mut numbers = Numbers(17);
    let mut batch = Vec::new();
    let mut caches: Vec<Vec<Cache<E>>> = Vec::new();
    for (index, &(first_position, rows)) in runs.iter().enumerate() {
        batch.push(AttentionRun { sequence: 10 + index, first_position, rows });
        let cache = |_| Cache::new(&mut numbers, first_position + rows, 0, shape);
        caches.push((0..kv_heads).map(cache).collect());
    }
    let rows: usize = runs.iter().map(|run| run.1).sum();
    let (q_head, out_head) = (shape.group * shape.head_dim_k, shape.group * shape.head_dim_v);
    let q = numbers.row(rows * kv_heads * q_head, 2.0);
    let mut alone = Vec::new();
    let heads = caches.iter().zip(runs).flat_map(|(caches, &(first_position, rows))| {
        let positions = first_position..first_position + rows;
        positions.flat_map(move |position| caches.iter().map(move |cache| (position, cache)))
    });
    for (q, (position, cache)) in q.chunks(q_head).zip(heads) {
        alone.extend(attended(Isa::detect(), shape, q, position, cache));
    }
    for threads in 1..=4 {
        let team = Team::new(threads);
        let mut buffers = AttentionBuffers::new();
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; rows * kv_heads * out_head];
            let page = |sequence: usize, head: usize, page: usize| caches[sequence - 10][head].page(page);
            attend_batch(isa, &team, shape, kv_heads, &batch, &q, &page, &mut buffers, &mut out);
            assert_eq!(bits(&out), bits(&alone), "{shape:?}, {runs:?}, {threads} threads, {}", isa.name());
        }
    }
}

#[test]
fn a_batch_equals_its_rows_whatever_the_threads() {
    check_batch::<u16>(&shape(32, 6, None), 2, &[(0, 1)]);
    check_batch::<u16>(&shape(32, 3, None), 3, &[(1200, 1)]);
    check_batch::<f32>(&shape(16, 4, Some(40)), 2, &[(700, 1), (3, 1), (511, 1), (512, 1)]);
    check_batch::<u16>(&shape(32, 6, None), 2, &[(0, 37)]);
    check_batch::<u16>(&AttentionShape { head_dim_v: 48, ..shape(32, 2, None) }, 1, &[(500, 20), (90, 1), (0, 33)]);
    check_batch::<f32>(&shape(16, 1, None), 2, &[]);
}

#[test]
fn an_infinite_value_of_a_later_row_stays_with_that_row() {
    let shape = shape(16, 2, None);
    let mut numbers = Numbers(13);
    let mut cache: Cache<f32> = Cache::new(&mut numbers, 8, 0, &shape);
    store_v(Isa::detect(), &mut cache.pages[0].1, 7, &[f32::INFINITY; 16]);
    let q = numbers.row(8 * 32, 1.0);
    let mut out = vec![0.0; 8 * 32];
    let mut scratch = AttentionScratch::new();
    attend_rows(Isa::detect(), &shape, &q, 0, &|page| cache.page(page), &mut scratch, &mut out);
    assert!(out[..7 * 32].iter().all(|x| x.is_finite()));
    assert!(out[7 * 32..].iter().all(|x| x.is_infinite()));
}

/// Pages of codes, and the pages in single precision that say the same.
struct Codes {
    pages: Vec<[(Vec<i8>, Vec<u16>); 2]>,
    wide: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Codes {
    fn new(numbers: &mut Numbers, len: usize, shape: &AttentionShape) -> Codes {
        let (dim_k, dim_v) = (shape.head_dim_k, shape.head_dim_v);
        let blocks = |dim: usize| dim.div_ceil(Q8_BLOCK);
        // Slots that nobody has written hold NaN.
        let page = |dim: usize| (vec![1i8; dim * PAGE], vec![0x7e00u16; blocks(dim) * PAGE]);
        let mut pages = Vec::new();
        let mut wide = Vec::new();
        for position in 0..len {
            let (number, slot) = (position / PAGE, position % PAGE);
            if slot == 0 {
                pages.push([page(dim_k), page(dim_v)]);
                wide.push((vec![f32::NAN; dim_k * PAGE], vec![f32::NAN; dim_v * PAGE]));
            }
            let (k, v) = (numbers.row(dim_k, 1.5), numbers.row(dim_v, 1.0));
            let ([keys, values], (wide_k, wide_v)) = (&mut pages[number], &mut wide[number]);
            store_k_q8(Isa::detect(), &mut keys.0, &mut keys.1, slot, &k);
            store_v_q8(Isa::detect(), &mut values.0, &mut values.1, slot, &v);
            for d in 0..dim_k {
                wide_k[d * PAGE + slot] =
                    f32::from(keys.0[d * PAGE + slot]) * keys.1[d / Q8_BLOCK * PAGE + slot].to_f32();
                assert!((wide_k[d * PAGE + slot] - k[d]).abs() < 1.5 / 127.0 / 1.9, "a code is the nearest");
            }
            for d in 0..dim_v {
                let scale = values.1[slot * blocks(dim_v) + d / Q8_BLOCK].to_f32();
                wide_v[slot * dim_v + d] = f32::from(values.0[slot * dim_v + d]) * scale;
            }
        }
        Codes { pages, wide }
    }

    fn page(&self, page: usize) -> KvSlice<'_> {
        let [k, v] = &self.pages[page];
        KvSlice::Q8_0 { k: Q8Rows { codes: &k.0, scales: &k.1 }, v: Q8Rows { codes: &v.0, scales: &v.1 } }
    }

    fn wide(&self, page: usize) -> KvSlice<'_> {
        KvSlice::F32 { k: &self.wide[page].0, v: &self.wide[page].1 }
    }
}

#[test]
fn eight_bit_pages_attend_as_the_numbers_that_they_stand_for() {
    for (shape, first, rows) in [
        (shape(128, 6, None), 600, 1),
        (shape(64, 1, None), 70, 3),
        (shape(64, 3, None), 0, 40),
        (shape(80, 4, Some(50)), 500, 20),
        (AttentionShape { head_dim_v: 40, ..shape(24, 2, None) }, 100, 9),
        (AttentionShape { head_dim_v: 512, ..shape(576, 16, None) }, 130, 2),
    ] {
        let mut numbers = Numbers(23);
        let codes = Codes::new(&mut numbers, first + rows, &shape);
        let q = numbers.row(rows * shape.group * shape.head_dim_k, 2.0);
        let out_len = rows * shape.group * shape.head_dim_v;
        let mut expected = vec![0.0; out_len];
        let mut scratch = AttentionScratch::new();
        attend_rows(Isa::SCALAR, &shape, &q, first, &|page| codes.wide(page), &mut scratch, &mut expected);
        assert!(expected.iter().all(|x| x.is_finite()));
        for isa in Isa::available() {
            let mut out = vec![0.0; out_len];
            attend_rows(isa, &shape, &q, first, &|page| codes.page(page), &mut scratch, &mut out);
            assert_eq!(bits(&out), bits(&expected), "{shape:?}, {rows} rows from {first}, {}", isa.name());
        }
    }
}

#[test]
fn eight_bit_codes_are_the_same_at_every_level() {
    let mut numbers = Numbers(29);
    for dim in [1, 16, 31, 32, 33, 80, 128, 576] {
        for size in [1.0, 1e-6, 3e-9, 5e4, 2e7, 1e30] {
            let mut row = numbers.row(dim, size);
            for odd in [None, Some(0.0), Some(f32::NAN), Some(f32::NEG_INFINITY)] {
                if let Some(odd) = odd {
                    row[dim / 2] = odd;
                }
                let stored = |isa: Isa| {
                    let (mut codes, mut scales) = (vec![5i8; dim * PAGE], vec![7u16; dim.div_ceil(Q8_BLOCK) * PAGE]);
                    store_k_q8(isa, &mut codes, &mut scales, 9, &row);
                    let keys = (codes, scales);
                    let (mut codes, mut scales) = (vec![5i8; dim * PAGE], vec![7u16; dim.div_ceil(Q8_BLOCK) * PAGE]);
                    store_v_q8(isa, &mut codes, &mut scales, 9, &row);
                    (keys, (codes, scales))
                };
                let (keys, values) = stored(Isa::SCALAR);
                for (d, x) in row.iter().enumerate() {
                    let (code, scale) = (keys.0[d * PAGE + 9], keys.1[d / Q8_BLOCK * PAGE + 9].to_f32());
                    assert_eq!((code, scale.to_bits()), {
                        let scale = values.1[9 * dim.div_ceil(Q8_BLOCK) + d / Q8_BLOCK].to_f32();
                        (values.0[9 * dim + d], scale.to_bits())
                    });
                    // Within half a step, and a step that is not a normal half is coarse.
                    let near = (f32::from(code) * scale - x).abs() <= scale * 0.57 || x.abs() < 127.0 * 6.2e-5;
                    assert!(near || !scale.is_finite(), "{x} became {code} * {scale}");
                }
                assert!(keys.0.iter().filter(|&&code| code != 5).count() <= dim, "only one slot is written");
                for isa in Isa::available() {
                    assert!(stored(isa) == (keys.clone(), values.clone()), "{dim} values to {size}, {}", isa.name());
                }
            }
        }
    }
}

#[test]
fn sequences_that_share_pages_get_what_they_get_alone() {
    for (kv_heads, group, window, shared, lengths) in [
        (2, 6, None, 8, vec![8 * PAGE + 1, 8 * PAGE + 30, 9 * PAGE + 2]),
        (1, 3, None, 31, vec![31 * PAGE + 5; 16]),
        (2, 4, Some(100), 10, vec![10 * PAGE + 7, 11 * PAGE + 40, 10 * PAGE + 8, 12 * PAGE]),
        (1, 8, None, 3, vec![3 * PAGE, 3 * PAGE - 20, 3 * PAGE + 1]),
    ] {
        let shape = shape(32, group, window);
        let mut numbers = Numbers(31);
        let common: Vec<Cache<u16>> =
            (0..kv_heads).map(|_| Cache::new(&mut numbers, shared * PAGE, 0, &shape)).collect();
        let own: Vec<Vec<Cache<u16>>> = lengths
            .iter()
            .map(|&len| (0..kv_heads).map(|_| Cache::new(&mut numbers, len + PAGE, 0, &shape)).collect())
            .collect();
        let page = |sequence: usize, head: usize, page: usize| {
            if page < shared { common[head].page(page) } else { own[sequence][head].page(page) }
        };
        let runs: Vec<AttentionRun> = lengths
            .iter()
            .enumerate()
            .map(|(sequence, &len)| AttentionRun { sequence, first_position: len - 1, rows: 1 })
            .collect();
        let (q_row, out_row) = (kv_heads * group * 32, kv_heads * group * 32);
        let q = numbers.row(runs.len() * q_row, 2.0);
        let mut alone = Vec::new();
        for (run, q) in runs.iter().zip(q.chunks(q_row)) {
            for (head, q) in q.chunks(group * 32).enumerate() {
                let mut out = vec![0.0; group * 32];
                let pages = |number| page(run.sequence, head, number);
                attend(Isa::SCALAR, &shape, q, run.first_position, &pages, &mut AttentionScratch::new(), &mut out);
                alone.extend(out);
            }
        }
        for threads in [1, 3] {
            let (team, mut buffers) = (Team::new(threads), AttentionBuffers::new());
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; runs.len() * out_row];
                attend_batch(isa, &team, &shape, kv_heads, &runs, &q, &page, &mut buffers, &mut out);
                assert_eq!(bits(&out), bits(&alone), "{group} queries a head, {threads} threads, {}", isa.name());
            }
        }
    }
}
