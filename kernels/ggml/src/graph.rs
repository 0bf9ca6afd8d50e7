//! Recording operations, and the recorded graph with its memory.

use std::sync::Arc;

use crate::backend::Backend;
use crate::buffer::{Buffer, Element, HostMemory};
use crate::device::Device;
use crate::error::shape;
use crate::library::number_graph;
use crate::table::{RawAllocator, RawGraph, RawTensor};
use crate::tensor::Home;
use crate::{Error, Result, Tensor, Type};

/// Inputs begin at multiples of this, so that no kernel meets an odd address.
const ALIGNMENT: usize = 256;

/// Records operations on tensors of one device. Every operation is checked before ggml sees it.
#[derive(Debug)]
pub struct GraphBuilder {
    pub(crate) home: Arc<Home>,
    raw: *mut RawGraph,
    /// Records that still fit the context.
    room: usize,
    /// Homes of the tensors that operations read or write.
    keep: Vec<Arc<Home>>,
    inputs: Vec<Tensor>,
    backend: u64,
}

// SAFETY: the graph's records belong to the home, which is used by `&mut self` alone until the graph is planned.
unsafe impl Send for GraphBuilder {}

impl GraphBuilder {
    /// An empty graph for `backend` with room for `tensors` operations and inputs.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(backend: &Backend, tensors: usize) -> Result<GraphBuilder> {
        let library = backend.device().library().clone();
        let table = library.0.table;
        // One more for the record over all inputs.
        let ctx = library.context(tensors.saturating_add(1), tensors.saturating_mul(2))?;
        let home = Arc::new(Home { library, ctx, buffer: std::ptr::null_mut(), owner: Some(backend.id()) });
        // Leafs count, too: tensors of stores that operations refer to.
        // SAFETY: the context was sized for this graph.
        let raw = unsafe { (table.ggml_new_graph_custom)(ctx, tensors * 2, false) };
        if raw.is_null() {
            return Err(Error::Memory { what: "a graph", bytes: tensors });
        }
        Ok(GraphBuilder { home, raw, room: tensors, keep: Vec::new(), inputs: Vec::new(), backend: backend.id() })
    }

    /// A tensor that is written before every run, see [`Backend::write`].
    ///
    /// # Errors
    /// `Shape` for impossible dimensions or too many tensors.
    pub fn input(&mut self, ty: Type, dims: [i64; 4]) -> Result<Tensor> {
        self.take_room()?;
        let mut tensor = Tensor::create(&self.home, ty, dims, "input")?;
        tensor.input = Some(self.inputs.len());
        self.inputs.push(tensor.clone());
        Ok(tensor)
    }

    /// Row indices below `bound`, written before every run and checked then: `I32` for
    /// [`get_rows`](GraphBuilder::get_rows), `I64` for [`set_rows`](GraphBuilder::set_rows).
    ///
    /// # Errors
    /// As [`GraphBuilder::input`].
    pub fn indices(&mut self, ty: Type, count: i64, bound: i64) -> Result<Tensor> {
        if ty != Type::I32 && ty != Type::I64 {
            return shape("indices are I32 or I64");
        }
        let mut tensor = self.input(ty, [count, 1, 1, 1])?;
        tensor.bound = Some(bound);
        if let Some(input) = self.inputs.last_mut() {
            input.bound = Some(bound);
        }
        Ok(tensor)
    }

    /// Has `tensor` computed, after all that was asked for before.
    ///
    /// # Errors
    /// `Shape` for a tensor of another graph.
    pub fn compute(&mut self, tensor: &Tensor) -> Result<()> {
        if !Arc::ptr_eq(&tensor.home, &self.home) {
            return shape("the tensor was not made by this graph");
        }
        // SAFETY: the graph has room for every record of its context, and for as many leafs.
        unsafe { (self.home.library.0.table.ggml_build_forward_expand)(self.raw, tensor.raw) };
        Ok(())
    }

    /// As [`GraphBuilder::compute`], and keeps its memory from reuse, so that it can be read after a run.
    ///
    /// # Errors
    /// As [`GraphBuilder::compute`].
    pub fn output(&mut self, tensor: &Tensor) -> Result<()> {
        self.compute(tensor)?;
        // SAFETY: a record of this graph, which nobody else uses yet.
        unsafe { (self.home.library.0.table.ggml_set_output)(tensor.raw) };
        Ok(())
    }

    /// Counts a record that is about to be made.
    pub(crate) fn take_room(&mut self) -> Result<()> {
        match self.room.checked_sub(1) {
            Some(room) => {
                self.room = room;
                Ok(())
            }
            None => shape("the graph has no room for more tensors"),
        }
    }

    /// Checks that an operand may be used here, and keeps its memory alive.
    pub(crate) fn operand(&mut self, tensor: &Tensor) -> Result<*mut RawTensor> {
        if Arc::ptr_eq(&tensor.home, &self.home) {
            return Ok(tensor.raw);
        }
        if tensor.home.buffer.is_null() || tensor.home.owner.is_some_and(|owner| owner != self.backend) {
            return shape("the tensor belongs to another graph or backend");
        }
        if !Arc::ptr_eq(&tensor.home.library.0, &self.home.library.0) {
            return shape("the tensor belongs to another ggml");
        }
        if !self.keep.iter().any(|home| Arc::ptr_eq(home, &tensor.home)) {
            self.keep.push(Arc::clone(&tensor.home));
        }
        Ok(tensor.raw)
    }

    /// Wraps the record that an operation made.
    pub(crate) fn made(&self, raw: *mut RawTensor, ty: Type, ne: [i64; 4], nb: [usize; 4]) -> Result<Tensor> {
        if raw.is_null() {
            return Err(Error::Memory { what: "a tensor's record", bytes: 0 });
        }
        Ok(Tensor { raw, ty, ne, nb, home: Arc::clone(&self.home), bound: None, input: None })
    }
}

