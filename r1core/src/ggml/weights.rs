//! Tensors of the file on a device, in the file's own formats.

use std::ops::Range;
use std::sync::Arc;

use r1_ggml::{Device, Store, StoreBuilder, Tensor, Type};

use super::placement::{Request, share};
use super::{Engine, Found};
use crate::cancel::CancelToken;
use crate::config::{AttentionConfig, Config, FeedForward, FeedForwardConfig, GroupedConfig};
use crate::gguf::{Gguf, TensorInfo};
use crate::progress::{ProgressFn, Stage};
use crate::weights::check_shape;
use crate::{Error, ErrorKind, Result};
use r1_kernels::Format;

/// The layers of a model that are on devices.
#[derive(Debug)]
pub(crate) struct DeviceModel {
    pub(crate) config: Config,
    /// Layers that stay on the CPU, the first ones.
    pub(crate) cpu_layers: usize,
    pub(crate) stages: Vec<StageWeights>,
    /// Whether a stage's device has fused attention; decided when the model is loaded.
    pub(crate) fused_attention: Vec<bool>,
}

/// What one device holds.
#[derive(Debug)]
pub(crate) struct StageWeights {
    pub(crate) device: Device,
    pub(crate) layers: Range<usize>,
    pub(crate) blocks: Vec<LayerTensors>,
    /// The embedding table, where this device gets tokens.
    pub(crate) embedding: Option<Tensor>,
    pub(crate) head: Option<Head>,
    /// Divisors of rope frequencies.
    pub(crate) rope_factors: Option<Tensor>,
    pub(crate) bytes: usize,
}

/// The last norm and the output matrix.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) norm: Tensor,
    pub(crate) output: Tensor,
}

#[derive(Debug)]
pub(crate) struct LayerTensors {
    pub(crate) attention_norm: Tensor,
    pub(crate) projections: Vec<Projection>,
    pub(crate) query_norm: Option<Tensor>,
    pub(crate) key_norm: Option<Tensor>,
    pub(crate) output: Linear,
    pub(crate) attention_post_norm: Option<Tensor>,
    pub(crate) feed_forward_norm: Tensor,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) feed_forward_post_norm: Option<Tensor>,
}

#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
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

impl DeviceModel {
    /// Finds the devices, shares the layers out and copies the weights. `None` where no layer is to go to a device.
    pub(crate) fn load(
        gguf: &Gguf,
        config: &Config,
        request: &Request,
        cancel: &CancelToken,
        progress: Option<&ProgressFn>,
    ) -> Result<Option<Arc<DeviceModel>>> {
        let found = Found::open(request.folder.as_deref())?;
        let devices = found.choose(&request.backend, &request.servers)?;
        let shares = share(gguf, config, devices, request.layers)?;
        let Some(first) = shares.first() else { return Ok(None) };
        let cpu_layers = first.layers.start;
        let total = gguf.tensors().iter().map(TensorInfo::byte_len).sum();
        let mut done = 0;
        let count = shares.len();
        let mut stages = Vec::new();
        for (i, share) in shares.into_iter().enumerate() {
            let loader = Loader { gguf, config, cancel, progress, total };
            let takes_tokens = i == 0 && cpu_layers == 0;
            stages.push(loader.stage(share.device, share.layers, takes_tokens, i + 1 == count, &mut done)?);
        }
        let fused_attention = vec![true; stages.len()];
        let mut model = DeviceModel { config: config.clone(), cpu_layers, stages, fused_attention };
        // A graph for one token tells now, not in the middle of a reply, what a device cannot do.
        model.fused_attention = Engine::probe(&model)?;
        if let Some(progress) = progress {
            progress.report(Stage::Load, total, total);
        }
        Ok(Some(Arc::new(model)))
    }

    /// Whether the first device wants token ids rather than the residual stream.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.stages.first().is_some_and(|stage| stage.embedding.is_some())
    }

    /// Every device's name, layers and bytes of weights.
    pub(crate) fn placement(&self) -> Vec<(String, Range<usize>, usize)> {
        self.stages.iter().map(|stage| (stage.device.name(), stage.layers.clone(), stage.bytes)).collect()
    }
}

