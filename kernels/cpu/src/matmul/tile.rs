//! A tile: the product of one row group and a few neighbouring columns, the unit of work of every kernel.

use super::layout::ROWS;

/// Most columns of a tile.
pub(super) const COLUMNS: usize = 8;

/// Results of a tile, `[column][row]`.
pub(super) type Tile = [[f32; ROWS]; COLUMNS];

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
    #[inline]
    pub(super) fn zip<W, const N: usize>(self, w: &'a [W]) -> impl Iterator<Item = (&'a W, &'a [X; N])> {
        w.iter().zip(self.x.chunks(self.stride)).map_while(|(w, x)| Some((w, x.first_chunk()?)))
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
