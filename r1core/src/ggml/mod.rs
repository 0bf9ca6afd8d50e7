//! The executor on ggml's devices: weights and caches live there, a pass is one recorded graph for each device.
//!
//! | file | turns |
//! |---|---|
//! | `library` | an option, a folder or a linked ggml into devices |
//! | `placement` | devices and their memory into layers for each, the rest for the CPU |
//! | `weights` | tensors of the file into tensors on a device |
//! | `graph` | the blocks of a layer into a recorded graph |
//! | `slots` | sequences into rows of a device's cache |
//! | `stage` | one device: its layers, its cache and its graphs |
//! | `engine` | steps into passes over all stages |
//!
//! A device holds the cache of a runner as slots of equal size, one a sequence; a step of many sequences reads
//! neighbouring slots as one tensor. Graphs depend on the number of slots, their first one, the tokens of each and the
//! padded number of positions alone, so that decoding repeats the same graph for hundreds of tokens.

mod engine;
mod graph;
mod library;
mod placement;
mod slots;
mod stage;
mod weights;

pub(crate) use engine::Engine;
pub(crate) use library::{Found, devices, serve};
pub(crate) use placement::Request;
pub(crate) use slots::Lease;
pub(crate) use weights::DeviceModel;

use crate::{Error, ErrorKind};

impl From<r1_ggml::Error> for Error {
    fn from(error: r1_ggml::Error) -> Error {
        use r1_ggml::Error as E;
        let text = error.to_string();
        match error {
            E::Library(_) => Error::new(ErrorKind::Unsupported, text).remedy(
                "name a folder with ggml's libraries in R1_GGML_LIB_DIR (see docs/devices.md), or run on the CPU",
            ),
            E::Unsupported(_) => {
                Error::new(ErrorKind::Unsupported, text).remedy("choose another device, or run on the CPU")
            }
            E::Memory { .. } => Error::new(ErrorKind::OutOfMemory, text)
                .remedy("put fewer layers on the device, use a smaller context, or fewer sequences at a time"),
            E::Shape(_) => Error::new(ErrorKind::Internal, text),
            E::Failed(_) => Error::new(ErrorKind::Io, text).remedy("see the log for what the driver said"),
        }
    }
}
