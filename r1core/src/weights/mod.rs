//! From the tensor directory to typed, shape-checked weights in the kernels' layout.

mod attention;
mod embedding;
mod feed_forward;
mod repack;
mod repacking;

use std::ops::Range;
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::config::Config;
use crate::device::default_threads;
use crate::gguf::{Gguf, TensorInfo};
use crate::progress::{ProgressFn, Stage};
use crate::{Error, ErrorKind, Result};
pub(crate) use attention::{AttentionWeights, GroupedWeights, LatentWeights};
pub(crate) use embedding::Embedding;
pub(crate) use feed_forward::{ExpertsWeights, FeedForwardKind, FeedForwardWeights, GatedWeights};
use r1_kernels::{Format, Isa, Matrix, Packer, Team};
pub use repack::Repack;
use repack::Rows;
pub(crate) use repack::is_of_experts;
pub(crate) use repacking::Repacking;
use repacking::Waiting;

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
    /// What is packed later.
    pub(crate) repacking: Repacking,
    /// Memory that the packed matrices take, those that are packed later too; 0 where all weights stay in the file.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct LayerWeights {
    pub(crate) attention: AttentionWeights,
    pub(crate) feed_forward: FeedForwardWeights,
}

/// A matrix and its optional bias.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Weights {
    /// Reads and checks the weights of the first `layers` layers, and the head's where these are all, and repacks them
    /// where `repack` says so, now or later. Reports progress in bytes of the file; stops between groups of rows when
    /// `cancel` fires.
    pub(crate) fn load(
        gguf: &Arc<Gguf>,
        config: &Config,
        layers: usize,
        isa: Isa,
        repack: Repack,
        cancel: &CancelToken,
        progress: Option<&ProgressFn>,
    ) -> Result<Weights> {
        let bytes = |wanted: &dyn Fn(&TensorInfo) -> bool| -> u64 {
            gguf.tensors().iter().filter(|t| wanted(t)).map(TensorInfo::byte_len).sum()
        };
        let (total, packed) = (bytes(&|_| true), bytes(&|tensor| repack.packs(tensor)));
        let team = Team::new(if packed > 0 { default_threads() } else { 1 });
        let packer = Packer::new(isa, usize::try_from(packed).unwrap_or(usize::MAX));
        let waiting = Vec::new();
        let mut loader = Loader { gguf, packer, team, repack, cancel, progress, done: 0, total, waiting };
        let d = config.embedding_length;
        let table = loader.tensor("token_embd.weight")?;
        check_shape(table, &[d, config.vocabulary])?;
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
        let repacking = Repacking::new(gguf, isa, loader.waiting);
        let mut weights = Weights { embedding, layers, output_norm, output, bytes: repacking.bytes(), repacking };
        weights.bytes += weights.bytes_now();
        Ok(weights)
    }

    /// Memory that the packed matrices take now, in bytes.
    fn bytes_now(&self) -> usize {
        let linear = |l: &Linear| l.matrix.bytes();
        let layers = self
            .layers
            .iter()
            .map(|l| l.attention.bytes() + l.feed_forward.linears().into_iter().map(linear).sum::<usize>());
        layers.sum::<usize>() + self.output.as_ref().map_or(0, linear)
    }
}

struct Loader<'a> {
    gguf: &'a Arc<Gguf>,
    packer: Packer,
    team: Team,
    repack: Repack,
    cancel: &'a CancelToken,
    progress: Option<&'a ProgressFn>,
    done: u64,
    total: u64,
    waiting: Vec<Waiting>,
}

impl<'a> Loader<'a> {
    /// `stem.weight`, and `stem.bias` where it is required or simply there.
    fn linear(&mut self, stem: &str, inputs: usize, outputs: usize, bias_required: bool) -> Result<Linear> {
        let matrix = self.matrix(&format!("{stem}.weight"), inputs, outputs)?;
        let name = format!("{stem}.bias");
        let bias = self.vector_if(bias_required || self.gguf.tensor(&name).is_some(), &name, outputs)?;
        Ok(Linear { matrix, bias })
    }

    /// Query, key and value rows of one tensor, in that order.
    fn fused(&mut self, stem: &str, inputs: usize, outputs: [usize; 3], bias_required: bool) -> Result<[Linear; 3]> {
        let rows = self.rows(&format!("{stem}.weight"), inputs, outputs.iter().sum())?;
        let name = format!("{stem}.bias");
        let bias = self.vector_if(bias_required || self.gguf.tensor(&name).is_some(), &name, outputs.iter().sum())?;
        let mut start = 0;
        let mut part = |count: usize| {
            let range = start..start + count;
            start += count;
            let matrix = self.part(&rows, range.clone())?;
            Ok::<_, Error>(Linear { matrix, bias: bias.as_ref().map(|b| b[range].to_vec()) })
        };
        Ok([part(outputs[0])?, part(outputs[1])?, part(outputs[2])?])
    }

    fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Matrix> {
        let rows = self.rows(name, inputs, outputs)?;
        self.part(&rows, 0..outputs)
    }

    /// `count` matrices of `[outputs][inputs]`, one after the other in `stem.weight`, with their biases where the file
    /// has some. The file may shape them as it likes: `shape` says how, and `bias_shape` for the biases.
    fn stack(
        &mut self,
        stem: &str,
        [inputs, outputs, count]: [usize; 3],
        shape: &[usize],
        bias_shape: &[usize],
    ) -> Result<Vec<Linear>> {
        let tensor = self.tensor(&format!("{stem}.weight"))?;
        check_shape(tensor, shape)?;
        let rows = Rows::new(self.gguf, tensor, outputs * count, inputs, self.repack)?;
        let bias_name = format!("{stem}.bias");
        let bias = self.gguf.tensor(&bias_name).map(|_| self.floats(&bias_name, bias_shape)).transpose()?;
        (0..count)
            .map(|i| {
                let range = i * outputs..(i + 1) * outputs;
                let matrix = self.part(&rows, range.clone())?;
                Ok(Linear { matrix, bias: bias.as_ref().map(|b| b[range].to_vec()) })
            })
            .collect()
    }

    /// A matrix of one row, which the file holds as a vector.
    fn linear_row(&mut self, stem: &str, inputs: usize) -> Result<Linear> {
        let tensor = self.tensor(&format!("{stem}.weight"))?;
        check_shape(tensor, &[inputs])?;
        let rows = Rows::new(self.gguf, tensor, 1, inputs, self.repack)?;
        Ok(Linear { matrix: self.part(&rows, 0..1)?, bias: None })
    }

    /// The rows of a matrix, to take matrices from.
    fn rows(&self, name: &str, inputs: usize, outputs: usize) -> Result<Rows<'a>> {
        let tensor = self.tensor(name)?;
        check_shape(tensor, &[inputs, outputs])?;
        Rows::new(self.gguf, tensor, outputs, inputs, self.repack)
    }

    /// The matrix of some rows of a tensor.
    fn part(&mut self, rows: &Rows<'_>, range: Range<usize>) -> Result<Matrix> {
        let (cancel, progress, base, total) = (self.cancel, self.progress, self.done, self.total);
        let bytes = |count: usize| count as u64 * rows.row_bytes() as u64;
        let count = range.len();
        let mut step = |rows_done: usize| {
            if let Some(progress) = progress {
                progress.report(Stage::Load, base + bytes(rows_done), total);
            }
            !cancel.is_cancelled()
        };
        let first = range.start;
        let matrix = rows.matrix(&mut self.packer, &self.team, range, &mut step)?;
        self.waiting.extend(rows.waiting(&matrix, first));
        self.done += bytes(count);
        Ok(matrix)
    }

    fn vector_if(&mut self, wanted: bool, name: &str, len: usize) -> Result<Option<Vec<f32>>> {
        if wanted { self.vector(name, len).map(Some) } else { Ok(None) }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        self.floats(name, &[len])
    }

    /// All values of a small tensor of that shape.
    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.cancel.check()?;
        let tensor = self.tensor(name)?;
        let values = floats(self.gguf, tensor, shape)?;
        self.done += tensor.byte_len();
        Ok(values)
    }

    fn tensor(&self, name: &str) -> Result<&'a TensorInfo> {
        required(self.gguf, name)
    }
}

/// A tensor that the model cannot do without.
pub(crate) fn required<'a>(gguf: &'a Gguf, name: &str) -> Result<&'a TensorInfo> {
    gguf.tensor(name).ok_or_else(|| Error::new(ErrorKind::Missing, "required tensor is absent").tensor(name))
}

/// All values of a small tensor, which must have that shape: a norm, a bias.
pub(crate) fn floats(gguf: &Gguf, tensor: &TensorInfo, shape: &[usize]) -> Result<Vec<f32>> {
    check_shape(tensor, shape)?;
    let format = tensor.format()?;
    if !matches!(format, Format::F32 | Format::F16 | Format::BF16) {
        return Err(Error::new(
            ErrorKind::Malformed,
            format!("norms and biases must be F32, F16 or BF16, not {}", format.name()),
        )
        .tensor(tensor.name()));
    }
    let mut values = vec![0.0; shape.iter().product()];
    format.dequantize(&gguf.data(tensor)?, &mut values);
    Ok(values)
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
