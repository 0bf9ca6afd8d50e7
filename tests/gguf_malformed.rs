//! Promise: whatever is wrong with a file, opening it ends in an error that says what and where, within a bounded amount of
//! memory.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[path = "support/bad_files.rs"]
mod bad_files;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use bad_files::*;
use gguf_writer::{GgufWriter, TensorSpec, array, string, value_type as ty};
use r1core::ErrorKind::{Limit, Malformed, NotGguf, Unsupported, Utf8};

#[test]
fn container_lies_are_named() {
    let ok = valid().build();
    let header_len = valid().header().len();
    let tokens_at = ok.windows(5).position(|window| window == b"think").unwrap();
    let max = u64::MAX;
    let counts = |tensors: Option<u64>, keys: Option<u64>| {
        GgufWriter { tensor_count: tensors, key_count: keys, ..valid() }.build()
    };
    let version = |version: u32| GgufWriter { version, ..valid() }.build();
    check(
        "container",
        vec![
            ("001 empty file", vec![], NotGguf, "the file is empty"),
            ("002 only the magic", b"GGUF".to_vec(), Malformed, "at byte 4"),
            ("002b half the magic", b"GG".to_vec(), Malformed, "inside the magic"),
            ("003 magic GGUX", patched(ok.clone(), 3, b"X"), NotGguf, "47 47 55 58"),
            ("004 version 0", version(0), Unsupported, "at byte 4: GGUF version 0"),
            ("004b version 1", version(1), Unsupported, "at byte 4: GGUF version 1"),
            ("004c version 4", version(4), Unsupported, "at byte 4: GGUF version 4"),
            ("005 version 65535", version(65535), Unsupported, "GGUF version 65535"),
            ("006 byte-swapped version", version(3_u32.swap_bytes()), NotGguf, "big-endian"),
            ("006b byte-swapped version 2", version(2_u32.swap_bytes()), NotGguf, "convert it to little-endian"),
            ("007 cut at byte 20", ok[..20].to_vec(), Malformed, "at byte 8: 3 tensors do not fit"),
            ("007b cut at byte 10", ok[..10].to_vec(), Malformed, "at byte 8"),
            ("008 cut in the token array", ok[..tokens_at].to_vec(), Malformed, "key 'tokenizer.ggml.tokens'"),
            ("009 cut in the tensor table", ok[..header_len - 60].to_vec(), Malformed, "tensor 'token_embd.weight'"),
            ("009b cut in the last offset", ok[..header_len - 4].to_vec(), Malformed, "tensor 'blk.0.ffn_up.weight'"),
            ("010 last data byte missing", ok[..ok.len() - 1].to_vec(), Malformed, "tensor 'blk.0.ffn_up.weight'"),
            ("011 half the data", ok[..(header_len + ok.len()) / 2].to_vec(), Malformed, "past the end of the file"),
            ("012 no data", ok[..header_len].to_vec(), Malformed, "tensor 'output_norm.weight'"),
            ("013 2^64-1 tensors", counts(Some(max), None), Malformed, "at byte 8: 18446744073709551615 tensors"),
            ("014 2^60 tensors", counts(Some(1 << 60), None), Malformed, "at byte 8"),
            ("015 2^64-1 keys", counts(None, Some(max)), Malformed, "at byte 16: 18446744073709551615 metadata keys"),
            ("016 2^58 keys", counts(None, Some(1 << 58)), Malformed, "at byte 16"),
            ("017 one key too many", counts(None, Some(8)), Malformed, "tensor '#0'"),
            ("018 one tensor too many", counts(Some(4), None), Malformed, "tensor '#3'"),
            (
                "018b keys past the tensors",
                GgufWriter { tensor_count: Some(2), ..GgufWriter::new().str("k", &"x".repeat(99)) }.header(),
                Malformed,
                "2 tensors do not fit",
            ),
        ],
    );
}

