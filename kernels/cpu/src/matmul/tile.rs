//! A tile: the product of one row group and a few neighbouring columns, the unit of work of every kernel.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use super::layout::ROWS;

/// Most columns of a tile.
pub(super) const COLUMNS: usize = 8;

/// Results of a tile: 16 rows of each of its columns. A kernel that keeps its sums in registers asks [`begun`](Self::begun)
/// where they start; to others results that have not begun are zeros.
pub(super) struct Tile<'a> {
    first: *mut f32,
    stride: usize,
    columns: usize,
    begun: bool,
    lifetime: PhantomData<&'a mut f32>,
}

impl<'a> Tile<'a> {
    /// Results of `columns` columns whose 16 rows begin at `first` and every `stride` floats after it. Unless they have
    /// `begun`, what lies there has no meaning.
    ///
    /// # Safety
    /// All those rows are in one piece of memory that nobody else uses during `'a`.
    pub(super) unsafe fn new(first: *mut f32, stride: usize, columns: usize, begun: bool) -> Tile<'a> {
        Tile { first, stride, columns, begun, lifetime: PhantomData }
    }

    /// Whether there are results of blocks before.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// The results count from now on.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// Makes zeros of results that have not begun.
    pub(super) fn begin_with_zeros(&mut self) {
        if !self.begun {
            (0..self.columns).for_each(|n| self[n] = [0.0; ROWS]);
            self.begun = true;
        }
    }

    /// Asks for the cache lines of the results, which lie far apart, while the tile is being computed: stores that miss
    /// would hold up the tile after it.
    #[inline]
    pub(super) fn fetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for n in 0..self.columns {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            let rows = self[n].as_ptr();
            // SAFETY: a prefetch writes nothing and never faults.
            unsafe {
                _mm_prefetch::<_MM_HINT_ET0>(rows.cast());
                _mm_prefetch::<_MM_HINT_ET0>(rows.wrapping_add(ROWS - 1).cast());
            }
        }
    }
}

impl Index<usize> for Tile<'_> {
    type Output = [f32; ROWS];

    #[inline(always)]
    fn index(&self, column: usize) -> &[f32; ROWS] {
        assert!(column < self.columns);
        // SAFETY: the rows exist and are nobody else's (see `new`); floats need no more alignment than `first` has.
        unsafe { &*self.first.add(column * self.stride).cast() }
    }
}

impl IndexMut<usize> for Tile<'_> {
    #[inline(always)]
    fn index_mut(&mut self, column: usize) -> &mut [f32; ROWS] {
        assert!(column < self.columns);
        // SAFETY: as in `index`, and the borrow of `self` is unique.
        unsafe { &mut *self.first.add(column * self.stride).cast() }
    }
}

/// The columns of a tile: `x` is `[block][column]`, beginning with the tile's first column of block 0.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a, X> {
    x: &'a [X],
    stride: usize,
}

impl<'a, X> Columns<'a, X> {
    /// Columns `first ..` of `x`, which has `stride` columns. `first < stride`.
    pub(super) fn new(x: &'a [X], stride: usize, first: usize) -> Self {
        Columns { x: &x[first..], stride }
    }

    /// Bytes from one block of a column to its next.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn block_distance(self) -> usize {
        self.stride * size_of::<X>()
    }

    /// Pairs the blocks of a row group with those of `N` columns.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    pub(super) fn zip<W, const N: usize>(self, w: &'a [W]) -> impl Iterator<Item = (&'a W, &'a [X; N])> {
        // One check for all blocks: a division or a test for each would show in short rows.
        assert!(w.is_empty() || (w.len() - 1) * self.stride + N <= self.x.len());
        let first = self.x.as_ptr();
        // SAFETY: block `b` of the columns ends at `b * stride + N`, which was checked for the last block.
        w.iter().enumerate().map(move |(b, w)| (w, unsafe { &*first.add(b * self.stride).cast() }))
    }

    /// Pairs the blocks of a row group with those of `n` columns.
    #[inline]
    pub(super) fn zip_n<W>(self, n: usize, w: &'a [W]) -> impl Iterator<Item = (&'a W, &'a [X])> {
        w.iter().zip(self.x.chunks(self.stride)).map_while(move |(w, x)| Some((w, x.get(..n)?)))
    }
}

/// Width of the next tile where `left` columns are to do and a kernel takes up to `most`: as even as it goes, since two
/// tiles of five are faster than one of eight and one of two.
pub(super) fn width(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_cover_every_number_of_columns_evenly() {
        for most in [1, 4, 8] {
            for columns in 1..100 {
                let (mut left, mut tiles) = (columns, Vec::new());
                while left > 0 {
                    tiles.push(width(left, most));
                    left -= tiles[tiles.len() - 1];
                }
                assert_eq!(tiles.len(), columns.div_ceil(most));
                assert!(tiles.iter().all(|&n| n <= most && n + 1 >= tiles[0]), "{columns}: {tiles:?}");
            }
        }
    }
}
