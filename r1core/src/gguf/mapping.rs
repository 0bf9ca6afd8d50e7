//! The one place that maps a file into memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// A read-only view of a whole file.
pub(super) struct Mapping(memmap2::Mmap);

impl Mapping {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private and read-only, and every access goes through a slice bounded by its length.
        // What no program can rule out is another process that changes the file meanwhile: changed bytes are harmless,
        // because all that the header promised was copied and checked before the file is mapped and any bytes are valid
        // weights; a truncated file raises SIGBUS. `LoadMode::Map` documents this and `LoadMode::Read` avoids it.
        unsafe { memmap2::Mmap::map(file) }.map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
