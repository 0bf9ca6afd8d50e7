//! Keys and values of the positions seen so far, in reference-counted pages, so that sequences can fork for the price of
//! the pages they later write to.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::config::{AttentionConfig, Config};
use crate::{Error, ErrorKind, Result};
use r1_kernels::Isa;
use r1_kernels::ops::{self, KvSlice, LatentPage, PAGE, Q8_BLOCK, Q8Rows};

/// How cached keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheType {
    /// Half precision, 2 bytes a value.
    #[default]
    F16,
    /// Single precision, 4 bytes a value.
    F32,
    /// Codes of 8 bits and a half-precision scale for each 32 values of a head: 34 bytes for 32 values.
    Q8_0,
}

impl CacheType {
    /// Bytes that a position's key or value of one head takes, `values` numbers.
    pub fn row_bytes(self, values: usize) -> usize {
        match self {
            CacheType::F16 => 2 * values,
            CacheType::F32 => 4 * values,
            CacheType::Q8_0 => values + 2 * values.div_ceil(Q8_BLOCK),
        }
    }
}

/// Where each layer's and head's values lie in a page. Grouped layers, for each key-value head: keys `[key_dim][PAGE]`
/// (so that one vector holds one dimension of neighbouring positions), then values `[PAGE][value_dim]`. Latent layers:
/// rows `[PAGE][row_dim]`, as the values of one head without keys.
///
/// Where values are codes, their scales lie in the same order beside them, `[key_dim / 32][PAGE]` and
/// `[PAGE][value_dim / 32]`, rounded up.
#[derive(Debug)]
pub(crate) struct PageLayout {
    layers: Vec<LayerLayout>,
    values: usize,
    scales: usize,
    kind: CacheType,
}

#[derive(Debug, Clone, Copy)]
struct LayerLayout {
    start: usize,
    scale_start: usize,
    kv_heads: usize,
    key_dim: usize,
    value_dim: usize,
}

/// Where something of one head lies in a page.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    values: Range<usize>,
    scales: Range<usize>,
}

