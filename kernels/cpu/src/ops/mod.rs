//! Float operations of a transformer layer.
//!
//! Every operation is written once, over sixteen virtual lanes (`lanes.rs`), and compiled for each
//! [`Level`](crate::Level): lane l takes the elements l, l + 16, l + 32, ... in ascending order, and a fixed tree joins
//! the lanes. So all levels give the same bits (a NaN is a NaN; its payload is not specified). Results depend on the
//! operands alone: never on threads, batch or tile sizes.

mod add;
mod attention;
mod batch;
mod exp;
mod gate;
mod lanes;
mod latent;
#[cfg(target_arch = "aarch64")]
mod neon;
mod norm;
mod page;
mod reduce;
mod rope;
mod softmax;
mod split;
mod tile;

pub use add::{add, add_scaled, scale, soft_cap};
pub use attention::{AttentionScratch, AttentionShape, SPLIT, attend, attend_rows, attend_split, merge};
pub use batch::{AttentionBuffers, AttentionRun, attend_batch};
pub use exp::{exp, exp_slice};
pub use gate::{gelu, gelu_mul, sigmoid, silu, silu_mul};
pub use latent::{LatentBuffers, LatentPage, LatentShape, attend_latent};
pub use norm::{rms_norm, rms_norm_heads};
pub(crate) use norm::{rms_scale, scale_by};
pub use page::{KvElement, KvSlice, PAGE, Q8_BLOCK, Q8Rows, store_k, store_k_q8, store_v, store_v_q8};
pub use reduce::{argmax, dot, max, sum_exp};
pub use rope::{Rope, RopeKind, RopeScaling};
pub use softmax::softmax_slice;
