//! A weight matrix: packed, or left in the file's own bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::gather::{Gather, gather};
use super::layout::{ROWS, with_packed};
use super::strip::Strip;
use crate::format::Format;
use crate::isa::Isa;

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
    lines: Arc<Vec<Line>>,
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

/// A cache line: what a 512-bit load wants to be aligned to.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Line([u8; 64]);

impl Line {
    pub(super) const ZERO: Line = Line([0; 64]);

    /// The bytes of lines.
    pub(super) fn bytes(lines: &[Line]) -> &[u8] {
        // SAFETY: lines are bytes without padding.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
    }

    /// The bytes of lines, to write.
    pub(super) fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
        // SAFETY: lines are bytes without padding, borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
    }
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
    /// Packs `rows` rows of `cols` values, as they lie in a GGUF file: row after row, each a chain of blocks.
    ///
    /// `progress` is called after every group of 16 rows with the rows done so far; returning `false` stops with
    /// [`PackError::Cancelled`]. Sizes may come from a file: every one is checked before memory is asked for, and
    /// that is never more than four times `data` and a group of padding.
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
        let row_bytes = check_shape(format, rows, cols, data.len())?;
        let lines = with_packed!(format, P => pack::<P>(isa, row_bytes, data, progress))?;
        let group_lines = lines.len() / rows.div_ceil(ROWS);
        let packed = PackedRows { lines: Arc::new(lines), group_lines, first_group: 0 };
        Ok(Matrix { format, rows, cols, storage: Storage::Packed(packed) })
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
        Line::bytes(&self.lines[first..first + self.group_lines])
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
fn check_shape(format: Format, rows: usize, cols: usize, found: usize) -> Result<usize, PackError> {
    let row_bytes = format.row_bytes(cols).filter(|&bytes| bytes > 0);
    let expected = row_bytes.and_then(|bytes| bytes.checked_mul(rows)).filter(|&bytes| bytes > 0);
    match row_bytes {
        Some(row_bytes) if expected == Some(found) => Ok(row_bytes),
        _ => Err(PackError::Shape { expected, found }),
    }
}

fn pack<P: Gather>(
    isa: Isa,
    row_bytes: usize,
    data: &[u8],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Line>, PackError> {
    let (rows, blocks) = (data.len() / row_bytes, row_bytes / size_of::<P::Source>());
    let too_large = PackError::OutOfMemory { bytes: usize::MAX };
    let group_lines = blocks.checked_mul(size_of::<P>()).ok_or(too_large)?.div_ceil(size_of::<Line>());
    let total = rows.div_ceil(ROWS).checked_mul(group_lines).ok_or(too_large)?;
    let mut lines: Vec<Line> = Vec::new();
    let refused = PackError::OutOfMemory { bytes: total.saturating_mul(size_of::<Line>()) };
    lines.try_reserve_exact(total).map_err(|_| refused)?;
    for row in (0..rows).step_by(ROWS) {
        let begin = lines.len();
        lines.resize(begin + group_lines, Line::ZERO);
        let strip = Strip::new(data, row_bytes, row, 0..blocks);
        gather::<P>(isa, &strip, &mut P::cast_mut(Line::bytes_mut(&mut lines[begin..]))[..blocks]);
        if !progress(rows.min(row + ROWS)) {
            return Err(PackError::Cancelled);
        }
    }
    Ok(lines)
}
