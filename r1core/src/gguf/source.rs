//! Bytes by position: of a file, a mapping or a block of memory.

use super::mapping::Mapping;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;

/// Where the bytes of one part come from.
pub(super) enum Source {
    File(PositionedFile),
    Map(Mapping),
    Memory(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl Source {
    /// Fills `buffer` from position `offset`.
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if let Source::File(file) = self {
            return file.read_exact_at(buffer, offset);
        }
        let end = offset.checked_add(buffer.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.borrow(offset..end)?);
        Ok(())
    }

    /// The bytes of a range: borrowed where they are in memory already, else read.
    pub(super) fn get(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let Source::File(file) = self else {
            return self.borrow(range).map(Cow::Borrowed);
        };
        let len = range.end.checked_sub(range.start).and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or(io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Cow::Owned(bytes))
    }

    /// All bytes, where they are in memory.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Source::Map(mapping) => Some(mapping.bytes()),
            Source::Memory(block) => Some((**block).as_ref()),
            Source::File(_) => None,
        }
    }

    /// Lets the system take back the memory behind some bytes; they stay readable.
    pub(super) fn release(&self, range: Range<u64>) {
        if let (Source::Map(mapping), Ok(start), Ok(end)) = (self, range.start.try_into(), range.end.try_into()) {
            mapping.release(start..end);
        }
    }

    /// Has the system begin to read some bytes that it will be asked for soon.
    pub(super) fn prefetch(&self, range: Range<u64>) {
        if let (Source::Map(mapping), Ok(start), Ok(end)) = (self, range.start.try_into(), range.end.try_into()) {
            mapping.prefetch(start..end);
        }
    }

    fn borrow(&self, range: Range<u64>) -> io::Result<&[u8]> {
        let bytes = self.bytes().unwrap_or_default();
        let start = usize::try_from(range.start).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = usize::try_from(range.end).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        bytes.get(start..end).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A file that several threads may read at different positions.
pub(super) struct PositionedFile {
    #[cfg(any(unix, windows))]
    file: File,
    #[cfg(not(any(unix, windows)))]
    file: std::sync::Mutex<File>,
}

impl PositionedFile {
    pub(super) fn new(file: File) -> Self {
        #[cfg(not(any(unix, windows)))]
        let file = std::sync::Mutex::new(file);
        Self { file }
    }

    #[cfg(any(unix, windows))]
    pub(super) fn map(&self) -> io::Result<Mapping> {
        Mapping::new(&self.file)
    }

    #[cfg(not(any(unix, windows)))]
    pub(super) fn map(&self) -> io::Result<Mapping> {
        Mapping::new(&self.lock())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        while !buffer.is_empty() {
            match self.file.seek_read(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buffer = buffer.split_at_mut(n).1;
                    offset += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(not(any(unix, windows)))]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.lock();
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }

    /// A panic elsewhere leaves nothing behind but a position, which every read sets anew.
    #[cfg(not(any(unix, windows)))]
    fn lock(&self) -> std::sync::MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
