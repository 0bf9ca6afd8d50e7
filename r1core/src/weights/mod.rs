//! From the tensor directory to typed, shape-checked weights in the kernels' layout.

mod embedding;

use std::sync::Arc;

use crate::cancel::{CancelToken, cancelled};
use crate::config::{AttentionConfig, Config, FeedForwardConfig};
use crate::gguf::{Gguf, TensorInfo};
use crate::progress::{ProgressFn, Stage};
use crate::{Error, ErrorKind, Result};
pub(crate) use embedding::Embedding;
use r1_kernels::{Format, Matrix, PackError};

/// All weights of a model.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<LayerWeights>,
    /// `[embedding_length]`
    pub(crate) output_norm: Vec<f32>,
    /// `[vocabulary][embedding_length]`; made from the embedding table where the file has no output of its own. `None`
    /// where a device has it.
    pub(crate) output: Option<Linear>,
}

#[derive(Debug)]
pub(crate) struct LayerWeights {
    pub(crate) attention: AttentionWeights,
    pub(crate) feed_forward: FeedForwardWeights,
}

/// Matrices are `[outputs][inputs]`; biases as long as the outputs; norms as long as what they scale.
#[derive(Debug)]
pub(crate) struct AttentionWeights {
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
pub(crate) struct FeedForwardWeights {
    pub(crate) norm: Vec<f32>,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) post_norm: Option<Vec<f32>>,
}

/// A matrix and its optional bias.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Weights {
    /// Reads, checks and repacks the weights of the first `layers` layers, and the head's where these are all. Reports
    /// progress in bytes of the file; stops between groups of rows when `cancel` fires.
    pub(crate) fn load(
        gguf: &Arc<Gguf>,
        config: &Config,
        layers: usize,
        cancel: &CancelToken,
        progress: Option<&ProgressFn>,
    ) -> Result<Weights> {
        let total = gguf.tensors().iter().map(TensorInfo::byte_len).sum();
        let mut loader = Loader { gguf, cancel, progress, done: 0, total };
        let d = config.embedding_length;
        let table = loader.tensor("token_embd.weight")?;
        loader.check_shape(table, &[d, config.vocabulary])?;
        let embedding = Embedding::new(gguf, table, d, config.vocabulary)?;
        let has_head = layers >= config.layers.len();
        let layers = config
            .layers
            .iter()
            .take(layers)
            .enumerate()
            .map(|(il, layer)| {
                Ok(LayerWeights {
                    attention: loader.attention(il, d, &layer.attention)?,
                    feed_forward: loader.feed_forward(il, d, &layer.feed_forward)?,
                })
            })
            .collect::<Result<_>>()?;
        let output_norm = loader.vector("output_norm.weight", d)?;
        let output_name = if gguf.tensor("output.weight").is_some() { "output.weight" } else { "token_embd.weight" };
        let output = if has_head {
            Some(Linear { matrix: loader.matrix(output_name, d, config.vocabulary)?, bias: None })
        } else {
            None
        };
        if let Some(progress) = progress {
            progress.report(Stage::Load, total, total);
        }
        Ok(Weights { embedding, layers, output_norm, output })
    }

    /// Memory that the packed matrices take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let linear = |l: &Linear| l.matrix.bytes();
        let layers = self.layers.iter().map(|l| {
            let (a, f) = (&l.attention, &l.feed_forward);
            [&a.query, &a.key, &a.value, &a.output, &f.gate, &f.up, &f.down].into_iter().map(linear).sum::<usize>()
        });
        layers.sum::<usize>() + self.output.as_ref().map_or(0, linear)
    }
}

struct Loader<'a> {
    gguf: &'a Arc<Gguf>,
    cancel: &'a CancelToken,
    progress: Option<&'a ProgressFn>,
    done: u64,
    total: u64,
}

