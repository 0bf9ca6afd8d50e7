//! Texts that the library hands out.

use std::ffi::c_char;
use std::ptr;

use crate::caller::Caller;
use crate::fail::Result;
use crate::handle::{self, object};
use crate::status::*;

/// A text made by the library. Owned by the caller: free it with `r1_string_free`. Immutable: any number of threads may
/// read it.
pub struct r1_string {
    _private: (),
}

/// The bytes and a NUL after them.
struct Text(Box<[u8]>);

object!(Text, r1_string, String);

pub(crate) fn give(text: String) -> Result<*mut r1_string> {
    let mut bytes = text.into_bytes();
    bytes.push(0);
    handle::give(Text(bytes.into_boxed_slice()))
}

/// The text: UTF-8, followed by NUL, valid until the string is freed. `len`, where not NULL, gets its length in bytes
/// without that NUL. Returns NULL, and writes nothing, for a handle that is not live. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn r1_string_data(string: *const r1_string, len: *mut usize) -> *const c_char {
    guard_or!(ptr::null(), || {
        let Some(text) = handle::lookup::<Text>(string) else { return ptr::null() };
        // SAFETY: the caller promises that `len` is NULL or a writable place.
        if let Ok(len) = unsafe { Caller::new() }.out(len, "len") {
            len.set(text.0.len() - 1);
        }
        text.0.as_ptr().cast()
    })
}

/// Frees a string. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_string_free(string: *mut r1_string) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Text>(string))
}