/// [`PAGE`] positions of all layers.
#[derive(Debug, Clone)]
pub(crate) enum Page {
    F16(Vec<u16>),
    F32(Vec<f32>),
    Q8_0 { codes: Vec<i8>, scales: Vec<u16> },
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
        KvCache {
            layout: Arc::new(PageLayout::new(config, kind)),
            pages: Vec::new(),
            len: 0,
            capacity,
            #[cfg(feature = "ggml")]
            lease: None,
        }
    }

    /// How keys and values are stored.
    pub fn kind(&self) -> CacheType {
        self.layout.kind
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
        let (keys, values) = self.layout.places(layer, kv_head);
        match &*self.pages[page] {
            Page::F16(data) => KvSlice::F16 { k: &data[keys.values], v: &data[values.values] },
            Page::F32(data) => KvSlice::F32 { k: &data[keys.values], v: &data[values.values] },
            Page::Q8_0 { codes, scales } => KvSlice::Q8_0 {
                k: Q8Rows { codes: &codes[keys.values], scales: &scales[keys.scales] },
                v: Q8Rows { codes: &codes[values.values], scales: &scales[values.scales] },
            },
        }
    }

    /// The rows of a latent layer in page `page`.
    pub(crate) fn latent(&self, layer: usize, page: usize) -> LatentPage<'_> {
        let (_, rows) = self.layout.places(layer, 0);
        match &*self.pages[page] {
            Page::F16(data) => LatentPage::F16(&data[rows.values]),
            Page::F32(data) => LatentPage::F32(&data[rows.values]),
            Page::Q8_0 { codes, scales } => {
                LatentPage::Q8_0(Q8Rows { codes: &codes[rows.values], scales: &scales[rows.scales] })
            }
        }
    }

    /// Keeps pages for the first `layers` layers only: the others are on devices. Does nothing once there are pages.
    #[cfg(feature = "ggml")]
    pub(crate) fn keep_layers(&mut self, layers: usize) {
        if self.pages.is_empty() && layers < self.layout.layers.len() {
            let LayerLayout { start: values, scale_start: scales, .. } = self.layout.layers[layers];
            let layers = self.layout.layers[..layers].to_vec();
            self.layout = Arc::new(PageLayout { layers, values, scales, kind: self.layout.kind });
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

impl Page {
    /// Writes a key at `keys`, where columns are positions.
    pub(crate) fn store_column(&mut self, isa: Isa, keys: Place, slot: usize, key: &[f32]) {
        match self {
            Page::F16(data) => ops::store_k(isa, &mut data[keys.values], slot, key),
            Page::F32(data) => ops::store_k(isa, &mut data[keys.values], slot, key),
            Page::Q8_0 { codes, scales } => {
                ops::store_k_q8(isa, &mut codes[keys.values], &mut scales[keys.scales], slot, key);
            }
        }
    }

    /// Writes a value at `values`, where rows are positions.
    pub(crate) fn store_row(&mut self, isa: Isa, values: Place, slot: usize, value: &[f32]) {
        match self {
            Page::F16(data) => ops::store_v(isa, &mut data[values.values], slot, value),
            Page::F32(data) => ops::store_v(isa, &mut data[values.values], slot, value),
            Page::Q8_0 { codes, scales } => {
                ops::store_v_q8(isa, &mut codes[values.values], &mut scales[values.scales], slot, value);
            }
        }
    }
}

impl PageLayout {
    /// The layout of the pages of a model's caches.
    pub(crate) fn new(config: &Config, kind: CacheType) -> PageLayout {
        let (mut values, mut scales) = (0, 0);
        let layers = config
            .layers
            .iter()
            .map(|layer| {
                let (kv_heads, key_dim, value_dim) = match layer.attention {
                    AttentionConfig::Grouped(a) => (a.kv_heads, a.key_dim, a.value_dim),
                    AttentionConfig::Latent(a) => (1, 0, a.row_dim()),
                };
                let layout = LayerLayout { start: values, scale_start: scales, kv_heads, key_dim, value_dim };
                values += kv_heads * (key_dim + value_dim) * PAGE;
                if kind == CacheType::Q8_0 {
                    scales += kv_heads * (key_dim.div_ceil(Q8_BLOCK) + value_dim.div_ceil(Q8_BLOCK)) * PAGE;
                }
                layout
            })
            .collect();
        PageLayout { layers, values, scales, kind }
    }

    /// Places of a head's keys and values in a page.
    pub(crate) fn places(&self, layer: usize, kv_head: usize) -> (Place, Place) {
        let l = self.layers[layer];
        debug_assert!(kv_head < l.kv_heads);
        let part = |start: usize, key: usize, value: usize| {
            let keys = start + kv_head * (key + value) * PAGE;
            let values = keys + key * PAGE;
            (keys..values, values..values + value * PAGE)
        };
        let (keys, values) = part(l.start, l.key_dim, l.value_dim);
        let (key_scales, value_scales) =
            part(l.scale_start, l.key_dim.div_ceil(Q8_BLOCK), l.value_dim.div_ceil(Q8_BLOCK));
        (Place { values: keys, scales: key_scales }, Place { values, scales: value_scales })
    }

    /// Bytes of a page.
    pub(crate) fn page_bytes(&self) -> usize {
        match self.kind {
            CacheType::F16 => 2 * self.values,
            CacheType::F32 => 4 * self.values,
            CacheType::Q8_0 => self.values + 2 * self.scales,
        }
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
            CacheType::Q8_0 => Page::Q8_0 { codes: zeroed(self.values)?, scales: zeroed(self.scales)? },
        })
    }
}

fn out_of_memory(bytes: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("no memory for a cache page of {bytes} bytes"))
        .remedy("use a smaller context or the q8_0 cache")
}
