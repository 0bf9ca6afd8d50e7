//! One device: its part of the cache, and the graphs that were recorded for it.

use r1_ggml::{Allocator, Backend, Graph, GraphBuilder, StoreBuilder, Tensor, Type};

use super::graph::{Entry, Ports, Shape, record};
use super::weights::StageWeights;
use crate::config::{AttentionConfig, Config};
use crate::{Error, ErrorKind, Result};

/// Graphs that are kept: decoding needs one, a prompt one for each chunk.
const KEPT: usize = 24;
/// Threads of ggml's CPU code. They wait for each other after every operation, hundreds of times a token, and spin
/// without yielding: where one has no processor to itself, as with several sessions or a busy machine, each of these waits
/// takes a time slice. One thread waits for nobody; sessions run side by side instead.
const THREADS: usize = 1;
/// Minus infinity in half precision: attention does not see the cell.
const HIDDEN: u16 = 0xfc00;

/// Keys and values of the stage's layers: `slots` slots of `stride` positions, then one position for each slot that
/// takes what nobody needs.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) layers: Vec<LayerCache>,
    pub(super) stride: usize,
    pub(super) slots: usize,
    pub(super) rows: usize,
}

#[derive(Debug)]
pub(super) struct LayerCache {
    /// `[kv_heads * key_dim, rows]`, or `[kv_lora_rank + rope_dim, rows]`.
    pub(super) keys: Tensor,
    /// `[kv_heads * value_dim, rows]`; latent attention reads them from the keys.
    pub(super) values: Option<Tensor>,
}

/// New rows of several sequences, ready for the graph of `shape`.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) shape: Shape,
    /// Token ids of the rows.
    pub(super) tokens: &'a [i32],
    /// Their positions: what they see is the slot up to there.
    pub(super) positions: &'a [i32],
    /// Rows of the cache that they go to.
    pub(super) cells: &'a [i64],
    /// Rows that go through the head, where they are not all.
    pub(super) wanted: &'a [i32],
}

#[derive(Debug)]
struct Recorded {
    shape: Shape,
    graph: Graph,
    ports: Ports,
    used: u64,
}

/// A queue on a device with all that one runner needs there.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cache: Cache,
    fused_attention: bool,
    graphs: Vec<Recorded>,
    allocator: Allocator,
    clock: u64,
    // Last, so that it outlives what it computes with.
    pub(super) backend: Backend,
}

impl Stage {
    pub(super) fn new(
        config: &Config,
        weights: &StageWeights,
        fused_attention: bool,
        stride: usize,
        slots: usize,
    ) -> Result<Stage> {
        let backend = weights.device.start(THREADS)?;
        let cache = Cache::new(&backend, config, weights, stride, slots)?;
        let allocator = Allocator::new(&backend)?;
        Ok(Stage { cache, fused_attention, graphs: Vec::new(), allocator, clock: 0, backend })
    }

    /// Runs a batch through the stage's layers. The result stays on the device until [`Stage::read`].
    pub(super) fn run(
        &mut self,
        config: &Config,
        weights: &StageWeights,
        batch: &Batch<'_>,
        residual: &[f32],
    ) -> Result<()> {
        let index = self.prepare(config, weights, batch.shape)?;
        let Stage { graphs, allocator, backend, .. } = self;
        let Some(Recorded { graph, ports, .. }) = graphs.get_mut(index) else { return Err(lost()) };
        match &ports.entry {
            Entry::Tokens(tokens) => fill(backend.write(allocator, graph, tokens)?, batch.tokens)?,
            Entry::Residual(rows) => fill(backend.write(allocator, graph, rows)?, residual)?,
        }
        fill(backend.write(allocator, graph, &ports.positions)?, batch.positions)?;
        fill(backend.write(allocator, graph, &ports.cells)?, batch.cells)?;
        if let Some(wanted) = &ports.wanted {
            fill(backend.write(allocator, graph, wanted)?, batch.wanted)?;
        }
        for (window, mask) in &ports.masks {
            let mask = backend.write::<u16>(allocator, graph, mask)?;
            for (row, position) in mask.chunks_exact_mut(batch.shape.cells).zip(batch.positions) {
                let end = (*position as usize + 1).min(row.len());
                let start = window.map_or(0, |window| end.saturating_sub(window));
                row[..start].fill(HIDDEN);
                row[start..end].fill(0);
                row[end..].fill(HIDDEN);
            }
        }
        Ok(backend.compute(allocator, graph)?)
    }

