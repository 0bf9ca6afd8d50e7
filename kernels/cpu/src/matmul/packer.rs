//! Packs tensors, on the threads of a team.

use super::gather::{Gather, gather};
use super::layout::{Line, ROWS, with_packed};
use super::matrix::{Matrix, PackError, check_shape};
use super::slab::{Lines, Slab};
use super::strip::Strip;
use crate::format::Format;
use crate::isa::Isa;
use crate::team::Team;

/// Packs one tensor after the other into memory that the matrices share.
pub struct Packer<'a> {
    isa: Isa,
    team: &'a Team,
    slab: Slab,
}

/// Bytes of a file that are packed between two reports: under a millisecond of work.
const STEP_BYTES: usize = 4 << 20;

impl<'a> Packer<'a> {
    /// A packer for about `expected` bytes of tensors, whose memory is asked for as they come.
    pub fn new(isa: Isa, team: &'a Team, expected: usize) -> Packer<'a> {
        // Packed weights take a little more than the file's.
        Packer { isa, team, slab: Slab::new(expected.saturating_add(expected / 64)) }
    }

    /// Packs `rows` rows of `cols` values, as they lie in a GGUF file: row after row, each a chain of blocks.
    ///
    /// `progress` is called every few megabytes on the calling thread with the rows done so far; returning `false` stops
    /// with [`PackError::Cancelled`]. Sizes may come from a file: every one is checked before memory is asked for, and
    /// that is never more than four times `data` and a group of 16 rows.
    ///
    /// # Errors
    /// [`PackError`]
    pub fn pack(
        &mut self,
        format: Format,
        rows: usize,
        cols: usize,
        data: &[u8],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Matrix, PackError> {
        let row_bytes = check_shape(format, rows, cols, data.len())?;
        let lines = with_packed!(format, P => self.pack_as::<P>(row_bytes, data, progress))?;
        Ok(Matrix::packed(format, rows, cols, lines))
    }

    fn pack_as<P: Gather>(
        &mut self,
        row_bytes: usize,
        data: &[u8],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Lines, PackError> {
        let (rows, blocks) = (data.len() / row_bytes, row_bytes / size_of::<P::Source>());
        let too_large = PackError::OutOfMemory { bytes: usize::MAX };
        let group_lines = blocks.checked_mul(size_of::<P>()).ok_or(too_large)?.div_ceil(size_of::<Line>());
        let total = rows.div_ceil(ROWS).checked_mul(group_lines).ok_or(too_large)?;
        let groups_of_step = (STEP_BYTES / (ROWS * row_bytes)).max(1);
        let (isa, team) = (self.isa, self.team);
        let fill = |lines: &mut [Line]| {
            for (step, lines) in lines.chunks_mut(groups_of_step * group_lines).enumerate() {
                let first = step * groups_of_step;
                team.for_each_chunk(lines, group_lines, |group, lines| {
                    let strip = Strip::new(data, row_bytes, ROWS * (first + group), 0..blocks);
                    gather::<P>(isa, &strip, &mut P::cast_mut(Line::bytes_mut(lines))[..blocks]);
                });
                if !progress(rows.min(ROWS * (first + groups_of_step))) {
                    return Err(PackError::Cancelled);
                }
            }
            Ok(())
        };
        let refused = PackError::OutOfMemory { bytes: total.saturating_mul(size_of::<Line>()) };
        self.slab.take(total, fill).unwrap_or(Err(refused))
    }
}
