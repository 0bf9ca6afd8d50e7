//! Promise: a block of any format means what the reference implementation (the Python package `gguf`) says, to the bit.

use r1_kernels::{Format, type_name};

/// Made by `golden/make_format_vectors.py`, which describes it.
const VECTORS: &[u8] = include_bytes!("golden/format_vectors.bin");

struct Record<'a> {
    format: Format,
    blocks: &'a [u8],
    values: Vec<u32>,
}

fn records() -> Vec<Record<'static>> {
    let mut rest = VECTORS;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (id, count) = (word(take(&mut rest, 4)), word(take(&mut rest, 4)) as usize);
        let format = Format::from_id(id).expect("a known format");
        let blocks = take(&mut rest, count * format.block_bytes());
        let values = take(&mut rest, count * format.block_len() * 4).chunks_exact(4).map(word).collect();
        records.push(Record { format, blocks, values });
    }
    records
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> &'a [u8] {
    rest.split_off(..n).expect("the vectors end in the middle of a record")
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

#[test]
fn every_format_has_reference_vectors() {
    let formats: Vec<Format> = records().iter().map(|r| r.format).collect();
    assert_eq!(formats, Format::all().collect::<Vec<_>>());
}

#[test]
fn dequantised_blocks_equal_the_reference_bit_for_bit() {
    for Record { format, blocks, values } in records() {
        let mut out = vec![f32::NAN; values.len()];
        format.dequantize(blocks, &mut out);
        for (i, (out, &expected)) in out.iter().zip(&values).enumerate() {
            let (block, value) = (i / format.block_len(), i % format.block_len());
            let expected = f32::from_bits(expected);
            assert_eq!(
                out.to_bits(),
                expected.to_bits(),
                "{format} block {block} value {value}: {out:e}, {expected:e}"
            );
        }
    }
}

#[test]
fn every_half_float_is_exact() {
    for bits in 0..=u16::MAX {
        let mut out = [0.0];
        Format::F16.dequantize(&bits.to_le_bytes(), &mut out);
        let (sign, exponent, mantissa) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        let magnitude = match exponent {
            31 if mantissa != 0.0 => f64::NAN,
            31 => f64::INFINITY,
            0 => mantissa * 2f64.powi(-24),
            _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
        };
        let expected = if sign == 1 { -magnitude } else { magnitude };
        let equal = f64::from(out[0]).to_bits() == expected.to_bits() || out[0].is_nan() && expected.is_nan();
        assert!(equal, "{bits:#06x}: {}, {expected}", out[0]);
    }
}

#[test]
fn table_agrees_with_itself() {
    for format in Format::all() {
        assert_eq!(Format::from_id(format.id()), Some(format));
        assert_eq!(type_name(format.id()), Some(format.name()));
        assert_eq!(format.row_bytes(3 * format.block_len()), Some(3 * format.block_bytes()));
        assert_eq!(format.row_bytes(0), Some(0));
        let whole = usize::MAX / format.block_len() * format.block_len();
        assert_eq!(
            format.row_bytes(whole).is_some(),
            format.block_bytes() <= format.block_len() && whole != usize::MAX
        );
        if format.block_len() > 1 {
            assert_eq!(format.row_bytes(format.block_len() + 1), None);
        }
    }
}

#[test]
fn the_size_of_an_absurd_row_is_no_number() {
    assert_eq!(Format::F32.row_bytes(usize::MAX), None);
    assert_eq!(Format::Q8_0.row_bytes(usize::MAX - 31), None);
}

#[test]
fn unsupported_types_have_names_but_no_arithmetic() {
    for (id, name) in [(9, "Q8_1"), (40, "NVFP4"), (28, "F64")] {
        assert_eq!((type_name(id), Format::from_id(id)), (Some(name), None));
    }
    assert!(type_name(4).is_some_and(|name| name.contains("retired")));
    assert!((0..=42).all(|id| type_name(id).is_some()));
    assert_eq!(type_name(43), None);
    assert_eq!(type_name(u32::MAX), None);
}

#[test]
#[should_panic(expected = "differ in length")]
fn a_part_of_a_block_is_refused() {
    Format::Q4_K.dequantize(&[0; 143], &mut [0.0; 256]);
}
