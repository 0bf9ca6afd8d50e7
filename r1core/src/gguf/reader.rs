//! A cursor over a header that trusts no length.

use super::limits::MAX_STRING_BYTES;
use super::source::Source;
use super::{Array, StringArray};
use crate::{Error, ErrorKind, Result};

/// Reads little-endian items in order. Errors carry the offset of the item; the file's name is added by the caller.
pub(super) struct Reader<'a> {
    source: &'a Source,
    len: u64,
    offset: u64,
    /// Bytes of the source from `window_start` on; at most [`WINDOW`] of them.
    window: Vec<u8>,
    window_start: u64,
}

const WINDOW: usize = 64 << 10;

impl<'a> Reader<'a> {
    /// Starts at byte 0 of a source of `len` bytes.
    pub(super) fn new(source: &'a Source, len: u64) -> Self {
        Self { source, len, offset: 0, window: Vec::new(), window_start: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.offset)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A count of items that take at least `item_bytes` each, checked against the bytes that remain.
    pub(super) fn count(&mut self, what: &str, item_bytes: u64) -> Result<u64> {
        let start = self.offset;
        let count = self.u64()?;
        self.check_count(count, what, item_bytes).map_err(|error| error.offset(start))?;
        Ok(count)
    }

    /// As [`Reader::count`] for a count that was read before.
    pub(super) fn check_count(&self, count: u64, what: &str, item_bytes: u64) -> Result<()> {
        let remaining = self.remaining();
        if count > remaining / item_bytes {
            let message = format!("{count} {what} do not fit in the {remaining} bytes that remain");
            let error = Error::new(ErrorKind::Malformed, message).offset(self.offset);
            return Err(error.remedy("get the file again, it is incomplete or damaged"));
        }
        Ok(())
    }

    /// A bool, which must be 0 or 1.
    pub(super) fn bool(&mut self) -> Result<bool> {
        let start = self.offset;
        match self.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Error::new(ErrorKind::Malformed, format!("a bool is {other}, not 0 or 1")).offset(start)),
        }
    }

    /// A string of at most `limit` bytes, which must be UTF-8.
    pub(super) fn string(&mut self, limit: u64) -> Result<String> {
        let len = self.string_len(limit)?;
        let start = self.offset;
        let mut bytes = reserve(len, start)?;
        self.append(&mut bytes, len)?;
        String::from_utf8(bytes).map_err(|error| not_utf8(start + error.utf8_error().valid_up_to() as u64))
    }

    /// An array of strings, whose count is checked already.
    ///
    /// Two passes, lengths first: the text is then allocated once and exactly.
    pub(super) fn strings(&mut self, count: u64) -> Result<StringArray> {
        let start = self.offset;
        let mut ends: Vec<u32> = reserve(count, start)?;
        let mut end = 0_u64;
        for i in 0..count {
            let len = self.string_len(MAX_STRING_BYTES).map_err(|error| in_element(error, i))?;
            self.offset += len;
            end += len;
            ends.push(u32::try_from(end).map_err(|_| {
                let message = "an array of strings has more than 4 GiB of text";
                Error::new(ErrorKind::Limit, message).offset(start)
            })?);
        }
        self.offset = start;
        let mut text = reserve(end, start)?;
        for &end in &ends {
            // The source may have changed since the first pass: its lengths count, not those read now.
            self.u64()?;
            let len = u64::from(end).saturating_sub(text.len() as u64);
            self.append(&mut text, len)?;
        }
        StringArray::from_parts(text, ends).map_err(|(i, byte)| {
            let before = 8 * (i as u64 + 1);
            in_element(not_utf8(start + before + byte as u64), i as u64)
        })
    }

    /// Elements of `N` bytes each, whose count is checked already.
    pub(super) fn scalars<T, const N: usize>(&mut self, count: u64, decode: fn([u8; N]) -> T) -> Result<Vec<T>> {
        let mut values = reserve(count, self.offset)?;
        for _ in 0..count {
            values.push(decode(self.bytes()?));
        }
        Ok(values)
    }

    /// Elements that are bools, whose count is checked already.
    pub(super) fn bools(&mut self, count: u64) -> Result<Array> {
        let mut values = reserve(count, self.offset)?;
        for i in 0..count {
            values.push(self.bool().map_err(|error| in_element(error, i))?);
        }
        Ok(Array::Bool(values))
    }

    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut item = [0; N];
        self.need(N as u64)?;
        self.fill(&mut item)?;
        Ok(item)
    }

    fn string_len(&mut self, limit: u64) -> Result<u64> {
        let start = self.offset;
        let len = self.u64()?;
        if len > self.remaining() {
            let message = format!("a string of {len} bytes does not fit in the {} bytes that remain", self.remaining());
            return Err(Error::new(ErrorKind::Malformed, message).offset(start));
        }
        if len > limit {
            let message = format!("a string of {len} bytes; at most {limit} are allowed here");
            return Err(Error::new(ErrorKind::Limit, message).offset(start));
        }
        Ok(len)
    }

    fn need(&self, len: u64) -> Result<()> {
        if len > self.remaining() {
            let message = format!("the file ends inside its header: {len} bytes needed, {} remain", self.remaining());
            let error = Error::new(ErrorKind::Malformed, message).offset(self.offset);
            return Err(error.remedy("get the file again, it is incomplete"));
        }
        Ok(())
    }

    /// Appends `len` bytes to a buffer that has room for them.
    fn append(&mut self, buffer: &mut Vec<u8>, len: u64) -> Result<()> {
        self.need(len)?;
        let start = buffer.len();
        // `len` was reserved, so it is a size of this machine.
        buffer.resize(start + len as usize, 0);
        self.fill(buffer.get_mut(start..).unwrap_or_default())
    }

    /// Fills `out` through the window, which large reads by-pass.
    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        if !self.take_from_window(out) {
            if out.len() >= WINDOW {
                self.read(out)?;
            } else {
                self.window_start = self.offset;
                self.window.clear();
                let len = self.remaining().min(WINDOW as u64) as usize;
                let mut window = std::mem::take(&mut self.window);
                window.resize(len, 0);
                self.read(&mut window)?;
                self.window = window;
                if !self.take_from_window(out) {
                    return Err(Error::new(ErrorKind::Internal, "read past the checked end").offset(self.offset));
                }
            }
        }
        self.offset += out.len() as u64;
        Ok(())
    }

    fn take_from_window(&self, out: &mut [u8]) -> bool {
        let bytes = self.offset.checked_sub(self.window_start).and_then(|from| {
            let from = usize::try_from(from).ok()?;
            self.window.get(from..from.checked_add(out.len())?)
        });
        bytes.map(|bytes| out.copy_from_slice(bytes)).is_some()
    }

    fn read(&self, out: &mut [u8]) -> Result<()> {
        self.source
            .read_exact_at(out, self.offset)
            .map_err(|error| Error::new(ErrorKind::Io, "cannot read the header").offset(self.offset).source(error))
    }
}

/// An empty vector with room for `count` items, which the caller has checked against the file.
pub(super) fn reserve<T>(count: u64, offset: u64) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    vec.try_reserve_exact(count).map_err(|error| {
        let message = format!("cannot reserve memory for {count} items");
        Error::new(ErrorKind::OutOfMemory, message).offset(offset).source(error)
    })?;
    Ok(vec)
}

fn not_utf8(offset: u64) -> Error {
    Error::new(ErrorKind::Utf8, "the text is not UTF-8").offset(offset)
}

/// Names the element of an array in an error about it.
fn in_element(error: Error, i: u64) -> Error {
    let named = Error::new(error.kind(), format!("element {i}: {}", error.message()));
    let named = match error.place().offset {
        Some(offset) => named.offset(offset),
        None => named,
    };
    match error.remedy_text() {
        Some(remedy) => named.remedy(remedy),
        None => named,
    }
}
