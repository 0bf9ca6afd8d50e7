//! Promise: whatever bytes a file has, and whatever becomes of it meanwhile, opening and using it never panics and never takes
//! more memory than it should.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[path = "support/bad_files.rs"]
mod bad_files;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use bad_files::*;
use gguf_writer::{GgufWriter, TensorSpec, array, value_type as ty};
use r1core::ErrorKind::{Io, Malformed, NotGguf};
use r1core::gguf::{Gguf, LoadMode, Value};
use std::path::Path;
use std::{fs, io::Write};

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
