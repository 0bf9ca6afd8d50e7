//! The one place that calls a kernel: by format and instruction set.

use super::layout::*;
#[cfg(target_arch = "aarch64")]
use super::neon::{self, Kernel as _};
use super::scalar;
use super::tile::{COLUMNS, Columns, Tile};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::activation::Activations;
use crate::format::*;
use crate::isa::{Isa, Level};

/// Most columns of a tile: AVX2 has half the registers of AVX-512, plain NEON needs some for what it lacks.
pub(super) fn tile_width(isa: Isa) -> usize {
    match isa.level() {
        Level::Avx2 | Level::Neon => 4,
        Level::Avx512 | Level::NeonDot | Level::NeonI8mm | Level::Scalar => COLUMNS,
    }
}

/// Some neighbouring blocks of one row group, packed.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) format: Format,
    pub(super) bytes: &'a [u8],
    /// Which blocks of the group's rows they are.
    pub(super) first: usize,
    pub(super) count: usize,
}

/// Adds to `out`, where it has [begun](Tile::begun), or writes to it the product of `w` and columns `first .. first + n` of `x`; `n` is at most [`tile_width`].
pub(super) fn tile(isa: Isa, w: Weights<'_>, x: &Activations, first: usize, n: usize, out: &mut Tile<'_>) {
    let columns = x.columns();
    if w.count == 0 || !matches!(isa.level(), Level::Avx512 | Level::Avx2) {
        out.begin_with_zeros();
    }
    macro_rules! call {
        ($kernel:ident, $packed:ty, $x:expr) => {{
            // Padding may have room for more small blocks than there are.
            let blocks = &<$packed>::cast(w.bytes)[..w.count];
            let x = Columns::new($x, columns, w.first * columns + first);
            match isa.level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `isa` proves that the processor has the features.
                Level::Avx512 => unsafe { avx512::Kernel::tile(blocks, x, n, out) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `isa` proves that the processor has the features.
                Level::Avx2 => unsafe { avx2::Kernel::tile(blocks, x, n, out) },
                #[cfg(target_arch = "aarch64")]
                Level::Neon => <$packed>::tile(neon::Plain, blocks, x, n, out),
                #[cfg(target_arch = "aarch64")]
                // SAFETY: `isa` proves that the processor has the features.
                Level::NeonI8mm if n > 1 => <$packed>::tile(unsafe { neon::I8mm::new() }, blocks, x, n, out),
                #[cfg(target_arch = "aarch64")]
                // SAFETY: `isa` proves that the processor has the features; one column has no neighbour to share with.
                Level::NeonDot | Level::NeonI8mm => <$packed>::tile(unsafe { neon::Dot::new() }, blocks, x, n, out),
                _ => scalar::$kernel(blocks, x, n, out),
            }
        }};
    }
    match w.format {
        Format::F32 => call!(floats, PackedF32, x.f32s()),
        Format::F16 => call!(floats, PackedF16, x.f32s()),
        Format::BF16 => call!(floats, PackedBF16, x.f32s()),
        Format::Q4_0 => call!(small, PackedQ4_0, x.q8x32()),
        Format::Q4_1 => call!(small, PackedQ4_1, x.q8x32()),
        Format::Q5_0 => call!(small, PackedQ5_0, x.q8x32()),
        Format::Q5_1 => call!(small, PackedQ5_1, x.q8x32()),
        Format::Q8_0 => call!(small, PackedQ8_0, x.q8x32()),
        Format::IQ4_NL => call!(small, PackedIQ4NL, x.q8x32()),
        Format::MXFP4 => call!(small, PackedMXFP4, x.q8x32()),
        Format::Q2_K => call!(large, PackedQ2K, x.q8x256()),
        Format::Q3_K => call!(large, PackedQ3K, x.q8x256()),
        Format::Q4_K => call!(large, PackedQ4K, x.q8x256()),
        Format::Q5_K => call!(large, PackedQ5K, x.q8x256()),
        Format::Q6_K => call!(large, PackedQ6K, x.q8x256()),
        Format::IQ4_XS => call!(large, PackedIQ4XS, x.q8x256()),
        Format::IQ1_S => call!(large, Stacked<BlockIQ1S>, x.q8x256()),
        Format::IQ1_M => call!(large, Stacked<BlockIQ1M>, x.q8x256()),
        Format::IQ2_XXS => call!(large, Stacked<BlockIQ2XXS>, x.q8x256()),
        Format::IQ2_XS => call!(large, Stacked<BlockIQ2XS>, x.q8x256()),
        Format::IQ2_S => call!(large, Stacked<BlockIQ2S>, x.q8x256()),
        Format::IQ3_XXS => call!(large, Stacked<BlockIQ3XXS>, x.q8x256()),
        Format::IQ3_S => call!(large, Stacked<BlockIQ3S>, x.q8x256()),
        Format::TQ1_0 => call!(large, Stacked<BlockTQ1_0>, x.q8x256()),
        Format::TQ2_0 => call!(large, Stacked<BlockTQ2_0>, x.q8x256()),
    }
}