/// Memory for the graphs of one backend: intermediate results, and inputs on both sides. Graphs share it, so only one of
/// them is in use at a time. Where a graph needs more, the memory is replaced and earlier graphs are out of date.
#[derive(Debug)]
pub struct Allocator {
    device: Device,
    raw: *mut RawAllocator,
    inputs: Arc<Buffer>,
    host: HostMemory,
    generation: u64,
    backend: u64,
}

// SAFETY: plain memory, used by one backend (`&mut`).
unsafe impl Send for Allocator {}

impl Allocator {
    /// An empty allocator for `backend`.
    ///
    /// # Errors
    /// `Memory`.
    pub fn new(backend: &Backend) -> Result<Allocator> {
        const FIRST: usize = 1 << 16;
        let device = backend.device().clone();
        // SAFETY: the device's own buffer type.
        let raw = unsafe { (device.library().0.table.ggml_gallocr_new)(device.buffer_type()) };
        if raw.is_null() {
            return Err(Error::Memory { what: "an allocator", bytes: 0 });
        }
        let (inputs, host) = (Buffer::on(&device, FIRST), HostMemory::new(&device, FIRST));
        match (inputs, host) {
            (Ok(inputs), Ok(host)) => Ok(Allocator { device, raw, inputs, host, generation: 0, backend: backend.id() }),
            (Err(e), _) | (_, Err(e)) => {
                // SAFETY: just made.
                unsafe { (device.library().0.table.ggml_gallocr_free)(raw) };
                Err(e)
            }
        }
    }

    /// Memory for intermediate results and inputs on the device, in bytes.
    pub fn bytes(&self) -> usize {
        // SAFETY: a live allocator with one buffer.
        unsafe { (self.device.library().0.table.ggml_gallocr_get_buffer_size)(self.raw, 0) }
            .saturating_add(self.inputs.len)
    }

    /// Whether `graph` still has its memory.
    pub fn holds(&self, graph: &Graph) -> bool {
        graph.generation == self.generation && graph.backend == self.backend
    }

    /// Gives `graph` memory, after checking that the device can run every node.
    pub(crate) fn plan(&mut self, builder: GraphBuilder) -> Result<Graph> {
        let library = self.device.library().clone();
        let table = &library.0.table;
        if builder.backend != self.backend {
            return shape("the graph was recorded for another backend");
        }
        // SAFETY: a live graph whose nodes are live; their names are copied.
        unsafe {
            let nodes = (table.ggml_graph_n_nodes)(builder.raw);
            if nodes == 0 {
                return shape("a graph without operations");
            }
            for i in 0..nodes {
                let node = (table.ggml_graph_node)(builder.raw, i);
                if !self.device.supports(node) {
                    let name = crate::library::text((table.ggml_op_desc)(node));
                    return Err(Error::Unsupported(format!("{} cannot run {name}", self.device.name())));
                }
            }
        }
        let mut offsets = Vec::with_capacity(builder.inputs.len());
        let mut len = 0_usize;
        for input in &builder.inputs {
            offsets.push(len);
            // SAFETY: a live record and the device's own buffer type.
            let size = unsafe { (table.ggml_backend_buft_get_alloc_size)(self.device.buffer_type(), input.raw) };
            len = len.saturating_add(size.max(input.bytes())).next_multiple_of(ALIGNMENT);
        }
        if len > self.inputs.len || len > self.host.as_slice().len() {
            let len = len.next_power_of_two();
            self.generation += 1;
            self.inputs = Buffer::on(&self.device, len)?;
            self.host = HostMemory::new(&self.device, len)?;
        }
        for (input, offset) in builder.inputs.iter().zip(&offsets) {
            // SAFETY: an unallocated record and an address inside the buffer, checked above.
            let status = unsafe {
                (table.ggml_backend_tensor_alloc)(self.inputs.raw, input.raw, self.inputs.base.add(*offset).cast())
            };
            if status != 0 {
                return Err(Error::Failed("an input could not be placed".into()));
            }
        }
        // SAFETY: one record over all inputs, for one transfer; the context has room for it.
        let span = unsafe {
            let ne = [(len / 4) as i64, 1, 1, 1];
            let span = (table.ggml_new_tensor)(builder.home.ctx, Type::F32.0, 4, ne.as_ptr());
            let placed = !span.is_null()
                && (len == 0 || (table.ggml_backend_tensor_alloc)(self.inputs.raw, span, self.inputs.base.cast()) == 0);
            if !placed {
                return Err(Error::Failed("the inputs could not be placed".into()));
            }
            span
        };
        // SAFETY: a live allocator and graph.
        let (before, allocated, after) = unsafe {
            let before = (table.ggml_gallocr_get_buffer_size)(self.raw, 0);
            let allocated = (table.ggml_gallocr_alloc_graph)(self.raw, builder.raw);
            (before, allocated, (table.ggml_gallocr_get_buffer_size)(self.raw, 0))
        };
        // Memory in several pieces may be replaced without a change of its size.
        // SAFETY: a live buffer type.
        let pieces = unsafe { (table.ggml_backend_buft_get_max_size)(self.device.buffer_type()) } < after;
        if after != before || pieces || !allocated {
            self.generation += 1;
        }
        if !allocated {
            return Err(Error::Memory { what: "intermediate results", bytes: after });
        }
        number_graph(&library, builder.raw);
        let GraphBuilder { home, raw, keep, inputs, backend, .. } = builder;
        let fields = inputs.into_iter().zip(offsets).map(|(tensor, offset)| Field { tensor, offset }).collect();
        let inputs_memory = Arc::clone(&self.inputs);
        Ok(Graph {
            home,
            raw,
            span,
            len,
            fields,
            backend,
            generation: self.generation,
            _keep: keep,
            _inputs: inputs_memory,
        })
    }

