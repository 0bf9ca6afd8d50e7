//! Tensors that stay: weights and caches.

use std::sync::Arc;

use crate::backend::Backend;
use crate::device::Device;
use crate::error::shape;
use crate::tensor::{Home, strides};
use crate::{Error, Result, Tensor, Type};

/// Lists the tensors of a [`Store`] before its memory is allocated.
#[derive(Debug, Default)]
pub struct StoreBuilder {
    tensors: Vec<(String, Type, [i64; 4])>,
}

impl StoreBuilder {
    /// An empty list.
    pub fn new() -> StoreBuilder {
        StoreBuilder::default()
    }

    /// Adds a tensor and returns its number.
    pub fn add(&mut self, name: &str, ty: Type, dims: [i64; 4]) -> usize {
        self.tensors.push((name.to_owned(), ty, dims));
        self.tensors.len() - 1
    }

    /// Bytes of all tensors, without what a device adds for alignment.
    ///
    /// # Errors
    /// `Shape` where a tensor's rows are not whole blocks, or its size overflows.
    pub fn bytes(&self, device: &Device) -> Result<usize> {
        self.tensors.iter().try_fold(0_usize, |sum, (_, ty, ne)| {
            let nb = strides(device.library(), *ty, *ne)?;
            Ok(sum.saturating_add(nb[3].saturating_mul(ne[3] as usize)))
        })
    }

    /// Memory for weights on `device`, to be written with [`Store::write`] and then shared.
    ///
    /// # Errors
    /// `Shape` as [`StoreBuilder::bytes`]; `Memory`.
    pub fn weights(self, device: &Device) -> Result<Store> {
        self.allocate(device, None)
    }

    /// Zeroed memory for tensors that `backend` alone reads and writes.
    ///
    /// # Errors
    /// As [`StoreBuilder::weights`].
    pub fn owned(self, backend: &Backend) -> Result<Vec<Tensor>> {
        let store = self.allocate(backend.device(), Some(backend.id()))?;
        // SAFETY: a live buffer that nobody uses yet.
        unsafe { (store.table().ggml_backend_buffer_clear)(store.home.buffer, 0) };
        Ok(store.tensors)
    }

    fn allocate(self, device: &Device, owner: Option<u64>) -> Result<Store> {
        let bytes = self.bytes(device)?;
        if self.tensors.is_empty() {
            return shape("a store without tensors");
        }
        let library = device.library().clone();
        let table = library.0.table;
        let ctx = library.context(self.tensors.len(), 0)?;
        let mut home = Arc::new(Home { library, ctx, buffer: std::ptr::null_mut(), owner });
        let tensors = self
            .tensors
            .iter()
            .map(|(name, ty, ne)| Tensor::create(&home, *ty, *ne, name))
            .collect::<Result<Vec<_>>>()?;
        // Records only: their handles are made again once the home is whole.
        let records: Vec<_> = tensors.into_iter().map(|t| (t.raw, t.ty, t.ne, t.nb)).collect();
        // SAFETY: a live context of unallocated tensors, and the device's own buffer type.
        let buffer = unsafe { (table.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, device.buffer_type()) };
        if buffer.is_null() {
            return Err(Error::Memory { what: "tensors", bytes });
        }
        match Arc::get_mut(&mut home) {
            Some(home) => home.buffer = buffer,
            None => return Err(Error::Failed("a store was shared while it was made".into())),
        }
        // SAFETY: a live buffer. 1: weights.
        unsafe { (table.ggml_backend_buffer_set_usage)(buffer, i32::from(owner.is_none())) };
        let tensors = records
            .into_iter()
            .map(|(raw, ty, ne, nb)| Tensor { raw, ty, ne, nb, home: Arc::clone(&home), bound: None, input: None })
            .collect();
        Ok(Store { home, tensors })
    }
}

/// Weights that are being written.
#[derive(Debug)]
pub struct Store {
    home: Arc<Home>,
    tensors: Vec<Tensor>,
}

impl Store {
    fn table(&self) -> &crate::table::Table {
        &self.home.library.0.table
    }

    /// Memory on the device, in bytes.
    pub fn bytes(&self) -> usize {
        // SAFETY: a live buffer.
        unsafe { (self.table().ggml_backend_buffer_get_size)(self.home.buffer) }
    }

    /// Copies `data` to tensor `index`, from byte `offset` of it.
    ///
    /// # Errors
    /// `Shape` where the bytes do not lie inside the tensor.
    pub fn write(&mut self, index: usize, offset: usize, data: &[u8]) -> Result<()> {
        let Some(tensor) = self.tensors.get(index) else { return shape(format!("there is no tensor {index}")) };
        if offset.checked_add(data.len()).is_none_or(|end| end > tensor.bytes()) {
            return shape(format!("{} bytes from {offset} do not lie in {} bytes", data.len(), tensor.bytes()));
        }
        // SAFETY: the range is inside the tensor's memory, which no graph can refer to before `share`.
        unsafe { (self.table().ggml_backend_tensor_set)(tensor.raw, data.as_ptr().cast(), offset, data.len()) };
        Ok(())
    }

    /// The tensors, in the order in which they were added. Nothing can be written any more, so that any backend of this
    /// device may read them.
    pub fn share(self) -> Vec<Tensor> {
        self.tensors
    }
}
