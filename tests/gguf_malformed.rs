//! Promise: whatever bytes a file has, opening it ends in a model or in an error that says what is wrong and where,
//! within a bounded amount of memory.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use gguf_writer::{GgufWriter, TensorSpec, array, string, value_type as ty};
use r1core::ErrorKind::{self, Argument, Io, Limit, Malformed, Missing, NotGguf, State, Unsupported, Utf8};
use r1core::gguf::{Array, Gguf, LoadMode, Value};
use r1core::{Error, Result};
use std::path::{Path, PathBuf};
use std::{fs, io::Write};

// ---------------------------------------------------------------- what opening may cost

/// Counts the bytes that the current thread holds, and their peak.
mod memory {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static LIVE: Cell<isize> = const { Cell::new(0) };
        static PEAK: Cell<isize> = const { Cell::new(0) };
    }

    struct Counting;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    fn count(bytes: isize) {
        // A thread that is ending has no counters left; its last frees do not matter.
        let _ = LIVE.try_with(|live| {
            live.set(live.get() + bytes);
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        });
    }

    // SAFETY: every call goes to the system allocator unchanged; counting neither allocates nor unwinds.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size() as isize);
            // SAFETY: the caller's layout is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            count(-(layout.size() as isize));
            // SAFETY: the pointer came from `alloc` above with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // Old and new block may exist side by side while the system copies.
            count(size as isize);
            count(-(layout.size() as isize));
            // SAFETY: the pointer came from `alloc` above with this layout; the caller vouches for the size.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }

    /// The result of `work` and the most bytes that it held at once.
    pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = LIVE.get();
        PEAK.set(before);
        let result = work();
        (result, (PEAK.get() - before) as usize)
    }
}

/// Opens bytes from memory and asserts the bound that is promised for every file.
fn open(bytes: &[u8]) -> Result<Gguf> {
    let len = bytes.len();
    let block = bytes.to_vec();
    let (result, peak) = memory::peak_of(|| Gguf::from_bytes(block));
    assert!(peak < 2 * len + (64 << 20), "a file of {len} bytes took {peak} bytes to open");
    result
}

// ---------------------------------------------------------------- tables of cases

/// Name, bytes, expected kind, and the text that names the place.
type Case = (&'static str, Vec<u8>, ErrorKind, &'static str);

/// What is wrong with the outcome of opening a bad file, if anything.
fn complaint(name: &str, result: Result<Gguf>, kind: ErrorKind, place: &str) -> Option<String> {
    match result {
        Ok(_) => Some(format!("{name}: accepted")),
        Err(error) if error.kind() != kind => Some(format!("{name}: not {kind:?} but {:?}: {error}", error.kind())),
        Err(error) if !error.to_string().contains(place) => Some(format!("{name}: no '{place}' in: {error}")),
        Err(_) => None,
    }
}

#[track_caller]
fn assert_error(name: &str, result: Result<Gguf>, kind: ErrorKind, place: &str) {
    if let Some(complaint) = complaint(name, result, kind, place) {
        panic!("{complaint}");
    }
}

