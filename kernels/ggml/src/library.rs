//! ggml itself: loaded or linked, its version checked.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::Device;
use crate::error::Error;
use crate::table::{Context, InitParams, RawGraph, Table, named};
use crate::{Result, log};

/// The versions of ggml that the table of functions is known to fit: first and last, major, minor and patch.
pub const VERSIONS: [(u32, u32, u32); 2] = [(0, 25, 1), (0, 26, u32::MAX)];

/// A loaded or linked ggml. Clones are the same one. It stays loaded until the process ends: backends keep threads and
/// driver state that cannot be taken down safely.
#[derive(Clone)]
pub struct Library(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) table: Table,
    version: String,
    /// Where in a graph its number lies; see [`uid_offset`].
    pub(crate) uid_offset: Option<usize>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({})", self.0.version)
    }
}

/// Libraries that were opened, by folder: each is opened once.
#[cfg(feature = "dlopen")]
static OPEN: Mutex<Vec<(std::path::PathBuf, Library)>> = Mutex::new(Vec::new());
#[cfg(feature = "link")]
static LINKED: Mutex<Option<Library>> = Mutex::new(None);

impl Library {
    /// Opens ggml's shared libraries in `folder`: `libggml-base`, `libggml` and every backend module beside them. Their
    /// symbols stay invisible to the rest of the program (`RTLD_LOCAL`).
    ///
    /// A program that itself links another ggml dynamically must give the folder of that one: a second copy in one
    /// process would have its symbols bound to the first.
    ///
    /// # Errors
    /// `Library` where a file is absent, does not load, lacks a function, or has a version outside [`VERSIONS`].
    #[cfg(feature = "dlopen")]
    pub fn open(folder: &Path) -> Result<Library> {
        let folder = folder
            .canonicalize()
            .map_err(|e| Error::Library(format!("the ggml folder {} cannot be opened: {e}", folder.display())))?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, library)) = open.iter().find(|(known, _)| *known == folder) {
            return Ok(library.clone());
        }
        let files = [find(&folder, "ggml-base")?, find(&folder, "ggml")?];
        let mut loaded = Vec::new();
        for file in files {
            loaded.push(load(&file)?);
        }
        let symbol = |name: &str| {
            let name = CString::new(name).ok()?;
            loaded.iter().rev().find_map(|library| {
                // SAFETY: only the address is taken here.
                let symbol = unsafe { library.get::<*const std::ffi::c_void>(name.as_bytes_with_nul()) }.ok()?;
                // SAFETY: the library stays loaded.
                unsafe { symbol.try_as_raw_ptr() }.map(|pointer| pointer.cast_const())
            })
        };
        let version_of = symbol("ggml_version")
            .ok_or_else(|| Error::Library(format!("{} is older than any supported ggml", folder.display())))?;
        // SAFETY: every ggml that has this function declares it so.
        let version_of = unsafe {
            std::mem::transmute::<*const std::ffi::c_void, unsafe extern "C" fn() -> *const c_char>(version_of)
        };
        // SAFETY: it takes nothing and returns a static text.
        let version = unsafe { text(version_of()) };
        check_version(&version, &folder.display().to_string())?;
        // SAFETY: the functions come from a ggml of a version that the table fits.
        let table = unsafe { Table::load(symbol) }
            .map_err(|name| Error::Library(format!("ggml {version} in {} lacks {name}", folder.display())))?;
        // Never unloaded, so that the table stays valid.
        loaded.into_iter().for_each(std::mem::forget);
        let library = Library::new(table);
        let path = CString::new(folder.as_os_str().as_encoded_bytes())
            .map_err(|_| Error::Library("the ggml folder's name has a NUL in it".into()))?;
        // SAFETY: a NUL-terminated path. Modules that do not load are logged and left out.
        unsafe { (library.0.table.ggml_backend_load_all_from_path)(path.as_ptr()) };
        open.push((folder, library.clone()));
        Ok(library)
    }

    /// The ggml that is linked into this program.
    ///
    /// # Errors
    /// `Library` where its version is outside [`VERSIONS`].
    #[cfg(feature = "link")]
    pub fn linked() -> Result<Library> {
        let mut linked = LINKED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = &*linked {
            return Ok(library.clone());
        }
        let table = Table::linked();
        // SAFETY: it takes nothing and returns a static text.
        let version = unsafe { text((table.ggml_version)()) };
        check_version(&version, "this program")?;
        let library = Library::new(table);
        *linked = Some(library.clone());
        Ok(library)
    }

    fn new(table: Table) -> Library {
        // SAFETY: it takes nothing and returns a static text.
        let version = unsafe { text((table.ggml_version)()) };
        // SAFETY: the callback lives as long as the program and takes any text.
        unsafe { (table.ggml_log_set)(Some(log::callback), std::ptr::null_mut()) };
        let uid_offset = uid_offset(&table);
        Library(Arc::new(Inner { table, version, uid_offset }))
    }

    /// The version, such as `0.26.0`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Whether repeated graphs are recognised at once (see the CUDA backend's graphs); where not, a run costs some 50 µs
    /// more.
    pub fn numbers_graphs(&self) -> bool {
        self.0.uid_offset.is_some()
    }

    /// Everything that computes, in ggml's order: GPUs before the CPU.
    pub fn devices(&self) -> Vec<Device> {
        let table = &self.0.table;
        // SAFETY: the registry is filled when a library is opened and by `connect`, both under a lock.
        let count = unsafe { (table.ggml_backend_dev_count)() };
        (0..count)
            // SAFETY: the index is below the count.
            .map(|i| unsafe { (table.ggml_backend_dev_get)(i) })
            .filter(|device| !device.is_null())
            .map(|device| Device::new(self.clone(), device))
            .collect()
    }

    /// The devices of an RPC server (`host:port`). The protocol has neither encryption nor a check of who is asking, and
    /// a server runs what it is sent: use it inside a trusted network only.
    ///
    /// # Errors
    /// `Library` where this ggml has no RPC backend; `Failed` where the server does not answer.
    pub fn connect(&self, endpoint: &str) -> Result<Vec<Device>> {
        static CONNECTING: Mutex<()> = Mutex::new(());
        let _one = CONNECTING.lock().unwrap_or_else(PoisonError::into_inner);
        let table = &self.0.table;
        let known: Vec<Device> = self.devices().into_iter().filter(|d| d.is_at(endpoint)).collect();
        if !known.is_empty() {
            return Ok(known);
        }
        let name = CString::new(endpoint).map_err(|_| Error::Failed("an address with a NUL in it".into()))?;
        // A server that is not there would end the process when its memory is asked for.
        reachable(endpoint)?;
        let add = self.rpc_function(c"ggml_backend_rpc_add_server")?;
        // SAFETY: the function has the type that ggml-rpc.h gives it; a NUL-terminated name.
        let registry = unsafe {
            std::mem::transmute::<*mut std::ffi::c_void, named::ggml_backend_rpc_add_server>(add)(name.as_ptr())
        };
        if registry.is_null() {
            return Err(Error::Failed(format!("the RPC server {endpoint} does not answer")));
        }
        // SAFETY: a live registry entry; its devices are indexed below their count.
        unsafe {
            (table.ggml_backend_register)(registry);
            let count = (table.ggml_backend_reg_dev_count)(registry);
            let devices = (0..count).map(|i| (table.ggml_backend_reg_dev_get)(registry, i));
            Ok(devices.filter(|d| !d.is_null()).map(|d| Device::new(self.clone(), d)).collect())
        }
    }

    /// Offers `devices` to other machines at `endpoint` (`host:port`) until the process ends; returns only when the
    /// address cannot be used. `threads` matters to ggml's CPU code only. See [`Library::connect`] for who may be let in:
    /// whoever reaches the address runs what they like on the devices.
    ///
    /// # Errors
    /// `Library` where this ggml has no RPC backend; `Failed` where the address cannot be used; `Shape` for no devices.
    pub fn serve(&self, endpoint: &str, devices: &[Device], threads: usize) -> Result<()> {
        let name = CString::new(endpoint).map_err(|_| Error::Failed("an address with a NUL in it".into()))?;
        if devices.is_empty() {
            return crate::error::shape("no devices to offer");
        }
        // The server itself says nothing of use when it cannot listen.
        drop(
            std::net::TcpListener::bind(endpoint)
                .map_err(|e| Error::Failed(format!("cannot listen at {endpoint}: {e}")))?,
        );
        let mut devices: Vec<_> = devices.iter().map(|device| device.raw).collect();
        let start = self.rpc_function(c"ggml_backend_rpc_start_server")?;
        // SAFETY: the function has the type that ggml-rpc.h gives it; NUL-terminated names, live devices, no cache folder.
        unsafe {
            std::mem::transmute::<*mut std::ffi::c_void, named::ggml_backend_rpc_start_server>(start)(
                name.as_ptr(),
                std::ptr::null(),
                threads.clamp(1, 512),
                devices.len(),
                devices.as_mut_ptr(),
            );
        }
        Err(Error::Failed(format!("the RPC server at {endpoint} has ended")))
    }

    /// A function of the RPC backend by its name.
    fn rpc_function(&self, name: &CStr) -> Result<*mut std::ffi::c_void> {
        let table = &self.0.table;
        // SAFETY: NUL-terminated names, and a live registry entry.
        unsafe {
            let rpc = (table.ggml_backend_reg_by_name)(c"RPC".as_ptr());
            if rpc.is_null() {
                return Err(Error::Library("this ggml has no RPC backend (libggml-rpc)".into()));
            }
            let function = (table.ggml_backend_reg_get_proc_address)(rpc, name.as_ptr());
            if function.is_null() {
                return Err(Error::Library(format!("this ggml's RPC backend lacks {}", name.to_string_lossy())));
            }
            Ok(function)
        }
    }

    /// Bytes of a tensor's and a graph's records.
    pub(crate) fn context(&self, tensors: usize, graph: usize) -> Result<*mut Context> {
        let table = &self.0.table;
        // SAFETY: the arithmetic of ggml's own macros; the context is sized for what is put into it.
        let ctx = unsafe {
            let mut size = (table.ggml_tensor_overhead)().saturating_mul(tensors);
            if graph > 0 {
                size = size.saturating_add((table.ggml_graph_overhead_custom)(graph, false));
            }
            (table.ggml_init)(InitParams { mem_size: size.max(1), mem_buffer: std::ptr::null_mut(), no_alloc: true })
        };
        if ctx.is_null() { Err(Error::Memory { what: "records of tensors", bytes: tensors }) } else { Ok(ctx) }
    }
}

