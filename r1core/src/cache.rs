//! Keys and values of the positions seen so far, in reference-counted pages, so that sequences can fork for the price of
//! the pages they later write to.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::{AttentionConfig, Config};
use crate::{Error, ErrorKind, Result};
use r1_kernels::ops::{KvSlice, LatentPage, PAGE};

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

/// Where each layer's and head's values lie in a page. Grouped layers, for each key-value head: keys `[key_dim][PAGE]`
/// (so that one vector holds one dimension of neighbouring positions), then values `[PAGE][value_dim]`. Latent layers:
/// rows `[PAGE][row_dim]` in the place of the keys of one head that has no values.
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
}

impl KvCache {
    /// An empty cache for at most `capacity` positions. Pages are allocated as positions arrive.
    pub fn new(config: &Config, kind: CacheType, capacity: usize) -> KvCache {
        let mut start = 0;
        let layers = config
            .layers
            .iter()
            .map(|layer| {
                let layout = match layer.attention {
                    AttentionConfig::Grouped(a) => {
                        LayerLayout { start, kv_heads: a.kv_heads, key_dim: a.key_dim, value_dim: a.value_dim }
                    }
                    AttentionConfig::Latent(a) => {
                        LayerLayout { start, kv_heads: 1, key_dim: a.row_dim(), value_dim: 0 }
                    }
                };
                start += layer.attention.cache_values() * PAGE;
                layout
            })
            .collect();
        KvCache { layout: Arc::new(PageLayout { layers, values: start, kind }), pages: Vec::new(), len: 0, capacity }
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

    /// Bytes of the pages that this cache refers to; pages shared with a fork count in both.
    pub fn bytes(&self) -> usize {
        self.pages.len() * self.layout.page_bytes()
    }

    /// Bytes of the pages that some caches refer to, each shared page counted once.
    pub fn bytes_together<'c>(caches: impl IntoIterator<Item = &'c KvCache>) -> usize {
        let mut seen = HashSet::new();
        let new = |cache: &KvCache| {
            let new = cache.pages.iter().filter(|page| seen.insert(Arc::as_ptr(page))).count();
            new * cache.layout.page_bytes()
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
        let wanted = self.len.saturating_add(count);
        if wanted > self.capacity {
            return Err(Error::new(
                ErrorKind::ContextFull,
                format!("{count} more positions after {} do not fit the context of {}", self.len, self.capacity),
            )
            .remedy("open the session with a larger context, shorten the prompt, or start a new session"));
        }
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

    /// Counts `count` reserved positions as held.
    pub(crate) fn commit(&mut self, count: usize) {
        self.len += count;
        debug_assert!(self.len <= self.pages.len() * PAGE);
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

    /// The rows of a latent layer in page `page`.
    pub(crate) fn latent(&self, layer: usize, page: usize) -> LatentPage<'_> {
        let (rows, _) = self.layout.ranges(layer, 0);
        match &*self.pages[page] {
            Page::F16(data) => LatentPage::F16(&data[rows]),
            Page::F32(data) => LatentPage::F32(&data[rows]),
        }
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
