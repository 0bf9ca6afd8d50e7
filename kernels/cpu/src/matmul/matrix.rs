//! A weight matrix in packed form.

use std::fmt;

use super::layout::{Packed, ROWS, with_packed};
use super::pack::pack_group;
use crate::format::{Block, Format};

/// Weights of `rows` outputs and `cols` inputs, repacked in groups of 16 rows so that one layout serves every
/// instruction set and every number of columns. Takes the room of the file's blocks (up to 4 % more), with rows padded
/// to a multiple of 16.
pub struct Matrix {
    format: Format,
    rows: usize,
    cols: usize,
    /// Lines of one row group; a group begins on a line.
    group_lines: usize,
    lines: Vec<Line>,
}

/// A cache line: what a 512-bit load wants to be aligned to.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// Why a matrix was not packed.
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
    pub fn pack(
        format: Format,
        rows: usize,
        cols: usize,
        data: &[u8],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Matrix, PackError> {
        with_packed!(format, P => pack::<P>(format, rows, cols, data, progress))
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

    /// Memory used, in bytes.
    pub fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Groups of 16 rows; the last may be padded.
    pub(super) fn groups(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Bytes of a group.
    pub(super) fn group_bytes(&self) -> usize {
        self.group_lines * size_of::<Line>()
    }

    /// The packed blocks of one group. `P` must be the packed type of the format.
    pub(super) fn group<P: Packed>(&self, group: usize) -> &[P] {
        let lines = &self.lines[group * self.group_lines..(group + 1) * self.group_lines];
        // SAFETY: lines are bytes without padding.
        let bytes = unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<u8>(), size_of_val(lines)) };
        // The padding at the end of a group may have room for more small blocks than there are.
        &P::cast(bytes)[..self.cols / P::Source::LEN]
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix({} {}x{})", self.format, self.rows, self.cols)
    }
}

fn pack<P: super::pack::Gather>(
    format: Format,
    rows: usize,
    cols: usize,
    data: &[u8],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Matrix, PackError> {
    let row_bytes = format.row_bytes(cols).filter(|&bytes| bytes > 0);
    let expected = row_bytes.and_then(|bytes| bytes.checked_mul(rows)).filter(|&bytes| bytes > 0);
    let (Some(row_bytes), true) = (row_bytes, expected == Some(data.len())) else {
        return Err(PackError::Shape { expected, found: data.len() });
    };
    let blocks = cols / P::Source::LEN;
    let too_large = PackError::OutOfMemory { bytes: usize::MAX };
    let group_lines = blocks.checked_mul(size_of::<P>()).ok_or(too_large)?.div_ceil(size_of::<Line>());
    let total = rows.div_ceil(ROWS).checked_mul(group_lines).ok_or(too_large)?;

    let mut lines: Vec<Line> = Vec::new();
    let refused = PackError::OutOfMemory { bytes: total.saturating_mul(size_of::<Line>()) };
    lines.try_reserve_exact(total).map_err(|_| refused)?;
    let mut padding = Vec::new();
    if !rows.is_multiple_of(ROWS) {
        padding.try_reserve_exact(row_bytes).map_err(|_| PackError::OutOfMemory { bytes: row_bytes })?;
        padding.resize(row_bytes, 0);
    }

    let mut done = 0;
    for group in data.chunks(ROWS * row_bytes) {
        let begin = lines.len();
        lines.resize(begin + group_lines, Line([0; 64]));
        let bytes = &mut lines[begin..];
        // SAFETY: lines are bytes without padding, borrowed uniquely.
        let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast::<u8>(), size_of_val(bytes)) };
        let mut given = group.chunks_exact(row_bytes);
        let rows_of_group = std::array::from_fn(|_| P::Source::cast(given.next().unwrap_or(&padding)));
        pack_group(&rows_of_group, &mut P::cast_mut(bytes)[..blocks]);
        done = rows.min(done + ROWS);
        if !progress(done) {
            return Err(PackError::Cancelled);
        }
    }
    Ok(Matrix { format, rows, cols, group_lines, lines })
}
