//! The block formats of GGUF files: one row of a table and one file each.
//!
//! A tensor's row is a chain of blocks; a block holds [`Format::block_len`] consecutive values in
//! [`Format::block_bytes`] bytes. Layouts and formulas are those of ggml (`ggml-common.h`, `ggml-quants.c`); every
//! multi-byte field is little-endian. [`Format::dequantize`] gives the same bits as the Python package `gguf`.

mod float;
mod grids;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod octets;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tq1_0;
mod tq2_0;

pub use float::{BlockBF16, BlockF16, BlockF32};
pub use iq1_m::BlockIQ1M;
pub use iq1_s::BlockIQ1S;
pub use iq2_s::BlockIQ2S;
pub use iq2_xs::BlockIQ2XS;
pub use iq2_xxs::BlockIQ2XXS;
pub use iq3_s::BlockIQ3S;
pub use iq3_xxs::BlockIQ3XXS;
pub use iq4_nl::{BlockIQ4NL, IQ4_VALUES};
pub use iq4_xs::BlockIQ4XS;
pub use mxfp4::{BlockMXFP4, MXFP4_VALUES, e8m0_half};
pub use octets::{BIASED_ZERO, Octets};
pub use q2_k::BlockQ2K;
pub use q3_k::BlockQ3K;
pub use q4_0::BlockQ4_0;
pub use q4_1::BlockQ4_1;
pub use q4_k::{BlockQ4K, scales_and_mins};
pub use q5_0::BlockQ5_0;
pub use q5_1::BlockQ5_1;
pub use q5_k::BlockQ5K;
pub use q6_k::BlockQ6K;
pub use q8_0::BlockQ8_0;
pub use tq1_0::BlockTQ1_0;
pub use tq2_0::BlockTQ2_0;

use crate::activation::ActivationKind;

/// A format that this crate computes with. Other ids have a [`type_name`] only.
///
/// ```
/// use r1_kernels::Format;
/// let format = Format::from_id(12).unwrap();
/// assert_eq!((format, format.name()), (Format::Q4_K, "Q4_K"));
/// assert_eq!(format.row_bytes(1536), Some(864));
/// assert_eq!(format.row_bytes(1500), None);
/// ```
#[allow(non_camel_case_types, missing_docs)] // ggml's own names, documented by the blocks of the same name
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    TQ1_0,
    TQ2_0,
}

/// What the crate knows of one format.
struct Row {
    format: Format,
    id: u32,
    name: &'static str,
    block_len: usize,
    block_bytes: usize,
    activation: ActivationKind,
    dequantize: fn(&[u8], &mut [f32]),
}

/// In the order of [`Format`]'s variants, which index it.
#[rustfmt::skip]
static TABLE: [Row; 25] = {
    use ActivationKind::{F32, Q8x32, Q8x256};
    [
        row::<BlockF32>   (Format::F32,     0, "F32",    F32),
        row::<BlockF16>   (Format::F16,     1, "F16",    F32),
        row::<BlockBF16>  (Format::BF16,   30, "BF16",   F32),
        row::<BlockQ4_0>  (Format::Q4_0,    2, "Q4_0",   Q8x32),
        row::<BlockQ4_1>  (Format::Q4_1,    3, "Q4_1",   Q8x32),
        row::<BlockQ5_0>  (Format::Q5_0,    6, "Q5_0",   Q8x32),
        row::<BlockQ5_1>  (Format::Q5_1,    7, "Q5_1",   Q8x32),
        row::<BlockQ8_0>  (Format::Q8_0,    8, "Q8_0",   Q8x32),
        row::<BlockQ2K>   (Format::Q2_K,   10, "Q2_K",   Q8x256),
        row::<BlockQ3K>   (Format::Q3_K,   11, "Q3_K",   Q8x256),
        row::<BlockQ4K>   (Format::Q4_K,   12, "Q4_K",   Q8x256),
        row::<BlockQ5K>   (Format::Q5_K,   13, "Q5_K",   Q8x256),
        row::<BlockQ6K>   (Format::Q6_K,   14, "Q6_K",   Q8x256),
        row::<BlockIQ4NL> (Format::IQ4_NL, 20, "IQ4_NL", Q8x32),
        row::<BlockIQ4XS> (Format::IQ4_XS, 23, "IQ4_XS", Q8x256),
        row::<BlockMXFP4> (Format::MXFP4,  39, "MXFP4",  Q8x32),
        row::<BlockIQ1S>   (Format::IQ1_S,   19, "IQ1_S",  Q8x256),
        row::<BlockIQ1M>   (Format::IQ1_M,   29, "IQ1_M",  Q8x256),
        row::<BlockIQ2XXS> (Format::IQ2_XXS, 16, "IQ2_XXS",Q8x256),
        row::<BlockIQ2XS>  (Format::IQ2_XS,  17, "IQ2_XS", Q8x256),
        row::<BlockIQ2S>   (Format::IQ2_S,   22, "IQ2_S",  Q8x256),
        row::<BlockIQ3XXS> (Format::IQ3_XXS, 18, "IQ3_XXS",Q8x256),
        row::<BlockIQ3S>   (Format::IQ3_S,   21, "IQ3_S",  Q8x256),
        row::<BlockTQ1_0>  (Format::TQ1_0,   34, "TQ1_0",  Q8x256),
        row::<BlockTQ2_0>  (Format::TQ2_0,   35, "TQ2_0",  Q8x256),
    ]
};

