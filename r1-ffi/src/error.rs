//! Error objects.

use std::ffi::{CString, c_char};

use crate::fail::{Fail, Result};
use crate::handle::{self, object};
use crate::status::*;

/// Why a call failed: a code and a sentence that names the place (file, key, tensor, byte) and often a remedy. Owned by
/// the caller: free it with `r1_error_free`. Immutable: any number of threads may read it.
pub struct r1_error {
    _private: (),
}

struct Error {
    status: r1_status,
    message: CString,
}

object!(Error, r1_error, Error);

pub(crate) fn give(fail: Fail) -> Result<*mut r1_error> {
    let message = CString::new(fail.message.replace('\0', "\u{fffd}")).unwrap_or_default();
    handle::give(Error { status: fail.status, message })
}

/// The code of an error; `R1_OK` for NULL, `R1_ERR_HANDLE` for a handle that is not live. Any thread, callbacks
/// included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_error_code(err: *const r1_error) -> r1_status {
    guard_or!(R1_ERR_PANIC, || match handle::lookup::<Error>(err) {
        Some(error) => error.status,
        None if err.is_null() => R1_OK,
        None => R1_ERR_HANDLE,
    })
}

/// The text of an error: UTF-8, ends with NUL, valid until the error is freed. Never NULL: for NULL and for a handle
/// that is not live the text says so. The wording may change between versions. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_error_message(err: *const r1_error) -> *const c_char {
    guard_or!(c"no message".as_ptr(), || match handle::lookup::<Error>(err) {
        Some(error) => error.message.as_ptr(),
        None if err.is_null() => c"no error".as_ptr(),
        None => c"not a live r1_error".as_ptr(),
    })
}

/// Frees an error. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_error_free(err: *mut r1_error) -> r1_status {
    guard_or!(R1_ERR_PANIC, || handle::free::<Error>(err))
}
