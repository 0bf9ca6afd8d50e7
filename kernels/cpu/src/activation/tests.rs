//! What the quantised forms promise.

use super::*;
use proptest::prelude::*;

const KINDS: [ActivationKind; 3] = [ActivationKind::F32, ActivationKind::Q8x32, ActivationKind::Q8x256];

/// Floats for tests: a fixed stream, uniform in -1..1.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn quantized(isa: Isa, kind: ActivationKind, x: &[f32]) -> Activations {
    let mut out = Activations::new();
    out.prepare(kind, x.len(), 1);
    out.quantize_column(isa, 0, x);
    out
}

/// The bytes that the contents occupy.
fn contents(x: &Activations) -> Vec<u8> {
    let bytes = x.blocks() * x.columns() * x.kind().block_bytes();
    x.storage.iter().flat_map(|line| line.0).take(bytes).collect()
}

fn assert_same_on_every_isa(x: &[f32], what: &str) {
    for kind in KINDS {
        let expected = contents(&quantized(Isa::SCALAR, kind, x));
        for isa in Isa::available() {
            assert_eq!(contents(&quantized(isa, kind, x)), expected, "{what}: {kind:?} on {}", isa.name());
        }
    }
}

/// The promises of both kinds of block, for finite values.
fn check_block(x: &[f32], qs: &[i8], d: f32) -> Result<(), TestCaseError> {
    for (&x, &q) in x.iter().zip(qs) {
        prop_assert!(q >= -127);
        // Half a step, and a little for the rounding of the scale; values below 127 / f32::MAX may count as zero.
        let error = (f64::from(x) - f64::from(d) * f64::from(q)).abs();
        prop_assert!(error <= f64::from(d.abs()) * 0.501 + 4e-37, "{x:e} became {q} * {d:e}");
    }
    Ok(())
}

fn finite() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -8.0f32..8.0,
        1 => any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite()),
        1 => (-254i32..=254).prop_map(|half| half as f32 / 2.0),
        1 => Just(0.0f32),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn blocks_of_32_are_within_half_a_step(x in prop::collection::vec(finite(), 64)) {
        let out = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
        for (x, block) in x.chunks_exact(32).zip(out.q8x32()) {
            check_block(x, &block.qs, block.d)?;
            prop_assert_eq!(block.sum, block.qs.iter().map(|&q| i32::from(q)).sum::<i32>());
        }
    }

    #[test]
    fn blocks_of_256_are_within_half_a_step(x in prop::collection::vec(finite(), 256)) {
        let out = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
        let block = &out.q8x256()[0];
        check_block(&x, &block.qs, block.d)?;
        for (qs, &sum) in block.qs.chunks_exact(16).zip(&block.sums) {
            prop_assert_eq!(i32::from(sum), qs.iter().map(|&q| i32::from(q)).sum::<i32>());
        }
        let groups: Vec<i16> = block.qs.chunks_exact(32).map(|qs| qs.iter().map(|&q| i16::from(q)).sum()).collect();
        let pairs = [[0, 2], [1, 3], [4, 6], [5, 7]].map(|pair| pair.map(|g: usize| groups[g]));
        prop_assert_eq!(block.pairs, pairs);
    }

    #[test]
    fn any_floats_give_the_same_bytes_on_every_isa(x in prop::collection::vec(
        prop_oneof![20 => finite(), 1 => any::<u32>().prop_map(f32::from_bits)], 256..=256,
    )) {
        assert_same_on_every_isa(&x, "any floats");
    }
}

#[test]
fn every_isa_writes_the_same_bytes() {
    for (seed, scale) in [1e-45, 1e-37, 4e-37, 1e-30, 1e-3, 1.0, 127.0, 1e4, 1e30, 3.4e38].into_iter().enumerate() {
        for round in 0..8 {
            let x: Vec<f32> = noise(1024, (seed * 8 + round) as u64).iter().map(|x| x * scale).collect();
            assert_same_on_every_isa(&x, "noise");
        }
    }
    // Halves: with 127 present the inverse is 1, so that every other value is a tie.
    for at in 0..256 {
        let mut x: Vec<f32> = (0..256).map(|i| ((i * 37) % 253) as f32 / 2.0 - 63.0).collect();
        x[at] = if at % 2 == 0 { 127.0 } else { -127.0 };
        assert_same_on_every_isa(&x, "ties");
    }
}

#[test]
fn ties_round_to_even() {
    let mut x = [0.0; 256];
    x[..8].copy_from_slice(&[-127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]);
    let small = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
    assert_eq!(small.q8x32()[0].qs[..8], [-127, 0, 2, 2, 0, -2, -2, 126]);
    assert_eq!((small.q8x32()[0].d, small.q8x32()[0].sum), (1.0, -127 + 126));
    let large = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
    assert_eq!(large.q8x256()[0].qs[..8], [-127, 0, 2, 2, 0, -2, -2, 126]);
    assert_eq!((large.q8x256()[0].d, large.q8x256()[0].sums[0]), (1.0, -127 + 126));
}