    /// Copies rows of the last run's result: of `parts`, each as long as whole rows, from the row that it names.
    pub(super) fn read(&mut self, parts: Vec<(usize, &mut [u8])>) -> Result<()> {
        let Stage { graphs, backend, clock, .. } = self;
        let last = graphs.iter().find(|recorded| recorded.used == *clock).ok_or_else(lost)?;
        let Some(result) = &last.ports.result else { return Ok(()) };
        let mut parts: Vec<_> = parts.into_iter().map(|(row, out)| (row * result.stride(1), out)).collect();
        Ok(backend.read(result, &mut parts)?)
    }

    /// The best token of every row of the last run, with its logit; `None` where the row has to be looked at.
    pub(super) fn read_best(&mut self) -> Result<Vec<Option<(u32, f32)>>> {
        let Stage { graphs, backend, clock, .. } = self;
        let last = graphs.iter().find(|recorded| recorded.used == *clock).ok_or_else(lost)?;
        let (Some(logits), Some(best)) = (&last.ports.result, &last.ports.best) else { return Err(lost()) };
        let [others, rows, ..] = logits.dims().map(|n| n - 1);
        let len = 4 * (rows as usize + 1);
        let mut bytes = vec![0; 3 * len];
        let (ids, rest) = bytes.split_at_mut(len);
        let (values, below) = rest.split_at_mut(len);
        backend.read_all(&mut [(&best.ids, 0, ids), (&best.values, 0, values), (&best.below, 0, below)])?;
        let values = values.as_chunks::<4>().0.iter().zip(below.as_chunks::<4>().0);
        let all = ids.as_chunks::<4>().0.iter().zip(values);
        let row = |(id, (value, below)): (&[u8; 4], (&[u8; 4], &[u8; 4]))| {
            let is_alone = f32::from_le_bytes(*below) == others as f32;
            is_alone.then(|| (u32::from_le_bytes(*id), f32::from_le_bytes(*value)))
        };
        Ok(all.map(row).collect())
    }

    /// Records and plans a graph without running it.
    pub(super) fn prepare(&mut self, config: &Config, weights: &StageWeights, shape: Shape) -> Result<usize> {
        self.clock += 1;
        let Stage { cache, fused_attention, graphs, allocator, clock, backend } = self;
        if let Some(index) = graphs.iter().position(|r| r.shape == shape && allocator.holds(&r.graph)) {
            graphs[index].used = *clock;
            return Ok(index);
        }
        let (builder, ports) = record(backend, config, weights, cache, shape, *fused_attention)?;
        let graph = backend.plan(builder, allocator)?;
        graphs.retain(|r| allocator.holds(&r.graph));
        if graphs.len() >= KEPT
            && let Some(oldest) = graphs.iter().enumerate().min_by_key(|(_, r)| r.used).map(|(i, _)| i)
        {
            graphs.swap_remove(oldest);
        }
        graphs.push(Recorded { shape, graph, ports, used: *clock });
        Ok(graphs.len() - 1)
    }

    /// A larger cache that holds the same.
    pub(super) fn enlarged(
        &mut self,
        config: &Config,
        weights: &StageWeights,
        stride: usize,
        slots: usize,
    ) -> Result<Cache> {
        let new = Cache::new(&self.backend, config, weights, stride, slots)?;
        let old = &self.cache;
        let (kept, slots) = (old.stride.min(stride) as i64, old.slots.min(slots) as i64);
        let mut g = GraphBuilder::new(&self.backend, 4 * old.tensors().count() + 4)?;
        for (from, to) in old.tensors().zip(new.tensors()) {
            let mut view = |tensor: &Tensor, stride: usize| {
                let (row, dims) = (tensor.stride(1), [tensor.dims()[0], kept, slots, 1]);
                g.view(tensor, dims, [row, row * stride, row * stride * slots as usize], 0)
            };
            let (from, to) = (view(from, old.stride)?, view(to, new.stride)?);
            let copied = g.copy(&from, &to)?;
            g.compute(&copied)?;
        }
        self.run_once(g)?;
        Ok(new)
    }

