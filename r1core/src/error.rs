//! One error type: what went wrong (a stable code), where (file, key, tensor, offset) and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a stable code. The numbers are part of the C ABI and are never reused.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorKind {
    /// The operating system refused a file operation.
    Io = 1,
    /// The file is not a GGUF file that this library reads (wrong magic, big-endian, a web page, an archive ...).
    NotGguf = 2,
    /// The file contradicts itself or its format.
    Malformed = 3,
    /// The file is well formed but needs something this library does not have (an architecture, a tensor type ...).
    Unsupported = 4,
    /// A required key or tensor is absent.
    Missing = 5,
    /// An argument is outside its documented range.
    Argument = 6,
    /// The call is not possible in the object's present state.
    State = 7,
    /// The object is in use by another thread.
    Busy = 8,
    /// The caller's cancel token fired.
    Cancelled = 9,
    /// The prompt or the generation does not fit the context; the message has the numbers.
    ContextFull = 10,
    /// Memory could not be reserved.
    OutOfMemory = 11,
    /// The chat template failed to parse or to render, or ran over its limits.
    Template = 12,
    /// The file has no chat template and none was chosen.
    NoTemplate = 13,
    /// Text that must be UTF-8 is not.
    Utf8 = 14,
    /// A safety limit was reached (length, depth, count).
    Limit = 15,
    /// A bug of this library was caught before it could harm the host.
    Internal = 16,
}

/// An error with its place and remedy. Small (one pointer), so `Result` stays cheap.
///
/// ```
/// use r1core::{Error, ErrorKind};
/// let e = Error::new(ErrorKind::Missing, "required key is absent").file("m.gguf").key("llama.block_count");
/// assert_eq!(e.to_string(), "m.gguf: key 'llama.block_count': required key is absent");
/// assert_eq!(e.kind(), ErrorKind::Missing);
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Place,
    remedy: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Where an error happened; every part is optional.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file being read.
    pub file: Option<PathBuf>,
    /// The metadata key.
    pub key: Option<String>,
    /// The tensor name.
    pub tensor: Option<String>,
    /// Byte offset from the start of the file.
    pub offset: Option<u64>,
}

impl Error {
    /// A new error without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), place: Place::default(), remedy: None, source: None }))
    }

    /// Adds the file, unless one is already named.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.0.place.file.get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    /// Adds the metadata key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.place.key = Some(key.into());
        self
    }

    /// Adds the tensor name.
    #[must_use]
    pub fn tensor(mut self, name: impl Into<String>) -> Self {
        self.0.place.tensor = Some(name.into());
        self
    }

    /// Adds the byte offset in the file.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.0.place.offset = Some(offset);
        self
    }

    /// Adds what the reader can do about it: one imperative sentence without a full stop.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The stable code.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without place and remedy.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What the reader can do about it.
    pub fn remedy_text(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { message, place, remedy, source, .. } = &*self.0;
        if let Some(file) = &place.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(key) = &place.key {
            write!(f, "key '{key}': ")?;
        }
        if let Some(tensor) = &place.tensor {
            write!(f, "tensor '{tensor}': ")?;
        }
        if let Some(offset) = place.offset {
            write!(f, "at byte {offset}: ")?;
        }
        f.write_str(message)?;
        if let Some(source) = source {
            write!(f, ": {source}")?;
        }
        if let Some(remedy) = remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}
