//! Tensors: ggml's record, its shape as it is checked here, and what keeps its memory alive.

use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;

use crate::error::shape;
use crate::library::Library;
use crate::table::{Context, RawBuffer, RawTensor};
use crate::{Error, Result};

/// The type of a tensor's values, by ggml's number, which is GGUF's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Type(pub(crate) c_int);

impl Type {
    /// Single precision.
    pub const F32: Type = Type(0);
    /// Half precision.
    pub const F16: Type = Type(1);
    /// Blocks of 32 8-bit values with a scale.
    pub const Q8_0: Type = Type(8);
    /// 32-bit integers.
    pub const I32: Type = Type(26);
    /// 64-bit integers.
    pub const I64: Type = Type(27);

    /// The type that GGUF files give this number, where every supported ggml stores it the same way: F32, F16, BF16, and
    /// the legacy, K, IQ, ternary and MXFP4 block formats.
    pub fn from_gguf(id: u32) -> Option<Type> {
        let known = matches!(id, 0..=3 | 6..=8 | 10..=14 | 16..=23 | 29 | 30 | 34 | 35 | 39);
        known.then_some(Type(id as c_int))
    }

    /// Values in a block and bytes of a block.
    pub(crate) fn block(self, library: &Library) -> (i64, usize) {
        // SAFETY: every `Type` is a number that all supported versions define.
        unsafe { ((library.0.table.ggml_blck_size)(self.0), (library.0.table.ggml_type_size)(self.0)) }
    }
}

/// Memory and records of tensors, freed with the last tensor or graph that refers to them.
pub(crate) struct Home {
    pub(crate) library: Library,
    pub(crate) ctx: *mut Context,
    /// NULL in a graph's home.
    pub(crate) buffer: *mut RawBuffer,
    /// The backend that alone may use it; `None` where nothing is written any more.
    pub(crate) owner: Option<u64>,
}

// SAFETY: records and buffers are plain memory. Records are written only while their home is being made (`&mut`), and
// the data only through the backend that owns it (`&mut Backend`); without an owner nothing is written.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

impl Drop for Home {
    fn drop(&mut self) {
        let table = &self.library.0.table;
        // SAFETY: made by the matching functions, and nothing refers to them any more.
        unsafe {
            if !self.buffer.is_null() {
                (table.ggml_backend_buffer_free)(self.buffer);
            }
            (table.ggml_free)(self.ctx);
        }
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A tensor of up to four dimensions, the fastest first.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub(crate) raw: *mut RawTensor,
    pub(crate) ty: Type,
    pub(crate) ne: [i64; 4],
    /// Bytes between neighbours in each dimension.
    pub(crate) nb: [usize; 4],
    pub(crate) home: Arc<Home>,
    /// For row indices: all lie below it.
    pub(crate) bound: Option<i64>,
    /// For a graph's inputs: which.
    pub(crate) input: Option<usize>,
}

// SAFETY: the record that `raw` points to lives as long as `home`, and is not written once the tensor exists.
unsafe impl Send for Tensor {}
// SAFETY: as above.
unsafe impl Sync for Tensor {}

impl Tensor {
    /// The type of its values.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Its dimensions.
    pub fn dims(&self) -> [i64; 4] {
        self.ne
    }

    /// Values in all.
    pub fn elements(&self) -> i64 {
        self.ne.iter().product()
    }

    /// Bytes from its first value to the end of its last.
    pub fn bytes(&self) -> usize {
        // SAFETY: a live record.
        unsafe { (self.home.library.0.table.ggml_nbytes)(self.raw) }
    }

    /// Bytes between neighbours in dimension `i`.
    pub fn stride(&self, i: usize) -> usize {
        self.nb.get(i).copied().unwrap_or_default()
    }

    /// A fresh record in `ctx`, which has room for it.
    pub(crate) fn create(home: &Arc<Home>, ty: Type, ne: [i64; 4], name: &str) -> Result<Tensor> {
        let nb = strides(&home.library, ty, ne)?;
        let table = &home.library.0.table;
        let name: Vec<u8> = name.bytes().filter(|b| *b != 0).take(60).chain([0]).collect();
        // SAFETY: a live context with room; four dimensions whose product was checked; the name ends with NUL.
        let raw = unsafe {
            let raw = (table.ggml_new_tensor)(home.ctx, ty.0, 4, ne.as_ptr());
            if !raw.is_null() {
                (table.ggml_set_name)(raw, name.as_ptr().cast());
            }
            raw
        };
        if raw.is_null() {
            return Err(Error::Memory { what: "a tensor's record", bytes: 0 });
        }
        Ok(Tensor { raw, ty, ne, nb, home: Arc::clone(home), bound: None, input: None })
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        strides(&self.home.library, self.ty, self.ne).is_ok_and(|nb| {
            // A dimension of one has no neighbours.
            (0..4).all(|i| self.ne[i] == 1 && i > 0 || nb[i] == self.nb[i])
        })
    }

    /// Whether the values of a row lie side by side.
    pub(crate) fn has_whole_rows(&self) -> bool {
        self.nb[0] == self.ty.block(&self.home.library).1
    }

    pub(crate) fn is_transposed(&self) -> bool {
        self.nb[0] > self.nb[1]
    }
}

/// Bytes between neighbours of a tensor without gaps; fails where its size overflows or rows are not whole blocks.
pub(crate) fn strides(library: &Library, ty: Type, ne: [i64; 4]) -> Result<[usize; 4]> {
    let (block, size) = ty.block(library);
    if ne.iter().any(|n| *n < 1) || block < 1 || ne[0] % block != 0 {
        return shape(format!("{ne:?} values of type {} are no tensor of whole blocks of {block}", ty.0));
    }
    let too_large = || Error::Shape(format!("a tensor of {ne:?} values is too large"));
    let mut nb = [size; 4];
    nb[1] = usize::try_from(ne[0] / block).ok().and_then(|n| n.checked_mul(size)).ok_or_else(too_large)?;
    for i in 2..4 {
        nb[i] = usize::try_from(ne[i - 1]).ok().and_then(|n| n.checked_mul(nb[i - 1])).ok_or_else(too_large)?;
    }
    // The last product too, and with room for what allocators add.
    let bytes = usize::try_from(ne[3]).ok().and_then(|n| n.checked_mul(nb[3])).filter(|n| *n < usize::MAX / 4);
    bytes.ok_or_else(too_large)?;
    Ok(nb)
}
