//! Why a call failed.

use std::fmt;

/// What went wrong, told apart as far as callers act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// No ggml could be loaded, or not one that this crate knows.
    Library(String),
    /// An operation or a transfer does not fit its tensors. A bug of the caller.
    Shape(String),
    /// The device cannot run an operation.
    Unsupported(String),
    /// The device has no memory left for so many bytes.
    Memory {
        /// What the memory was for.
        what: &'static str,
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// A backend refused to start or to compute.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Library(text) | Error::Shape(text) | Error::Unsupported(text) | Error::Failed(text) => {
                f.write_str(text)
            }
            Error::Memory { what, bytes } => write!(f, "no memory for {bytes} bytes of {what}"),
        }
    }
}

impl std::error::Error for Error {}

pub(crate) fn shape<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Shape(text.into()))
}