    /// Takes the cache that [`Stage::enlarged`] made.
    pub(super) fn adopt(&mut self, cache: Cache) {
        // They refer to the old one.
        self.graphs.clear();
        self.cache = cache;
    }

    /// Copies the first `len` positions from slot to slot.
    pub(super) fn copy_slots(&mut self, copies: &[(usize, usize, usize)]) -> Result<()> {
        let cache = &self.cache;
        let nodes = 4 * copies.len() * cache.tensors().count() + 4;
        let mut g = GraphBuilder::new(&self.backend, nodes)?;
        for (from, to, len) in copies {
            for tensor in cache.tensors() {
                let row = tensor.stride(1);
                let mut view = |slot: usize| {
                    let dims = [tensor.dims()[0], *len as i64, 1, 1];
                    g.view(tensor, dims, [row, row * len, row * len], slot * cache.stride * row)
                };
                let (source, target) = (view(*from)?, view(*to)?);
                let copied = g.copy(&source, &target)?;
                g.compute(&copied)?;
            }
        }
        self.run_once(g)
    }

    fn run_once(&mut self, builder: GraphBuilder) -> Result<()> {
        let mut graph = self.backend.plan(builder, &mut self.allocator)?;
        self.backend.compute(&self.allocator, &mut graph)?;
        self.backend.synchronize();
        Ok(())
    }

    /// The bytes of the first `len` positions of a slot, a layer's keys then its values.
    pub(super) fn export(&mut self, slot: usize, len: usize) -> Result<Vec<Vec<u8>>> {
        let Stage { cache, backend, .. } = self;
        cache
            .tensors()
            .map(|tensor| {
                let row = tensor.stride(1);
                let mut bytes = vec![0; len * row];
                backend.read(tensor, &mut [(slot * cache.stride * row, &mut bytes)])?;
                Ok(bytes)
            })
            .collect()
    }

    /// Writes what [`Stage::export`] gave.
    pub(super) fn import(&mut self, slot: usize, parts: &[Vec<u8>]) -> Result<()> {
        let Stage { cache, backend, .. } = self;
        for (tensor, bytes) in cache.tensors().zip(parts) {
            backend.put(tensor, slot * cache.stride * tensor.stride(1), bytes)?;
        }
        Ok(())
    }
}

impl Cache {
    fn new(backend: &Backend, config: &Config, weights: &StageWeights, stride: usize, slots: usize) -> Result<Cache> {
        let rows = stride * slots + slots;
        let layers = config.layers.get(weights.layers.clone()).unwrap_or_default();
        let mut builder = StoreBuilder::new();
        let mut add = |name: &str, len: usize| builder.add(name, Type::F16, [len as i64, rows as i64, 1, 1]);
        for layer in layers {
            match &layer.attention {
                AttentionConfig::Grouped(a) => {
                    add("keys", a.kv_heads * a.key_dim);
                    add("values", a.kv_heads * a.value_dim);
                }
                AttentionConfig::Latent(a) => {
                    add("rows", a.row_dim());
                }
            }
        }
        let mut tensors = builder.owned(backend)?.into_iter();
        let mut cache = Vec::with_capacity(layers.len());
        for layer in layers {
            let keys = tensors.next().ok_or_else(lost)?;
            let values = match &layer.attention {
                AttentionConfig::Grouped(_) => Some(tensors.next().ok_or_else(lost)?),
                AttentionConfig::Latent(_) => None,
            };
            cache.push(LayerCache { keys, values });
        }
        Ok(Cache { layers: cache, stride, slots, rows })
    }

    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().flat_map(|layer| std::iter::once(&layer.keys).chain(&layer.values))
    }
}

/// Copies values of one length.
fn fill<T: Copy>(out: &mut [T], values: &[T]) -> Result<()> {
    if out.len() != values.len() {
        return Err(lost());
    }
    out.copy_from_slice(values);
    Ok(())
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal, "a batch does not fit its graph")
}
