//! Keys and values of the positions seen so far, in reference-counted pages, so that sequences can fork for the price of
//! the pages they later write to.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::Config;
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops::{KvSlice, PAGE};

/// How cached keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    /// Half precision, 2 bytes a value.
    #[default]
    F16,
    /// Single precision, 4 bytes a value.
    F32,
}

impl CacheType {
    /// Bytes of one value.
    pub fn value_bytes(self) -> usize {
        match self {
            CacheType::F16 => 2,
            CacheType::F32 => 4,
        }
    }
}

/// Where each layer's and head's values lie in a page. Per layer and key-value head: keys `[key_dim][PAGE]` (so that
/// one vector holds one dimension of neighbouring positions), then values `[PAGE][value_dim]`.
#[derive(Debug)]
pub(crate) struct PageLayout {
    layers: Vec<LayerLayout>,
    values: usize,
    kind: CacheType,
}

#[derive(Debug, Clone, Copy)]
struct LayerLayout {
    start: usize,
    kv_heads: usize,
    key_dim: usize,
    value_dim: usize,
}

/// [`PAGE`] positions of all layers.
#[derive(Debug, Clone)]
pub(crate) enum Page {
    F16(Vec<u16>),
    F32(Vec<f32>),
}

/// The cache of one sequence.
#[derive(Debug, Clone)]
pub struct KvCache {
    layout: Arc<PageLayout>,
    pages: Vec<Arc<Page>>,
    len: usize,
    capacity: usize,
    /// Where the layers that are on devices keep theirs.
    #[cfg(feature = "ggml")]
    lease: Option<Arc<crate::ggml::Lease>>,
}

impl KvCache {
    /// An empty cache for at most `capacity` positions. Pages are allocated as positions arrive.
    pub fn new(config: &Config, kind: CacheType, capacity: usize) -> KvCache {
        let mut start = 0;
        let layers = config
            .layers
            .iter()
            .map(|layer| {
                let a = layer.attention;
                let layout = LayerLayout { start, kv_heads: a.kv_heads, key_dim: a.key_dim, value_dim: a.value_dim };
                start += a.kv_heads * (a.key_dim + a.value_dim) * PAGE;
                layout
            })
            .collect();
        KvCache {
            layout: Arc::new(PageLayout { layers, values: start, kind }),
            pages: Vec::new(),
            len: 0,
            capacity,
            #[cfg(feature = "ggml")]
            lease: None,
        }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of the pages that this cache refers to, and of its positions on devices; what is shared with a fork counts
    /// in both.
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.layout.page_bytes() + self.device_bytes()
    }

