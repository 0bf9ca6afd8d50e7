//! Which library this is.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use engine::Device;
use serde_json::{Value, json};

/// The number of this ABI. It changes only when a host that was compiled against another number would break.
pub const R1_ABI_VERSION: u32 = 1;

/// The ABI number of the library that was linked; compare it with `R1_ABI_VERSION`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_abi_version() -> u32 {
    guard_or!(0, || R1_ABI_VERSION)
}

/// The version of the library, such as `"0.1.0"`. Static: never free it. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_version_string() -> *const c_char {
    guard_or!(c"".as_ptr(), || {
        const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
        VERSION.as_ptr().cast()
    })
}

/// How the library was built and what it can run on here, as a JSON object: `version`, `abi`, `arch`, `os`, `debug`,
/// and `devices`, an array of `name`, `kernels` (those used by default), `available` (all that run here), `threads`.
/// Fields may be added. Static: never free it. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_build_info_json() -> *const c_char {
    guard_or!(c"{}".as_ptr(), || {
        static TEXT: OnceLock<CString> = OnceLock::new();
        TEXT.get_or_init(|| CString::new(build_info().to_string()).unwrap_or_default()).as_ptr()
    })
}

fn build_info() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "abi": R1_ABI_VERSION,
        "arch": std::env::consts::ARCH,
        "os": std::env::consts::OS,
        "debug": cfg!(debug_assertions),
        "devices": Device::list().iter().map(device_json).collect::<Vec<_>>(),
    })
}

pub(crate) fn device_json(device: &Device) -> Value {
    json!({
        "name": device.name,
        "kernels": device.kernels,
        "available": device.available,
        "threads": device.threads,
        "description": device.description,
        "backend": device.backend,
        "memory_free": device.memory_free,
        "memory_total": device.memory_total,
    })
}
