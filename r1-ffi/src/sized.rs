//! Structs that say their size, so that host and library may be of different versions.
//!
//! Fields are only ever appended, and zero means "default" or "absent" in each of them. A host that is older than the
//! library gives a shorter struct, which is read as if zeros followed. A newer host's longer one is read as far as this
//! library knows it, provided the rest is zero: otherwise the host wants something that this library cannot do.

use std::mem::{MaybeUninit, size_of};

use crate::caller::Caller;
use crate::fail::{Fail, Result};
use crate::status::*;

/// Nothing in the header comes near this size: beyond it, `struct_size` was never set.
const MAX_SIZE: usize = 4096;

/// A struct of the header.
///
/// # Safety
/// `repr(C)`, begins with `struct_size: u32`, and any bytes are a valid value, zeros among them.
pub(crate) unsafe trait Sized: Copy {
    /// Bytes of the struct's first published version. When fields are appended this keeps its value: write it as the
    /// offset of the first field that was added.
    const FIRST: usize;
    /// The struct's name in C.
    const NAME: &'static str;
}

/// Declares a struct of the header, whose first version is the present one, by its last field: there must be no padding
/// after it, since a field appended later would read an old host's padding.
///
/// One that has grown names the first field that was added as well: `sized!(name, last: type, grown from added)`.
macro_rules! sized {
    ($name:ident, $last:ident: $type:ty) => {
        $crate::sized::sized!($name, $last: $type, of ::std::mem::size_of::<$name>());
    };
    ($name:ident, $last:ident: $type:ty, grown from $added:ident) => {
        $crate::sized::sized!($name, $last: $type, of ::std::mem::offset_of!($name, $added));
    };
    ($name:ident, $last:ident: $type:ty, of $first:expr) => {
        // SAFETY: a repr(C) struct of integers, floats, raw pointers and optional functions, `struct_size` first.
        unsafe impl $crate::sized::Sized for $name {
            const FIRST: usize = $first;
            const NAME: &'static str = stringify!($name);
        }
        const _: () = {
            use ::std::mem::{offset_of, size_of};
            assert!(offset_of!($name, struct_size) == 0);
            assert!(offset_of!($name, $last) + size_of::<$type>() == size_of::<$name>());
        };
    };
}
pub(crate) use sized;

/// Flags of which this library knows `known`.
pub(crate) fn flags(flags: u32, known: u32, of: &str) -> Result<u32> {
    if flags & !known != 0 {
        let message = format!("flags {flags:#x} of {of} ask for something newer than this library");
        return Err(Fail::new(R1_ERR_VERSION, message));
    }
    Ok(flags)
}

impl Caller {
    /// A copy of the host's options; NULL gives the defaults.
    pub(crate) fn options<T: Sized>(&self, options: *const T) -> Result<T> {
        let mut own = MaybeUninit::<T>::zeroed();
        if !options.is_null() {
            let size = self.struct_size(options)?;
            let known = size.min(size_of::<T>());
            // SAFETY: the host promises that `struct_size` bytes are there; `own` has room for `known` of them.
            unsafe { std::ptr::copy_nonoverlapping(options.cast::<u8>(), own.as_mut_ptr().cast(), known) };
            // SAFETY: as above, for the bytes beyond the known ones.
            let rest = unsafe { std::slice::from_raw_parts(options.cast::<u8>().add(known), size - known) };
            if rest.iter().any(|&byte| byte != 0) {
                let message = format!("{} of {size} bytes asks for something newer than this library", T::NAME);
                return Err(Fail::new(R1_ERR_VERSION, message));
            }
        }
        // SAFETY: any bytes are a valid `T`.
        Ok(unsafe { own.assume_init() })
    }