#[test]
fn too_many_keys_or_tensors_are_a_limit() {
    let keys: Vec<u8> = (0..65537).flat_map(|i| [&string(format!("{i:05}"))[..], &[0, 0, 0, 0, 1]].concat()).collect();
    let many_keys = GgufWriter { key_count: Some(65537), ..GgufWriter::new().raw_entry(keys.clone()) }.build();
    let most_keys = GgufWriter { key_count: Some(65536), ..GgufWriter::new().raw_entry(&keys[..65536 * 18]) }.build();
    assert_eq!(open(&most_keys).unwrap().metadata().len(), 65536);
    let zeros = vec![0; (1 << 18) * 33 + 64];
    let tensors = GgufWriter { tensor_count: Some((1 << 18) + 1), ..GgufWriter::new() };
    let many_tensors = [tensors.header(), zeros].concat();
    check(
        "limits",
        vec![
            ("65,537 keys", many_keys, Limit, "at byte 16: 65537 metadata keys"),
            ("262,145 tensors", many_tensors, Limit, "at byte 8: 262145 tensors"),
        ],
    );
}

#[test]
fn key_and_value_lies_are_named() {
    let key = |key: &[u8]| GgufWriter::new().raw(key, ty::U8, [1]).build();
    let key_len = |len: u64| {
        let entry = [&len.to_le_bytes()[..], b"kkkkkkkkkkkkkkkkkkkk"].concat();
        GgufWriter::new().raw_entry(entry).build()
    };
    let value = |ty: u32, bytes: &[u8]| GgufWriter::new().str("first", "x").raw("k", ty, bytes).build();
    let array_of = |ty: u32, count: u64, elements: &[u8]| value(ty::ARRAY, &array(ty, count, elements));
    let nested = array(ty::ARRAY, 1, array(ty::ARRAY, 1, array(ty::U8, 0, [])));
    let deep: Vec<u8> = array(ty::ARRAY, 1, []).repeat(100_000);
    let limit = |len: usize| value(ty::STRING, &string(vec![b'x'; len]));
    let string_bytes = |bytes: &[u8]| value(ty::STRING, &string(bytes));
    let strings = |values: &[&[u8]]| GgufWriter::new().strings("k", values).build();
    assert!(open(&key(&[b'k'; 65536])).is_ok(), "the longest key");
    check(
        "values",
        vec![
            ("019 key of 2^64-1 bytes", key_len(u64::MAX), Malformed, "key '#0': at byte 24"),
            ("020 key of 2^62 bytes", key_len(1 << 62), Malformed, "key '#0': at byte 24"),
            ("021 empty key", key(b""), Malformed, "key '#0': at byte 24: the metadata key is empty"),
            ("022 key of 64 KiB and 1", key(&[b'k'; 65537]), Limit, "65537 bytes; at most 65536"),
            ("023 key with NUL", key(b"a\0b"), Malformed, "key '#0': at byte 24: the metadata key contains a NUL"),
            ("023b key not UTF-8", key(b"ab\xff"), Utf8, "key '#0': at byte 34"),
            (
                "024 duplicate key",
                GgufWriter::new().u32("k", 1).u32("j", 1).str("k", "").build(),
                Malformed,
                "key 'k': the key occurs twice",
            ),
            ("025 value type 13", value(13, &[0; 8]), Malformed, "key 'k': at byte 59: value type 13"),
            ("026 value type 2^32-1", value(u32::MAX, &[0; 8]), Malformed, "value type 4294967295"),
            (
                "027 string of 2^64-1 bytes",
                value(ty::STRING, &u64::MAX.to_le_bytes()),
                Malformed,
                "key 'k': at byte 63",
            ),
            ("028 string of 2^30+1 bytes", value(ty::STRING, &((1_u64 << 30) + 1).to_le_bytes()), Malformed, "key 'k'"),
            (
                "028b string over 64 MiB",
                limit((64 << 20) + 1),
                Limit,
                "key 'k': at byte 63: a string of 67108865 bytes",
            ),
            ("028c value cut short", GgufWriter::new().raw("k", ty::U64, [1, 2, 3]).header(), Malformed, "key 'k'"),
            ("029 array of 2^64-1", array_of(ty::U8, u64::MAX, &[]), Malformed, "key 'k': at byte 67"),
            ("030 u64 array whose size wraps", array_of(ty::U64, 1 << 61, &[]), Malformed, "key 'k': at byte 67"),
            ("030b i32 array, one too many", array_of(ty::I32, 1_000, &[0; 400]), Malformed, "1000 array elements"),
            (
                "031 2^30 empty strings",
                array_of(ty::STRING, 1 << 30, &[0; 1024]),
                Malformed,
                "1073741824 array elements",
            ),
            (
                "031b strings that run out",
                array_of(ty::STRING, 2, &[200, 0, 0, 0, 0, 0, 0, 0, 65]),
                Malformed,
                "key 'k': at byte 75: element 0",
            ),
            (
                "031c string array length lies",
                array_of(ty::STRING, 2, &[[0; 8], [255; 8]].concat()),
                Malformed,
                "element 1",
            ),
            ("032 array of arrays", value(ty::ARRAY, &nested), Unsupported, "key 'k': at byte 63: an array of arrays"),
            ("033 100,000 nested arrays", value(ty::ARRAY, &deep), Unsupported, "an array of arrays"),
            (
                "033b array element type 13",
                array_of(13, 1, &[0; 8]),
                Malformed,
                "key 'k': at byte 63: array element type 13",
            ),
            ("033c array element type 2^32-1", array_of(u32::MAX, 0, &[]), Malformed, "array element type 4294967295"),
            ("034 bool 2", value(ty::BOOL, &[2]), Malformed, "key 'k': at byte 63: a bool is 2"),
            ("034b bool 255 in an array", array_of(ty::BOOL, 3, &[0, 1, 255]), Malformed, "element 2: a bool is 255"),
            ("091 string not UTF-8", string_bytes(b"ab\xff\xfe"), Utf8, "key 'k': at byte 73"),
            ("091b string with an encoded surrogate", string_bytes(b"\xed\xa0\x80"), Utf8, "key 'k': at byte 71"),
            ("091c overlong encoding", string_bytes(b"\xc0\xaf"), Utf8, "key 'k': at byte 71"),
            ("091d token not UTF-8", strings(&[b"a", b"", b"b\xffc"]), Utf8, "key 'k': at byte 75: element 2"),
            ("091e character across tokens", strings(&[b"a\xc3", b"\xa9"]), Utf8, "key 'k': at byte 58: element 0"),
            ("091f last token cut in a character", strings(&[b"a", b"\xe2\x82"]), Utf8, "element 1"),
        ],
    );
}

