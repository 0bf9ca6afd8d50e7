//! A model as it lies on disk or in memory.

use super::header::Header;
use super::index::NameIndex;
use super::limits::MAX_TENSORS;
use super::part::Part;
use super::{Metadata, TensorInfo, split};
use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How tensor bytes are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadMode {
    /// Map the file into memory: no copy, and pages are shared between processes.
    ///
    /// The file must not change while the model is open: if another process truncates it, touching the lost pages ends
    /// this process with a bus error, which no library can catch.
    #[default]
    Map,
    /// Read each tensor when it is asked for. A file that shrinks or fails is an error, never the end of the process.
    Read,
    /// Read metadata and the tensor table only. Weights may be absent, as in a vocabulary-only or unfinished file, and
    /// the other parts of a split model are not looked for; [`Gguf::data`] is an error.
    HeaderOnly,
}

/// One model: metadata, tensor table and access to the tensor bytes, of one file or of all parts of a split one.
///
/// Opening reads and checks the header only. The checks hold from then on: names and keys are unique, and every tensor
/// lies inside its file, aligned and apart from the others.
pub struct Gguf {
    parts: Vec<Part>,
    opened: usize,
    version: u32,
    alignment: u64,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    index: NameIndex,
    header_only: bool,
}

impl Gguf {
    /// Opens a file, and the other parts with it when it is any part of a split model.
    ///
    /// # Errors
    /// - [`ErrorKind::Io`]: the operating system refuses
    /// - [`ErrorKind::NotGguf`]: another kind of file; the message says which and what to do
    /// - [`ErrorKind::Malformed`], [`ErrorKind::Utf8`]: the file is incomplete or contradicts itself
    /// - [`ErrorKind::Missing`]: a part of a split model is absent
    /// - [`ErrorKind::Unsupported`]: GGUF version, tensor type of unknown layout, array of arrays
    /// - [`ErrorKind::Limit`]: a key over 64 KiB, a string over 64 MiB, a tensor name over 64 bytes, over 65,536 keys
    ///   or 262,144 tensors
    /// - [`ErrorKind::OutOfMemory`]
    ///
    /// Tensor types that this library cannot compute with are no error here but in [`TensorInfo::format`].
    pub fn open(path: impl AsRef<Path>, mode: LoadMode) -> Result<Self> {
        let path = path.as_ref();
        let (part, header) = Part::open(path, mode)?;
        let here = |error: Error| error.file(path);
        match split::place(&header.metadata).map_err(here)? {
            Some(place) if mode != LoadMode::HeaderOnly => {
                let paths = split::siblings(path, place).map_err(here)?;
                Self::join((part, header), place, paths, mode)
            }
            _ => Self::assemble(vec![part], header, 0, mode),
        }
    }

    /// A model in a block of memory: a `Vec<u8>`, an `Arc<[u8]>`, a `&'static [u8]` from `include_bytes!` ...
    ///
    /// # Errors
    /// As [`Gguf::open`]; a part of a split model is [`ErrorKind::Unsupported`].
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self> {
        let (part, header) = Part::from_bytes(Box::new(bytes))?;
        if let Some(split::Place { no, count }) = split::place(&header.metadata)? {
            let message = format!("this is part {} of {count} of a split model", no + 1);
            let error = Error::new(ErrorKind::Unsupported, message).key("split.count");
            return Err(error.remedy("open it by its path, or merge the parts with llama-gguf-split --merge"));
        }
        Self::assemble(vec![part], header, 0, LoadMode::Read)
    }

    /// Opens the parts that are not open yet and joins their tensor tables in order.
    fn join(opened: (Part, Header), place: split::Place, paths: Vec<PathBuf>, mode: LoadMode) -> Result<Self> {
        let mut parts = Vec::new();
        let mut first: Option<Header> = None;
        let mut opened = Some(opened);
        for (no, path) in (0..).zip(paths) {
            let (part, mut header) = match opened.take_if(|_| no == place.no) {
                Some(own) => own,
                None => {
                    let sibling =
                        Part::open(&path, mode).map_err(|error| split::missing_part(error, &path, place, no))?;
                    let expected = split::Place { no, ..place };
                    split::check_sibling(&sibling.1.metadata, expected).map_err(|error| error.file(&path))?;
                    sibling
                }
            };
            header.tensors.iter_mut().for_each(|tensor| tensor.part = no);
            parts.push(part);
            match &mut first {
                None => first = Some(header),
                Some(first) => first.tensors.append(&mut header.tensors),
            }
            let total = first.as_ref().map_or(0, |first| first.tensors.len() as u64);
            if total > MAX_TENSORS {
                let message = format!("{total} tensors in all parts so far; at most {MAX_TENSORS} are allowed");
                return Err(Error::new(ErrorKind::Limit, message).file(&path));
            }
        }
        let Some(first) = first else {
            return Err(Error::new(ErrorKind::Internal, "a split model without parts"));
        };
        split::check_total(&first.metadata, &first.tensors)?;
        Self::assemble(parts, first, place.no as usize, mode)
    }

