//! Finding ggml and its devices.

use std::path::{Path, PathBuf};

use r1_ggml::{Device, DeviceKind, Library};

use crate::{Error, ErrorKind, Result};

/// The environment variable that names a folder with ggml's shared libraries.
const FOLDER: &str = "R1_GGML_LIB_DIR";

/// A ggml and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) library: Library,
}

impl Found {
    /// The ggml in `folder`, else that of the environment variable, else the linked one.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Found> {
        let from_environment = std::env::var_os(FOLDER).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(folder) = folder.map(Path::to_path_buf).or(from_environment) {
            return Ok(Found { library: Library::open(&folder)? });
        }
        linked()
    }

    /// The devices that `backend` names: `cuda`, `metal`, `vulkan`, `rpc`, `ggml-cpu`, `gpu` (every GPU), or names of
    /// devices with commas between them.
    pub(crate) fn choose(&self, backend: &str, servers: &[String]) -> Result<Vec<Device>> {
        let mut remote = Vec::new();
        for server in servers {
            remote.extend(self.library.connect(server)?);
        }
        if backend == "rpc" {
            return if remote.is_empty() {
                Err(Error::new(ErrorKind::Argument, "the backend 'rpc' needs the address of a server"))
            } else {
                Ok(remote)
            };
        }
        let all = self.library.devices();
        let of = |name: &str| all.iter().filter(|d| d.backend_name() == name).cloned().collect::<Vec<_>>();
        let chosen = match backend {
            "cuda" => of("CUDA"),
            "metal" => of("MTL"),
            "vulkan" => of("Vulkan"),
            "ggml-cpu" => all.iter().filter(|d| d.kind() == DeviceKind::Cpu).cloned().collect(),
            "gpu" => {
                let is_gpu = |d: &&Device| matches!(d.kind(), DeviceKind::Gpu | DeviceKind::IntegratedGpu);
                all.iter().filter(is_gpu).cloned().collect()
            }
            names => {
                let one = |name: &str| all.iter().find(|d| d.name().eq_ignore_ascii_case(name)).cloned();
                names.split(',').map(|name| one(name.trim())).collect::<Option<Vec<_>>>().unwrap_or_default()
            }
        };
        if chosen.is_empty() {
            let known: Vec<_> = all.iter().map(Device::name).collect();
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("ggml {} finds no device for '{backend}'", self.library.version()),
            )
            .remedy(format!(
                "choose one of: cpu, {}; where a GPU is missing, look for its driver and for ggml's library for it",
                known.join(", ")
            )));
        }
        Ok(chosen)
    }
}

#[cfg(feature = "ggml-link")]
fn linked() -> Result<Found> {
    Ok(Found { library: Library::linked()? })
}

#[cfg(not(feature = "ggml-link"))]
fn linked() -> Result<Found> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "no ggml is linked into this build, and no folder with its libraries is known",
    )
    .remedy(format!(
        "set {FOLDER} to a folder with libggml and its backends (docs/devices.md says where to get them), or run on the CPU"
    )))
}

/// Every device of a ggml, those of the servers included.
pub(crate) fn devices(folder: Option<&Path>, servers: &[String]) -> Result<Vec<Device>> {
    let Found { library } = Found::open(folder)?;
    let mut devices = library.devices();
    for server in servers {
        let remote = library.connect(server)?;
        // Connecting adds them to the library's own.
        devices.retain(|d| remote.iter().all(|r| r.name() != d.name()));
        devices.extend(remote);
    }
    Ok(devices)
}

/// Offers the devices that `backend` names to other machines.
pub(crate) fn serve(listen: &str, backend: &str, folder: Option<&Path>, threads: usize) -> Result<()> {
    let found = Found::open(folder)?;
    let devices = found.choose(backend, &[])?;
    Ok(found.library.serve(listen, &devices, threads)?)
}
