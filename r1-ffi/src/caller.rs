//! Pointers and lengths from C, checked before they are read.

use std::ffi::{CStr, c_char};
use std::path::PathBuf;

use crate::fail::{Fail, Result};
use crate::status::*;

/// Texts and token lists beyond this many entries are mistakes: lengths gone negative, uninitialised variables.
const MAX_ITEMS: usize = 1 << 30;

/// The promise of the C caller of one exported function: whoever has it may read the pointers of that call.
pub(crate) struct Caller(());

impl Caller {
    /// # Safety
    /// Every pointer given to the methods must be NULL or point to as many readable (for [`Caller::out`]: writable)
    /// values as the length says, unchanged as long as this object lives.
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// UTF-8 text. `SIZE_MAX` stands for "ends with NUL"; NULL is the empty text if the length is 0.
    pub(crate) fn text(&self, text: *const c_char, len: usize, argument: &str) -> Result<&str> {
        str::from_utf8(self.bytes(text, len, argument)?).map_err(|e| {
            Fail::new(R1_ERR_UTF8, format!("argument '{argument}' is not UTF-8 from byte {}", e.valid_up_to()))
        })
    }

    /// Bytes of a text, as [`Caller::text`] but of any encoding.
    pub(crate) fn bytes(&self, text: *const c_char, len: usize, argument: &str) -> Result<&[u8]> {
        if len == usize::MAX && !text.is_null() {
            // SAFETY: the caller promises a NUL.
            return Ok(unsafe { CStr::from_ptr(text) }.to_bytes());
        }
        self.items(text.cast::<u8>(), len, argument)
    }

    /// A list of `len` values; NULL is the empty list if the length is 0.
    pub(crate) fn items<T: Copy>(&self, first: *const T, len: usize, argument: &str) -> Result<&[T]> {
        check(first, argument, len == 0)?;
        if first.is_null() {
            return Ok(&[]);
        }
        if len > MAX_ITEMS {
            return Err(Fail::range(argument, format_args!("has an absurd length of {len}")));
        }
        // SAFETY: the caller promises `len` values; the length is far below the limit of a slice.
        Ok(unsafe { std::slice::from_raw_parts(first, len) })
    }

    /// A block of memory of any size.
    pub(crate) fn block(&self, data: *const u8, len: usize, argument: &str) -> Result<&[u8]> {
        check(data, argument, false)?;
        if isize::try_from(len).is_err() {
            return Err(Fail::range(argument, format_args!("has an absurd length of {len}")));
        }
        // SAFETY: the caller promises `len` bytes.
        Ok(unsafe { std::slice::from_raw_parts(data, len) })
    }

    /// A file name: bytes on Unix, UTF-8 elsewhere.
    pub(crate) fn path(&self, path: *const c_char, len: usize, argument: &str) -> Result<PathBuf> {
        if path.is_null() {
            return Err(Fail::null(argument));
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            Ok(std::ffi::OsStr::from_bytes(self.bytes(path, len, argument)?).into())
        }
        #[cfg(not(unix))]
        Ok(self.text(path, len, argument)?.into())
    }

    /// Text inside a struct: ends with NUL; NULL means not given.
    pub(crate) fn optional(&self, text: *const c_char, argument: &str) -> Result<Option<&str>> {
        if text.is_null() { Ok(None) } else { self.text(text, usize::MAX, argument).map(Some) }
    }

    /// A place for a result.
    pub(crate) fn out<T>(&self, place: *mut T, argument: &str) -> Result<Out<'_, T>> {
        check(place, argument, false)?;
        // SAFETY: the caller promises a writable place, and nothing is read from it.
        Ok(Out(unsafe { &mut *place.cast() }))
    }

    /// A buffer for results and the place for their number: `(NULL, 0)` asks for the number alone.
    pub(crate) fn buffer<T: Copy>(
        &self,
        first: *mut T,
        capacity: usize,
        count: *mut usize,
        argument: &str,
    ) -> Result<Buffer<'_, T>> {
        check(first, argument, capacity == 0)?;
        let count = self.out(count, "count")?;
        Ok(Buffer { first, capacity, count })
    }
}

