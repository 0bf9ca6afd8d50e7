//! Whether weights are copied into the kernels' layout.

use std::ops::Range;
use std::sync::Arc;

use crate::cancel::cancelled;
use crate::gguf::{Gguf, TensorInfo};
use crate::{Error, ErrorKind, Result};
use r1_kernels::{Format, Isa, Matrix, PackError};

/// Where a model's weights live. The choice changes speed and memory, never a bit of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Repack {
    /// Loading copies every weight into the layout that the kernels like best: the fastest from the first token on, for
    /// memory of the size of the file.
    #[default]
    On,
    /// Weights are used as they lie in the file: a mapped file loads at once, its memory is the system's page cache,
    /// shared between processes and free to be taken back. Prompts run at nearly full speed, single tokens slower.
    Off,
}

/// The rows of one tensor, from which matrices are made.
pub(super) struct Rows<'a> {
    tensor: &'a TensorInfo,
    format: Format,
    cols: usize,
    row_bytes: usize,
    source: Source<'a>,
}

enum Source<'a> {
    /// To be packed.
    Bytes(std::borrow::Cow<'a, [u8]>),
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
        let source = match repack {
            Repack::On => Source::Bytes(gguf.data(tensor)?),
            Repack::Off => {
                let (bytes, range) = gguf.shared(tensor)?;
                let matrix = Matrix::in_place(format, rows, cols, bytes, range);
                Source::Matrix(matrix.map_err(|error| place(error, tensor))?)
            }
        };
        Ok(Rows { tensor, format, cols, row_bytes, source })
    }

    /// Bytes of a row in the file.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The matrix of some of the rows. `progress` is told how many of them are done and says whether to go on.
    pub(super) fn matrix(
        &self,
        isa: Isa,
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
                match bytes {
                    Some(bytes) => Matrix::pack(isa, self.format, rows.len(), self.cols, bytes, progress),
                    None => Err(shape()),
                }
            }
        };
        matrix.map_err(|error| place(error, self.tensor))
    }
}

fn place(error: PackError, tensor: &TensorInfo) -> Error {
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