    /// The host's side of an input.
    pub(crate) fn input<T: Element>(&mut self, graph: &Graph, tensor: &Tensor) -> Result<&mut [T]> {
        let field = tensor.input.filter(|_| Arc::ptr_eq(&tensor.home, &graph.home)).and_then(|i| graph.fields.get(i));
        let Some(Field { tensor, offset }) = field else { return shape("the tensor is no input of this graph") };
        if !self.holds(graph) {
            return shape("the graph's memory was replaced");
        }
        let matches = match tensor.ty {
            Type::F32 => std::any::TypeId::of::<T>() == std::any::TypeId::of::<f32>(),
            Type::F16 => std::any::TypeId::of::<T>() == std::any::TypeId::of::<u16>(),
            Type::I32 => std::any::TypeId::of::<T>() == std::any::TypeId::of::<i32>(),
            Type::I64 => std::any::TypeId::of::<T>() == std::any::TypeId::of::<i64>(),
            _ => false,
        };
        if !matches {
            return shape("the input holds values of another type");
        }
        let count = tensor.elements() as usize;
        self.host.values_mut(*offset, count).ok_or_else(|| Error::Shape("an input outside its memory".into()))
    }

    /// Checks the indices among a graph's inputs.
    pub(crate) fn check_indices(&self, graph: &Graph) -> Result<()> {
        for Field { tensor, offset } in &graph.fields {
            let (Some(bound), count) = (tensor.bound, tensor.elements() as usize) else { continue };
            let inside = if tensor.ty == Type::I64 {
                self.host.values::<i64>(*offset, count).is_some_and(|v| v.iter().all(|i| (0..bound).contains(i)))
            } else {
                self.host
                    .values::<i32>(*offset, count)
                    .is_some_and(|v| v.iter().all(|i| (0..bound).contains(&i64::from(*i))))
            };
            if !inside {
                return shape(format!("a row index is outside 0..{bound}"));
            }
        }
        Ok(())
    }

    pub(crate) fn staged(&self, graph: &Graph) -> Option<&[u8]> {
        self.host.as_slice().get(..graph.len)
    }
}

impl Drop for Allocator {
    fn drop(&mut self) {
        // SAFETY: a live allocator; graphs that had memory from it cannot be run without it.
        unsafe { (self.device.library().0.table.ggml_gallocr_free)(self.raw) };
    }
}

#[derive(Debug)]
struct Field {
    tensor: Tensor,
    offset: usize,
}

/// A recorded graph with memory, to be run any number of times.
#[derive(Debug)]
pub struct Graph {
    pub(crate) home: Arc<Home>,
    pub(crate) raw: *mut RawGraph,
    /// All inputs as one tensor.
    pub(crate) span: *mut RawTensor,
    pub(crate) len: usize,
    fields: Vec<Field>,
    pub(crate) backend: u64,
    generation: u64,
    _keep: Vec<Arc<Home>>,
    _inputs: Arc<Buffer>,
}

// SAFETY: records that only a run of their backend (`&mut`) touches.
unsafe impl Send for Graph {}

impl Graph {
    /// Operations in it, views included.
    pub fn nodes(&self) -> usize {
        // SAFETY: a live graph.
        unsafe { (self.home.library.0.table.ggml_graph_n_nodes)(self.raw) }.max(0) as usize
    }
}