    fn assemble(parts: Vec<Part>, header: Header, opened: usize, mode: LoadMode) -> Result<Self> {
        let Header { version, alignment, metadata, tensors } = header;
        let index = NameIndex::new(&tensors, TensorInfo::name).map_err(|twice| {
            let error = Error::new(ErrorKind::Malformed, "the tensor occurs twice");
            let Some(tensor) = tensors.get(twice.0) else { return error };
            let error = error.tensor(&tensor.name);
            match parts.get(tensor.part()).and_then(Part::path) {
                Some(path) => error.file(path),
                None => error,
            }
        })?;
        let header_only = mode == LoadMode::HeaderOnly;
        Ok(Self { parts, opened, version, alignment, metadata, tensors, index, header_only })
    }

    /// Keys and values of the header; of a split model, those of the first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors in file order, which says nothing about their use.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.index.find(&self.tensors, TensorInfo::name, name)
    }

    /// The bytes of a tensor of this model, whole: borrowed from the mapping or the memory block, or read now.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when reading fails or the file has shrunk, [`ErrorKind::OutOfMemory`],
    /// [`ErrorKind::State`] when the file was opened with [`LoadMode::HeaderOnly`],
    /// [`ErrorKind::Argument`] when the tensor is of another model.
    pub fn data(&self, tensor: &TensorInfo) -> Result<Cow<'_, [u8]>> {
        let (part, range) = self.locate(tensor, 0, tensor.bytes)?;
        part.get(range).map_err(|error| part.read_error(tensor, error))
    }

    /// Copies `out.len()` bytes of a tensor, from byte `start` of it, for callers that take a large tensor piecewise.
    ///
    /// # Errors
    /// As [`Gguf::data`], and [`ErrorKind::Argument`] when the range is not inside the tensor.
    pub fn read_at(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let (part, range) = self.locate(tensor, start, out.len() as u64)?;
        part.read_exact_at(out, range.start).map_err(|error| part.read_error(tensor, error))
    }

    /// The file that was opened; `None` for a block of memory.
    pub fn path(&self) -> Option<&Path> {
        self.parts.get(self.opened).and_then(Part::path)
    }

    /// The files of the model, in order; one unless it is split.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Bytes of all parts.
    pub fn file_size(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.file_size()))
    }

    /// Version of the container: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Alignment of tensor data in bytes; of a split model, that of the first part.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Checks that the file says it is a language model rather than an adapter, a projector or calibration data.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] with the kind of the file.
    pub fn ensure_model(&self) -> Result<()> {
        const KEY: &str = "general.type";
        let (what, remedy) = match self.metadata.str(KEY)? {
            Some("adapter") => ("a LoRA adapter", "merge it into its base model, for example with llama-export-lora"),
            Some("mmproj") => ("a projector for images or sound", "open the language model that it belongs to"),
            Some("imatrix") => ("an importance matrix for quantising", "open the model that it was made from"),
            _ => return Ok(()),
        };
        let error = Error::new(ErrorKind::Unsupported, format!("this is {what}, not a model")).key(KEY).remedy(remedy);
        Err(match self.path() {
            Some(path) => error.file(path),
            None => error,
        })
    }

    /// The part and the range in it of `len` bytes of a tensor.
    fn locate(&self, tensor: &TensorInfo, start: u64, len: u64) -> Result<(&Part, Range<u64>)> {
        // The table is compared, not trusted: offsets of another model were checked against another file.
        let part = match self.tensor(&tensor.name) {
            Some(own) if own == tensor => self.parts.get(own.part()),
            _ => None,
        };
        let Some(part) = part else {
            return Err(Error::new(ErrorKind::Argument, "the tensor is of another model").tensor(&tensor.name));
        };
        if self.header_only {
            let error = Error::new(ErrorKind::State, "only the header of the file was opened").tensor(&tensor.name);
            return Err(part.place(error));
        }
        let inside = start.checked_add(len).is_some_and(|end| end <= tensor.bytes);
        if !inside {
            let message = format!("{len} bytes from byte {start} are not inside its {} bytes", tensor.bytes);
            return Err(part.place(Error::new(ErrorKind::Argument, message).tensor(&tensor.name)));
        }
        let begin = tensor.offset + start;
        Ok((part, begin..begin + len))
    }
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gguf")
            .field("parts", &self.parts)
            .field("version", &self.version)
            .field("keys", &self.metadata.len())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}
