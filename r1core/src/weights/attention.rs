//! Weights of attention blocks: grouped-query, and latent in both forms that files have.

use super::repack::place;
use super::{Linear, Loader};
use crate::Result;
use crate::config::{AttentionConfig, GroupedConfig, LatentConfig, UpProjection};
use crate::gguf::TensorInfo;
use r1_kernels::{Format, Matrix};

/// Matrices are `[outputs][inputs]`; norms are as long as what they scale.
#[derive(Debug)]
pub(crate) enum AttentionWeights {
    Grouped(GroupedWeights),
    Latent(LatentWeights),
}

#[derive(Debug)]
pub(crate) struct GroupedWeights {
    pub(crate) norm: Vec<f32>,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) query_norm: Option<Vec<f32>>,
    pub(crate) key_norm: Option<Vec<f32>>,
    pub(crate) output: Linear,
    pub(crate) post_norm: Option<Vec<f32>>,
}

#[derive(Debug)]
pub(crate) struct LatentWeights {
    pub(crate) norm: Vec<f32>,
    /// From the input to the compressed query, and that one's norm.
    pub(crate) query_compression: Option<(Linear, Vec<f32>)>,
    /// From the compressed query, or the input, to the heads' `[nope | rope]`.
    pub(crate) query: Linear,
    /// From the input to `[latent | rope]`.
    pub(crate) latent: Linear,
    pub(crate) latent_norm: Vec<f32>,
    /// For each head from its query's `nope` to the latent: `[kv_lora_rank][nope_dim]`.
    pub(crate) absorb: Vec<Matrix>,
    /// For each head from a latent to its output: `[value_dim][kv_lora_rank]`.
    pub(crate) value: Vec<Matrix>,
    pub(crate) output: Linear,
}

impl AttentionWeights {
    /// Memory that the packed matrices take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            AttentionWeights::Grouped(w) => {
                [&w.query, &w.key, &w.value, &w.output].map(|l| l.matrix.bytes()).iter().sum()
            }
            AttentionWeights::Latent(w) => {
                let linears =
                    [&w.query, &w.latent, &w.output].into_iter().chain(w.query_compression.iter().map(|c| &c.0));
                let matrices = linears.map(|l| &l.matrix).chain(&w.absorb).chain(&w.value);
                matrices.map(Matrix::bytes).sum()
            }
        }
    }
}

