//! Neighbouring blocks of 16 rows of a file.

use std::marker::PhantomData;
use std::ops::Range;

use super::layout::{Halves, Plane, ROWS};
use super::words::{Transpose, Words};
use crate::format::Block;

/// Blocks side by side of 16 rows of a tensor, where they lie.
#[derive(Clone, Copy)]
pub(super) struct Strip<'a, B> {
    first: *const u8,
    /// Bytes from `first` to the strip's first block of each row.
    offsets: [usize; ROWS],
    blocks: usize,
    /// Bytes from this strip to the one that is gathered next.
    next: usize,
    data: PhantomData<&'a [B]>,
}

impl<'a, B: Block> Strip<'a, B> {
    /// Blocks `blocks` of the rows from `row` on, of `data` whose rows have `row_bytes` bytes. Where the data end before
    /// the 16th row, the last one stands for the missing ones.
    ///
    /// # Panics
    /// Where there is no such row or block.
    pub(super) fn new(data: &'a [u8], row_bytes: usize, row: usize, blocks: Range<usize>) -> Self {
        let live = (data.len() / row_bytes.max(1)).saturating_sub(row);
        assert!(live > 0 && blocks.start <= blocks.end && blocks.end <= row_bytes / size_of::<B>(), "no such strip");
        let first = data[row * row_bytes + blocks.start * size_of::<B>()..].as_ptr();
        let offsets = std::array::from_fn(|r| r.min(live - 1) * row_bytes);
        // The rest of the rows comes next, and after it the rows below.
        let next = if blocks.end < row_bytes / size_of::<B>() {
            blocks.len() * size_of::<B>()
        } else {
            ROWS * row_bytes - blocks.start * size_of::<B>()
        };
        Strip { first, offsets, blocks: blocks.len(), next, data: PhantomData }
    }

    /// Blocks of a row.
    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Block `b` of every row.
    #[inline(always)]
    pub(super) fn column(&self, b: usize) -> Column<'_, B> {
        assert!(b < self.blocks);
        let first = self.first.wrapping_add(b * size_of::<B>());
        Column { first, offsets: &self.offsets, next: self.next, data: PhantomData }
    }

    /// Sixteen bytes of every row, from block `b` on: word `p` is bytes `4 p ..`.
    ///
    /// # Panics
    /// Where the strip ends before.
    #[inline(always)]
    pub(super) fn quad<T: Transpose>(&self, t: T, b: usize) -> [T::Words; 4] {
        assert!(b < self.blocks && (self.blocks - b) * size_of::<B>() >= 16);
        let first = self.first.wrapping_add(b * size_of::<B>());
        prefetch(first, &self.offsets, self.next);
        // SAFETY: the 16 bytes of each row lie inside the strip, by the assertion.
        unsafe { t.quad(first, &self.offsets) }
    }
}

/// Asks for part of the strip that comes `next` bytes after this one: for a quarter of the rows the line where they
/// are going to read. Which quarter follows from the address, so that a line is asked for once in four reads of 16
/// bytes.
///
/// Sixteen rows at once are more than the processor's own prefetcher can follow. Measured (Zen 4, Q4_K): 5 GB/s without,
/// 9 with a burst of requests for each block, as fast as plain reads with a few for every 16 bytes; into the first-level
/// cache it is half of that.
#[inline(always)]
fn prefetch(first: *const u8, offsets: &[usize; ROWS], next: usize) {
    #[cfg(target_arch = "x86_64")]
    for offset in offsets.as_chunks::<4>().0[(first as usize / 16) % 4] {
        let line = first.wrapping_add(offset + next);
        // SAFETY: a prefetch of any address is harmless, and every x86-64 has it.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (first, offsets, next);
}

/// One block of each of 16 rows.
#[derive(Clone, Copy)]
pub(super) struct Column<'a, B> {
    first: *const u8,
    offsets: &'a [usize; ROWS],
    next: usize,
    data: PhantomData<&'a B>,
}

impl<'a, B: Block> Column<'a, B> {
    /// The block of row `r`.
    #[inline(always)]
    pub(super) fn row(&self, r: usize) -> &'a B {
        // SAFETY: `Strip::new` checked that the strip's blocks of all rows lie in the data, and `Strip::column` that this
        // is one of them; a block has alignment 1 and any bytes are valid.
        unsafe { &*self.first.add(self.offsets[r]).cast::<B>() }
    }

    /// A field of every row's block.
    #[inline(always)]
    pub(super) fn map<T>(&self, field: impl Fn(&'a B) -> T) -> [T; ROWS] {
        std::array::from_fn(|r| field(self.row(r)))
    }

    /// Sixteen bytes of every row's block from `at` on: word `p` is bytes `at + 4 p ..`.
    #[inline(always)]
    pub(super) fn quad<T: Transpose>(&self, t: T, at: usize) -> [T::Words; 4] {
        assert!(at + 16 <= size_of::<B>());
        let first = self.first.wrapping_add(at);
        prefetch(first, self.offsets, self.next);
        // SAFETY: the bytes lie inside the block, by the assertion above, and the block of each row in the data.
        unsafe { t.quad(first, self.offsets) }
    }

    /// Two bytes of every row's block from `at` on.
    #[inline(always)]
    pub(super) fn halves(&self, t: impl Transpose, at: usize, out: &mut Halves) {
        assert!(at + 2 <= size_of::<B>());
        // SAFETY: the bytes lie inside the block, by the assertion above, and the block of each row in the data.
        unsafe { t.halves(self.first.wrapping_add(at), self.offsets, out) }
    }

    /// Plane `p` of `out` receives bytes `at + 4 p ..` of every row's block.
    #[inline(always)]
    pub(super) fn planes<const PLANES: usize>(&self, t: impl Transpose, at: usize, out: &mut [Plane; PLANES]) {
        const { assert!(PLANES.is_multiple_of(4)) };
        for (q, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let [a, b, c, d] = self.quad(t, at + 16 * q);
            a.store(&mut out[0]);
            b.store(&mut out[1]);
            c.store(&mut out[2]);
            d.store(&mut out[3]);
        }
    }
}