    /// A place for a struct whose `struct_size` the host has set.
    pub(crate) fn sized_out<T: Sized>(&self, place: *mut T, argument: &str) -> Result<SizedOut<'_, T>> {
        if place.is_null() {
            return Err(Fail::null(argument));
        }
        let size = self.struct_size(place)?;
        Ok(SizedOut { place, size, _caller: self })
    }

    fn struct_size<T: Sized>(&self, of: *const T) -> Result<usize> {
        if !of.is_aligned() {
            return Err(Fail::new(R1_ERR_VERSION, format!("a pointer to {} is misaligned", T::NAME)));
        }
        // SAFETY: every version of the struct begins with its size.
        let size = unsafe { of.cast::<u32>().read() } as usize;
        if size < T::FIRST || size > MAX_SIZE {
            let message = format!(
                "struct_size {size} is that of no version of {} (set it to sizeof, or use {}_INIT)",
                T::NAME,
                T::NAME.to_uppercase()
            );
            return Err(Fail::new(R1_ERR_VERSION, message));
        }
        Ok(size)
    }

    /// Writes zeros and the size into a host's struct of `size` bytes, whatever its version.
    pub(crate) fn init<T: Sized>(&self, place: *mut T, size: usize) -> Result<r1_status> {
        if place.is_null() {
            return Err(Fail::null("options"));
        }
        if size < T::FIRST || size > MAX_SIZE {
            return Err(Fail::new(R1_ERR_VERSION, format!("{size} bytes are no version of {}", T::NAME)));
        }
        // SAFETY: the host promises `size` writable bytes; bytes need no alignment.
        unsafe {
            place.cast::<u8>().write_bytes(0, size);
            place.cast::<u32>().write_unaligned(size as u32);
        }
        Ok(R1_OK)
    }
}

/// A place for a struct of the host's version.
pub(crate) struct SizedOut<'a, T> {
    place: *mut T,
    size: usize,
    _caller: &'a Caller,
}

impl<T: Sized> SizedOut<'_, T> {
    /// Writes the part that the host knows; what only a newer library would fill is zeroed. `struct_size` stays.
    pub(crate) fn set(self, value: &T) {
        let known = self.size.min(size_of::<T>());
        let head = size_of::<u32>();
        // SAFETY: the host promises `size` writable bytes, and `value` has at least `known`.
        unsafe {
            let (to, from) = (self.place.cast::<u8>(), (&raw const *value).cast::<u8>());
            std::ptr::copy_nonoverlapping(from.add(head), to.add(head), known - head);
            to.add(known).write_bytes(0, self.size - known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;
    use std::ptr;

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct V2 {
        struct_size: u32,
        first: u32,
        added: u64,
    }
    // SAFETY: integers only.
    unsafe impl Sized for V2 {
        const FIRST: usize = offset_of!(V2, added);
        const NAME: &'static str = "v2";
    }

    #[repr(C)]
    struct V3 {
        v2: V2,
        newest: u64,
    }

    fn v3(struct_size: usize, newest: u64) -> V3 {
        V3 { v2: V2 { struct_size: struct_size as u32, first: 1, added: 2 }, newest }
    }

    fn read(options: &V3) -> Result<V2> {
        // SAFETY: the reference is valid for all sizes used below, up to that of V3.
        unsafe { Caller::new() }.options((&raw const *options).cast::<V2>())
    }

    #[test]
    fn every_version_of_options_is_read() {
        assert_eq!(read(&v3(8, 9)).unwrap(), V2 { struct_size: 8, first: 1, added: 0 });
        assert_eq!(read(&v3(16, 9)).unwrap().added, 2);
        assert_eq!(read(&v3(24, 0)).unwrap().added, 2);
        for bad in [v3(24, 1), v3(0, 0), v3(7, 0), v3(1 << 20, 0)] {
            assert_eq!(read(&bad).unwrap_err().status, R1_ERR_VERSION);
        }
        // SAFETY: NULL is allowed.
        let defaults = unsafe { Caller::new() }.options(ptr::null::<V2>()).unwrap();
        assert_eq!(defaults, V2 { struct_size: 0, first: 0, added: 0 });
    }

    #[test]
    fn every_version_of_a_result_is_written_within_its_size() {
        let value = V2 { struct_size: 0, first: 7, added: 8 };
        for (size, added, newest) in [(8, 2, 9), (16, 8, 9), (24, 8, 0)] {
            let mut place = v3(size, 9);
            // SAFETY: as in `read`.
            let caller = unsafe { Caller::new() };
            caller.sized_out((&raw mut place).cast::<V2>(), "out").unwrap().set(&value);
            assert_eq!(place.v2, V2 { struct_size: size as u32, first: 7, added });
            assert_eq!(place.newest, newest);
        }
    }
}
