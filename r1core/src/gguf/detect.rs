//! Says what a file is that is not GGUF, because users meet such files: web pages instead of downloads, archives,
//! pointers of Git LFS, other model formats.

use super::source::Source;
use crate::{Error, ErrorKind, Result};
use std::fs;

/// Bytes that decide; the tar signature is the last of them.
const HEAD: usize = 512;

/// Checks that a path leads to a regular file before it is opened: opening a FIFO would wait for ever.
pub(super) fn check_regular(kind: fs::FileType) -> Result<()> {
    if kind.is_dir() {
        let error = Error::new(ErrorKind::NotGguf, "this is a directory");
        return Err(error.remedy("name a .gguf file; of a split model, any part will do"));
    }
    if !kind.is_file() {
        let error = Error::new(ErrorKind::NotGguf, "this is not a regular file but a device, pipe or socket");
        return Err(error.remedy("copy the model to a file, or hand over its bytes"));
    }
    Ok(())
}

/// Checks that a source begins with GGUF's magic, and says what else it is when not.
pub(super) fn check_magic(source: &Source, len: u64) -> Result<()> {
    let mut head = [0; HEAD];
    let head = head.get_mut(..len.min(HEAD as u64) as usize).unwrap_or_default();
    source
        .read_exact_at(head, 0)
        .map_err(|error| Error::new(ErrorKind::Io, "cannot read the file").offset(0).source(error))?;
    if head.starts_with(b"GGUF") { Ok(()) } else { Err(explain(head, len)) }
}

/// An error for a file that begins with `head` and is `len` bytes long.
fn explain(head: &[u8], len: u64) -> Error {
    let not_gguf = |what: &str| Error::new(ErrorKind::NotGguf, format!("not a GGUF file: {what}")).offset(0);
    if head.is_empty() {
        return Error::new(ErrorKind::NotGguf, "the file is empty").offset(0).remedy("get the file again");
    }
    if b"GGUF".starts_with(head) {
        let message = format!("the file ends after {len} bytes, inside the magic");
        return Error::new(ErrorKind::Malformed, message).offset(0).remedy("get the file again, it is incomplete");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if starts_with_any_case(text, &["<!doctype", "<html", "<head", "<?xml", "<!--"]) {
        let remedy = "use the direct link of the file, with a token where the site wants one";
        return not_gguf("it is a web page, probably an error or login page of the site").remedy(remedy);
    }
    if head.starts_with(b"version https://git-lfs") {
        return not_gguf("it is a Git LFS pointer, which stands for the file").remedy("run git lfs pull");
    }
    let safetensors = head.get(8) == Some(&b'{') && declared_len(head).is_some_and(|n| n <= 100_000_000);
    if safetensors {
        return not_gguf("it is a safetensors file").remedy("convert the model with llama.cpp's convert_hf_to_gguf.py");
    }
    if text.starts_with(b"{") {
        return not_gguf("it is a JSON document, perhaps an error message of the site").remedy("look into the file");
    }
    let known: [(&[u8], &str, &str); 15] = [
        (b"PK\x03\x04", "it is a ZIP archive or a PyTorch checkpoint", "unpack the archive, or convert the checkpoint"),
        (b"\x1f\x8b", "it is compressed with gzip", "decompress it"),
        (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "decompress it"),
        (b"\xfd7zXZ", "it is compressed with xz", "decompress it"),
        (b"BZh", "it is compressed with bzip2", "decompress it"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "unpack it"),
        (b"Rar!", "it is a RAR archive", "unpack it"),
        (b"\x80\x02", "it is a PyTorch pickle", "convert the model with llama.cpp's convert_hf_to_gguf.py"),
        (b"\x80\x04", "it is a Python pickle", "convert the model with llama.cpp's convert_hf_to_gguf.py"),
        (b"FUGG", "its magic is byte-swapped, as in a big-endian file", "convert it to little-endian"),
        (b"lmgg", "it is a GGML file, older than GGUF", "convert the model again with a current converter"),
        (b"fmgg", "it is a GGMF file, older than GGUF", "convert the model again with a current converter"),
        (b"tjgg", "it is a GGJT file, older than GGUF", "convert the model again with a current converter"),
        (b"algg", "it is a GGLA adapter, older than GGUF", "convert the adapter again with a current converter"),
        (b"\x89HDF\r\n", "it is an HDF5 file", "convert the model to GGUF"),
    ];
    if let Some((_, what, remedy)) = known.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return not_gguf(what).remedy(*remedy);
    }
    if head.get(257..262) == Some(b"ustar") {
        return not_gguf("it is a tar archive").remedy("unpack it");
    }
    if head.iter().all(|&byte| byte == 0) {
        return not_gguf("it begins with zero bytes, as an unfinished download does").remedy("get the file again");
    }
    let magic: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    not_gguf(&format!("it begins with the bytes {}", magic.join(" ")))
}

fn starts_with_any_case(text: &[u8], prefixes: &[&str]) -> bool {
    let matches = |prefix: &&str| text.get(..prefix.len()).is_some_and(|t| t.eq_ignore_ascii_case(prefix.as_bytes()));
    prefixes.iter().any(matches)
}

/// The header length at the start of a safetensors file.
fn declared_len(head: &[u8]) -> Option<u64> {
    head.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