impl<'a> Loader<'a> {
    fn attention(&mut self, il: usize, d: usize, c: &AttentionConfig) -> Result<AttentionWeights> {
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
        Ok(AttentionWeights {
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

    fn feed_forward(&mut self, il: usize, d: usize, c: &FeedForwardConfig) -> Result<FeedForwardWeights> {
        let name = |part: &str| format!("blk.{il}.{part}");
        Ok(FeedForwardWeights {
            norm: self.vector(&name("ffn_norm.weight"), d)?,
            gate: self.linear(&name("ffn_gate"), d, c.width, false)?,
            up: self.linear(&name("ffn_up"), d, c.width, false)?,
            down: self.linear(&name("ffn_down"), c.width, d, false)?,
            post_norm: self.vector_if(c.post_norm, &name("post_ffw_norm.weight"), d)?,
        })
    }

    /// `stem.weight`, and `stem.bias` where it is required or simply there.
    fn linear(&mut self, stem: &str, inputs: usize, outputs: usize, bias_required: bool) -> Result<Linear> {
        let matrix = self.matrix(&format!("{stem}.weight"), inputs, outputs)?;
        let name = format!("{stem}.bias");
        let bias = self.vector_if(bias_required || self.gguf.tensor(&name).is_some(), &name, outputs)?;
        Ok(Linear { matrix, bias })
    }

    /// Query, key and value rows of one tensor, in that order.
    fn fused(&mut self, stem: &str, inputs: usize, outputs: [usize; 3], bias_required: bool) -> Result<[Linear; 3]> {
        let name = format!("{stem}.weight");
        let tensor = self.tensor(&name)?;
        self.check_shape(tensor, &[inputs, outputs.iter().sum()])?;
        let format = tensor.format()?;
        let row_bytes = row_bytes(format, inputs, tensor)?;
        let data = self.gguf.data(tensor)?;
        let bias_name = format!("{stem}.bias");
        let bias =
            self.vector_if(bias_required || self.gguf.tensor(&bias_name).is_some(), &bias_name, outputs.iter().sum())?;
        let mut start = 0;
        let mut part = |rows: usize| {
            let range = start..start + rows;
            start += rows;
            let bytes = &data[range.start * row_bytes..range.end * row_bytes];
            let matrix = self.pack(tensor, format, rows, inputs, bytes)?;
            Ok::<_, Error>(Linear { matrix, bias: bias.as_ref().map(|b| b[range].to_vec()) })
        };
        Ok([part(outputs[0])?, part(outputs[1])?, part(outputs[2])?])
    }

    fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Matrix> {
        let tensor = self.tensor(name)?;
        self.check_shape(tensor, &[inputs, outputs])?;
        let format = tensor.format()?;
        row_bytes(format, inputs, tensor)?;
        let data = self.gguf.data(tensor)?;
        self.pack(tensor, format, outputs, inputs, &data)
    }

    fn pack(&mut self, tensor: &TensorInfo, format: Format, rows: usize, cols: usize, data: &[u8]) -> Result<Matrix> {
        let (cancel, progress, base, total) = (self.cancel, self.progress, self.done, self.total);
        let row_bytes = (data.len() / rows.max(1)) as u64;
        let mut step = |rows_done: usize| {
            if let Some(progress) = progress {
                progress.report(Stage::Load, base + rows_done as u64 * row_bytes, total);
            }
            !cancel.is_cancelled()
        };
        let matrix = Matrix::pack(format, rows, cols, data, &mut step).map_err(|e| match e {
            PackError::Cancelled => cancelled(),
            PackError::OutOfMemory { .. } => {
                Error::new(ErrorKind::OutOfMemory, format!("no memory for {} bytes of weights", data.len()))
                    .tensor(tensor.name())
                    .remedy("use a smaller model or a smaller quantisation")
            }
            PackError::Shape { .. } => {
                Error::new(ErrorKind::Malformed, format!("{rows} rows of {cols} values do not match its bytes"))
                    .tensor(tensor.name())
            }
        })?;
        self.done += data.len() as u64;
        Ok(matrix)
    }

    fn vector_if(&mut self, wanted: bool, name: &str, len: usize) -> Result<Option<Vec<f32>>> {
        if wanted { self.vector(name, len).map(Some) } else { Ok(None) }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        self.cancel.check()?;
        let tensor = self.tensor(name)?;
        self.check_shape(tensor, &[len])?;
        let format = tensor.format()?;
        if !matches!(format, Format::F32 | Format::F16 | Format::BF16) {
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("norms and biases must be F32, F16 or BF16, not {}", format.name()),
            )
            .tensor(name));
        }
        let mut values = vec![0.0; len];
        format.dequantize(&self.gguf.data(tensor)?, &mut values);
        self.done += tensor.byte_len();
        Ok(values)
    }

    fn tensor(&self, name: &str) -> Result<&'a TensorInfo> {
        self.gguf.tensor(name).ok_or_else(|| Error::new(ErrorKind::Missing, "required tensor is absent").tensor(name))
    }

    fn check_shape(&self, tensor: &TensorInfo, expected: &[usize]) -> Result<()> {
        check_shape(tensor, expected)
    }
}

/// Fails where a tensor's dimensions are not these, but for ones at the end.
pub(crate) fn check_shape(tensor: &TensorInfo, expected: &[usize]) -> Result<()> {
    let trimmed = tensor.dims().iter().rposition(|d| *d != 1).map_or(1, |last| last + 1).max(expected.len());
    let same = tensor.dims().len() >= expected.len()
        && trimmed == expected.len()
        && tensor.dims().iter().zip(expected).all(|(a, b)| *a == *b as u64);
    if same {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Malformed,
        format!("has shape {:?}, the model's numbers call for {expected:?}", tensor.dims()),
    )
    .tensor(tensor.name()))
}

fn row_bytes(format: Format, inputs: usize, tensor: &TensorInfo) -> Result<usize> {
    format.row_bytes(inputs).ok_or_else(|| {
        Error::new(ErrorKind::Malformed, format!("rows of {inputs} values do not fill whole {} blocks", format.name()))
            .tensor(tensor.name())
    })
}
