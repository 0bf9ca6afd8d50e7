//! Status codes. 1 to 16 are `engine::ErrorKind`; the ABI's own begin at 101.

use std::ffi::c_char;

/// What a call came to: `R1_OK`, `R1_DONE`, or one of `R1_ERR_*`, which are all positive. Numbers are never reused.
pub type r1_status = i32;

/// The call did what it says.
pub const R1_OK: r1_status = 0;
/// The stream or vote has ended; nothing was written.
pub const R1_DONE: r1_status = -1;

/// The operating system refused a file operation.
pub const R1_ERR_IO: r1_status = 1;
/// The file is not a GGUF file that this library reads.
pub const R1_ERR_NOT_GGUF: r1_status = 2;
/// The file contradicts itself or its format.
pub const R1_ERR_MALFORMED: r1_status = 3;
/// The file needs something that this library does not have.
pub const R1_ERR_UNSUPPORTED: r1_status = 4;
/// Something required is absent: a key, a tensor, a token of that text.
pub const R1_ERR_MISSING: r1_status = 5;
/// An argument makes no sense to the model or the object; the message says which and why.
pub const R1_ERR_ARGUMENT: r1_status = 6;
/// The call is not possible in the object's present state.
pub const R1_ERR_STATE: r1_status = 7;
/// The object is in use: by another thread, or by a stream or vote that has not ended.
pub const R1_ERR_BUSY: r1_status = 8;
/// The cancel token fired, or a progress function asked to stop.
pub const R1_ERR_CANCELLED: r1_status = 9;
/// The prompt does not fit the context; the message has the numbers.
pub const R1_ERR_CONTEXT_FULL: r1_status = 10;
/// Memory could not be reserved.
pub const R1_ERR_OUT_OF_MEMORY: r1_status = 11;
/// The chat template failed to parse or to render, or ran over its limits.
pub const R1_ERR_TEMPLATE: r1_status = 12;
/// The file has no chat template and none was given.
pub const R1_ERR_NO_TEMPLATE: r1_status = 13;
/// Text that must be UTF-8 is not.
pub const R1_ERR_UTF8: r1_status = 14;
/// A safety limit was reached.
pub const R1_ERR_LIMIT: r1_status = 15;
/// A bug of this library was noticed before it could do harm.
pub const R1_ERR_INTERNAL: r1_status = 16;

/// A required pointer is NULL.
pub const R1_ERR_NULL_ARG: r1_status = 101;
/// A handle is not live or not of this type: freed, never given out, or another kind of object.
pub const R1_ERR_HANDLE: r1_status = 102;
/// A struct could not be read: its `struct_size` is that of no version, a flag or the part beyond what this library
/// knows is not zero, or the pointer is misaligned. Nothing in the struct was used, no callback of it is called.
pub const R1_ERR_VERSION: r1_status = 103;
/// A bug of this library was caught on its way out. The session or chat concerned can only be freed.
pub const R1_ERR_PANIC: r1_status = 104;
/// The function was called from within a callback.
pub const R1_ERR_REENTRANT: r1_status = 105;
/// A number is outside its documented range, a length is absurd, or a pointer is misaligned.
pub const R1_ERR_RANGE: r1_status = 106;
/// The buffer is too small; the size that is needed was written to the count.
pub const R1_ERR_BUFFER: r1_status = 107;

/// The name of a status, such as `"R1_ERR_BUSY"`; `"R1_ERR_UNKNOWN"` for a number that this version does not know.
/// Static: never free it. Any thread, callbacks included.
#[unsafe(no_mangle)]
pub extern "C" fn r1_status_str(status: r1_status) -> *const c_char {
    guard_or!(std::ptr::null(), || name(status).as_ptr())
}

fn name(status: r1_status) -> &'static std::ffi::CStr {
    match status {
        R1_OK => c"R1_OK",
        R1_DONE => c"R1_DONE",
        R1_ERR_IO => c"R1_ERR_IO",
        R1_ERR_NOT_GGUF => c"R1_ERR_NOT_GGUF",
        R1_ERR_MALFORMED => c"R1_ERR_MALFORMED",
        R1_ERR_UNSUPPORTED => c"R1_ERR_UNSUPPORTED",
        R1_ERR_MISSING => c"R1_ERR_MISSING",
        R1_ERR_ARGUMENT => c"R1_ERR_ARGUMENT",
        R1_ERR_STATE => c"R1_ERR_STATE",
        R1_ERR_BUSY => c"R1_ERR_BUSY",
        R1_ERR_CANCELLED => c"R1_ERR_CANCELLED",
        R1_ERR_CONTEXT_FULL => c"R1_ERR_CONTEXT_FULL",
        R1_ERR_OUT_OF_MEMORY => c"R1_ERR_OUT_OF_MEMORY",
        R1_ERR_TEMPLATE => c"R1_ERR_TEMPLATE",
        R1_ERR_NO_TEMPLATE => c"R1_ERR_NO_TEMPLATE",
        R1_ERR_UTF8 => c"R1_ERR_UTF8",
        R1_ERR_LIMIT => c"R1_ERR_LIMIT",
        R1_ERR_INTERNAL => c"R1_ERR_INTERNAL",
        R1_ERR_NULL_ARG => c"R1_ERR_NULL_ARG",
        R1_ERR_HANDLE => c"R1_ERR_HANDLE",
        R1_ERR_VERSION => c"R1_ERR_VERSION",
        R1_ERR_PANIC => c"R1_ERR_PANIC",
        R1_ERR_REENTRANT => c"R1_ERR_REENTRANT",
        R1_ERR_RANGE => c"R1_ERR_RANGE",
        R1_ERR_BUFFER => c"R1_ERR_BUFFER",
        _ => c"R1_ERR_UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ErrorKind;

    #[test]
    fn codes_are_those_of_the_engine() {
        for (kind, status) in [
            (ErrorKind::Io, R1_ERR_IO),
            (ErrorKind::NotGguf, R1_ERR_NOT_GGUF),
            (ErrorKind::Malformed, R1_ERR_MALFORMED),
            (ErrorKind::Unsupported, R1_ERR_UNSUPPORTED),
            (ErrorKind::Missing, R1_ERR_MISSING),
            (ErrorKind::Argument, R1_ERR_ARGUMENT),
            (ErrorKind::State, R1_ERR_STATE),
            (ErrorKind::Busy, R1_ERR_BUSY),
            (ErrorKind::Cancelled, R1_ERR_CANCELLED),
            (ErrorKind::ContextFull, R1_ERR_CONTEXT_FULL),
            (ErrorKind::OutOfMemory, R1_ERR_OUT_OF_MEMORY),
            (ErrorKind::Template, R1_ERR_TEMPLATE),
            (ErrorKind::NoTemplate, R1_ERR_NO_TEMPLATE),
            (ErrorKind::Utf8, R1_ERR_UTF8),
            (ErrorKind::Limit, R1_ERR_LIMIT),
            (ErrorKind::Internal, R1_ERR_INTERNAL),
        ] {
            assert_eq!(kind as i32, status, "{kind:?}");
        }
    }

    #[test]
    fn every_code_has_a_name() {
        for status in (-1..=16).chain(101..=107) {
            assert_ne!(name(status), c"R1_ERR_UNKNOWN", "{status}");
        }
        assert_eq!(name(17), c"R1_ERR_UNKNOWN");
    }
}