/// What is copied into a tensor of the store: bytes of the file, or values.
enum Source<'a> {
    /// These tensors' bytes, one after the other.
    File(Vec<&'a TensorInfo>),
    /// A part of a tensor's rows.
    Values(Vec<f32>),
}

/// The tensors of one stage, listed before they are allocated.
#[derive(Default)]
struct List<'a> {
    builder: StoreBuilder,
    sources: Vec<Source<'a>>,
}

struct Loader<'a> {
    gguf: &'a Gguf,
    config: &'a Config,
    cancel: &'a CancelToken,
    progress: Option<&'a ProgressFn>,
    total: u64,
}

/// Tensors by their numbers in the list.
struct LinearIndex {
    weight: usize,
    bias: Option<usize>,
}

struct LayerIndex {
    attention_norm: usize,
    projections: Vec<(LinearIndex, Vec<Part>)>,
    query_norm: Option<usize>,
    key_norm: Option<usize>,
    output: LinearIndex,
    attention_post_norm: Option<usize>,
    feed_forward_norm: usize,
    gate: LinearIndex,
    up: LinearIndex,
    down: LinearIndex,
    feed_forward_post_norm: Option<usize>,
}

impl<'a> Loader<'a> {
    fn stage(
        &self,
        device: Device,
        layers: Range<usize>,
        takes_tokens: bool,
        has_head: bool,
        done: &mut u64,
    ) -> Result<StageWeights> {
        let (d, vocabulary) = (self.config.embedding_length, self.config.vocabulary);
        let mut list = List::default();
        let mut indices = Vec::with_capacity(layers.len());
        for il in layers.clone() {
            let Some(layer) = self.config.layers.get(il) else { continue };
            indices.push(self.layer(&mut list, il, d, grouped(&layer.attention)?, &layer.feed_forward)?);
        }
        let factors = self.config.ropes.iter().find_map(|rope| rope.factors.clone());
        let rope_factors = factors.map(|values| list.values("rope_freqs", values));
        const TABLE: &str = "token_embd.weight";
        let own_output = self.gguf.tensor("output.weight").is_some();
        let head = if has_head {
            let name = if own_output { "output.weight" } else { TABLE };
            Some((self.vector(&mut list, "output_norm.weight", d)?, self.matrix(&mut list, &[(name, vocabulary)], d)?))
        } else {
            None
        };
        let table = self.tensor(TABLE)?;
        let embedding = match &head {
            _ if !takes_tokens || !device.supports_get_rows(ggml_type(table)?)? => None,
            Some((_, output)) if !own_output => Some(*output),
            _ => Some(self.matrix(&mut list, &[(TABLE, vocabulary)], d)?),
        };

        let List { builder, sources } = list;
        let mut store = builder.weights(&device)?;
        for (index, source) in sources.iter().enumerate() {
            self.copy(&mut store, index, source, done)?;
        }
        let bytes = store.bytes();
        let tensors = store.share();
        let get = |index: usize| {
            tensors.get(index).cloned().ok_or_else(|| Error::new(ErrorKind::Internal, "a weight was not allocated"))
        };
        let get_if = |index: Option<usize>| index.map(get).transpose();
        let linear =
            |index: &LinearIndex| Ok::<_, Error>(Linear { weight: get(index.weight)?, bias: get_if(index.bias)? });
        let blocks = indices
            .iter()
            .map(|index| {
                Ok(LayerTensors {
                    attention_norm: get(index.attention_norm)?,
                    projections: index
                        .projections
                        .iter()
                        .map(|(index, parts)| Ok(Projection { linear: linear(index)?, parts: parts.clone() }))
                        .collect::<Result<_>>()?,
                    query_norm: get_if(index.query_norm)?,
                    key_norm: get_if(index.key_norm)?,
                    output: linear(&index.output)?,
                    attention_post_norm: get_if(index.attention_post_norm)?,
                    feed_forward_norm: get(index.feed_forward_norm)?,
                    gate: linear(&index.gate)?,
                    up: linear(&index.up)?,
                    down: linear(&index.down)?,
                    feed_forward_post_norm: get_if(index.feed_forward_post_norm)?,
                })
            })
            .collect::<Result<_>>()?;
        let head = match head {
            Some((norm, output)) => Some(Head { norm: get(norm)?, output: get(output)? }),
            None => None,
        };
        let (embedding, rope_factors) = (get_if(embedding)?, get_if(rope_factors)?);
        Ok(StageWeights { device, layers, blocks, embedding, head, rope_factors, bytes })
    }

