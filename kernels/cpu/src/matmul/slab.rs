//! Memory for packed weights: a few large pieces in huge pages.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use memmap2::{MmapOptions, MmapRaw};

use super::layout::Line;

/// Bytes of a piece, where enough weights are to come. A piece begins on a huge page; what it holds shares them.
const PIECE: usize = 256 << 20;

/// A piece of memory, which hands out each of its lines once.
struct Piece(MmapRaw);

/// Lines that nobody else has: a first part that is written and read only from now on, and the rest, which nobody has
/// seen. The first part grows.
pub(super) struct Lines {
    piece: Arc<Piece>,
    first: usize,
    count: usize,
    written: AtomicUsize,
    writer: Mutex<()>,
}

impl Lines {
    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many of them are written, from the first on. Never falls.
    pub(super) fn written(&self) -> usize {
        self.written.load(Ordering::Acquire)
    }

    /// Some of the written lines.
    ///
    /// # Panics
    /// Where some of them are not written.
    #[inline]
    pub(super) fn get(&self, range: Range<usize>) -> &[Line] {
        assert!(range.start <= range.end && range.end <= self.written(), "lines that are not written");
        // SAFETY: the lines lie in the piece (`written` is at most `count`, and `Slab::reserve` checked those), whose
        // memory is page-aligned and lives as long as `self.piece`; nobody writes to lines below `written`, whose load
        // is ordered after their writes; any bytes are lines.
        unsafe { std::slice::from_raw_parts(self.start().cast_const().add(range.start), range.len()) }
    }

    /// Has `fill` write the next `count` lines, or as many as there are; they count as written where it says so. `None`
    /// where another thread is writing, and where there are none left to write.
    pub(super) fn extend<E>(
        &self,
        count: usize,
        fill: impl FnOnce(Range<usize>, &mut [Line]) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let _writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            // Whoever panicked has not moved `written`.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let begin = self.written.load(Ordering::Relaxed);
        let end = begin.saturating_add(count).min(self.count);
        if begin == end {
            return None;
        }
        // SAFETY: the lines lie in the piece, page-aligned and initialised by the system; those from `written` on are
        // read by nobody, and written by the holder of the lock alone; any bytes are lines.
        let lines = unsafe { std::slice::from_raw_parts_mut(self.start().add(begin), end - begin) };
        let result = fill(begin..end, lines);
        if result.is_ok() {
            self.written.store(end, Ordering::Release);
        }
        Some(result)
    }

    fn start(&self) -> *mut Line {
        self.piece.0.as_mut_ptr().cast::<Line>().wrapping_add(self.first)
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

    /// Takes `count` lines, none of them written. `None` where the system refuses the memory.
    pub(super) fn reserve(&mut self, count: usize) -> Option<Lines> {
        let piece = self.piece_for(count)?;
        let first = self.used;
        self.used += count;
        Some(Lines { piece, first, count, written: AtomicUsize::new(0), writer: Mutex::new(()) })
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
