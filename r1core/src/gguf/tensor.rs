//! What the header says about one tensor.

use crate::{Error, ErrorKind, Result};
use r1_kernels::Format;

/// Name, shape, type and place of one tensor. Its bytes come from [`Gguf::data`](super::Gguf::data).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub(super) name: String,
    pub(super) dims: [u64; MAX_DIMS],
    pub(super) n_dims: u8,
    pub(super) type_id: u32,
    /// From the start of its file, not of the data section.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) part: u32,
}

/// Dimensions that a tensor has at most.
pub(super) const MAX_DIMS: usize = 4;

impl TensorInfo {
    /// The name, for example `blk.0.attn_q.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One to four non-zero dimensions in ggml order: `dims()[0]` is the length of a row, which varies fastest.
    pub fn dims(&self) -> &[u64] {
        self.dims.get(..usize::from(self.n_dims)).unwrap_or(&self.dims)
    }

    /// Number of values: the product of the dimensions.
    pub fn elements(&self) -> u64 {
        // Checked when the header was read.
        self.dims().iter().product()
    }

    /// ggml's number for the type of the values.
    pub fn type_id(&self) -> u32 {
        self.type_id
    }

    /// ggml's name for the type of the values, for example `Q4_K`.
    pub fn type_name(&self) -> &'static str {
        r1_kernels::type_name(self.type_id).unwrap_or("unknown")
    }

    /// The block format of the values.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a type that ggml knows and this library does not compute with.
    pub fn format(&self) -> Result<Format> {
        Format::from_id(self.type_id).ok_or_else(|| {
            let message = format!("tensor type {} (id {}) is not supported", self.type_name(), self.type_id);
            Error::new(ErrorKind::Unsupported, message)
                .tensor(&self.name)
                .remedy("use another quantisation of the model")
        })
    }

    /// Bytes of the values in the file, without padding.
    pub fn byte_len(&self) -> u64 {
        self.bytes
    }

    /// Where the values start, from the start of the file that holds them.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Which of [`Gguf::parts`](super::Gguf::parts) holds the values.
    pub fn part(&self) -> usize {
        self.part as usize
    }
}

/// Values and bytes of one block of a ggml type, for every type with a known layout.
pub(super) fn block_layout(type_id: u32) -> Option<(u64, u64)> {
    Some(match type_id {
        0 => (1, 4),      // F32
        1 => (1, 2),      // F16
        2 => (32, 18),    // Q4_0
        3 => (32, 20),    // Q4_1
        6 => (32, 22),    // Q5_0
        7 => (32, 24),    // Q5_1
        8 => (32, 34),    // Q8_0
        9 => (32, 36),    // Q8_1
        10 => (256, 84),  // Q2_K
        11 => (256, 110), // Q3_K
        12 => (256, 144), // Q4_K
        13 => (256, 176), // Q5_K
        14 => (256, 210), // Q6_K
        15 => (256, 292), // Q8_K
        16 => (256, 66),  // IQ2_XXS
        17 => (256, 74),  // IQ2_XS
        18 => (256, 98),  // IQ3_XXS
        19 => (256, 50),  // IQ1_S
        20 => (32, 18),   // IQ4_NL
        21 => (256, 110), // IQ3_S
        22 => (256, 82),  // IQ2_S
        23 => (256, 136), // IQ4_XS
        24 => (1, 1),     // I8
        25 => (1, 2),     // I16
        26 => (1, 4),     // I32
        27 => (1, 8),     // I64
        28 => (1, 8),     // F64
        29 => (256, 56),  // IQ1_M
        30 => (1, 2),     // BF16
        34 => (256, 54),  // TQ1_0
        35 => (256, 66),  // TQ2_0
        39 => (32, 17),   // MXFP4
        40 => (64, 36),   // NVFP4
        41 => (128, 18),  // Q1_0
        42 => (64, 18),   // Q2_0
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_with_a_layout_has_a_name_and_agrees_with_the_kernels() {
        for id in 0..64 {
            let Some((len, bytes)) = block_layout(id) else {
                assert!(Format::from_id(id).is_none(), "type {id} has kernels but no layout");
                continue;
            };
            assert!(r1_kernels::type_name(id).is_some(), "type {id} has no name");
            if let Some(format) = Format::from_id(id) {
                assert_eq!((format.block_len() as u64, format.block_bytes() as u64), (len, bytes), "{format:?}");
            }
        }
    }
}
