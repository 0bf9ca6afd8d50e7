//! Reads GGUF files, versions 2 and 3, little-endian, whole or split in parts.
//!
//! Every number in a file is taken as hostile: sizes and counts are checked against the bytes that remain before
//! anything is allocated, so that opening a file costs at most twice its header and no file can panic or exhaust the
//! process. [`Gguf::open`] reads the header only; tensor bytes come on demand from [`Gguf::data`].
//!
//! ```no_run
//! use r1core::gguf::{Gguf, LoadMode};
//! let gguf = Gguf::open("model.gguf", LoadMode::Map)?;
//! println!("{}", gguf.metadata().require_str("general.architecture")?);
//! for tensor in gguf.tensors() {
//!     println!("{} {:?} {}", tensor.name(), tensor.dims(), tensor.type_name());
//! }
//! # Ok::<(), r1core::Error>(())
//! ```

mod detect;
mod file;
mod header;
mod index;
mod layout;
mod limits;
mod mapping;
mod metadata;
mod part;
mod reader;
mod shared;
mod source;
mod split;
mod strings;
mod tensor;
mod value;

pub use file::{Gguf, LoadMode};
pub use metadata::Metadata;
pub use part::Part;
pub use strings::StringArray;
pub use tensor::TensorInfo;
pub use value::{Array, Value};
