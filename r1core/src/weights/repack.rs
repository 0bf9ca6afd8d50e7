//! Whether weights are copied into the kernels' layout.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::repacking::Waiting;
use crate::cancel::cancelled;
use crate::gguf::{Gguf, TensorInfo};
use crate::{Error, ErrorKind, Result};
use r1_kernels::{Format, Matrix, PackError, Packer, Team};

/// Where a model's weights live. The choice changes speed and memory, never a bit of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Repack {
    /// The first of `Lazy`, `AllButExperts` and `Off` whose copies fit into the memory that is free when the model is
    /// loaded; `Lazy` where the system does not say how much that is (only Linux does, control groups included).
    #[default]
    Auto,
    /// As `On`, while the model is in use: it loads at once, the first forward pass runs on the weights as they lie in
    /// the file, and each later one first copies a part of them, for a quarter of a second or as long as the pass before
    /// took, until all are copied. [`Model::finish_repacking`](crate::Model::finish_repacking) copies the rest at once.
    /// Weights that memory turns out not to suffice for stay in the file. With [`LoadMode::Read`](crate::LoadMode::Read),
    /// which leaves nothing in place to begin with, as `On`.
    Lazy,
    /// Loading copies every weight into the layout that the kernels like best, on all processors, and lets go of the
    /// file's pages behind it: the fastest, for memory of the size of the file.
    On,
    /// The experts of a mixture stay in the file, the other weights are copied: for models larger than memory. A token
    /// touches the experts that it uses and no others; those that were used lately stay in the system's page cache.
    AllButExperts,
    /// Weights are used as they lie in the file: a mapped file loads at once, its memory is the system's page cache,
    /// shared between processes and free to be taken back. Prompts run at nearly full speed, single tokens slower.
    Off,
}

impl Repack {
    /// What `Auto` stands for with that much memory; the others stand for themselves.
    pub(crate) fn resolve(self, gguf: &Gguf, available: Option<u64>) -> Repack {
        let (Repack::Auto, Some(available)) = (self, available) else {
            return if self == Repack::Auto { Repack::Lazy } else { self };
        };
        let fits = |repack: &Repack| repack.bytes(gguf).is_some_and(|bytes| bytes <= available);
        [Repack::Lazy, Repack::AllButExperts].into_iter().find(fits).unwrap_or(Repack::Off)
    }

    /// Memory that the copies take, with an eighth more for the padding of the layout, caches and buffers.
    fn bytes(self, gguf: &Gguf) -> Option<u64> {
        let tensors = gguf.tensors().iter().filter(|tensor| self.packs(tensor)).map(TensorInfo::byte_len);
        let bytes = tensors.sum::<u64>();
        bytes.checked_add(bytes / 8)
    }

    /// Whether the tensor's weights are copied. `Auto` copies.
    pub(super) fn packs(self, tensor: &TensorInfo) -> bool {
        match self {
            Repack::Auto | Repack::Lazy | Repack::On => true,
            Repack::AllButExperts => !is_of_experts(tensor),
            Repack::Off => false,
        }
    }
}

/// Whether a tensor holds the experts that a router chooses from. All files name them so.
pub(crate) fn is_of_experts(tensor: &TensorInfo) -> bool {
    tensor.name().contains("_exps.")
}

/// The rows of one tensor, from which matrices are made.
pub(super) struct Rows<'a> {
    gguf: &'a Gguf,
    tensor: &'a TensorInfo,
    format: Format,
    cols: usize,
    row_bytes: usize,
    source: Source<'a>,
    /// Whether what is in place is to be packed later.
    lazy: bool,
}

enum Source<'a> {
    /// To be packed.
    Bytes(Cow<'a, [u8]>),
    /// All rows in place.
    Matrix(Matrix),
}

impl<'a> Rows<'a> {
    /// `rows` rows of `cols` values, which the tensor's shape was checked against.
    pub(super) fn new(
        gguf: &'a Arc<Gguf>,
        tensor: &'a TensorInfo,
        rows: usize,
        cols: usize,
        repack: Repack,
    ) -> Result<Self> {
        let format = tensor.format()?;
        let row_bytes = format.row_bytes(cols).ok_or_else(|| {
            let message = format!("rows of {cols} values do not fill whole {} blocks", format.name());
            Error::new(ErrorKind::Malformed, message).tensor(tensor.name())
        })?;
        let packed = if repack.packs(tensor) { Some(gguf.data(tensor)?) } else { None };
        let source = match packed {
            // Bytes that were read are of no use beside their packed form.
            Some(bytes) if repack != Repack::Lazy || matches!(bytes, Cow::Owned(_)) => Source::Bytes(bytes),
            _ => {
                let (bytes, range) = gguf.shared(tensor)?;
                let matrix = Matrix::in_place(format, rows, cols, bytes, range);
                Source::Matrix(matrix.map_err(|error| place(error, tensor))?)
            }
        };
        Ok(Rows { gguf, tensor, format, cols, row_bytes, source, lazy: repack == Repack::Lazy })
    }

    /// The matrix of the rows from `first` on as one that waits to be packed, where it does.
    pub(super) fn waiting(&self, matrix: &Matrix, first: usize) -> Option<Waiting> {
        (self.lazy && !matrix.is_packed()).then(|| {
            let row_bytes = self.row_bytes as u64;
            Waiting { matrix: matrix.clone(), tensor: self.tensor.clone(), start: first as u64 * row_bytes, row_bytes }
        })
    }

    /// Bytes of a row in the file.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The matrix of some of the rows. `progress` is told how many of them are done and says whether to go on.
    pub(super) fn matrix(
        &self,
        packer: &mut Packer,
        team: &Team,
        rows: Range<usize>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Matrix> {
        let shape = || PackError::Shape { expected: None, found: 0 };
        let matrix = match &self.source {
            Source::Matrix(all) => {
                if progress(rows.len()) {
                    all.part(rows).ok_or_else(shape)
                } else {
                    Err(PackError::Cancelled)
                }
            }
            Source::Bytes(bytes) => {
                let at = |row: usize| self.row_bytes.checked_mul(row);
                let bytes = at(rows.start).zip(at(rows.end)).and_then(|(start, end)| bytes.get(start..end));
                let mut released = rows.start;
                let mut step = |done: usize| {
                    // Behind the packing the source is of no use any more.
                    let bytes = |row: usize| row as u64 * self.row_bytes as u64;
                    let done_to = rows.start + done;
                    self.gguf.release(self.tensor, bytes(released)..bytes(done_to));
                    released = done_to;
                    progress(done)
                };
                match bytes {
                    Some(bytes) => packer.pack(team, self.format, rows.len(), self.cols, bytes, &mut step),
                    None => Err(shape()),
                }
            }
        };
        matrix.map_err(|error| place(error, self.tensor))
    }
}

/// The error of a tensor that was not packed.
pub(super) fn place(error: PackError, tensor: &TensorInfo) -> Error {
    match error {
        PackError::Cancelled => cancelled(),
        PackError::OutOfMemory { .. } => {
            Error::new(ErrorKind::OutOfMemory, format!("no memory for {} bytes of weights", tensor.byte_len()))
                .tensor(tensor.name())
                .remedy("use a smaller model or a smaller quantisation, or leave the weights in the file (repack off)")
        }
        PackError::Shape { .. } => {
            Error::new(ErrorKind::Malformed, "its rows do not match its bytes").tensor(tensor.name())
        }
    }
}
