//! ggml for tests: the libraries that `tests/fetch_ggml.sh` fetches, or those that `R1_GGML_LIB_DIR` names.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::path::PathBuf;

use r1_ggml::{Device, DeviceKind, Library};

/// The folder with ggml's libraries. The tests that need it fail without it: fetch it with `tests/fetch_ggml.sh`.
pub fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("R1_GGML_LIB_DIR").filter(|v| !v.is_empty()) {
        return folder.into();
    }
    let fetched = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/ggml"));
    let fetched =
        if fetched.is_dir() { fetched } else { concat!(env!("CARGO_MANIFEST_DIR"), "/../target/ggml").into() };
    assert!(
        fetched.is_dir(),
        "these tests need ggml's libraries: run tests/fetch_ggml.sh, or set R1_GGML_LIB_DIR to a folder that has them"
    );
    fetched
}

pub fn library() -> Library {
    Library::open(&folder()).unwrap()
}

pub fn cpu(library: &Library) -> Device {
    library.devices().into_iter().find(|d| d.kind() == DeviceKind::Cpu).unwrap()
}