const fn row<B: Block>(format: Format, id: u32, name: &'static str, activation: ActivationKind) -> Row {
    Row {
        format,
        id,
        name,
        block_len: B::LEN,
        block_bytes: size_of::<B>(),
        activation,
        dequantize: dequantize_blocks::<B>,
    }
}

// A row in the wrong place would read every tensor of two formats wrongly; the build fails instead.
const _: () = {
    let mut i = 0;
    while i < TABLE.len() {
        assert!(TABLE[i].format as usize == i);
        assert!(TABLE[i].block_len.is_multiple_of(TABLE[i].activation.block_len()));
        i += 1;
    }
};

impl Format {
    /// Every format, in the order of the variants.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.format)
    }

    /// The format of a ggml type id as GGUF files store it, or `None` where this crate has no arithmetic for it.
    pub fn from_id(id: u32) -> Option<Format> {
        TABLE.iter().find(|row| row.id == id).map(|row| row.format)
    }

    /// The ggml type id.
    pub fn id(self) -> u32 {
        self.row().id
    }

    /// ggml's name, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Values in a block: 1, 32 or 256.
    pub fn block_len(self) -> usize {
        self.row().block_len
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// Bytes of a row of `n` values; `None` where `n` is not a whole number of blocks or the size overflows.
    pub fn row_bytes(self, n: usize) -> Option<usize> {
        let Row { block_len, block_bytes, .. } = *self.row();
        if n.is_multiple_of(block_len) { (n / block_len).checked_mul(block_bytes) } else { None }
    }

    /// The form that activations take in a product with weights of this format.
    pub fn activation(self) -> ActivationKind {
        self.row().activation
    }

    /// Expands whole blocks: `bytes` is a chain of blocks, `out` receives `block_len` values for each.
    ///
    /// # Panics
    /// Where `bytes` is not exactly [`row_bytes`](Self::row_bytes)`(out.len())` long.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(Some(bytes.len()), self.row_bytes(out.len()), "{}: bytes and values differ in length", self.name());
        (self.row().dequantize)(bytes, out);
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The bytes of one block, as they lie in the file.
///
/// # Safety
/// The type is `repr(C)` and made of `u8` and `i8` arrays alone: alignment 1, no padding, every bit pattern valid.
pub unsafe trait Block: Copy + Send + Sync + 'static {
    /// Values in the block.
    const LEN: usize;

    /// Expands the block into `out`, which holds [`LEN`](Self::LEN) values.
    fn dequantize(&self, out: &mut [f32]);

    /// Views bytes as blocks; a trailing part of a block is left out.
    fn cast(bytes: &[u8]) -> &[Self] {
        const { assert!(align_of::<Self>() == 1 && size_of::<Self>() > 0) };
        let blocks = bytes.len() / size_of::<Self>();
        // SAFETY: the trait promises that any bytes are valid and need no alignment; `blocks` of them lie in `bytes`.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), blocks) }
    }
}

fn dequantize_blocks<B: Block>(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in B::cast(bytes).iter().zip(out.chunks_exact_mut(B::LEN)) {
        block.dequantize(out);
    }
}

/// The f32 value of two little-endian bytes of an IEEE f16.
#[inline]
pub fn f16_to_f32(bytes: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(bytes).to_f32()
}

/// ggml's name of a type id, for messages: also of types that this crate does not compute with and of ids that ggml
/// has retired. `None` for ids that were never given out.
pub fn type_name(id: u32) -> Option<&'static str> {
    Some(match id {
        4 => "Q4_2 (retired)",
        5 => "Q4_3 (retired)",
        9 => "Q8_1",
        15 => "Q8_K",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        31 => "Q4_0_4_4 (retired)",
        32 => "Q4_0_4_8 (retired)",
        33 => "Q4_0_8_8 (retired)",
        36 => "IQ4_NL_4_4 (retired)",
        37 => "IQ4_NL_4_8 (retired)",
        38 => "IQ4_NL_8_8 (retired)",
        40 => "NVFP4",
        41 => "Q1_0",
        42 => "Q2_0",
        _ => return Format::from_id(id).map(Format::name),
    })
}
