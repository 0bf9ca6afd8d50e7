//! The model that ships with r1core, as bytes. Its `README.md` says what it can and cannot do.
#![no_std]
#![forbid(unsafe_code)]

/// A GGUF file: architecture `qwen2`, Q8_0, the tags and template of DeepSeek-R1.
pub static GGUF: &[u8] = include_bytes!("r1-tiny-q8_0.gguf");
