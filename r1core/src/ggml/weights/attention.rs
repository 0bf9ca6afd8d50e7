//! Tensors of attention blocks.

use r1_ggml::Type;

use super::list::{Id, Linear, List, Rows, ggml_type};
use crate::config::{AttentionConfig, GroupedConfig, LatentConfig, UpProjection};
use crate::weights::check_shape;
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(crate) enum AttentionTensors {
    Grouped(GroupedTensors),
    Latent(LatentTensors),
}

#[derive(Debug)]
pub(crate) struct GroupedTensors {
    pub(crate) norm: Id,
    pub(crate) projections: Vec<Projection>,
    pub(crate) query_norm: Option<Id>,
    pub(crate) key_norm: Option<Id>,
    pub(crate) output: Linear,
    pub(crate) post_norm: Option<Id>,
}

/// Query, key and value matrices of one format are one matrix: fewer and larger products.
#[derive(Debug)]
pub(crate) struct Projection {
    pub(crate) linear: Linear,
    /// Which of query, key and value its outputs are, in order.
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Query,
    Key,
    Value,
}

/// See [`LatentConfig`] for what the parts do.
#[derive(Debug)]
pub(crate) struct LatentTensors {
    pub(crate) norm: Id,
    /// From the input to the compressed query, and that one's norm.
    pub(crate) query_compression: Option<(Linear, Id)>,
    pub(crate) query: Linear,
    /// From the input to `[latent | rope]`.
    pub(crate) latent: Linear,
    pub(crate) latent_norm: Id,
    /// `[nope_dim, kv_lora_rank, heads]`
    pub(crate) absorb: Id,
    /// `[kv_lora_rank, value_dim, heads]`
    pub(crate) value: Id,
    pub(crate) output: Linear,
}

