//! What the tests of files share: the memory that opening takes, tables of bad files, a valid one to make them of.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::fs;
use std::path::PathBuf;

use r1core::gguf::{Gguf, LoadMode};
use r1core::{ErrorKind, Result};

use super::gguf_writer::{GgufWriter, TensorSpec};

/// Counts the bytes that the current thread holds, and their peak.
pub mod memory {
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
    pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let before = LIVE.get();
        PEAK.set(before);
        let result = work();
        (result, (PEAK.get() - before) as usize)
    }
}

/// Opens bytes from memory and asserts the bound that is promised for every file.
pub fn open(bytes: &[u8]) -> Result<Gguf> {
    let len = bytes.len();
    let block = bytes.to_vec();
    let (result, peak) = memory::peak_of(|| Gguf::from_bytes(block));
    assert!(peak < 2 * len + (64 << 20), "a file of {len} bytes took {peak} bytes to open");
    result
}

/// Name, bytes, expected kind, and the text that names the place.
pub type Case = (&'static str, Vec<u8>, ErrorKind, &'static str);

/// What is wrong with the outcome of opening a bad file, if anything.
pub fn complaint(name: &str, result: Result<Gguf>, kind: ErrorKind, place: &str) -> Option<String> {
    match result {
        Ok(_) => Some(format!("{name}: accepted")),
        Err(error) if error.kind() != kind => Some(format!("{name}: not {kind:?} but {:?}: {error}", error.kind())),
        Err(error) if !error.to_string().contains(place) => Some(format!("{name}: no '{place}' in: {error}")),
        Err(_) => None,
    }
}

#[track_caller]
pub fn assert_error(name: &str, result: Result<Gguf>, kind: ErrorKind, place: &str) {
    if let Some(complaint) = complaint(name, result, kind, place) {
        panic!("{complaint}");
    }
}

/// Asserts each case from memory and from a file in both modes that reach tensor data.
#[track_caller]
pub fn check(test: &str, cases: Vec<Case>) {
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
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("r1core-gguf-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
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
pub fn valid() -> GgufWriter {
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

pub fn with_tensor(tensor: TensorSpec) -> Vec<u8> {
    GgufWriter::new().tensor(tensor).build()
}

pub fn f32_tensor(change: impl FnOnce(&mut TensorSpec)) -> Vec<u8> {
    let mut tensor = TensorSpec::f32("w", &[4], &[0.0; 4]);
    change(&mut tensor);
    with_tensor(tensor)
}

pub fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}