#[test]
fn the_first_of_the_largest_gets_code_minus_127() {
    for (first, second) in [(3, 200), (17, 18), (0, 255), (31, 32)] {
        for sign in [1.0, -1.0] {
            let mut x = [0.25; 256];
            (x[first], x[second]) = (4.0 * sign, -4.0 * sign);
            for isa in Isa::available() {
                let out = quantized(isa, ActivationKind::Q8x256, &x);
                let block = &out.q8x256()[0];
                assert_eq!((block.qs[first], block.qs[second]), (-127, 127));
                assert_eq!(block.d, 1.0 / (-127.0 / (4.0 * sign)));
            }
        }
    }
}

#[test]
fn a_block_with_a_nan_or_an_infinity_has_a_nan_scale_and_its_neighbours_do_not() {
    for bad in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 7, 31, 100, 255] {
            let mut x = noise(512, 5);
            x[at] = bad;
            assert_same_on_every_isa(&x, "not finite");
            let out = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
            let [block, neighbour] = out.q8x256() else { panic!("two blocks") };
            assert!(block.d.is_nan() && block.qs == [0; 256] && block.sums == [0; 16]);
            assert!(neighbour.d.is_finite());
            let out = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
            for (i, block) in out.q8x32().iter().enumerate() {
                assert_eq!(block.d.is_nan(), i == at / 32);
            }
        }
    }
}

#[test]
fn zeros_and_values_too_small_for_a_scale_are_zero_blocks() {
    for value in [0.0, -0.0, f32::from_bits(1), 1e-40, -3e-37] {
        let x = [value; 256];
        assert_same_on_every_isa(&x, "tiny");
        let out = quantized(Isa::detect(), ActivationKind::Q8x256, &x);
        assert!(out.q8x256()[0].d.to_bits() == 0 && out.q8x256()[0].qs == [0; 256]);
        let out = quantized(Isa::detect(), ActivationKind::Q8x32, &x);
        assert!(out.q8x32()[7].d.to_bits() == 0 && out.q8x32()[7].qs == [0; 32]);
    }
}

#[test]
fn a_team_and_single_columns_fill_the_buffer_alike() {
    let teams = [1, 3].map(Team::new);
    let (mut together, mut apart) = (Activations::new(), Activations::new());
    for (len, columns) in [(256, 1), (8192, 1), (256, 3), (512, 17), (4096, 5), (256, 300), (18944, 2)] {
        let xs = noise(len * columns, len as u64);
        for kind in KINDS {
            apart.prepare(kind, len, columns);
            for (column, x) in xs.chunks_exact(len).enumerate().rev() {
                apart.quantize_column(Isa::detect(), column, x);
            }
            for team in &teams {
                together.quantize(Isa::detect(), team, kind, len, &xs);
                assert_eq!((together.kind(), together.len(), together.columns()), (kind, len, columns));
                assert_eq!(contents(&together), contents(&apart), "{kind:?} {len} x {columns}");
            }
        }
    }
}

#[test]
fn columns_lie_side_by_side_in_each_block() {
    let (len, columns) = (512, 3);
    let xs = noise(len * columns, 9);
    let mut all = Activations::new();
    for kind in KINDS {
        all.quantize(Isa::detect(), &Team::new(1), kind, len, &xs);
        assert_eq!(all.storage.as_ptr() as usize % 64, 0);
        for (column, x) in xs.chunks_exact(len).enumerate() {
            let one = quantized(Isa::SCALAR, kind, x);
            for (block, at) in (column..one.blocks() * columns).step_by(columns).enumerate() {
                match kind {
                    ActivationKind::F32 => assert_eq!(all.f32s()[at], x[block]),
                    ActivationKind::Q8x32 => assert_eq!(all.q8x32()[at].qs, one.q8x32()[block].qs),
                    ActivationKind::Q8x256 => assert_eq!(all.q8x256()[at].qs, one.q8x256()[block].qs),
                }
            }
        }
    }
}

#[test]
fn a_reserved_buffer_does_not_move_and_absurd_sizes_are_refused() {
    let mut x = Activations::new();
    x.try_reserve(ActivationKind::F32, 1024, 8).unwrap();
    let (place, bytes) = (x.storage.as_ptr(), x.bytes());
    assert!(bytes >= 1024 * 8 * 4);
    for kind in KINDS {
        x.prepare(kind, 1024, 8);
        assert_eq!((x.storage.as_ptr(), x.bytes()), (place, bytes));
    }
    assert!(x.try_reserve(ActivationKind::F32, usize::MAX, 2).is_err());
    assert!(x.try_reserve(ActivationKind::Q8x256, usize::MAX / 512, 1).is_err());
    assert_eq!(x.bytes(), bytes);
}

#[test]
fn an_empty_buffer_has_empty_contents() {
    let mut x = Activations::new();
    assert!(x.is_empty() && x.f32s().is_empty());
    x.quantize(Isa::detect(), &Team::new(1), ActivationKind::Q8x256, 256, &[]);
    assert!(x.is_empty() && x.q8x256().is_empty());
}

#[test]
#[should_panic(expected = "another kind")]
fn contents_of_another_kind_are_refused() {
    quantized(Isa::SCALAR, ActivationKind::F32, &[0.0; 256]).q8x256();
}