impl Loader<'_> {
    pub(super) fn attention(&mut self, il: usize, d: usize, c: &AttentionConfig) -> Result<AttentionWeights> {
        Ok(match c {
            AttentionConfig::Grouped(grouped) => AttentionWeights::Grouped(self.grouped(il, d, grouped)?),
            AttentionConfig::Latent(latent) => AttentionWeights::Latent(self.latent(il, d, latent)?),
        })
    }

    fn grouped(&mut self, il: usize, d: usize, c: &GroupedConfig) -> Result<GroupedWeights> {
        let (queries, keys, values) = (c.heads * c.key_dim, c.kv_heads * c.key_dim, c.kv_heads * c.value_dim);
        let name = |part: &str| format!("blk.{il}.{part}");
        let fused = self.gguf.tensor(&name("attn_qkv.weight")).is_some();
        let [query, key, value] = if fused {
            self.fused(&name("attn_qkv"), d, [queries, keys, values], c.qkv_bias)?
        } else {
            [
                self.linear(&name("attn_q"), d, queries, c.qkv_bias)?,
                self.linear(&name("attn_k"), d, keys, c.qkv_bias)?,
                self.linear(&name("attn_v"), d, values, c.qkv_bias)?,
            ]
        };
        Ok(GroupedWeights {
            norm: self.vector(&name("attn_norm.weight"), d)?,
            query,
            key,
            value,
            query_norm: self.vector_if(c.qk_norm, &name("attn_q_norm.weight"), c.key_dim)?,
            key_norm: self.vector_if(c.qk_norm, &name("attn_k_norm.weight"), c.key_dim)?,
            output: self.linear(&name("attn_output"), c.heads * c.value_dim, d, false)?,
            post_norm: self.vector_if(c.post_norm, &name("post_attention_norm.weight"), d)?,
        })
    }

    fn latent(&mut self, il: usize, d: usize, c: &LatentConfig) -> Result<LatentWeights> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let queries = c.heads * c.key_dim();
        let (query_compression, query) = match c.q_lora_rank {
            None => (None, self.linear(&name("attn_q"), d, queries, false)?),
            Some(rank) => {
                let compress = self.linear(&name("attn_q_a"), d, rank, false)?;
                let norm = self.vector(&name("attn_q_a_norm.weight"), rank)?;
                (Some((compress, norm)), self.linear(&name("attn_q_b"), rank, queries, false)?)
            }
        };
        let (absorb, value) = match c.up_projection {
            UpProjection::Split => (
                self.heads(&name("attn_k_b"), c.heads, c.kv_lora_rank, c.nope_dim)?,
                self.heads(&name("attn_v_b"), c.heads, c.value_dim, c.kv_lora_rank)?,
            ),
            UpProjection::Merged => self.merged(&name("attn_kv_b.weight"), c)?,
        };
        Ok(LatentWeights {
            norm: self.vector(&name("attn_norm.weight"), d)?,
            query_compression,
            query,
            latent: self.linear(&name("attn_kv_a_mqa"), d, c.row_dim(), false)?,
            latent_norm: self.vector(&name("attn_kv_a_norm.weight"), c.kv_lora_rank)?,
            absorb,
            value,
            output: self.linear(&name("attn_output"), c.heads * c.value_dim, d, false)?,
        })
    }

    /// A matrix of `rows` rows of `cols` values for each head, one after the other; the heads may be folded into the rows.
    fn heads(&mut self, stem: &str, heads: usize, rows: usize, cols: usize) -> Result<Vec<Matrix>> {
        let folded = self.tensor(&format!("{stem}.weight"))?.dims().len() == 2;
        let shape: &[usize] = if folded { &[cols, rows * heads] } else { &[cols, rows, heads] };
        let stack = self.stack(stem, [cols, rows, heads], shape, &[rows, heads])?;
        Ok(stack.into_iter().map(|head| head.matrix).collect())
    }

    /// The heads' two matrices out of one that holds, for each head, its key rows and then its value rows.
    ///
    /// Value rows keep their blocks. Key rows are needed as columns, which no block format can hold without rounding
    /// anew: their values, exactly as the blocks say, are transposed into a float format.
    fn merged(&mut self, name: &str, c: &LatentConfig) -> Result<(Vec<Matrix>, Vec<Matrix>)> {
        let (tensor, head_rows) = (self.tensor(name)?, c.nope_dim + c.value_dim);
        let rows = self.rows(name, c.kv_lora_rank, c.heads * head_rows)?;
        let data = self.gguf.data(tensor)?;
        let (mut absorb, mut value) = (Vec::with_capacity(c.heads), Vec::with_capacity(c.heads));
        for (i, head) in data.chunks_exact(head_rows * rows.row_bytes()).enumerate() {
            let keys = &head[..c.nope_dim * rows.row_bytes()];
            self.cancel.check()?;
            absorb.push(self.transposed(tensor, [c.nope_dim, c.kv_lora_rank], keys)?);
            self.done += keys.len() as u64;
            value.push(self.part(&rows, i * head_rows + c.nope_dim..(i + 1) * head_rows)?);
        }
        Ok((absorb, value))
    }

    /// The matrix `[cols][rows]` from `rows` rows of `cols` values of a tensor: of F16 and BF16 in the same format, of
    /// any other in F32.
    fn transposed(&mut self, tensor: &TensorInfo, [rows, cols]: [usize; 2], data: &[u8]) -> Result<Matrix> {
        let format = tensor.format()?;
        let (format, bytes) = match format {
            Format::F16 | Format::BF16 => (format, transpose(rows, cols, data.as_chunks::<2>().0)),
            _ => {
                let mut values = vec![0.0; rows * cols];
                format.dequantize(data, &mut values);
                let values: Vec<[u8; 4]> = values.into_iter().map(f32::to_le_bytes).collect();
                (Format::F32, transpose(rows, cols, &values))
            }
        };
        let packed = self.packer.pack(&self.team, format, cols, rows, &bytes, &mut |_| true);
        packed.map_err(|error| place(error, tensor))
    }
}

/// The bytes of `[cols][rows]` values from `[rows][cols]`.
fn transpose<const BYTES: usize>(rows: usize, cols: usize, values: &[[u8; BYTES]]) -> Vec<u8> {
    (0..cols).flat_map(|col| (0..rows).flat_map(move |row| values[row * cols + col])).collect()
}
