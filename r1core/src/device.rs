//! What this build can run on.

use std::path::Path;

#[cfg(not(feature = "ggml"))]
use crate::Error;
use crate::Result;
use r1_kernels::Isa;

/// Something that models can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The name to ask for in [`ModelOptions::backend`](crate::ModelOptions::backend): `cpu`, or that of a device of ggml
    /// such as `CUDA0`.
    pub name: String,
    /// What it is, in its maker's words; empty for `cpu`.
    pub description: String,
    /// What drives it: `cpu`, or a backend of ggml (`CUDA`, `MTL`, `Vulkan`, `RPC`, `CPU`).
    pub backend: String,
    /// Free memory in bytes, where the device tells.
    pub memory_free: Option<u64>,
    /// All of its memory in bytes, where the device tells.
    pub memory_total: Option<u64>,
    /// The kernels that run by default; empty for devices of ggml.
    pub kernels: &'static str,
    /// All kernels that run here, slowest first.
    pub available: Vec<&'static str>,
    /// Threads that a session takes by default; 0 for devices of ggml.
    pub threads: usize,
}

impl Device {
    /// Every device of this machine that this build can use: the CPU first, then those of ggml where it is linked or
    /// `R1_GGML_LIB_DIR` names a folder with it.
    ///
    /// ```
    /// let devices = r1core::Device::list();
    /// assert_eq!(devices[0].name, "cpu");
    /// ```
    pub fn list() -> Vec<Device> {
        Device::list_with(None, &[]).unwrap_or_else(|_| vec![Device::cpu()])
    }

    /// As [`Device::list`], with the ggml in `ggml_folder` and the devices of the RPC servers at `rpc` (`host:port`),
    /// and with an error that says why there are none.
    ///
    /// # Errors
    /// `Unsupported` where there is no ggml, it does not load, or this build has no support for it; `Io` for a server
    /// that does not answer.
    pub fn list_with(ggml_folder: Option<&Path>, rpc: &[String]) -> Result<Vec<Device>> {
        let mut devices = vec![Device::cpu()];
        devices.extend(others(ggml_folder, rpc)?);
        Ok(devices)
    }

    /// Offers devices of this machine to others: an RPC server of ggml at `listen` (`host:port`), for
    /// [`ModelOptions::rpc`](crate::ModelOptions::rpc) elsewhere. Returns only when it cannot go on. `backend` says which
    /// devices, as in [`ModelOptions::backend`](crate::ModelOptions::backend); `threads` matters to `ggml-cpu` only.
    ///
    /// The protocol knows neither passwords nor encryption, and a server runs whatever it is sent: listen inside a trusted
    /// network only, best at `127.0.0.1` behind a tunnel.
    ///
    /// # Errors
    /// `Unsupported` as [`Device::list_with`], and for an unknown device; `Io` where `listen` cannot be used.
    pub fn serve(listen: &str, backend: &str, ggml_folder: Option<&Path>, threads: Option<usize>) -> Result<()> {
        offer(listen, backend, ggml_folder, threads.unwrap_or_else(default_threads))
    }

    fn cpu() -> Device {
        Device {
            name: "cpu".to_owned(),
            description: String::new(),
            backend: "cpu".to_owned(),
            memory_free: None,
            memory_total: None,
            kernels: Isa::detect().name(),
            available: Isa::available().map(Isa::name).collect(),
            threads: default_threads(),
        }
    }
}

#[cfg(feature = "ggml")]
fn others(folder: Option<&Path>, rpc: &[String]) -> Result<Vec<Device>> {
    let devices = crate::ggml::devices(folder, rpc)?;
    Ok(devices
        .iter()
        .map(|device| {
            let (free, total) = device.memory();
            Device {
                name: device.name(),
                description: device.description(),
                backend: device.backend_name(),
                memory_free: (total > 0).then_some(free),
                memory_total: (total > 0).then_some(total),
                kernels: "",
                available: Vec::new(),
                threads: 0,
            }
        })
        .collect())
}

#[cfg(feature = "ggml")]
fn offer(listen: &str, backend: &str, folder: Option<&Path>, threads: usize) -> Result<()> {
    crate::ggml::serve(listen, backend, folder, threads)
}

#[cfg(not(feature = "ggml"))]
fn others(_: Option<&Path>, _: &[String]) -> Result<Vec<Device>> {
    Err(only_cpu())
}

#[cfg(not(feature = "ggml"))]
fn offer(_: &str, _: &str, _: Option<&Path>, _: usize) -> Result<()> {
    Err(only_cpu())
}

#[cfg(not(feature = "ggml"))]
fn only_cpu() -> Error {
    Error::new(crate::ErrorKind::Unsupported, "this build knows no devices but the CPU")
        .remedy("build with the feature 'ggml'")
}

/// Threads that work where the host names no number: one for each processor that the system offers.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