/// Asserts each case from memory and from a file in both modes that reach tensor data.
#[track_caller]
fn check(test: &str, cases: Vec<Case>) {
    let dir = TempDir::new(test);
    let mut complaints = Vec::new();
    for (name, bytes, kind, place) in cases {
        complaints.extend(complaint(name, open(&bytes), kind, place));
        let path = dir.write("case.gguf", &bytes);
        for mode in [LoadMode::Map, LoadMode::Read] {
            let (result, peak) = memory::peak_of(|| Gguf::open(&path, mode));
            assert!(peak < 2 * bytes.len() + (64 << 20), "{name}: {peak} bytes");
            complaints.extend(complaint(name, result, kind, place));
            complaints.extend(complaint(name, Gguf::open(&path, mode), kind, "case.gguf: "));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A directory of this test alone, removed at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("r1core-gguf-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small valid model: every value type, an array of each kind that matters, three tensors.
fn valid() -> GgufWriter {
    let keys = GgufWriter::new()
        .str("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .f32("llama.rope.freq_base", 10000.0)
        .bool("tokenizer.ggml.add_bos_token", true)
        .strings("tokenizer.ggml.tokens", &["<s>", "", "é", "think"])
        .i32s("tokenizer.ggml.token_type", &[3, 1, 1, 1])
        .f32s("tokenizer.ggml.scores", &[0.0, -1.0, -2.0, -3.0]);
    keys.tensor(TensorSpec::f32("output_norm.weight", &[4], &[1.0, 2.0, 3.0, 4.0]))
        .tensor(TensorSpec::new("token_embd.weight", &[32, 4], 8, (0..136).collect()))
        .tensor(TensorSpec::new("blk.0.ffn_up.weight", &[256, 2], 12, vec![7; 288]))
}

fn with_tensor(tensor: TensorSpec) -> Vec<u8> {
    GgufWriter::new().tensor(tensor).build()
}

fn f32_tensor(change: impl FnOnce(&mut TensorSpec)) -> Vec<u8> {
    let mut tensor = TensorSpec::f32("w", &[4], &[0.0; 4]);
    change(&mut tensor);
    with_tensor(tensor)
}

fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

// ---------------------------------------------------------------- valid files

#[test]
fn versions_two_and_three_open_with_equal_bytes_in_every_mode() {
    let dir = TempDir::new("modes");
    for version in [2, 3] {
        let bytes = GgufWriter { version, ..valid() }.build();
        let path = dir.write("valid.gguf", &bytes);
        let memory = open(&bytes).unwrap();
        let map = Gguf::open(&path, LoadMode::Map).unwrap();
        let read = Gguf::open(&path, LoadMode::Read).unwrap();
        let header = Gguf::open(&path, LoadMode::HeaderOnly).unwrap();
        for gguf in [&memory, &map, &read, &header] {
            assert_eq!(gguf.version(), version);
            assert_eq!(gguf.alignment(), 32);
            assert_eq!(gguf.file_size(), bytes.len() as u64);
            assert_eq!(gguf.parts().len(), 1);
            assert_eq!(gguf.tensors(), memory.tensors());
            assert!(gguf.metadata().iter().eq(memory.metadata().iter()));
        }
        assert_eq!((memory.path(), map.path()), (None, Some(&*path)));
        for tensor in memory.tensors() {
            let expected = memory.data(tensor).unwrap();
            assert_eq!(expected.len() as u64, tensor.byte_len());
            assert_eq!(map.data(tensor).unwrap(), expected);
            assert_eq!(read.data(tensor).unwrap(), expected);
            let mut tail = vec![0; expected.len() - 3];
            read.read_at(tensor, 3, &mut tail).unwrap();
            assert_eq!(tail, expected[3..]);
            assert_eq!(header.data(tensor).unwrap_err().kind(), State);
        }
        let embedding = map.tensor("token_embd.weight").unwrap();
        assert_eq!((embedding.dims(), embedding.elements(), embedding.type_name()), (&[32, 4][..], 128, "Q8_0"));
        assert_eq!(map.data(embedding).unwrap()[..3], [0, 1, 2]);
        assert!(map.tensor("token_embd").is_none());
    }
}

#[test]
fn every_value_type_comes_back() {
    let bytes = GgufWriter::new()
        .raw("u8", ty::U8, [200])
        .raw("i8", ty::I8, [0xff])
        .u16("u16", 65535)
        .raw("i16", ty::I16, (-2_i16).to_le_bytes())
        .u32("u32", u32::MAX)
        .i32("i32", i32::MIN)
        .f32("f32", 0.5)
        .bool("bool", true)
        .str("str", "é")
        .raw("u64", ty::U64, u64::MAX.to_le_bytes())
        .raw("i64", ty::I64, i64::MIN.to_le_bytes())
        .raw("f64", ty::F64, 0.1_f64.to_le_bytes())
        .raw("bools", ty::ARRAY, array(ty::BOOL, 2, [0, 1]))
        .raw("u8s", ty::ARRAY, array(ty::U8, 2, [7, 8]))
        .raw("i16s", ty::ARRAY, array(ty::I16, 1, (-3_i16).to_le_bytes()))
        .raw("u64s", ty::ARRAY, array(ty::U64, 1, 9_u64.to_le_bytes()))
        .raw("f64s", ty::ARRAY, array(ty::F64, 1, 0.25_f64.to_le_bytes()))
        .raw("none", ty::ARRAY, array(ty::I32, 0, []))
        .build();
    let gguf = open(&bytes).unwrap();
    let expected = [
        ("u8", Value::U8(200)),
        ("i8", Value::I8(-1)),
        ("u16", Value::U16(65535)),
        ("i16", Value::I16(-2)),
        ("u32", Value::U32(u32::MAX)),
        ("i32", Value::I32(i32::MIN)),
        ("f32", Value::F32(0.5)),
        ("bool", Value::Bool(true)),
        ("str", Value::Str("é".into())),
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f64", Value::F64(0.1)),
        ("bools", Value::Array(Array::Bool(vec![false, true]))),
        ("u8s", Value::Array(Array::U8(vec![7, 8]))),
        ("i16s", Value::Array(Array::I16(vec![-3]))),
        ("u64s", Value::Array(Array::U64(vec![9]))),
        ("f64s", Value::Array(Array::F64(vec![0.25]))),
        ("none", Value::Array(Array::I32(vec![]))),
    ];
    assert!(gguf.metadata().iter().eq(expected.iter().map(|(key, value)| (*key, value))), "{:?}", gguf.metadata());
    for (key, value) in &expected {
        assert_eq!(gguf.metadata().get(key), Some(value));
    }
}

#[test]
fn typed_getters_accept_what_fits_and_name_what_does_not() {
    let bytes = GgufWriter::new()
        .u64("wide", 7)
        .i32("negative", -1)
        .u64("huge", 1 << 32)
        .raw("double", ty::F64, 1e300_f64.to_le_bytes())
        .raw("half", ty::F64, 0.5_f64.to_le_bytes())
        .i32s("ints", &[1, -1])
        .raw("u32s", ty::ARRAY, array(ty::U32, 1, 5_u32.to_le_bytes()))
        .raw("empty", ty::ARRAY, array(ty::I32, 0, []))
        .str("text", "x")
        .build();
    let dir = TempDir::new("getters");
    let gguf = Gguf::open(dir.write("getters.gguf", &bytes), LoadMode::Read).unwrap();
    let m = gguf.metadata();
    assert_eq!(m.u32("wide").unwrap(), Some(7));
    assert_eq!(m.f32("half").unwrap(), Some(0.5));
    assert_eq!(m.i32s("u32s").unwrap().unwrap()[..], [5]);
    assert_eq!(m.f32s("ints").unwrap().unwrap()[..], [1.0, -1.0]);
    assert_eq!(m.strings("empty").unwrap().unwrap().len(), 0);
    assert_eq!(m.u32_for_layer("wide", 40).unwrap(), Some(7));
    assert_eq!(m.u32_for_layer("u32s", 0).unwrap(), Some(5));
    assert_eq!(m.u32("absent").unwrap(), None);
    let errors: [(Error, ErrorKind, &str); 12] = [
        (m.u32("negative").unwrap_err(), Malformed, "key 'negative': -1 is outside"),
        (m.u32("huge").unwrap_err(), Malformed, "key 'huge': 4294967296 is outside"),
        (m.u32("text").unwrap_err(), Malformed, "key 'text': expected an integer, found string"),
        (m.f32("double").unwrap_err(), Malformed, "key 'double'"),
        (m.f32("wide").unwrap_err(), Malformed, "key 'wide': expected a float, found u64"),
        (m.bool("wide").unwrap_err(), Malformed, "key 'wide': expected a bool, found u64"),
        (m.str("ints").unwrap_err(), Malformed, "key 'ints': expected a string, found array of i32"),
        (m.strings("ints").unwrap_err(), Malformed, "key 'ints': expected an array of strings"),
        (m.u32s("ints").unwrap_err(), Malformed, "key 'ints': element 1: -1 is outside"),
        (m.f32s("text").unwrap_err(), Malformed, "key 'text': expected an array of floats, found string"),
        (m.u32_for_layer("u32s", 1).unwrap_err(), Malformed, "key 'u32s': 1 values, but layer 1"),
        (m.require_str("absent").unwrap_err(), Missing, "key 'absent'"),
    ];
    for (error, kind, place) in errors {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(place), "{error}");
        assert!(error.to_string().contains("getters.gguf"), "{error}");
    }
}

#[test]
fn unsupported_tensor_types_open_and_fail_only_when_used() {
    let gguf = open(&with_tensor(TensorSpec::new("w", &[256], 16, vec![0; 66]))).unwrap();
    let error = gguf.tensors()[0].format().unwrap_err();
    assert_eq!(error.kind(), Unsupported);
    assert!(error.to_string().contains("tensor 'w'") && error.to_string().contains("IQ2_XXS"), "{error}");
}

#[test]
fn harmless_oddities_are_accepted() {
    let trailing = [valid().build(), vec![0xaa; 1 << 20]].concat();
    assert_eq!(open(&trailing).unwrap().tensors().len(), 3);
    let last = valid().build();
    let unpadded = open(&last).unwrap().tensors().iter().map(|t| t.offset() + t.byte_len()).max().unwrap();
    assert!(open(&last[..unpadded as usize]).is_ok(), "padding after the last tensor is not needed");
    assert!(open(&GgufWriter::new().build()).is_ok(), "neither keys nor tensors");
    let vocabulary = GgufWriter::new().strings("tokenizer.ggml.tokens", &["a"]).header();
    assert!(open(&vocabulary).is_ok(), "a vocabulary without tensors or padding");
    for alignment in [8, 64, 65536] {
        let writer = GgufWriter { alignment, ..valid() }.u32("general.alignment", alignment as u32);
        assert_eq!(open(&writer.build()).unwrap().alignment(), alignment as u64);
    }
}

#[test]
fn tensors_of_another_model_and_ranges_outside_are_refused() {
    let gguf = open(&valid().build()).unwrap();
    let other = open(&f32_tensor(|_| {})).unwrap();
    assert_eq!(gguf.data(&other.tensors()[0]).unwrap_err().kind(), Argument);
    let tensor = gguf.tensor("output_norm.weight").unwrap();
    for (start, len) in [(0, 17), (16, 1), (u64::MAX, 1)] {
        let error = gguf.read_at(tensor, start, &mut vec![0; len]).unwrap_err();
        assert_eq!(error.kind(), Argument, "{error}");
        assert!(error.to_string().contains("output_norm.weight"), "{error}");
    }
    gguf.read_at(tensor, 16, &mut []).unwrap();
}

#[test]
fn a_header_without_its_weights_opens_in_header_mode_only() {
    let dir = TempDir::new("header");
    let path = dir.write("header.gguf", &valid().header());
    assert_error("map", Gguf::open(&path, LoadMode::Map), Malformed, "past the end of the file");
    assert_error("read", Gguf::open(&path, LoadMode::Read), Malformed, "past the end of the file");
    let gguf = Gguf::open(&path, LoadMode::HeaderOnly).unwrap();
    assert_eq!(gguf.metadata().require_strings("tokenizer.ggml.tokens").unwrap().get(2), Some("é"));
    assert_eq!(gguf.tensors().len(), 3);
}

// ---------------------------------------------------------------- container

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

// ---------------------------------------------------------------- keys and values

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

// ---------------------------------------------------------------- tensors

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

// ---------------------------------------------------------------- files of another kind

#[test]
fn other_kinds_of_file_are_recognised_and_say_what_to_do() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4683073248\n";
    let safetensors =
        [&60_u64.to_le_bytes()[..], br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}      "#].concat();
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let bytes = |b: &[u8]| [b, &[7; 64]].concat();
    let cases = vec![
        ("126 ZIP or PyTorch", bytes(b"PK\x03\x04"), NotGguf, "ZIP archive"),
        ("127 HTML page", b"<!DOCTYPE html><html>".to_vec(), NotGguf, "web page"),
        ("127b HTML page with BOM and space", b"\xef\xbb\xbf \r\n<HTML lang=en>".to_vec(), NotGguf, "web page"),
        ("127c XML error of an object store", b"<?xml version=\"1.0\"?><Error>".to_vec(), NotGguf, "web page"),
        ("127d JSON error", br#" {"error":"Invalid username or password."}"#.to_vec(), NotGguf, "JSON"),
        ("128 Git LFS pointer", pointer.into(), NotGguf, "run git lfs pull"),
        ("128b safetensors", safetensors, NotGguf, "safetensors"),
        ("128c gzip", bytes(b"\x1f\x8b\x08"), NotGguf, "gzip"),
        ("128d zstd", bytes(b"\x28\xb5\x2f\xfd"), NotGguf, "zstd"),
        ("128e PyTorch pickle", bytes(b"\x80\x02\x8a"), NotGguf, "pickle"),
        ("128f tar", tar, NotGguf, "tar archive"),
        ("128g GGJT", bytes(b"tjgg"), NotGguf, "older than GGUF"),
        ("128h byte-swapped magic", bytes(b"FUGG"), NotGguf, "little-endian"),
        ("128i unfinished download", vec![0; 4096], NotGguf, "zero bytes"),
    ];
    for (name, bytes, ..) in &cases {
        let error = open(bytes).unwrap_err();
        assert!(error.remedy_text().is_some(), "{name}: {error}");
    }
    check("kinds", cases);
    check(
        "unknown",
        vec![("text", b"hello, world".to_vec(), NotGguf, "68 65 6c 6c"), ("short", vec![1], NotGguf, "bytes 01")],
    );
}

#[test]
fn paths_that_are_no_regular_file_are_refused_without_waiting() {
    let dir = TempDir::new("paths");
    for mode in [LoadMode::Map, LoadMode::Read, LoadMode::HeaderOnly] {
        assert_error("directory", Gguf::open(&dir.0, mode), NotGguf, "this is a directory");
        assert_error("absent", Gguf::open(dir.0.join("absent.gguf"), mode), Io, "absent.gguf");
        assert_error("NUL in path", Gguf::open("a\0b", mode), Io, "cannot open the file");
        assert_error("long path", Gguf::open("x".repeat(5000), mode), Io, "cannot open the file");
        assert_error("empty path", Gguf::open("", mode), Io, "cannot open the file");
    }
    let non_ascii = dir.write("模型 é.gguf", &valid().build());
    assert!(Gguf::open(non_ascii, LoadMode::Map).is_ok());
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_symlink_loops_are_refused_without_waiting() {
    let dir = TempDir::new("devices");
    let loop_path = dir.0.join("loop.gguf");
    std::os::unix::fs::symlink(&loop_path, &loop_path).unwrap();
    assert_error("symlink loop", Gguf::open(&loop_path, LoadMode::Map), Io, "loop.gguf");
    for device in ["/dev/zero", "/dev/null"] {
        assert_error(device, Gguf::open(device, LoadMode::Map), NotGguf, "not a regular file");
    }
    let fifo = dir.0.join("fifo.gguf");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    if made.is_ok_and(|status| status.success()) {
        assert_error("FIFO", Gguf::open(&fifo, LoadMode::Read), NotGguf, "fifo.gguf: this is not a regular file");
    }
}

#[test]
fn adapters_open_for_inspection_and_are_refused_as_models() {
    assert!(open(&valid().build()).unwrap().ensure_model().is_ok());
    assert!(open(&valid().str("general.type", "model").build()).unwrap().ensure_model().is_ok());
    for (kind, what) in [("adapter", "LoRA adapter"), ("mmproj", "projector"), ("imatrix", "importance matrix")] {
        let error = open(&valid().str("general.type", kind).build()).unwrap().ensure_model().unwrap_err();
        assert_eq!(error.kind(), Unsupported, "{error}");
        assert!(error.to_string().contains("key 'general.type'") && error.to_string().contains(what), "{error}");
        assert!(error.remedy_text().is_some());
    }
    let error = open(&valid().u32("general.type", 1).build()).unwrap().ensure_model().unwrap_err();
    assert_eq!(error.kind(), Malformed, "{error}");
}

// ---------------------------------------------------------------- split models

/// Part `no` of `count`, as llama-gguf-split writes them: all keys in the first part, the `split.` keys in each.
fn part(no: u16, count: u16, total: i32) -> GgufWriter {
    let keys = if no == 0 { GgufWriter::new().str("general.architecture", "llama") } else { GgufWriter::new() };
    let values: Vec<f32> = (0..8).map(|i| f32::from(no) * 100.0 + i as f32).collect();
    keys.u16("split.no", no)
        .u16("split.count", count)
        .i32("split.tensors.count", total)
        .tensor(TensorSpec::f32(&format!("blk.{no}.a"), &[4], &values[..4]))
        .tensor(TensorSpec::f32(&format!("blk.{no}.b"), &[8], &values))
}

fn write_split(dir: &TempDir, parts: &[GgufWriter]) -> Vec<PathBuf> {
    let name = |no: usize| format!("m-{:05}-of-{:05}.gguf", no + 1, parts.len());
    parts.iter().enumerate().map(|(no, part)| dir.write(&name(no), &part.build())).collect()
}

#[test]
fn any_part_of_a_split_model_opens_the_whole() {
    let dir = TempDir::new("split");
    let paths = write_split(&dir, &[part(0, 3, 6), part(1, 3, 6), part(2, 3, 6)]);
    let bytes: u64 = paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    for path in &paths {
        for mode in [LoadMode::Map, LoadMode::Read] {
            let gguf = Gguf::open(path, mode).unwrap();
            assert_eq!(gguf.path(), Some(path.as_path()));
            assert_eq!((gguf.parts().len(), gguf.file_size()), (3, bytes));
            assert!(gguf.parts().iter().map(|part| part.path().unwrap()).eq(paths.iter().map(|p| p.as_path())));
            assert_eq!(gguf.metadata().require_str("general.architecture").unwrap(), "llama");
            let names: Vec<_> = gguf.tensors().iter().map(|tensor| tensor.name()).collect();
            assert_eq!(names, ["blk.0.a", "blk.0.b", "blk.1.a", "blk.1.b", "blk.2.a", "blk.2.b"]);
            let last = gguf.tensor("blk.2.b").unwrap();
            assert_eq!(last.part(), 2);
            assert_eq!(gguf.data(last).unwrap()[4..8], 201.0_f32.to_le_bytes());
        }
        assert_eq!(Gguf::open(path, LoadMode::HeaderOnly).unwrap().tensors().len(), 2);
    }
    let error = Gguf::from_bytes(part(1, 3, 6).build()).unwrap_err();
    assert_eq!(error.kind(), Unsupported);
    assert!(error.to_string().contains("part 2 of 3") && error.remedy_text().is_some(), "{error}");
    assert!(Gguf::from_bytes(part(0, 1, 2).build()).is_ok(), "one part of one is a whole model");
}

#[test]
fn contradictions_between_parts_name_the_file() {
    let first = "m-00001-of-00002.gguf";
    let second = "m-00002-of-00002.gguf";
    let cut = GgufWriter { tensor_count: Some(3), ..part(1, 2, 4) };
    let whole = GgufWriter::new().tensor(TensorSpec::f32("x", &[1], &[0.0]));
    let no_number = GgufWriter::new().u16("split.count", 2);
    let cases: Vec<(&str, [GgufWriter; 2], ErrorKind, &str, &str)> = vec![
        ("second says it is the first", [part(0, 2, 4), part(0, 2, 4)], Malformed, second, "key 'split.no'"),
        ("second says one of three", [part(0, 2, 4), part(1, 3, 4)], Malformed, second, "found part 2 of 3"),
        ("second is a whole model", [part(0, 2, 4), whole], Malformed, second, "key 'split.count'"),
        ("second is broken", [part(0, 2, 4), cut], Malformed, second, "tensor '#2'"),
        ("124 total lies", [part(0, 2, 5), part(1, 2, 5)], Malformed, first, "key 'split.tensors.count': 5 tensors"),
        ("total negative", [part(0, 2, -1), part(1, 2, 4)], Malformed, first, "key 'split.tensors.count'"),
        ("name in both parts", [part(0, 2, 4), part(0, 2, 4)], Malformed, second, ""),
        ("123 count lies", [part(0, 3, 4), part(1, 2, 4)], Malformed, first, "by its name part 1 of 2"),
        ("number lies", [part(1, 2, 4), part(1, 2, 4)], Malformed, first, "by its metadata this is part 2 of 2"),
        ("number beyond count", [part(2, 2, 4), part(1, 2, 4)], Malformed, first, "key 'split.no'"),
        ("count 0", [part(0, 0, 4), part(1, 2, 4)], Malformed, first, "key 'split.count'"),
        ("number absent", [no_number, part(1, 2, 4)], Missing, first, "key 'split.no'"),
        (
            "count a string",
            [GgufWriter::new().str("split.count", "2"), part(1, 2, 4)],
            Malformed,
            first,
            "found string",
        ),
        (
            "count 2^32-1",
            [GgufWriter::new().u16("split.no", 0).u32("split.count", u32::MAX), part(1, 2, 4)],
            Malformed,
            first,
            "4294967295 parts",
        ),
    ];
    for (name, parts, kind, file, place) in cases {
        let dir = TempDir::new("contradiction");
        let paths = write_split(&dir, &parts);
        assert_error(name, Gguf::open(&paths[0], LoadMode::Map), kind, file);
        assert_error(name, Gguf::open(&paths[0], LoadMode::Map), kind, place);
    }
}

#[test]
fn missing_misnamed_and_doubled_parts_are_named() {
    let dir = TempDir::new("missing");
    let paths = write_split(&dir, &[part(0, 3, 6), part(1, 3, 6), part(2, 3, 6)]);
    fs::remove_file(&paths[1]).unwrap();
    assert_error("missing", Gguf::open(&paths[2], LoadMode::Read), Missing, "m-00002-of-00003.gguf: part 2 of 3");
    fs::create_dir(&paths[1]).unwrap();
    assert_error("directory", Gguf::open(&paths[0], LoadMode::Read), NotGguf, "m-00002-of-00003.gguf: this is a dir");

    let renamed = dir.write("renamed.gguf", &part(0, 3, 6).build());
    assert_error("renamed", Gguf::open(renamed, LoadMode::Map), Malformed, "renamed.gguf: this is part 1 of 3");

    let twice = TempDir::new("twice");
    let again = part(1, 2, 5).tensor(TensorSpec::f32("blk.0.b", &[1], &[0.0]));
    let paths = write_split(&twice, &[part(0, 2, 5), again]);
    let place = "m-00002-of-00002.gguf: tensor 'blk.0.b': the tensor occurs twice";
    assert_error("doubled tensor", Gguf::open(&paths[0], LoadMode::Map), Malformed, place);
}

// ---------------------------------------------------------------- files that change, and memory

#[test]
fn a_file_that_shrinks_after_opening_is_an_error_in_read_mode() {
    let dir = TempDir::new("shrinks");
    let path = dir.write("shrinks.gguf", &valid().build());
    let gguf = Gguf::open(&path, LoadMode::Read).unwrap();
    let last = gguf.tensor("blk.0.ffn_up.weight").unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(last.offset() + 1).unwrap();
    let error = gguf.data(last).unwrap_err();
    assert_eq!(error.kind(), Io);
    let text = error.to_string();
    assert!(text.contains("shrinks.gguf") && text.contains("tensor 'blk.0.ffn_up.weight'"), "{text}");
}

#[test]
fn a_sparse_terabyte_with_an_honest_header_costs_nothing_to_open() {
    let dir = TempDir::new("sparse");
    let path = dir.0.join("sparse.gguf");
    let header = GgufWriter::new().tensor(TensorSpec::new("w", &[1 << 20, 1 << 18], 0, vec![])).header();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&header).unwrap();
    // A file system without sparse files of this size has nothing to test here.
    if file.set_len((1 << 40) + 4096).is_err() {
        return;
    }
    let (result, peak) = memory::peak_of(|| Gguf::open(&path, LoadMode::Read));
    assert_eq!(result.unwrap().tensors()[0].byte_len(), 1 << 40);
    assert!(peak < 1 << 20, "{peak} bytes");
}

#[test]
fn the_largest_honest_header_stays_within_the_memory_bound() {
    let tokens = GgufWriter::new().raw("tokens", ty::ARRAY, array(ty::STRING, 8 << 20, vec![0; 64 << 20]));
    let mut names = GgufWriter::new();
    for i in 0..1 << 18 {
        let mut tensor = TensorSpec::new(&format!("{i:x}"), &[1], 24, vec![]);
        tensor.offset = Some(i * 32);
        names = names.tensor(tensor);
    }
    let names = [names.header(), vec![0; 32 << 18]].concat();
    let bytes = GgufWriter::new().raw("bytes", ty::ARRAY, array(ty::U8, 64 << 20, vec![1; 64 << 20]));
    for (name, file) in
        [("8 Mi empty strings", tokens.build()), ("2^18 tensors", names), ("64 MiB array", bytes.build())]
    {
        let len = file.len();
        let (result, peak) = memory::peak_of(|| Gguf::from_bytes(file));
        assert!(result.is_ok(), "{name}: {:?}", result.err());
        assert!(peak < 2 * len + (64 << 20), "{name}: a file of {len} bytes took {peak}");
    }
}

// ---------------------------------------------------------------- any bytes at all

/// SplitMix64: seeded, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// What a caller does with a file that opened.
fn use_everything(gguf: &Gguf) {
    for (key, value) in gguf.metadata().iter() {
        assert_eq!(gguf.metadata().get(key).map(Value::type_name), Some(value.type_name()));
        let _ = gguf.metadata().u32(key);
        let _ = gguf.metadata().f32s(key);
        let _ = gguf.metadata().i32s(key);
        let _ = gguf.metadata().strings(key).map(|strings| strings.map(|s| s.iter().count()));
    }
    for tensor in gguf.tensors() {
        assert_eq!(gguf.data(tensor).unwrap().len() as u64, tensor.byte_len());
        let _ = (tensor.format(), tensor.elements(), tensor.type_name());
    }
    let _ = gguf.ensure_model();
}

#[test]
fn every_truncation_is_an_error_with_a_place() {
    let ok = valid().build();
    let used = open(&ok).unwrap().tensors().iter().map(|t| t.offset() + t.byte_len()).max().unwrap() as usize;
    for len in 0..used {
        let error = open(&ok[..len]).expect_err("accepted a file cut short");
        let place = error.place();
        let placed = place.offset.is_some() || place.key.is_some() || place.tensor.is_some();
        assert!(placed, "cut at {len}: {error}");
        assert!(matches!(error.kind(), Malformed | NotGguf), "cut at {len}: {error}");
    }
}

#[test]
fn seeded_byte_flips_never_panic() {
    let ok = valid().build();
    let header = valid().header().len();
    let mut random = Random(1);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..2000 {
        let mut bytes = ok.clone();
        for _ in 0..=random.below(3) {
            bytes[random.below(header)] ^= 1 << random.below(8);
        }
        match open(&bytes) {
            Ok(gguf) => {
                use_everything(&gguf);
                opened += 1;
            }
            Err(error) => {
                assert!(!error.message().is_empty());
                refused += 1;
            }
        }
    }
    assert!(opened > 100 && refused > 500, "{opened} opened, {refused} refused: the flips do not reach both ends");
}

#[test]
fn every_header_byte_set_to_extremes_never_panics() {
    let ok = valid().build();
    for at in 0..valid().header().len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            if let Ok(gguf) = open(&patched(ok.clone(), at, &[byte])) {
                use_everything(&gguf);
            }
        }
    }
}

#[test]
fn models_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Gguf>();
    let path: &Path = Path::new("model.gguf");
    assert!(Gguf::open(path, LoadMode::default()).is_err_and(|error| error.kind() == Io));
}
