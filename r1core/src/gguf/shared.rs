//! Tensor bytes that outlive the borrow of their model.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{Gguf, Part, TensorInfo};
use crate::{Error, ErrorKind, Result};
use r1_kernels::SharedBytes;

/// A part of a model whose bytes are in memory.
struct PartBytes {
    gguf: Arc<Gguf>,
    part: usize,
}

impl AsRef<[u8]> for PartBytes {
    fn as_ref(&self) -> &[u8] {
        self.gguf.parts().get(self.part).and_then(|part| part.bytes()).unwrap_or_default()
    }
}

impl Gguf {
    /// Lets the system take back the memory behind some bytes of a tensor, which will hardly be looked at again. They
    /// stay readable.
    pub(crate) fn release(&self, tensor: &TensorInfo, range: Range<u64>) {
        if let Some((part, range)) = self.bounds(tensor, range) {
            part.release(range);
        }
    }

    /// Has the system begin to read some bytes of a tensor where they are mapped and not in memory yet.
    pub(crate) fn prefetch(&self, tensor: &TensorInfo, range: Range<u64>) {
        if let Some((part, range)) = self.bounds(tensor, range) {
            part.prefetch(range);
        }
    }

    fn bounds(&self, tensor: &TensorInfo, range: Range<u64>) -> Option<(&Part, Range<u64>)> {
        let part = self.parts().get(tensor.part())?;
        Some((part, tensor.offset.checked_add(range.start)?..tensor.offset.checked_add(range.end)?))
    }

    /// The bytes of a tensor, as a range of bytes that may be kept: of the mapping or the memory block where there is
    /// one, else of a copy that is read now.
    pub(crate) fn shared(self: &Arc<Self>, tensor: &TensorInfo) -> Result<(SharedBytes, Range<usize>)> {
        match self.data(tensor)? {
            Cow::Owned(copy) => {
                let all = 0..copy.len();
                Ok((Arc::new(copy), all))
            }
            Cow::Borrowed(bytes) => {
                let start = usize::try_from(tensor.offset).ok();
                let range = start.and_then(|start| Some(start..start.checked_add(bytes.len())?));
                let range = range
                    .ok_or_else(|| Error::new(ErrorKind::Internal, "tensor out of memory").tensor(tensor.name()))?;
                Ok((Arc::new(PartBytes { gguf: Arc::clone(self), part: tensor.part() }), range))
            }
        }
    }
}