/// Whether somebody listens there.
fn reachable(endpoint: &str) -> Result<()> {
    use std::net::{TcpStream, ToSocketAddrs};
    let addresses = endpoint
        .to_socket_addrs()
        .map_err(|e| Error::Failed(format!("the address {endpoint} is not host:port: {e}")))?;
    for address in addresses {
        if TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5)).is_ok() {
            return Ok(());
        }
    }
    Err(Error::Failed(format!("no RPC server listens at {endpoint}")))
}

fn check_version(version: &str, place: &str) -> Result<()> {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    let number = (parts.next().flatten(), parts.next().flatten(), parts.next().flatten());
    let [first, last] = VERSIONS;
    match number {
        (Some(major), Some(minor), Some(patch)) if (first..=last).contains(&(major, minor, patch)) => Ok(()),
        _ => Err(Error::Library(format!(
            "ggml {version} in {place} is not a supported version: {}.{}.{} to {}.{} are",
            first.0, first.1, first.2, last.0, last.1
        ))),
    }
}

/// Where a graph keeps the number by which the CUDA backend recognises it. With it a repeated graph is replayed at once;
/// without it the backend first compares every node with the last run's, some 50 µs a token. The field is not part of
/// the public API, so it is used only where a graph of known size shows the layout of the known versions.
fn uid_offset(table: &Table) -> Option<usize> {
    const SIZE: usize = 1237;
    const UID: usize = 88;
    table.ggml_graph_next_uid?;
    // SAFETY: as in `Library::context`; the graph's record is larger than what is read, and is read as integers.
    unsafe {
        let mem_size = (table.ggml_graph_overhead_custom)(SIZE, false);
        let ctx = (table.ggml_init)(InitParams { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true });
        if ctx.is_null() {
            return None;
        }
        let graph = (table.ggml_new_graph_custom)(ctx, SIZE, false);
        let matches = !graph.is_null() && {
            let int = |at: usize| graph.byte_add(at).cast::<c_int>().read();
            let word = |at: usize| graph.byte_add(at).cast::<u64>().read();
            // size, n_nodes, n_leafs; nodes, no grads, no grad_accs, leafs, use_counts; the hash set; order; uid.
            let counts = int(0) == SIZE as c_int && int(4) == 0 && int(8) == 0;
            let arrays = word(16) != 0 && word(24) == 0 && word(32) == 0 && word(40) != 0 && word(48) != 0;
            let hash = (2 * SIZE as u64..8 * SIZE as u64).contains(&word(56)) && word(64) != 0 && word(72) != 0;
            counts && arrays && hash && int(80) == 0 && word(UID) == 0
        };
        (table.ggml_free)(ctx);
        matches.then_some(UID)
    }
}

