//! One file of a model, or the block of memory that stands for it.

use super::header::{self, Header};
use super::source::{PositionedFile, Source};
use super::{LoadMode, TensorInfo, detect, layout};
use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// One file of a model. A model that is not split has one part.
pub struct Part {
    path: Option<PathBuf>,
    source: Source,
    len: u64,
}

impl Part {
    /// Opens one file and reads and checks its header.
    pub(super) fn open(path: &Path, mode: LoadMode) -> Result<(Self, Header)> {
        Self::open_unplaced(path, mode).map_err(|error| error.file(path)).map(|(part, mut header)| {
            header.metadata.set_file(path);
            (part, header)
        })
    }

    fn open_unplaced(path: &Path, mode: LoadMode) -> Result<(Self, Header)> {
        let (file, len) = open_regular(path)?;
        let file = PositionedFile::new(file);
        // The header is read, not mapped, in every mode: a file cut meanwhile is then an error.
        let source = Source::File(file);
        let header = header::read(&source, len)?;
        layout::check(&header.tensors, header.alignment, (mode != LoadMode::HeaderOnly).then_some(len))?;
        let source = match (mode, source) {
            (LoadMode::Map, Source::File(file)) => Source::Map(file.map().map_err(|error| {
                let error = Error::new(ErrorKind::Io, "cannot map the file into memory").source(error);
                error.remedy("use LoadMode::Read")
            })?),
            (_, source) => source,
        };
        Ok((Self { path: Some(path.to_path_buf()), source, len }, header))
    }

    /// Reads and checks the header of a block of memory.
    pub(super) fn from_bytes(bytes: Box<dyn AsRef<[u8]> + Send + Sync>) -> Result<(Self, Header)> {
        let len = (*bytes).as_ref().len() as u64;
        let source = Source::Memory(bytes);
        let header = header::read(&source, len)?;
        layout::check(&header.tensors, header.alignment, Some(len))?;
        Ok((Self { path: None, source, len }, header))
    }

    /// The bytes of a range, borrowed where possible.
    pub(super) fn get(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        self.source.get(range)
    }

    /// All bytes, where they are in memory.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.source.bytes()
    }

    /// Lets the system take back the memory behind some bytes.
    pub(super) fn release(&self, range: Range<u64>) {
        self.source.release(range);
    }

    /// Has the system begin to read some bytes.
    pub(super) fn prefetch(&self, range: Range<u64>) {
        self.source.prefetch(range);
    }

    /// Fills `out` from position `offset`.
    pub(super) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.source.read_exact_at(out, offset)
    }

    /// The file; `None` for a block of memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        self.len
    }

    pub(super) fn place(&self, error: Error) -> Error {
        match &self.path {
            Some(path) => error.file(path),
            None => error,
        }
    }

    pub(super) fn read_error(&self, tensor: &TensorInfo, error: io::Error) -> Error {
        let (kind, message) = match error.kind() {
            io::ErrorKind::OutOfMemory => (ErrorKind::OutOfMemory, "cannot reserve memory for its data"),
            _ => (ErrorKind::Io, "cannot read its data"),
        };
        self.place(Error::new(kind, message).tensor(&tensor.name).offset(tensor.offset).source(error))
    }
}

/// Opens a regular file and says how long it is.
fn open_regular(path: &Path) -> Result<(fs::File, u64)> {
    let refused = |error: io::Error| Error::new(ErrorKind::Io, "cannot open the file").source(error);
    detect::check_regular(fs::metadata(path).map_err(refused)?.file_type())?;
    let file = fs::File::open(path).map_err(refused)?;
    // Again on the open file: the path may lead elsewhere by now.
    let metadata = file.metadata().map_err(refused)?;
    detect::check_regular(metadata.file_type())?;
    Ok((file, metadata.len()))
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("path", &self.path).field("len", &self.len).finish_non_exhaustive()
    }
}
