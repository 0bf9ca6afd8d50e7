//! Memory for packed weights: a few large pieces in huge pages.

use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::layout::Line;

/// Bytes of a piece, where enough weights are to come. A piece begins on a huge page; what it holds shares them.
const PIECE: usize = 256 << 20;

/// A piece of memory. It is written once, from the front, by the one [`Slab`] that made it; what was handed out is read
/// only from then on.
struct Piece(MmapRaw);

/// Lines that a matrix keeps.
#[derive(Clone)]
pub(super) struct Lines {
    piece: Arc<Piece>,
    first: usize,
    count: usize,
}

impl Lines {
    /// The lines.
    pub(super) fn get(&self) -> &[Line] {
        // SAFETY: `Slab::take` checked that the lines lie in the piece, whose memory is page-aligned, lives as long as
        // `self.piece`, and is not written any more where lines were handed out; any bytes are lines.
        unsafe { std::slice::from_raw_parts(self.piece.0.as_ptr().cast::<Line>().add(self.first), self.count) }
    }
}

/// Hands out memory for packed weights.
#[derive(Default)]
pub(super) struct Slab {
    piece: Option<Arc<Piece>>,
    /// Lines of the piece that are handed out.
    used: usize,
    /// Bytes that are expected to be asked for.
    expected: usize,
}

impl Slab {
    /// Memory for about `expected` bytes, none of which is taken yet.
    pub(super) fn new(expected: usize) -> Slab {
        Slab { piece: None, used: 0, expected }
    }

    /// Takes `count` lines, which `fill` is to write. `None` where the system refuses the memory;
    /// an error of `fill` leaves the lines to the next call.
    pub(super) fn take<E>(
        &mut self,
        count: usize,
        fill: impl FnOnce(&mut [Line]) -> Result<(), E>,
    ) -> Option<Result<Lines, E>> {
        let piece = self.piece_for(count)?;
        let first = self.used;
        // SAFETY: `piece_for` made sure that the lines lie in the piece and that nobody has any of them; the memory is
        // page-aligned and initialised by the system, and any bytes are lines.
        let lines = unsafe { std::slice::from_raw_parts_mut(piece.0.as_mut_ptr().cast::<Line>().add(first), count) };
        if let Err(error) = fill(lines) {
            return Some(Err(error));
        }
        self.used += count;
        Some(Ok(Lines { piece, first, count }))
    }

    /// A piece with `count` lines that nobody has, from `self.used` on.
    fn piece_for(&mut self, count: usize) -> Option<Arc<Piece>> {
        let needed = count.checked_mul(size_of::<Line>())?;
        if let Some(piece) = &self.piece
            && piece.0.len() / size_of::<Line>() - self.used >= count
        {
            return Some(Arc::clone(piece));
        }
        // A refused piece may still have room for what is needed now.
        let len = needed.max(self.expected.min(PIECE)).max(size_of::<Line>());
        let piece = Arc::new(Piece::new(len).or_else(|| Piece::new(needed.max(size_of::<Line>())))?);
        self.expected = self.expected.saturating_sub(len);
        (self.piece, self.used) = (Some(Arc::clone(&piece)), 0);
        Some(piece)
    }
}

impl Piece {
    fn new(len: usize) -> Option<Piece> {
        let memory = MmapOptions::new().len(len).map_anon().ok()?;
        // Fewer page faults while packing, fewer misses of the translation cache while multiplying. Where the system
        // has no huge pages to give, small ones do.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Some(Piece(MmapRaw::from(memory)))
    }
}
