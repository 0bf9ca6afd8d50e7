//! Causal multi-head latent attention (DeepSeek-V2) over a paged cache of rows that all heads share.
//!
//! A position is one row, `[latent | rope]`. A query scores with the whole row and reads the latent part, so scores and
//! weighted sums of many heads are small matrix products with the same page.
//!
//! What a result is: the score of a key is one chain of fused multiply-adds, ascending over the row. Each page of keys
//! has its greatest score, its exponentials and their sum (sixteen lanes by the key's slot), and its weighted latents,
//! one chain each, keys ascending. Pages are joined by their log-sum-exp in ascending order to spans of eight, and spans
//! to the result. So a result depends on the query, the rows and the position alone, whoever computes the pages and with
//! whatever other queries. Rows after the query's position are never read into a sum, so that stale slots cannot leak.

mod batch;
mod kernel;
mod tile;

pub use batch::{LatentBuffers, attend_latent};

use super::page::{PAGE, Q8Rows};

/// Pages that are joined before the spans are.
const SPAN: usize = 8;

/// Queries that share the pages of one pass.
const TILE: usize = 32;

/// Latent attention of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatentShape {
    /// Query heads.
    pub heads: usize,
    /// Values of a row that are read; the first ones.
    pub latent: usize,
    /// Values of a row that are only scored with; the last ones.
    pub rope: usize,
    /// Multiplies every score; queries are given unscaled.
    pub scale: f32,
}

/// One page of a layer: rows `[64][latent + rope]`, as [`store_v`](super::store_v) and
/// [`store_v_q8`](super::store_v_q8) write them. Slots that no position has reached yet may hold anything, NaN included.
#[derive(Debug, Clone, Copy)]
pub enum LatentPage<'a> {
    /// IEEE half precision, as bits.
    F16(&'a [u16]),
    /// Single precision.
    F32(&'a [f32]),
    /// Codes of 8 bits, and scales `[64][(latent + rope) / 32, rounded up]`.
    Q8_0(Q8Rows<'a>),
}

impl LatentShape {
    /// Values of a row, and of a query.
    pub fn row(&self) -> usize {
        self.latent + self.rope
    }

    /// A row in whole vectors.
    fn wide_row(&self) -> usize {
        self.row().next_multiple_of(16)
    }

    /// A weighted sum of latents in whole vectors; what is beyond the latents has no meaning.
    fn wide_latent(&self) -> usize {
        self.latent.next_multiple_of(16)
    }

    /// Floats of a query's partial result: the weighted sum, the greatest score, the sum of the weights.
    fn stride(&self) -> usize {
        self.wide_latent() + 2
    }

    /// Heads of a tile, which may be fewer in a row's last tile.
    fn tile_heads(&self) -> usize {
        self.heads.min(TILE)
    }

    /// Tiles that the heads of a row are cut into.
    fn tiles(&self) -> usize {
        self.heads.div_ceil(self.tile_heads())
    }

    /// Rows of a tile: several where heads are few.
    fn tile_rows(&self) -> usize {
        (TILE / self.heads).max(1)
    }
}

/// Pages that hold the positions up to and including `position`.
fn pages_of(position: usize) -> usize {
    position / PAGE + 1
}
