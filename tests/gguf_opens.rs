//! Promise: a good file opens to what it holds, whatever is odd about it, and a file of another kind is recognised.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[path = "support/bad_files.rs"]
mod bad_files;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use bad_files::*;
use gguf_writer::{GgufWriter, TensorSpec, array, value_type as ty};
use r1core::Error;
use r1core::ErrorKind::{self, Argument, Io, Malformed, Missing, NotGguf, State, Unsupported};
use r1core::gguf::{Array, Gguf, LoadMode, Value};

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
    let gguf = open(&with_tensor(TensorSpec::new("w", &[256], 41, vec![0; 36]))).unwrap();
    let error = gguf.tensors()[0].format().unwrap_err();
    assert_eq!(error.kind(), Unsupported);
    assert!(error.to_string().contains("tensor 'w'") && error.to_string().contains("Q1_0"), "{error}");
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
