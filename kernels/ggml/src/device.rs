//! What computes.

use std::fmt;
use std::sync::Arc;

use crate::library::{Library, text};
use crate::table::{RawBufferType, RawDevice, RawTensor};
use crate::tensor::Home;
use crate::{Result, Tensor, Type};

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// ggml's own CPU code.
    Cpu,
    /// A GPU with memory of its own.
    Gpu,
    /// A GPU that shares the host's memory.
    IntegratedGpu,
    /// A helper of the CPU (BLAS, AMX), or something newer than this crate.
    Other,
}

/// A device that ggml found. It lives as long as the process.
#[derive(Clone)]
pub struct Device {
    library: Library,
    pub(crate) raw: *mut RawDevice,
}

// SAFETY: entries of ggml's registry; they stay where they are, and their functions may be called from any thread.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

impl Device {
    pub(crate) fn new(library: Library, raw: *mut RawDevice) -> Device {
        Device { library, raw }
    }

    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// Its name, such as `CUDA0`, `MTL0` or `CPU`.
    pub fn name(&self) -> String {
        // SAFETY: a live device; the text is copied.
        unsafe { text((self.library.0.table.ggml_backend_dev_name)(self.raw)) }
    }

    /// What it is, such as `NVIDIA H100 80GB HBM3`.
    pub fn description(&self) -> String {
        // SAFETY: as above.
        unsafe { text((self.library.0.table.ggml_backend_dev_description)(self.raw)) }
    }

    /// The backend that drives it, such as `CUDA`, `MTL`, `Vulkan`, `RPC` or `CPU`.
    pub fn backend_name(&self) -> String {
        let table = &self.library.0.table;
        // SAFETY: a live device belongs to a live registry entry.
        unsafe {
            let registry = (table.ggml_backend_dev_backend_reg)(self.raw);
            if registry.is_null() { String::new() } else { text((table.ggml_backend_reg_name)(registry)) }
        }
    }

    /// What kind of device it is.
    pub fn kind(&self) -> DeviceKind {
        // SAFETY: a live device.
        match unsafe { (self.library.0.table.ggml_backend_dev_type)(self.raw) } {
            0 => DeviceKind::Cpu,
            1 => DeviceKind::Gpu,
            2 => DeviceKind::IntegratedGpu,
            _ => DeviceKind::Other,
        }
    }

    /// Free and total memory in bytes; zeros where the device does not tell.
    pub fn memory(&self) -> (u64, u64) {
        let (mut free, mut total) = (0_usize, 0_usize);
        // SAFETY: a live device and two places to write to.
        unsafe { (self.library.0.table.ggml_backend_dev_memory)(self.raw, &mut free, &mut total) };
        (free as u64, total as u64)
    }

    /// Whether it can take rows out of a matrix of that type, as an embedding table needs.
    ///
    /// # Errors
    /// `Memory`.
    pub fn supports_get_rows(&self, ty: Type) -> Result<bool> {
        let library = self.library.clone();
        let ctx = library.context(3, 0)?;
        let home = Arc::new(Home { library, ctx, buffer: std::ptr::null_mut(), owner: None });
        let table = Tensor::create(&home, ty, [256, 8, 1, 1], "table")?;
        let rows = Tensor::create(&home, Type::I32, [1; 4], "rows")?;
        // SAFETY: two records of one context, which has room for a third.
        unsafe {
            let op = (home.library.0.table.ggml_get_rows)(ctx, table.raw, rows.raw);
            Ok(!op.is_null() && self.supports(op))
        }
    }

    /// Starts a queue of work on it. `threads` matters to ggml's CPU code only.
    ///
    /// # Errors
    /// `Failed` where the driver refuses.
    pub fn start(&self, threads: usize) -> Result<crate::Backend> {
        crate::Backend::new(self, threads)
    }

    /// Whether it is a device of the RPC server at `endpoint`.
    pub(crate) fn is_at(&self, endpoint: &str) -> bool {
        !endpoint.is_empty() && (self.name().contains(&format!("[{endpoint}]")) || self.description() == endpoint)
    }

    pub(crate) fn buffer_type(&self) -> *mut RawBufferType {
        // SAFETY: a live device.
        unsafe { (self.library.0.table.ggml_backend_dev_buffer_type)(self.raw) }
    }

    pub(crate) fn host_buffer_type(&self) -> Option<*mut RawBufferType> {
        // SAFETY: a live device.
        let buft = unsafe { (self.library.0.table.ggml_backend_dev_host_buffer_type)(self.raw) };
        (!buft.is_null()).then_some(buft)
    }

    /// # Safety
    /// `op` is a live node whose sources are live.
    pub(crate) unsafe fn supports(&self, op: *const RawTensor) -> bool {
        // SAFETY: the caller's promise.
        unsafe { (self.library.0.table.ggml_backend_dev_supports_op)(self.raw, op) }
    }
}