/// A part of the projection, the stem of its tensors' names, and its rows.
type Entry = (Part, &'static str, usize);

impl List<'_> {
    pub(super) fn attention(&mut self, il: usize, d: usize, c: &AttentionConfig) -> Result<AttentionTensors> {
        Ok(match c {
            AttentionConfig::Grouped(grouped) => AttentionTensors::Grouped(self.grouped(il, d, grouped)?),
            AttentionConfig::Latent(latent) => AttentionTensors::Latent(self.latent(il, d, latent)?),
        })
    }

    fn grouped(&mut self, il: usize, d: usize, c: &GroupedConfig) -> Result<GroupedTensors> {
        let name = |part: &str| format!("blk.{il}.{part}");
        Ok(GroupedTensors {
            norm: self.vector(&name("attn_norm.weight"), d)?,
            projections: self.projections(il, d, c)?,
            query_norm: self.vector_if(c.qk_norm, &name("attn_q_norm.weight"), c.key_dim)?,
            key_norm: self.vector_if(c.qk_norm, &name("attn_k_norm.weight"), c.key_dim)?,
            output: self.linear(&name("attn_output"), c.heads * c.value_dim, d)?,
            post_norm: self.vector_if(c.post_norm, &name("post_attention_norm.weight"), d)?,
        })
    }

    /// Query, key and value, neighbours of one format together.
    fn projections(&mut self, il: usize, d: usize, c: &GroupedConfig) -> Result<Vec<Projection>> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let sizes = [
            (Part::Query, "attn_q", c.heads * c.key_dim),
            (Part::Key, "attn_k", c.kv_heads * c.key_dim),
            (Part::Value, "attn_v", c.kv_heads * c.value_dim),
        ];
        if self.gguf.tensor(&name("attn_qkv.weight")).is_some() {
            let rows = sizes.iter().map(|(_, _, rows)| rows).sum();
            let weight = self.matrix(&name("attn_qkv.weight"), d, rows)?;
            let bias = self.biases(&[(name("attn_qkv.bias"), rows)], c.qkv_bias)?;
            return Ok(vec![Projection {
                linear: Linear { weight, bias },
                parts: sizes.map(|(part, ..)| part).to_vec(),
            }]);
        }
        let mut groups: Vec<(Type, Vec<Entry>)> = Vec::new();
        for entry in sizes {
            let ty = ggml_type(self.tensor(&name(&format!("{}.weight", entry.1)))?)?;
            match groups.last_mut() {
                Some((known, group)) if *known == ty => group.push(entry),
                _ => groups.push((ty, vec![entry])),
            }
        }
        let project = |(_, group): (Type, Vec<Entry>)| {
            let mut rows = Vec::new();
            let mut biases = Vec::new();
            for (_, stem, count) in &group {
                let tensor = self.tensor(&name(&format!("{stem}.weight")))?;
                check_shape(tensor, &[d, *count])?;
                rows.push(Rows { tensor, rows: 0..*count });
                biases.push((name(&format!("{stem}.bias")), *count));
            }
            let weight = self.stack(rows, d, 1)?;
            let bias = self.biases(&biases, c.qkv_bias)?;
            Ok(Projection { linear: Linear { weight, bias }, parts: group.iter().map(|(part, ..)| *part).collect() })
        };
        groups.into_iter().map(project).collect()
    }

    /// Biases one after the other, zeros for those that are absent; `None` where all are.
    fn biases(&mut self, parts: &[(String, usize)], required: bool) -> Result<Option<Id>> {
        if !required && parts.iter().all(|(name, _)| self.gguf.tensor(name).is_none()) {
            return Ok(None);
        }
        let mut values = Vec::new();
        for (name, len) in parts {
            if required || self.gguf.tensor(name).is_some() {
                values.extend(self.floats(name, &[*len])?);
            } else {
                values.resize(values.len() + len, 0.0);
            }
        }
        Ok(Some(self.values(parts.first().map_or("bias", |(name, _)| name), [values.len(), 1, 1], values)))
    }

    fn latent(&mut self, il: usize, d: usize, c: &LatentConfig) -> Result<LatentTensors> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let queries = c.heads * c.key_dim();
        let (query_compression, query) = match c.q_lora_rank {
            None => (None, self.linear(&name("attn_q"), d, queries)?),
            Some(rank) => {
                let compress = self.linear(&name("attn_q_a"), d, rank)?;
                let norm = self.vector(&name("attn_q_a_norm.weight"), rank)?;
                (Some((compress, norm)), self.linear(&name("attn_q_b"), rank, queries)?)
            }
        };
        let (absorb, value) = match c.up_projection {
            UpProjection::Split => (
                self.heads(&name("attn_k_b.weight"), [c.nope_dim, c.kv_lora_rank, c.heads])?,
                self.heads(&name("attn_v_b.weight"), [c.kv_lora_rank, c.value_dim, c.heads])?,
            ),
            UpProjection::Merged => self.merged(&name("attn_kv_b.weight"), c)?,
        };
        Ok(LatentTensors {
            norm: self.vector(&name("attn_norm.weight"), d)?,
            query_compression,
            query,
            latent: self.linear(&name("attn_kv_a_mqa"), d, c.row_dim())?,
            latent_norm: self.vector(&name("attn_kv_a_norm.weight"), c.kv_lora_rank)?,
            absorb,
            value,
            output: self.linear(&name("attn_output"), c.heads * c.value_dim, d)?,
        })
    }

    /// A matrix for each head, one after the other; the heads may be folded into the rows.
    fn heads(&mut self, name: &str, [cols, rows, heads]: [usize; 3]) -> Result<Id> {
        let tensor = self.tensor(name)?;
        let folded = tensor.dims().len() == 2;
        let shape: &[usize] = if folded { &[cols, rows * heads] } else { &[cols, rows, heads] };
        check_shape(tensor, shape)?;
        self.stack(vec![Rows { tensor, rows: 0..rows * heads }], cols, heads)
    }

    /// The heads' two matrices out of one that holds, for each head, its key rows and then its value rows. Key rows are
    /// needed as columns, which no block format can hold without rounding anew: they become F32.
    fn merged(&mut self, name: &str, c: &LatentConfig) -> Result<(Id, Id)> {
        let (tensor, head_rows, rank) = (self.tensor(name)?, c.nope_dim + c.value_dim, c.kv_lora_rank);
        check_shape(tensor, &[rank, c.heads * head_rows])?;
        let format = tensor.format()?;
        let data = self.gguf.data(tensor)?;
        let row_bytes = data.len() / (c.heads * head_rows);
        let mut columns = vec![0.0; c.heads * rank * c.nope_dim];
        let mut keys = vec![0.0; c.nope_dim * rank];
        for (head, columns) in data.chunks_exact(head_rows * row_bytes).zip(columns.chunks_exact_mut(keys.len())) {
            let Some(rows) = head.get(..c.nope_dim * row_bytes) else {
                return Err(Error::new(ErrorKind::Malformed, "has fewer rows than its shape says").tensor(name));
            };
            format.dequantize(rows, &mut keys);
            for (i, column) in columns.chunks_exact_mut(c.nope_dim).enumerate() {
                for (value, row) in column.iter_mut().zip(keys.chunks_exact(rank)) {
                    *value = row[i];
                }
            }
        }
        let absorb = self.values(name, [c.nope_dim, rank, c.heads], columns);
        let rows = |head: usize| head * head_rows + c.nope_dim..(head + 1) * head_rows;
        let parts = (0..c.heads).map(|head| Rows { tensor, rows: rows(head) }).collect();
        Ok((absorb, self.stack(parts, rank, c.heads)?))
    }
}
