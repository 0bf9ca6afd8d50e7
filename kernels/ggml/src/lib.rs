//! A safe door to [ggml](https://github.com/ggml-org/ggml)'s backends: CUDA, Metal, Vulkan, its own CPU code, and
//! devices behind its RPC protocol.
//!
//! [`Library`] is ggml itself: shared libraries from a folder (feature `dlopen`, the default), or the code that
//! llama-cpp-sys-2 links (feature `link`; `cuda`, `metal` and `vulkan` imply it). [`Library::devices`] lists what it
//! found. A [`Backend`] is one queue of work on a device; a [`Store`] holds tensors there; a [`GraphBuilder`] records
//! operations and [`Backend::plan`] gives them memory; [`Backend::compute`] runs the result as often as wanted.
//!
//! # What is checked, and what cannot be
//!
//! ggml ends the process when it is misused: a wrong shape, a full context or a failed driver call lead to `abort`,
//! which no caller can catch. So everything that can be known beforehand is checked here and is an [`Error`] instead:
//!
//! * shapes, types and strides of every operation, before ggml sees it ([`GraphBuilder`]);
//! * the number of tensors against the context's size;
//! * every node against what the device says it supports ([`Backend::plan`]);
//! * row indices against the rows that they choose from, at every [`Backend::write`];
//! * byte ranges of reads and writes; memory, by allocating all of it before the first run;
//! * the version of the library, because ggml promises no stable ABI ([`VERSIONS`]).
//!
//! What remains is a driver that fails while a graph runs (a GPU that falls off the bus, memory that another process
//! took where the backend allocates scratch memory while running, a lost RPC server): there ggml aborts the process.
//! Hosts that must survive that run the model in a process of their own.
//!
//! # Threads
//!
//! Everything is `Send`. A [`Backend`] is used by one thread at a time (`&mut`), and tensors that change belong to
//! exactly one backend, so no two threads touch the same memory. Stores that were shared with [`Store::share`] never
//! change again and are read by any number of backends.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("r1-ggml is for 64-bit targets");

mod backend;
mod buffer;
#[cfg(all(test, feature = "test-ggml"))]
mod declarations;
mod device;
mod error;
mod graph;
mod highest;
mod library;
mod log;
mod ops;
mod routing;
mod store;
mod table;
mod tensor;

pub use backend::Backend;
pub use buffer::HostMemory;
pub use device::{Device, DeviceKind};
pub use error::Error;
pub use graph::{Allocator, Graph, GraphBuilder};
pub use highest::Highest;
pub use library::{Library, VERSIONS};
pub use log::{Level, Sink, set_log};
pub use ops::{Glu, RopeMode, RopeParameters};
pub use store::{Store, StoreBuilder};
pub use tensor::{Tensor, Type};

/// Result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;