#[test]
fn alignment_is_a_power_of_two_in_range_and_u32() {
    let alignment = |value: u32| GgufWriter::new().u32("general.alignment", value).build();
    let key = "key 'general.alignment'";
    check(
        "alignment",
        vec![
            ("035 alignment 0", alignment(0), Malformed, "key 'general.alignment': alignment 0"),
            ("035b alignment 1", alignment(1), Malformed, key),
            ("035c alignment 4", alignment(4), Malformed, key),
            ("036 alignment 3", alignment(3), Malformed, key),
            ("036b alignment 48", alignment(48), Malformed, key),
            ("037 alignment 2^31", alignment(1 << 31), Malformed, key),
            ("037b alignment 131072", alignment(1 << 17), Malformed, key),
            (
                "038 alignment i32",
                GgufWriter::new().i32("general.alignment", 32).build(),
                Malformed,
                "expected u32, found i32",
            ),
            (
                "039 alignment string",
                GgufWriter::new().str("general.alignment", "32").build(),
                Malformed,
                "expected u32, found string",
            ),
        ],
    );
}

#[test]
fn tensor_lies_are_named() {
    let dims = |dims: &[u64]| f32_tensor(|t| t.dims = dims.to_vec());
    let typed = |type_id: u32, row: u64| f32_tensor(|t| (t.type_id, t.dims) = (type_id, vec![row]));
    let named = |name: &[u8]| f32_tensor(|t| t.name = name.to_vec());
    let offset = |offset: u64| f32_tensor(|t| t.offset = Some(offset));
    let n_dims = |n: u32| f32_tensor(|t| t.n_dims = Some(n));
    let two = |second: &str, offset: u64| {
        let mut other = TensorSpec::f32(second, &[16], &[0.0; 16]);
        other.offset = Some(offset);
        let first = TensorSpec::f32("a", &[16], &[0.0; 16]);
        GgufWriter::new().tensor(first).tensor(other).build()
    };
    let name_len = {
        let mut bytes = f32_tensor(|_| {});
        bytes[24..32].copy_from_slice(&(1_u64 << 62).to_le_bytes());
        bytes
    };
    let end_at_2_64 = f32_tensor(|t| (t.dims, t.offset) = (vec![8], Some(u64::MAX - 95)));
    assert!(open(&named(&[b'n'; 64])).is_ok(), "the longest name");
    check(
        "tensors",
        vec![
            ("040 name of 200 bytes", named(&[b'n'; 200]), Limit, "tensor '#0': at byte 24: a string of 200 bytes"),
            ("040b name of 65 bytes", named(&[b'n'; 65]), Limit, "tensor '#0'"),
            ("040c name of 2^62 bytes", name_len, Malformed, "tensor '#0': at byte 24"),
            ("040d name not UTF-8", named(b"n\xff"), Utf8, "tensor '#0': at byte 33"),
            (
                "040e name with NUL",
                named(b"n\0m"),
                Malformed,
                "tensor '#0': at byte 24: the tensor name contains a NUL",
            ),
            ("041 empty name", named(b""), Malformed, "tensor '#0': at byte 24: the tensor name is empty"),
            ("042 same name twice", two("a", 64), Malformed, "tensor 'a': the tensor occurs twice"),
            ("043 no dimension", n_dims(0), Malformed, "tensor 'w': at byte 33: 0 dimensions"),
            ("044 five dimensions", dims(&[1; 5]), Malformed, "tensor 'w': at byte 33: 5 dimensions"),
            ("045 2^32-1 dimensions", n_dims(u32::MAX), Malformed, "4294967295 dimensions"),
            ("046 dimension 0", dims(&[4, 0]), Malformed, "tensor 'w': at byte 37: shape [4, 0]"),
            ("046b every dimension 0", dims(&[0]), Malformed, "tensor 'w'"),
            ("047 dimension -1", dims(&[u64::MAX]), Malformed, "tensor 'w': at byte 37: shape [18446744073709551615]"),
            ("048 2^32 x 2^32", dims(&[1 << 32, 1 << 32]), Malformed, "tensor 'w': at byte 37"),
            ("049 32 x (2^57+1)", typed_dims(2, &[32, (1 << 57) + 1]), Malformed, "tensor 'w'"),
            ("049b 2^16 four times", dims(&[1 << 16; 4]), Malformed, "tensor 'w'"),
            ("049c bytes wrap, elements do not", dims(&[1 << 62]), Malformed, "is too large"),
            ("050 2^62-1 values", dims(&[(1 << 62) - 1]), Malformed, "tensor 'w'"),
            ("050b an exabyte shape", dims(&[1 << 30, 1 << 28]), Malformed, "past the end of the file"),
            ("051 type 200", typed(200, 4), Unsupported, "tensor 'w': at byte 45: tensor type 200 is not known"),
            ("052 type -1", typed(u32::MAX, 4), Unsupported, "tensor 'w': at byte 45"),
            ("053 retired type 4", typed(4, 32), Unsupported, "tensor 'w': at byte 45"),
            ("053b retired type 38", typed(38, 32), Unsupported, "tensor 'w': at byte 45"),
            ("054 Q4_0 row of 33", typed(2, 33), Malformed, "tensor 'w': at byte 45: rows of 33 values"),
            ("054b MXFP4 row of 16", typed(39, 16), Malformed, "rows of 16 values"),
            ("055 offset + 1", offset(1), Malformed, "tensor 'w': its data at byte"),
            ("055b offset + 16 of 32", offset(16), Malformed, "not aligned to 32"),
            ("056 offset 2^40", offset(1 << 40), Malformed, "tensor 'w'"),
            ("056b offset at the end", offset(32), Malformed, "past the end of the file"),
            ("057 offset 2^64-32", offset(u64::MAX - 31), Malformed, "tensor 'w': data offset 18446744073709551584"),
            ("057b offset 2^64-128", offset(u64::MAX - 127), Malformed, "past the end of the file"),
            ("057c end at 2^64", end_at_2_64, Malformed, "tensor 'w': its data at byte 18446744073709551584 is beyond"),
            ("058 overlap", two("b", 32), Malformed, "tensor 'b': its data at byte 128 overlaps tensor 'a'"),
            ("058b same place", two("b", 0), Malformed, "overlaps tensor"),
            ("129 Q4_K row of 32", typed(12, 32), Malformed, "rows of 32 values do not divide into Q4_K blocks of 256"),
        ],
    );
}

fn typed_dims(type_id: u32, dims: &[u64]) -> Vec<u8> {
    f32_tensor(|t| (t.type_id, t.dims) = (type_id, dims.to_vec()))
}