    /// Bytes that some caches refer to, what they share counted once.
    pub fn bytes_together<'c>(caches: impl IntoIterator<Item = &'c KvCache>) -> usize {
        let mut seen = HashSet::new();
        let mut devices = HashSet::new();
        let new = |cache: &KvCache| {
            let new = cache.pages.iter().filter(|page| seen.insert(Arc::as_ptr(page))).count();
            let on_devices = if devices.insert(cache.device_place()) { cache.device_bytes() } else { 0 };
            new * cache.layout.page_bytes() + on_devices
        };
        caches.into_iter().map(new).sum()
    }

    /// A second sequence with the same past. Costs no copy now; the first write of either to the last, shared page
    /// copies that page.
    pub fn fork(&self) -> KvCache {
        self.clone()
    }

    /// Forgets the positions from `len` on. Does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.pages.truncate(self.len.div_ceil(PAGE));
    }

    /// Makes room for `count` more positions: fails before anything changes, or leaves every page that they will be
    /// written to allocated and unshared.
    pub(crate) fn reserve(&mut self, count: usize) -> Result<()> {
        let wanted = self.check_room(count)?;
        let pages = wanted.div_ceil(PAGE);
        self.pages
            .try_reserve(pages.saturating_sub(self.pages.len()))
            .map_err(|_| out_of_memory(self.layout.page_bytes()))?;
        while self.pages.len() < pages {
            self.pages.push(Arc::new(self.layout.new_page()?));
        }
        // The page that holds the last position may be shared with a fork.
        if count > 0 {
            for page in &mut self.pages[self.len / PAGE..] {
                Arc::make_mut(page);
            }
        }
        Ok(())
    }

    /// The positions with `count` more, where they fit.
    pub(crate) fn check_room(&self, count: usize) -> Result<usize> {
        let wanted = self.len.saturating_add(count);
        if wanted <= self.capacity {
            return Ok(wanted);
        }
        Err(Error::new(
            ErrorKind::ContextFull,
            format!("{count} more positions after {} do not fit the context of {}", self.len, self.capacity),
        )
        .remedy("open the session with a larger context, shorten the prompt, or start a new session"))
    }

    /// Counts `count` reserved positions as held.
    pub(crate) fn commit(&mut self, count: usize) {
        self.len += count;
    }

    /// The reserved pages from the one that holds `position` on, with the first position of each, for writing.
    pub(crate) fn pages_from(&mut self, position: usize) -> impl Iterator<Item = (usize, &mut Page)> {
        let first = position / PAGE;
        self.pages[first..].iter_mut().enumerate().map(move |(i, page)| ((first + i) * PAGE, Arc::make_mut(page)))
    }

    /// Keys and values of one head in page `page`.
    pub(crate) fn slice(&self, layer: usize, kv_head: usize, page: usize) -> KvSlice<'_> {
        let (keys, values) = self.layout.ranges(layer, kv_head);
        match &*self.pages[page] {
            Page::F16(data) => KvSlice::F16 { k: &data[keys], v: &data[values] },
            Page::F32(data) => KvSlice::F32 { k: &data[keys], v: &data[values] },
        }
    }

    /// Keeps pages for the first `layers` layers only: the others are on devices. Does nothing once there are pages.
    #[cfg(feature = "ggml")]
    pub(crate) fn keep_layers(&mut self, layers: usize) {
        if self.pages.is_empty() && layers < self.layout.layers.len() {
            let values = self.layout.layers[layers].start;
            let layers = self.layout.layers[..layers].to_vec();
            self.layout = Arc::new(PageLayout { layers, values, kind: self.layout.kind });
        }
    }

    #[cfg(feature = "ggml")]
    pub(crate) fn lease(&self) -> Option<&Arc<crate::ggml::Lease>> {
        self.lease.as_ref()
    }

    #[cfg(feature = "ggml")]
    pub(crate) fn set_lease(&mut self, lease: Arc<crate::ggml::Lease>) {
        self.lease = Some(lease);
    }

    #[cfg(feature = "ggml")]
    fn device_bytes(&self) -> usize {
        self.lease.as_ref().map_or(0, |lease| lease.position_bytes() * self.len)
    }

    #[cfg(not(feature = "ggml"))]
    fn device_bytes(&self) -> usize {
        0
    }

    /// Tells places on devices apart.
    #[cfg(feature = "ggml")]
    fn device_place(&self) -> usize {
        self.lease.as_ref().map_or(0, |lease| Arc::as_ptr(lease).addr())
    }

    #[cfg(not(feature = "ggml"))]
    fn device_place(&self) -> usize {
        0
    }

    pub(crate) fn layout(&self) -> Arc<PageLayout> {
        Arc::clone(&self.layout)
    }
}

impl PageLayout {
    /// Value ranges of a head's keys and values in a page.
    pub(crate) fn ranges(&self, layer: usize, kv_head: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let l = self.layers[layer];
        debug_assert!(kv_head < l.kv_heads);
        let keys = l.start + kv_head * (l.key_dim + l.value_dim) * PAGE;
        let values = keys + l.key_dim * PAGE;
        (keys..values, values..values + l.value_dim * PAGE)
    }

    fn page_bytes(&self) -> usize {
        self.values * self.kind.value_bytes()
    }

    fn new_page(&self) -> Result<Page> {
        fn zeroed<T: Clone + Default>(values: usize) -> Result<Vec<T>> {
            let mut data = Vec::new();
            data.try_reserve_exact(values).map_err(|_| out_of_memory(values * size_of::<T>()))?;
            data.resize(values, T::default());
            Ok(data)
        }
        Ok(match self.kind {
            CacheType::F16 => Page::F16(zeroed(self.values)?),
            CacheType::F32 => Page::F32(zeroed(self.values)?),
        })
    }
}

fn out_of_memory(bytes: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("no memory for a cache page of {bytes} bytes"))
        .remedy("use a smaller context or the f16 cache")
}
