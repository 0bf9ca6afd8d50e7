//! Attention blocks. First the new rows' keys and values go to the cache, then the rows' queries read it.

use r1_ggml::{RopeMode, RopeParameters, Tensor};

use super::super::weights::{AttentionTensors, GroupedTensors, Id, LatentTensors, Linear, Part};
use super::{Recorder, internal, window};
use crate::Result;
use crate::config::{AttentionConfig, GroupedConfig, LatentConfig};
use r1_kernels::ops::{RopeKind, RopeScaling};

/// What a block's heads give, and where that goes.
pub(super) struct Attention {
    /// `[heads * value_dim, rows]`
    pub(super) heads: Tensor,
    pub(super) output: Linear,
    pub(super) post_norm: Option<Id>,
}

impl Recorder<'_> {
    /// Stores keys and values of the rows `x` in the cache of stage layer `i`, and returns the rotated queries,
    /// `[key length, heads, rows]`.
    pub(super) fn attention(
        &mut self,
        i: usize,
        config: &AttentionConfig,
        tensors: &AttentionTensors,
        x: &Tensor,
    ) -> Result<Tensor> {
        match (config, tensors) {
            (AttentionConfig::Grouped(c), AttentionTensors::Grouped(t)) => self.grouped(i, c, t, x),
            (AttentionConfig::Latent(c), AttentionTensors::Latent(t)) => self.latent(i, c, t, x),
            _ => Err(internal("an attention block of another kind")),
        }
    }

    /// What the queries read.
    pub(super) fn attend(
        &mut self,
        i: usize,
        config: &AttentionConfig,
        tensors: &AttentionTensors,
        queries: Tensor,
    ) -> Result<Attention> {
        let rows = self.shape.rows() as i64;
        match (config, tensors) {
            (AttentionConfig::Grouped(c), AttentionTensors::Grouped(t)) => {
                let heads = self.read(i, config, &queries, [c.key_dim, c.value_dim], c.kv_heads, c.scale)?;
                let heads = self.g.reshape(&heads, [(c.heads * c.value_dim) as i64, rows, 1, 1])?;
                Ok(Attention { heads, output: t.output, post_norm: t.post_norm })
            }
            (AttentionConfig::Latent(c), AttentionTensors::Latent(t)) => {
                let read = self.read(i, config, &queries, [c.row_dim(), c.kv_lora_rank], 1, c.scale)?;
                let read = self.g.reshape(&read, [c.kv_lora_rank as i64, c.heads as i64, rows, 1])?;
                let read = self.g.permute(&read, [0, 2, 1, 3])?;
                let heads = self.g.mul_mat(&self.weights[t.value], &read)?;
                let heads = self.g.permute(&heads, [0, 2, 1, 3])?;
                let heads = self.g.cont(&heads)?;
                let heads = self.g.reshape(&heads, [(c.heads * c.value_dim) as i64, rows, 1, 1])?;
                Ok(Attention { heads, output: t.output, post_norm: None })
            }
            _ => Err(internal("an attention block of another kind")),
        }
    }

    /// The order of the nodes lets backends fuse a key's rotation with its storing.
    fn grouped(&mut self, i: usize, c: &GroupedConfig, t: &GroupedTensors, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm(t.norm, x)?;
        let mut parts: [Option<(Tensor, usize)>; 3] = [None, None, None];
        for projection in &t.projections {
            let y = self.linear(projection.linear, &normed)?;
            let mut offset = 0;
            for part in &projection.parts {
                let (at, len) = match part {
                    Part::Query => (0, c.heads * c.key_dim),
                    Part::Key => (1, c.kv_heads * c.key_dim),
                    Part::Value => (2, c.kv_heads * c.value_dim),
                };
                parts[at] = Some((y.clone(), offset));
                offset += len * size_of::<f32>();
            }
        }
        let [Some((q, q_at)), Some((k, k_at)), Some((v, v_at))] = parts else {
            return Err(internal("a layer without queries, keys or values"));
        };
        let head = c.key_dim * size_of::<f32>();
        let q = self.heads(&q, c.key_dim, c.heads, head, q_at)?;
        let q = self.norm_if(t.query_norm, q)?;
        let q = self.rotate(&q, c.rope, c.rope_kind)?;
        self.g.compute(&q)?;
        let (row, rows) = (v.stride(1), v.dims()[1]);
        let len = (c.kv_heads * c.value_dim) as i64;
        let v = self.g.view(&v, [len, rows, 1, 1], [row, row * rows as usize, row * rows as usize], v_at)?;
        self.g.compute(&v)?;
        let k = self.heads(&k, c.key_dim, c.kv_heads, head, k_at)?;
        let k = self.norm_if(t.key_norm, k)?;
        let k = self.rotate(&k, c.rope, c.rope_kind)?;
        let row = k.stride(2);
        let len = (c.kv_heads * c.key_dim) as i64;
        let k = self.g.view(&k, [len, rows, 1, 1], [row, row * rows as usize, row * rows as usize], 0)?;
        self.store(i, &k, Some(&v))?;
        Ok(q)
    }

    /// The absorbed form: the heads' key matrices act on the queries, so that all heads read one row a position.
    fn latent(&mut self, i: usize, c: &LatentConfig, t: &LatentTensors, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm(t.norm, x)?;
        let q = match t.query_compression {
            None => self.linear(t.query, &normed)?,
            Some((compress, norm)) => {
                let compressed = self.linear(compress, &normed)?;
                let compressed = self.norm(norm, &compressed)?;
                self.linear(t.query, &compressed)?
            }
        };
        let float = size_of::<f32>();
        let nope = self.heads(&q, c.nope_dim, c.heads, c.key_dim() * float, 0)?;
        let rope = self.heads(&q, c.rope_dim, c.heads, c.key_dim() * float, c.nope_dim * float)?;
        let rope = self.rotate(&rope, c.rope, c.rope_kind)?;
        let nope = self.g.permute(&nope, [0, 2, 1, 3])?;
        let absorbed = self.g.mul_mat(&self.weights[t.absorb], &nope)?;
        let absorbed = self.g.permute(&absorbed, [0, 2, 1, 3])?;
        let q = self.g.concat(&absorbed, &rope)?;
        self.g.compute(&q)?;

        let y = self.linear(t.latent, &normed)?;
        let latent = self.heads(&y, c.kv_lora_rank, 1, c.kv_lora_rank * float, 0)?;
        let latent = self.norm(t.latent_norm, &latent)?;
        let rope = self.heads(&y, c.rope_dim, 1, c.rope_dim * float, c.kv_lora_rank * float)?;
        let rope = self.rotate(&rope, c.rope, c.rope_kind)?;
        let row = self.g.concat(&latent, &rope)?;
        let row = self.g.reshape(&row, [c.row_dim() as i64, y.dims()[1], 1, 1])?;
        self.store(i, &row, None)?;
        Ok(q)
    }

    fn rotate(&mut self, x: &Tensor, rope: usize, kind: RopeKind) -> Result<Tensor> {
        let scaling = self.config.ropes.get(rope).ok_or_else(|| internal("a layer without a rope"))?;
        if scaling.freq_scale == 0.0 {
            // An angle of zero everywhere.
            return Ok(x.clone());
        }
        let factors = self.weights.rope_factors.filter(|_| scaling.factors.is_some());
        let factors = factors.map(|factors| &self.weights[factors]);
        Ok(self.g.rope(x, &self.positions, factors, &rope_parameters(scaling, kind))?)
    }

    /// Puts the new rows into the cache.
    fn store(&mut self, i: usize, keys: &Tensor, values: Option<&Tensor>) -> Result<()> {
        let layer = self.cache.layers.get(i).ok_or_else(|| internal("a layer without a cache"))?;
        let parts = [Some((&layer.keys, keys)), layer.values.as_ref().zip(values)];
        for (cache, new) in parts.into_iter().flatten() {
            let stored = self.g.set_rows(cache, new, &self.cells)?;
            self.g.compute(&stored)?;
        }
        Ok(())
    }

    /// The weighted sums of the cached values, `[value_dim, heads, rows]` without gaps. Where the cache has no values,
    /// they are the first part of the keys.
    fn read(
        &mut self,
        i: usize,
        config: &AttentionConfig,
        queries: &Tensor,
        [key_dim, value_dim]: [usize; 2],
        kv_heads: usize,
        scale: f32,
    ) -> Result<Tensor> {
        let layer = self.cache.layers.get(i).ok_or_else(|| internal("a layer without a cache"))?;
        let window = window(config);
        let mask = self.masks.iter().find(|(known, _)| *known == window).map(|(_, mask)| mask);
        let mask = mask.ok_or_else(|| internal("a layer without a mask"))?;
        let (shape, cache, g) = (self.shape, self.cache, &mut self.g);
        let (tokens, streams, cells) = (shape.tokens as i64, shape.streams as i64, shape.cells as i64);
        let (head, row, heads) = (queries.stride(1), queries.stride(2), queries.dims()[1]);
        let q = g.view(queries, [key_dim as i64, heads, tokens, streams], [head, row, row * shape.tokens], 0)?;
        let q = g.permute(&q, [0, 2, 1, 3])?;
        let mut past = |tensor: &Tensor, dim: usize, axes: [usize; 4]| {
            let row = tensor.stride(1);
            let (head, slot) = (row / kv_heads, row * cache.stride);
            let dims = [dim as i64, kv_heads as i64, cells, streams];
            let view = g.view(tensor, dims, [head, row, slot], slot * shape.slot)?;
            Ok::<_, crate::Error>(g.permute(&view, axes)?)
        };
        let values = layer.values.as_ref().unwrap_or(&layer.keys);
        let k = past(&layer.keys, key_dim, [0, 2, 1, 3])?;
        if self.fused_attention {
            let v = past(values, value_dim, [0, 2, 1, 3])?;
            return Ok(self.g.flash_attention(&q, &k, &v, mask, scale)?);
        }
        let v = past(values, value_dim, [1, 2, 0, 3])?;
        let scores = self.g.mul_mat_precise(&k, &q)?;
        let scores = self.g.soft_max(&scores, Some(mask), scale)?;
        let v = self.g.cont(&v)?;
        let heads = self.g.mul_mat(&v, &scores)?;
        let heads = self.g.permute(&heads, [0, 2, 1, 3])?;
        Ok(self.g.cont(&heads)?)
    }
}

fn rope_parameters(scaling: &RopeScaling, kind: RopeKind) -> RopeParameters {
    RopeParameters {
        n_dims: scaling.n_rot as i32,
        mode: match kind {
            RopeKind::Norm => RopeMode::Norm,
            RopeKind::Neox => RopeMode::Neox,
        },
        n_ctx_orig: scaling.n_ctx_orig as i32,
        freq_base: scaling.base as f32,
        freq_scale: scaling.freq_scale as f32,
        ext_factor: scaling.ext_factor as f32,
        attn_factor: scaling.attn_factor as f32,
        beta_fast: scaling.beta_fast as f32,
        beta_slow: scaling.beta_slow as f32,
    }
}