fn check<T>(pointer: *const T, argument: &str, null_is_fine: bool) -> Result<()> {
    if pointer.is_null() {
        return if null_is_fine { Ok(()) } else { Err(Fail::null(argument)) };
    }
    if pointer.is_aligned() { Ok(()) } else { Err(Fail::range(argument, "is a misaligned pointer")) }
}

/// A place for a result. It is consumed by [`Out::set`], which is the last thing that a function does.
pub(crate) struct Out<'a, T>(&'a mut std::mem::MaybeUninit<T>);

impl<T> Out<'_, T> {
    pub(crate) fn set(self, value: T) {
        self.0.write(value);
    }
}

/// A buffer for results.
pub(crate) struct Buffer<'a, T> {
    first: *mut T,
    capacity: usize,
    count: Out<'a, usize>,
}

impl<T: Copy> Buffer<'_, T> {
    /// Writes all values and their number, or the number alone.
    pub(crate) fn fill(self, values: &[T]) -> Result<r1_status> {
        self.count.set(values.len());
        if self.first.is_null() {
            return Ok(R1_OK);
        }
        if values.len() > self.capacity {
            let message = format!("{} entries do not fit a buffer of {}", values.len(), self.capacity);
            return Err(Fail::new(R1_ERR_BUFFER, message));
        }
        // SAFETY: the caller promises room for `capacity` values, and the host's buffer is none of ours.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.first, values.len()) };
        Ok(R1_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn caller() -> Caller {
        // SAFETY: the tests below give valid pointers.
        unsafe { Caller::new() }
    }

    #[test]
    fn lengths_and_encodings_are_checked() {
        let c = caller();
        assert_eq!(c.text(c"abc".as_ptr(), 2, "t").unwrap(), "ab");
        assert_eq!(c.text(c"abc".as_ptr(), usize::MAX, "t").unwrap(), "abc");
        assert_eq!(c.text(ptr::null(), 0, "t").unwrap(), "");
        for (text, len, status) in [
            (ptr::null(), 1, R1_ERR_NULL_ARG),
            (ptr::null(), usize::MAX, R1_ERR_NULL_ARG),
            (c"abc".as_ptr(), usize::MAX - 1, R1_ERR_RANGE),
            (c"a\xff".as_ptr(), 2, R1_ERR_UTF8),
        ] {
            assert_eq!(c.text(text, len, "t").unwrap_err().status, status);
        }
        let words = [0_u32; 2];
        let odd = words.as_ptr().wrapping_byte_add(1);
        assert_eq!(c.items(odd, 1, "t").unwrap_err().status, R1_ERR_RANGE);
    }

    #[test]
    fn buffers_tell_the_size_and_are_written_whole_or_not_at_all() {
        let c = caller();
        let (mut room, mut count) = ([0_u32; 2], 9);
        assert_eq!(c.buffer(ptr::null_mut(), 0, &raw mut count, "b").unwrap().fill(&[1_u32, 2, 3]).unwrap(), R1_OK);
        assert_eq!(count, 3);
        let fail = c.buffer(room.as_mut_ptr(), 2, &raw mut count, "b").unwrap().fill(&[1, 2, 3]).unwrap_err();
        assert_eq!((fail.status, room), (R1_ERR_BUFFER, [0, 0]));
        assert_eq!(c.buffer(room.as_mut_ptr(), 2, &raw mut count, "b").unwrap().fill(&[4]).unwrap(), R1_OK);
        assert_eq!((count, room), (1, [4, 0]));
        let missing = c.buffer(ptr::null_mut::<u32>(), 5, &raw mut count, "b");
        assert_eq!(missing.err().unwrap().status, R1_ERR_NULL_ARG);
    }
}
