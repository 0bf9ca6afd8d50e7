//! A weight matrix: packed, or left in the file's own bytes.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::layout::{Line, ROWS, with_packed};
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
/// 16. A matrix *in place* owns nothing: a product packs a few blocks at a time into the cache on its way. It can be
/// packed while it is in use, a few megabytes at a time ([`Packer::pack_on`]): products take the rows that are packed
/// from there, the others from where they were. All give the same bits. Cloning shares the weights.
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
    lines: Arc<Lines>,
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
    /// The same rows packed, from the first on; set when packing begins.
    packed: Arc<OnceLock<PackedRows>>,
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
        Packer::new(isa, data.len()).pack(&Team::new(1), format, rows, cols, data, progress)
    }

    /// A matrix of packed rows that are there.
    pub(super) fn packed(format: Format, rows: usize, cols: usize, lines: Lines) -> Matrix {
        Matrix { format, rows, cols, storage: Storage::Packed(PackedRows::new(lines, rows)) }
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
        Ok(Matrix {
            format,
            rows,
            cols,
            storage: Storage::InPlace(FileRows { bytes, range, row_bytes, packed: Arc::default() }),
        })
    }

    /// A matrix of some of the rows, which shares the weights: one expert of many, say. `None` where there are no such
    /// rows, and where those of a packed matrix do not begin at a multiple of 16. A part of a matrix in place is in
    /// place, whatever of the whole is packed, and packed for itself.
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
                file.packed = Arc::default();
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

    /// Whether all of the weights are packed.
    pub fn is_packed(&self) -> bool {
        self.packed_groups() == self.groups()
    }

    /// Memory that the weights take when all of them are packed, in bytes.
    pub fn bytes_packed(&self) -> usize {
        self.groups()
            * with_packed!(self.format, P => (self.blocks() * size_of::<P>()).next_multiple_of(size_of::<Line>()))
    }

    /// Memory that the packed weights take, in bytes; 0 for weights in place.
    pub fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Packed(packed) => self.groups() * packed.group_bytes(),
            Storage::InPlace(file) => file.packed.get().map_or(0, |packed| packed.groups() * packed.group_bytes()),
        }
    }

    /// Row groups that are packed, from the first on. Never falls.
    pub(super) fn packed_groups(&self) -> usize {
        match &self.storage {
            Storage::Packed(_) => self.groups(),
            Storage::InPlace(file) => file.packed.get().map_or(0, PackedRows::groups),
        }
    }

    /// Groups of 16 rows; the last may have fewer.
    pub(super) fn groups(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Bytes of a group, where they lie.
    pub(super) fn group_bytes(&self) -> usize {
        match &self.storage {
            Storage::Packed(packed) => packed.group_bytes(),
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
    /// `rows` rows, none of which need be written yet.
    pub(super) fn new(lines: Lines, rows: usize) -> PackedRows {
        let group_lines = lines.len() / rows.div_ceil(ROWS);
        PackedRows { lines: Arc::new(lines), group_lines, first_group: 0 }
    }

    /// The packed blocks of one group.
    ///
    /// # Panics
    /// Where it is not written.
    pub(super) fn group(&self, group: usize) -> &[u8] {
        let first = (self.first_group + group) * self.group_lines;
        Line::bytes(self.lines.get(first..first + self.group_lines))
    }

    /// Groups that are written, of the whole matrix.
    pub(super) fn groups(&self) -> usize {
        self.lines.written() / self.group_lines
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    fn group_bytes(&self) -> usize {
        self.group_lines * size_of::<Line>()
    }
}

impl FileRows {
    /// The rows that are packed, where packing has begun.
    pub(super) fn packed(&self) -> Option<&PackedRows> {
        self.packed.get()
    }

    /// Where the rows are to be packed; `begin` makes room for them the first time.
    pub(super) fn packed_or_begin(&self, begin: impl FnOnce() -> Option<PackedRows>) -> Option<&PackedRows> {
        if self.packed.get().is_none() {
            // Where another thread is faster, its room is used and this one's is lost to its piece.
            let _ = self.packed.set(begin()?);
        }
        self.packed.get()
    }

    /// All rows.
    pub(super) fn data(&self) -> &[u8] {
        &(*self.bytes).as_ref()[self.range.clone()]
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.packed_groups() {
            0 => ", in place",
            groups if groups < self.groups() => ", partly packed",
            _ => "",
        };
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
