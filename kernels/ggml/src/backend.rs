//! A queue of work on a device.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer::Element;
use crate::device::Device;
use crate::error::shape;
use crate::graph::{Allocator, Graph, GraphBuilder};
use crate::table::{RawBackend, named};
use crate::{Error, Result, Tensor};

/// One queue of work on a device, used by one thread at a time. What is given to it runs in order.
#[derive(Debug)]
pub struct Backend {
    device: Device,
    raw: *mut RawBackend,
    id: u64,
    /// Work may still be running.
    busy: bool,
}

// SAFETY: backends may move between threads; `&mut` sees to one at a time.
unsafe impl Send for Backend {}

impl Backend {
    pub(crate) fn new(device: &Device, threads: usize) -> Result<Backend> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let table = &device.library().0.table;
        // SAFETY: a live device; NULL asks for the defaults.
        let raw = unsafe { (table.ggml_backend_dev_init)(device.raw, std::ptr::null()) };
        if raw.is_null() {
            return Err(Error::Failed(format!("{} does not start", device.name())));
        }
        // SAFETY: the registry entry of a live device; the function has the type that ggml-backend.h gives that name.
        unsafe {
            let registry = (table.ggml_backend_dev_backend_reg)(device.raw);
            if !registry.is_null() {
                let set = (table.ggml_backend_reg_get_proc_address)(registry, c"ggml_backend_set_n_threads".as_ptr());
                if !set.is_null() {
                    let set = std::mem::transmute::<*mut c_void, named::ggml_backend_set_n_threads>(set);
                    set(raw, threads.clamp(1, 512) as c_int);
                }
            }
        }
        Ok(Backend { device: device.clone(), raw, id: NEXT.fetch_add(1, Ordering::Relaxed), busy: false })
    }

    /// The device that it works on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Gives a recorded graph memory from `allocator`, after checking that the device can run all of it.
    ///
    /// # Errors
    /// `Unsupported` with the operation; `Memory`; `Shape` for a graph or an allocator of another backend.
    pub fn plan(&mut self, builder: GraphBuilder, allocator: &mut Allocator) -> Result<Graph> {
        // Memory that is replaced must not be in use.
        self.synchronize();
        allocator.plan(builder)
    }

    /// The values of an input of `graph`, to be written before [`Backend::compute`]. `u16` holds the bits of F16.
    ///
    /// # Errors
    /// `Shape` for another tensor, another type, or a graph whose memory was replaced.
    pub fn write<'a, T: Element>(
        &mut self,
        allocator: &'a mut Allocator,
        graph: &Graph,
        input: &Tensor,
    ) -> Result<&'a mut [T]> {
        // The last run's transfer may still read them.
        self.synchronize();
        allocator.input(graph, input)
    }

    /// Sends the inputs and starts the graph. Returns before it has finished where the device works on its own.
    ///
    /// # Errors
    /// `Shape` for a graph of another backend, one whose memory was replaced, or row indices out of bounds; `Failed`
    /// where the device refuses.
    pub fn compute(&mut self, allocator: &Allocator, graph: &mut Graph) -> Result<()> {
        if graph.backend != self.id || !allocator.holds(graph) {
            return shape("the graph's memory was replaced, or belongs to another backend");
        }
        allocator.check_indices(graph)?;
        let table = &self.device.library().0.table;
        let Some(staged) = allocator.staged(graph) else { return shape("inputs outside their memory") };
        self.busy = true;
        // SAFETY: the span record covers `len` bytes of live device memory; `staged` has as many and is not written
        // before the next `synchronize`. The graph, its operands and its memory are alive and used by this backend alone.
        let status = unsafe {
            if !staged.is_empty() {
                (table.ggml_backend_tensor_set_async)(self.raw, graph.span, staged.as_ptr().cast(), 0, staged.len());
            }
            (table.ggml_backend_graph_compute_async)(self.raw, graph.raw)
        };
        match status {
            0 => Ok(()),
            -2 => Err(Error::Memory { what: "a run", bytes: 0 }),
            status => Err(Error::Failed(format!("{} failed to compute (status {status})", self.device.name()))),
        }
    }

    /// Waits for all work, then copies parts of a tensor: for each of `parts`, the bytes from `offset` on into `out`.
    ///
    /// # Errors
    /// `Shape` where a range does not lie inside the tensor, or it belongs to another backend.
    pub fn read(&mut self, tensor: &Tensor, parts: &mut [(usize, &mut [u8])]) -> Result<()> {
        let mut parts: Vec<_> = parts.iter_mut().map(|(offset, out)| (tensor, *offset, &mut **out)).collect();
        self.read_all(&mut parts)
    }

    /// As [`Backend::read`], for parts of several tensors.
    ///
    /// # Errors
    /// As [`Backend::read`].
    pub fn read_all(&mut self, parts: &mut [(&Tensor, usize, &mut [u8])]) -> Result<()> {
        for (tensor, offset, out) in &*parts {
            if tensor.home.owner.is_some_and(|owner| owner != self.id) {
                return shape("the tensor belongs to another backend");
            }
            if offset.checked_add(out.len()).is_none_or(|end| end > tensor.bytes()) {
                return shape("a part outside the tensor");
            }
        }
        let table = &self.device.library().0.table;
        self.busy = true;
        for (tensor, offset, out) in parts.iter_mut().filter(|(_, _, out)| !out.is_empty()) {
            // SAFETY: ranges were checked; `out` is not touched before the wait below.
            unsafe {
                (table.ggml_backend_tensor_get_async)(
                    self.raw,
                    tensor.raw,
                    out.as_mut_ptr().cast(),
                    *offset,
                    out.len(),
                );
            }
        }
        self.synchronize();
        Ok(())
    }

    /// Copies bytes to a tensor that this backend owns, from byte `offset` of it.
    ///
    /// # Errors
    /// `Shape` where the bytes do not lie inside the tensor, or it belongs to another backend or to none.
    pub fn put(&mut self, tensor: &Tensor, offset: usize, data: &[u8]) -> Result<()> {
        if tensor.home.owner != Some(self.id) || tensor.home.buffer.is_null() {
            return shape("the tensor does not belong to this backend");
        }
        if offset.checked_add(data.len()).is_none_or(|end| end > tensor.bytes()) {
            return shape("bytes outside the tensor");
        }
        self.synchronize();
        let table = &self.device.library().0.table;
        // SAFETY: the range was checked, and no work is running.
        unsafe { (table.ggml_backend_tensor_set)(tensor.raw, data.as_ptr().cast(), offset, data.len()) };
        Ok(())
    }

    /// Waits until all work is done.
    pub fn synchronize(&mut self) {
        if std::mem::take(&mut self.busy) {
            // SAFETY: a live backend.
            unsafe { (self.device.library().0.table.ggml_backend_synchronize)(self.raw) };
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.synchronize();
        // SAFETY: made by `new` and not used any more.
        unsafe { (self.device.library().0.table.ggml_backend_free)(self.raw) };
    }
}
