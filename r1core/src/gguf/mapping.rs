//! The one place that maps a file into memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// A read-only view of a whole file.
pub(super) struct Mapping(memmap2::Mmap);

impl Mapping {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private and read-only, and every access goes through a slice bounded by its length.
        // What no program can rule out is another process that changes the file meanwhile: changed bytes are harmless,
        // because all that the header promised was copied and checked before the file is mapped and any bytes are valid
        // weights; a truncated file raises SIGBUS. `LoadMode::Map` documents this and `LoadMode::Read` avoids it.
        unsafe { memmap2::Mmap::map(file) }.map(Self)
    }

    /// Takes pages out of this process; the next look brings them back from the system's cache or the file.
    pub(super) fn release(&self, range: std::ops::Range<usize>) {
        #[cfg(unix)]
        if range.start < range.end && range.end <= self.0.len() {
            // SAFETY: the mapping is of a file and never written, so a page that is dropped comes back with the same
            // bytes. Advice that the system does not take changes nothing.
            let _ = unsafe {
                self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.end - range.start)
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Has the system begin to read pages that are not in memory; returns at once.
    pub(super) fn prefetch(&self, range: std::ops::Range<usize>) {
        #[cfg(unix)]
        if range.start < range.end && range.end <= self.0.len() && !self.seems_resident(&range) {
            // Advice that the system does not take changes nothing.
            let _ = self.0.advise_range(memmap2::Advice::WillNeed, range.start, range.end - range.start);
        }
        #[cfg(not(unix))]
        let _ = range;
    }

    /// Whether the first, the middle and the last page of a range inside the mapping are in the system's cache. The
    /// advice walks over all pages, which would cost a tenth of the time that a resident expert takes.
    #[cfg(target_os = "linux")]
    fn seems_resident(&self, range: &std::ops::Range<usize>) -> bool {
        const PAGE: usize = 4096;
        [range.start, range.start.midpoint(range.end), range.end - 1].into_iter().all(|at| {
            let mut resident = 0_u8;
            let page = self.0.as_ptr().wrapping_add(at / PAGE * PAGE).cast_mut().cast();
            // SAFETY: the address is a page of the mapping and one byte is written for it. Where pages are larger and the
            // address is in the middle of one, the call fails and writes nothing.
            let known = unsafe { libc::mincore(page, 1, &raw mut resident) } == 0;
            known && resident & 1 == 1
        })
    }

    #[cfg(all(unix, not(target_os = "linux")))]
    fn seems_resident(&self, _: &std::ops::Range<usize>) -> bool {
        false
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
