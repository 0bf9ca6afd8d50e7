//! A weight matrix: packed, or left in the file's own bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::layout::{Line, ROWS};
use super::packer::Packer;
use super::slab::Lines;
use crate::format::Format;
use crate::isa::Isa;
use crate::team::Team;

/// Bytes that someone else owns, such as a mapped file. Must be the same on every look.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Weights of `rows` outputs and `cols` inputs.
///
/// A *packed* matrix holds a copy, repacked in groups of 16 rows so that one layout serves every instruction set and
/// every number of columns. It takes the room of the file's blocks (up to 4 % more), with rows padded to a multiple of
/// 16. A matrix *in place* owns nothing: a product packs a few blocks at a time into the cache on its way. Both give the
/// same bits. Cloning shares the weights.
#[derive(Clone)]
pub struct Matrix {
    format: Format,
    rows: usize,
    cols: usize,
    storage: Storage,
}

#[derive(Clone)]
pub(super) enum Storage {
    Packed(PackedRows),
    InPlace(FileRows),
}

/// Row groups in packed form.
#[derive(Clone)]
pub(super) struct PackedRows {
    lines: Lines,
    /// Lines of one row group; a group begins on a line.
    group_lines: usize,
    first_group: usize,
}

/// Rows of a file's blocks.
#[derive(Clone)]
pub(super) struct FileRows {
    bytes: SharedBytes,
    range: Range<usize>,
    pub(super) row_bytes: usize,
}

/// Why there is no matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackError {
    /// The progress callback asked to stop.
    Cancelled,
    /// The allocator refused the memory.
    OutOfMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// The data are not `rows` rows of `cols` values: a size is zero, too large to address, not a whole number of
    /// blocks, or differs from the bytes given.
    Shape {
        /// Bytes that the shape calls for; `None` where it has no size.
        expected: Option<usize>,
        /// Bytes given.
        found: usize,
    },
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackError::Cancelled => f.write_str("packing was cancelled"),
            PackError::OutOfMemory { bytes } => write!(f, "no memory for {bytes} bytes of packed weights"),
            PackError::Shape { expected: Some(expected), found } => {
                write!(f, "the shape calls for {expected} bytes, the tensor has {found}")
            }
            PackError::Shape { expected: None, .. } => f.write_str("the shape is not a whole number of blocks"),
        }
    }
}

impl std::error::Error for PackError {}

impl Matrix {
    /// Packs one tensor on the calling thread: see [`Packer::pack`].
    ///
    /// # Errors
    /// [`PackError`]
    pub fn pack(
        isa: Isa,
        format: Format,
        rows: usize,
        cols: usize,
        data: &[u8],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Matrix, PackError> {
        Packer::new(isa, &Team::new(1), data.len()).pack(format, rows, cols, data, progress)
    }

    /// A matrix of packed rows that are there.
    pub(super) fn packed(format: Format, rows: usize, cols: usize, lines: Lines) -> Matrix {
        let group_lines = lines.get().len() / rows.div_ceil(ROWS);
        Matrix { format, rows, cols, storage: Storage::Packed(PackedRows { lines, group_lines, first_group: 0 }) }
    }

    /// The rows that lie in `range` of `bytes`, used where they are.
    ///
    /// # Errors
    /// [`PackError::Shape`]
    ///
    /// # Panics
    /// Products panic where `bytes` has become shorter than it is now.
    pub fn in_place(
        format: Format,
        rows: usize,
        cols: usize,
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<Matrix, PackError> {
        let found = (*bytes).as_ref().get(range.clone()).map_or(0, <[u8]>::len);
        let row_bytes = check_shape(format, rows, cols, found)?;
        Ok(Matrix { format, rows, cols, storage: Storage::InPlace(FileRows { bytes, range, row_bytes }) })
    }

    /// A matrix of some of the rows, which shares the weights: one expert of many, say. `None` where there are no such
    /// rows, and where those of a packed matrix do not begin at a multiple of 16.
    pub fn part(&self, rows: Range<usize>) -> Option<Matrix> {
        if rows.is_empty() || rows.end > self.rows {
            return None;
        }
        let mut part = Matrix { rows: rows.len(), ..self.clone() };
        match &mut part.storage {
            Storage::Packed(packed) if rows.start.is_multiple_of(ROWS) => packed.first_group += rows.start / ROWS,
            Storage::Packed(_) => return None,
            Storage::InPlace(file) => {
                let start = file.range.start;
                file.range = start + rows.start * file.row_bytes..start + rows.end * file.row_bytes;
            }
        }
        Some(part)
    }

    /// The weights' format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Whether the weights were repacked.
    pub fn is_packed(&self) -> bool {
        matches!(self.storage, Storage::Packed(_))
    }

    /// Memory that the packed weights take, in bytes; 0 for weights in place.
    pub fn bytes(&self) -> usize {
        if self.is_packed() { self.groups() * self.group_bytes() } else { 0 }
    }

    /// Groups of 16 rows; the last may have fewer.
    pub(super) fn groups(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Bytes of a group, where they lie.
    pub(super) fn group_bytes(&self) -> usize {
        match &self.storage {
            Storage::Packed(packed) => packed.group_lines * size_of::<Line>(),
            Storage::InPlace(file) => ROWS * file.row_bytes,
        }
    }

    /// Blocks of a row.
    pub(super) fn blocks(&self) -> usize {
        self.cols / self.format.block_len()
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }
}

impl PackedRows {
    /// The packed blocks of one group.
    pub(super) fn group(&self, group: usize) -> &[u8] {
        let first = (self.first_group + group) * self.group_lines;
        Line::bytes(&self.lines.get()[first..first + self.group_lines])
    }
}

impl FileRows {
    /// All rows.
    pub(super) fn data(&self) -> &[u8] {
        &(*self.bytes).as_ref()[self.range.clone()]
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_packed() { "" } else { ", in place" };
        write!(f, "Matrix({} {}x{}{place})", self.format, self.rows, self.cols)
    }
}

/// Bytes of a row, where `found` bytes are `rows` rows of `cols` values.
pub(super) fn check_shape(format: Format, rows: usize, cols: usize, found: usize) -> Result<usize, PackError> {
    let row_bytes = format.row_bytes(cols).filter(|&bytes| bytes > 0);
    let expected = row_bytes.and_then(|bytes| bytes.checked_mul(rows)).filter(|&bytes| bytes > 0);
    match row_bytes {
        Some(row_bytes) if expected == Some(found) => Ok(row_bytes),
        _ => Err(PackError::Shape { expected, found }),
    }
}
