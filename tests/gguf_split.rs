//! Promise: any part of a split model opens the whole, and parts that do not fit are named.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[path = "support/bad_files.rs"]
mod bad_files;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use bad_files::*;
use gguf_writer::{GgufWriter, TensorSpec};
use r1core::ErrorKind::{self, Malformed, Missing, NotGguf, Unsupported};
use r1core::gguf::{Gguf, LoadMode};
use std::fs;
use std::path::PathBuf;

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
