//! Where tensors lie in their file.

use super::TensorInfo;
use crate::{Error, ErrorKind, Result};

/// Checks that the tensors of one file are aligned and do not overlap and, when `len` is given, that they lie within
/// the first `len` bytes. Holes and trailing bytes are allowed.
///
/// The data section starts on the alignment, so absolute offsets are aligned when relative ones are.
pub(super) fn check(tensors: &[TensorInfo], alignment: u64, len: Option<u64>) -> Result<()> {
    for tensor in tensors {
        if !tensor.offset.is_multiple_of(alignment) {
            let message = format!("its data at byte {} is not aligned to {alignment}", tensor.offset);
            return Err(Error::new(ErrorKind::Malformed, message).tensor(&tensor.name));
        }
        let end = tensor.offset.checked_add(tensor.bytes).ok_or_else(|| {
            let message = format!("its data at byte {} is beyond any file", tensor.offset);
            Error::new(ErrorKind::Malformed, message).tensor(&tensor.name)
        })?;
        if let Some(len) = len.filter(|&len| end > len) {
            let message =
                format!("its {} bytes at byte {} end past the end of the file at {len}", tensor.bytes, tensor.offset);
            let error = Error::new(ErrorKind::Malformed, message).tensor(&tensor.name);
            return Err(error.remedy("get the file again, it is incomplete"));
        }
    }
    let mut order: Vec<&TensorInfo> = tensors.iter().collect();
    order.sort_unstable_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        let [before, after] = pair else { continue };
        if before.offset + before.bytes > after.offset {
            let message = format!("its data at byte {} overlaps tensor '{}'", after.offset, before.name);
            return Err(Error::new(ErrorKind::Malformed, message).tensor(&after.name));
        }
    }
    Ok(())
}
