//! Packs tensors, on the threads of a team.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::gather::{Gather, gather};
use super::layout::{Line, ROWS, with_packed};
use super::matrix::{Matrix, PackError, PackedRows, Storage, check_shape};
use super::slab::{Lines, Slab};
use super::strip::Strip;
use crate::format::Format;
use crate::isa::Isa;
use crate::team::Team;

/// Packs one tensor after the other into memory that the matrices share.
pub struct Packer {
    isa: Isa,
    slab: Slab,
}

/// Bytes of a file that are packed between two reports: under a millisecond of work.
const STEP_BYTES: usize = 4 << 20;

impl Packer {
    /// A packer for about `expected` bytes of tensors, whose memory is asked for as they come.
    pub fn new(isa: Isa, expected: usize) -> Packer {
        // Packed weights take a little more than the file's.
        Packer { isa, slab: Slab::new(expected.saturating_add(expected / 64)) }
    }

    /// Packs `rows` rows of `cols` values, as they lie in a GGUF file: row after row, each a chain of blocks.
    ///
    /// `progress` is called every few megabytes on the calling thread with the rows done so far; returning `false` stops
    /// with [`PackError::Cancelled`], as the team's stop flag does. Sizes may come from a file: every one is checked
    /// before memory is asked for, and that is never more than four times `data` and a group of 16 rows.
    ///
    /// # Errors
    /// [`PackError`]
    pub fn pack(
        &mut self,
        team: &Team,
        format: Format,
        rows: usize,
        cols: usize,
        data: &[u8],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Matrix, PackError> {
        let row_bytes = check_shape(format, rows, cols, data.len())?;
        with_packed!(format, P => {
            let lines = self.reserve::<P>(rows, row_bytes)?;
            while lines.written() < lines.len() {
                let done = step::<P>(self.isa, team, data, row_bytes, STEP_BYTES, &lines)?;
                if !progress(done.end) {
                    return Err(PackError::Cancelled);
                }
            }
            Ok(Matrix::packed(format, rows, cols, lines))
        })
    }

    /// Packs the next `bytes` bytes or so of a matrix in place, which may be in use meanwhile, and returns the rows that
    /// they are: products that begin later do not look at their old place any more. `None` where all rows are packed, or
    /// another thread is packing this matrix.
    ///
    /// # Errors
    /// `OutOfMemory`, and `Cancelled` where the team's stop flag is set. The matrix stays as it was and can be used, and
    /// packed on.
    pub fn pack_on(&mut self, team: &Team, matrix: &Matrix, bytes: usize) -> Result<Option<Range<usize>>, PackError> {
        let Storage::InPlace(file) = matrix.storage() else { return Ok(None) };
        with_packed!(matrix.format(), P => {
            let mut error = PackError::Cancelled;
            let begin = || match self.reserve::<P>(matrix.rows(), file.row_bytes) {
                Ok(lines) => Some(PackedRows::new(lines, matrix.rows())),
                Err(refused) => { error = refused; None }
            };
            let Some(packed) = file.packed_or_begin(begin) else { return Err(error) };
            match step::<P>(self.isa, team, file.data(), file.row_bytes, bytes, packed.lines()) {
                Ok(rows) if rows.is_empty() => Ok(None),
                other => other.map(Some),
            }
        })
    }

    /// Memory for that many rows.
    fn reserve<P: Gather>(&mut self, rows: usize, row_bytes: usize) -> Result<Lines, PackError> {
        let too_large = PackError::OutOfMemory { bytes: usize::MAX };
        let lines = rows.div_ceil(ROWS).checked_mul(group_lines::<P>(row_bytes).ok_or(too_large)?).ok_or(too_large)?;
        let refused = PackError::OutOfMemory { bytes: lines.saturating_mul(size_of::<Line>()) };
        self.slab.reserve(lines).ok_or(refused)
    }
}

/// Lines of a group of rows.
fn group_lines<P: Gather>(row_bytes: usize) -> Option<usize> {
    let blocks = row_bytes / size_of::<P::Source>();
    Some(blocks.checked_mul(size_of::<P>())?.div_ceil(size_of::<Line>()))
}

/// Packs the next `bytes` bytes or so of `data` into `lines`; the rows that they are, none where there is nothing left, or
/// where another thread is at it.
fn step<P: Gather>(
    isa: Isa,
    team: &Team,
    data: &[u8],
    row_bytes: usize,
    bytes: usize,
    lines: &Lines,
) -> Result<Range<usize>, PackError> {
    let (rows, blocks) = (data.len() / row_bytes, row_bytes / size_of::<P::Source>());
    let group_lines = lines.len() / rows.div_ceil(ROWS);
    let groups_of_step = (bytes / (ROWS * row_bytes)).max(1);
    let mut packed = 0..0;
    let filled = lines.extend(groups_of_step * group_lines, |range, lines| {
        let (first, groups) = (range.start / group_lines, range.len() / group_lines);
        // A team that is told to stop drops tasks.
        let done = AtomicUsize::new(0);
        team.for_each_chunk(lines, group_lines, |group, lines| {
            let strip = Strip::new(data, row_bytes, ROWS * (first + group), 0..blocks);
            gather::<P>(isa, &strip, &mut P::cast_mut(Line::bytes_mut(lines))[..blocks]);
            done.fetch_add(1, Ordering::Relaxed);
        });
        packed = ROWS * first..rows.min(ROWS * (first + groups));
        if done.into_inner() == groups { Ok(()) } else { Err(PackError::Cancelled) }
    });
    filled.unwrap_or(Ok(())).map(|()| packed)
}