/// Gives `graph` a number of its own, where that is possible.
pub(crate) fn number_graph(library: &Library, graph: *mut RawGraph) {
    if let (Some(offset), Some(next)) = (library.0.uid_offset, library.0.table.ggml_graph_next_uid) {
        // SAFETY: `uid_offset` found a 64-bit field there in graphs of this library.
        unsafe { graph.byte_add(offset).cast::<u64>().write(next()) };
    }
}

/// A text that ggml returned.
///
/// # Safety
/// `pointer` is NULL or a NUL-terminated text that is alive.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// The library of that name in `folder`: by its exact name, else with a version in it (`libggml.v0.5.0.so`).
#[cfg(feature = "dlopen")]
fn find(folder: &Path, stem: &str) -> Result<std::path::PathBuf> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    let exact = folder.join(format!("{DLL_PREFIX}{stem}{DLL_SUFFIX}"));
    if exact.is_file() {
        return Ok(exact);
    }
    let start = format!("{DLL_PREFIX}{stem}.");
    let mut versioned: Vec<_> = std::fs::read_dir(folder)
        .map_err(|e| Error::Library(format!("the ggml folder {} cannot be read: {e}", folder.display())))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with(&start) && (name.ends_with(DLL_SUFFIX) || name.contains(&format!("{DLL_SUFFIX}.")))
        })
        .collect();
    versioned.sort();
    versioned
        .pop()
        .ok_or_else(|| Error::Library(format!("there is no {DLL_PREFIX}{stem}{DLL_SUFFIX} in {}", folder.display())))
}

#[cfg(feature = "dlopen")]
fn load(file: &Path) -> Result<libloading::Library> {
    let failed = |e: libloading::Error| Error::Library(format!("{} does not load: {e}", file.display()));
    #[cfg(unix)]
    {
        use libloading::os::unix;
        // SAFETY: the host names the folder; its initialisers are ggml's.
        let library = unsafe { unix::Library::open(Some(file), unix::RTLD_NOW | unix::RTLD_LOCAL) }.map_err(failed)?;
        Ok(library.into())
    }
    #[cfg(not(unix))]
    {
        // SAFETY: as above.
        unsafe { libloading::Library::new(file) }.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_outside_the_known_range_are_refused() {
        for good in ["0.25.1", "0.25.9", "0.26.0", "0.26.12-dirty"] {
            assert!(check_version(good, "here").is_ok(), "{good}");
        }
        for bad in ["0.25.0", "0.9.4", "0.27.0", "1.0.0", "", "abc", "0.26"] {
            assert!(check_version(bad, "here").is_err(), "{bad}");
        }
    }
}