    fn layer(
        &self,
        list: &mut List<'a>,
        il: usize,
        d: usize,
        a: &GroupedConfig,
        f: &FeedForwardConfig,
    ) -> Result<LayerIndex> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let FeedForward::Dense(dense) = f.kind else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("layer {il} is a mixture of experts, which runs on the CPU only"),
            )
            .remedy("run on the CPU"));
        };
        let vector_if = |list: &mut List<'a>, wanted: bool, part: &str, len: usize| {
            if wanted { self.vector(list, &name(part), len).map(Some) } else { Ok(None) }
        };
        Ok(LayerIndex {
            attention_norm: self.vector(list, &name("attn_norm.weight"), d)?,
            projections: self.projections(list, il, d, a)?,
            query_norm: vector_if(list, a.qk_norm, "attn_q_norm.weight", a.key_dim)?,
            key_norm: vector_if(list, a.qk_norm, "attn_k_norm.weight", a.key_dim)?,
            output: self.linear(list, &name("attn_output"), a.heads * a.value_dim, d)?,
            attention_post_norm: vector_if(list, a.post_norm, "post_attention_norm.weight", d)?,
            feed_forward_norm: self.vector(list, &name("ffn_norm.weight"), d)?,
            gate: self.linear(list, &name("ffn_gate"), d, dense.width)?,
            up: self.linear(list, &name("ffn_up"), d, dense.width)?,
            down: self.linear(list, &name("ffn_down"), dense.width, d)?,
            feed_forward_post_norm: vector_if(list, f.post_norm, "post_ffw_norm.weight", d)?,
        })
    }

    /// Query, key and value, neighbours of one format together.
    fn projections(
        &self,
        list: &mut List<'a>,
        il: usize,
        d: usize,
        a: &GroupedConfig,
    ) -> Result<Vec<(LinearIndex, Vec<Part>)>> {
        let name = |part: &str| format!("blk.{il}.{part}");
        let sizes = [
            (Part::Query, "attn_q", a.heads * a.key_dim),
            (Part::Key, "attn_k", a.kv_heads * a.key_dim),
            (Part::Value, "attn_v", a.kv_heads * a.value_dim),
        ];
        let fused = name("attn_qkv.weight");
        if self.gguf.tensor(&fused).is_some() {
            let rows = sizes.iter().map(|(_, _, rows)| rows).sum();
            let weight = self.matrix(list, &[(&fused, rows)], d)?;
            let bias = self.bias(list, &[(name("attn_qkv.bias"), rows)], a.qkv_bias)?;
            return Ok(vec![(LinearIndex { weight, bias }, sizes.map(|(part, ..)| part).to_vec())]);
        }
        let mut groups: Vec<Vec<(Part, &str, usize)>> = Vec::new();
        for entry in sizes {
            let ty = self.tensor(&name(&format!("{}.weight", entry.1)))?.type_id();
            match groups.last_mut() {
                Some(group)
                    if group
                        .first()
                        .and_then(|(_, stem, _)| self.gguf.tensor(&name(&format!("{stem}.weight"))))
                        .is_some_and(|first| first.type_id() == ty) =>
                {
                    group.push(entry);
                }
                _ => groups.push(vec![entry]),
            }
        }
        groups
            .into_iter()
            .map(|group| {
                let weights: Vec<_> =
                    group.iter().map(|(_, stem, rows)| (name(&format!("{stem}.weight")), *rows)).collect();
                let weights: Vec<_> = weights.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
                let biases: Vec<_> =
                    group.iter().map(|(_, stem, rows)| (name(&format!("{stem}.bias")), *rows)).collect();
                let weight = self.matrix(list, &weights, d)?;
                let bias = self.bias(list, &biases, a.qkv_bias)?;
                Ok((LinearIndex { weight, bias }, group.iter().map(|(part, ..)| *part).collect()))
            })
            .collect()
    }

    fn linear(&self, list: &mut List<'a>, stem: &str, inputs: usize, outputs: usize) -> Result<LinearIndex> {
        let weight = self.matrix(list, &[(&format!("{stem}.weight"), outputs)], inputs)?;
        let bias = self.bias(list, &[(format!("{stem}.bias"), outputs)], false)?;
        Ok(LinearIndex { weight, bias })
    }

    /// Biases one after the other, zeros for those that are absent; `None` where all are.
    fn bias(&self, list: &mut List<'a>, parts: &[(String, usize)], required: bool) -> Result<Option<usize>> {
        if !required && parts.iter().all(|(name, _)| self.gguf.tensor(name).is_none()) {
            return Ok(None);
        }
        let mut values = Vec::new();
        for (name, len) in parts {
            if required || self.gguf.tensor(name).is_some() {
                values.extend(self.floats(name, *len)?);
            } else {
                values.resize(values.len() + len, 0.0);
            }
        }
        Ok(Some(list.values(parts.first().map_or("bias", |(name, _)| name), values)))
    }

    fn vector(&self, list: &mut List<'a>, name: &str, len: usize) -> Result<usize> {
        Ok(list.values(name, self.floats(name, len)?))
    }

    /// A matrix of the rows of `parts`, which have one format.
    fn matrix(&self, list: &mut List<'a>, parts: &[(&str, usize)], inputs: usize) -> Result<usize> {
        let mut tensors = Vec::new();
        let mut rows = 0;
        for (name, outputs) in parts {
            let tensor = self.tensor(name)?;
            check_shape(tensor, &[inputs, *outputs])?;
            let format = tensor.format()?;
            if format.row_bytes(inputs).is_none() {
                return Err(Error::new(
                    ErrorKind::Malformed,
                    format!("rows of {inputs} values do not fill whole {} blocks", format.name()),
                )
                .tensor(*name));
            }
            rows += outputs;
            tensors.push(tensor);
        }
        let Some(first) = tensors.first() else { return Err(Error::new(ErrorKind::Internal, "a matrix of no rows")) };
        let ty = ggml_type(first)?;
        list.sources.push(Source::File(tensors.clone()));
        Ok(list.builder.add(first.name(), ty, [inputs as i64, rows as i64, 1, 1]))
    }

    fn floats(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let tensor = self.tensor(name)?;
        check_shape(tensor, &[len])?;
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
        Ok(values)
    }

    fn copy(&self, store: &mut Store, index: usize, source: &Source<'_>, done: &mut u64) -> Result<()> {
        // Piecewise, so that cancelling and progress do not wait for a large tensor.
        const PIECE: usize = 16 << 20;
        self.cancel.check()?;
        match source {
            Source::Values(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                store.write(index, 0, &bytes)?;
                *done += bytes.len() as u64;
            }
            Source::File(tensors) => {
                let mut offset = 0;
                for tensor in tensors {
                    let data = self.gguf.data(tensor)?;
                    for piece in data.chunks(PIECE) {
                        self.cancel.check()?;
                        store.write(index, offset, piece)?;
                        offset += piece.len();
                        *done += piece.len() as u64;
                        if let Some(progress) = self.progress {
                            progress.report(Stage::Load, *done, self.total);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn tensor(&self, name: &str) -> Result<&'a TensorInfo> {
        self.gguf.tensor(name).ok_or_else(|| Error::new(ErrorKind::Missing, "required tensor is absent").tensor(name))
    }
}

impl List<'_> {
    fn values(&mut self, name: &str, values: Vec<f32>) -> usize {
        let len = values.len() as i64;
        self.sources.push(Source::Values(values));
        self.builder.add(name, Type::F32, [len, 1, 1, 1])
    }
}

/// The numbers of grouped attention, the kind that devices run.
pub(super) fn grouped(attention: &AttentionConfig) -> Result<&GroupedConfig> {
    match attention {
        AttentionConfig::Grouped(grouped) => Ok(grouped),
        AttentionConfig::Latent(_) => {
            Err(Error::new(ErrorKind::Unsupported, "latent attention (DeepSeek V2 and V3) runs on the CPU only")
                .remedy("run on the CPU"))
        }
    }
}

/// ggml's type of a tensor's values.
fn ggml_type(tensor: &TensorInfo) -> Result<Type> {
    Type::from_gguf(tensor.type_id()).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("no device computes with {}", tensor.type_name()))
            .tensor(tensor.name())
    })
}
