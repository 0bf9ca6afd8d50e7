//! Host memory that a device reaches fast, and device memory for a graph's inputs.

use std::sync::Arc;

use crate::Result;
use crate::device::Device;
use crate::error::Error;
use crate::library::Library;
use crate::table::RawBuffer;

/// A buffer that is freed with its last owner.
pub(crate) struct Buffer {
    library: Library,
    pub(crate) raw: *mut RawBuffer,
    pub(crate) base: *mut u8,
    pub(crate) len: usize,
}

// SAFETY: plain memory; who may read and write it is decided by its owners.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` bytes of the device's own memory.
    pub(crate) fn on(device: &Device, len: usize) -> Result<Arc<Buffer>> {
        Buffer::new(device.library(), device.buffer_type(), len)
            .map(Arc::new)
            .ok_or(Error::Memory { what: "inputs", bytes: len })
    }

    fn new(library: &Library, buft: *mut crate::table::RawBufferType, len: usize) -> Option<Buffer> {
        let table = &library.0.table;
        // SAFETY: a live buffer type.
        unsafe {
            let raw = (table.ggml_backend_buft_alloc_buffer)(buft, len.max(1));
            if raw.is_null() {
                return None;
            }
            let buffer = Buffer {
                library: library.clone(),
                raw,
                base: (table.ggml_backend_buffer_get_base)(raw).cast(),
                len: (table.ggml_backend_buffer_get_size)(raw),
            };
            (!buffer.base.is_null()).then_some(buffer)
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: a live buffer that nobody uses any more.
        unsafe { (self.library.0.table.ggml_backend_buffer_free)(self.raw) };
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Bytes in main memory, pinned where the device transfers faster from pinned memory.
#[derive(Debug)]
pub struct HostMemory {
    memory: Memory,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Pinned(Buffer),
    /// `u64` for the alignment.
    Plain(Vec<u64>),
}

impl HostMemory {
    /// `len` zeroed bytes for transfers to and from `device`.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(device: &Device, len: usize) -> Result<HostMemory> {
        if let Some(buft) = device.host_buffer_type()
            && let Some(buffer) = Buffer::new(device.library(), buft, len)
            && buffer.len >= len
            && buffer.base.cast::<u64>().is_aligned()
        {
            // SAFETY: host memory of that length, which nobody else has seen.
            unsafe { buffer.base.write_bytes(0, len) };
            return Ok(HostMemory { memory: Memory::Pinned(buffer), len });
        }
        let mut plain = Vec::new();
        plain.try_reserve_exact(len.div_ceil(8)).map_err(|_| Error::Memory { what: "transfers", bytes: len })?;
        plain.resize(len.div_ceil(8), 0);
        Ok(HostMemory { memory: Memory::Plain(plain), len })
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        let base = match &self.memory {
            Memory::Pinned(buffer) => buffer.base.cast_const(),
            Memory::Plain(plain) => plain.as_ptr().cast(),
        };
        // SAFETY: `len` initialised bytes that live as long as `self`, whose borrow keeps writers out.
        unsafe { std::slice::from_raw_parts(base, self.len) }
    }

    /// Its bytes, for writing.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let base = match &mut self.memory {
            Memory::Pinned(buffer) => buffer.base,
            Memory::Plain(plain) => plain.as_mut_ptr().cast(),
        };
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(base, self.len) }
    }

    /// The bytes from `offset` on as `count` values; `None` where they do not lie inside or are not aligned.
    pub fn values<T: Element>(&self, offset: usize, count: usize) -> Option<&[T]> {
        let bytes = self.as_slice().get(offset..offset.checked_add(count.checked_mul(size_of::<T>())?)?)?;
        // SAFETY: every bit pattern is an `Element`; alignment is checked by `align_to`.
        let (before, values, _) = unsafe { bytes.align_to::<T>() };
        (before.is_empty() && values.len() == count).then_some(values)
    }

    /// As [`HostMemory::values`], for writing.
    pub fn values_mut<T: Element>(&mut self, offset: usize, count: usize) -> Option<&mut [T]> {
        let bytes = self.as_mut_slice().get_mut(offset..offset.checked_add(count.checked_mul(size_of::<T>())?)?)?;
        // SAFETY: as above.
        let (before, values, _) = unsafe { bytes.align_to_mut::<T>() };
        (before.is_empty() && values.len() == count).then_some(values)
    }
}

/// Values of which every bit pattern is one.
pub trait Element: Copy + sealed::Sealed + 'static {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for u16 {}
    impl Sealed for u8 {}
}

impl Element for f32 {}
impl Element for i32 {}
impl Element for i64 {}
/// Bits of half precision.
impl Element for u16 {}
impl Element for u8 {}
