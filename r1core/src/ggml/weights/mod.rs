//! Tensors of the file on a device, in the file's own formats.

mod attention;
mod feed_forward;
mod list;

pub(super) use attention::{AttentionTensors, GroupedTensors, LatentTensors, Part};
pub(super) use feed_forward::{ExpertsTensors, FeedForwardTensors, GatedTensors};
pub(super) use list::{Id, Linear};

use std::ops::{Index, Range};
use std::sync::Arc;

use r1_ggml::{Device, DeviceKind, Tensor};

use super::placement::{Request, share};
use super::{Engine, Found};
use crate::cancel::CancelToken;
use crate::config::Config;
use crate::gguf::{Gguf, TensorInfo};
use crate::progress::{ProgressFn, Stage};
use crate::{Error, ErrorKind, Result};
use list::{Copier, List};

/// The layers of a model that are on devices.
#[derive(Debug)]
pub(crate) struct DeviceModel {
    pub(crate) config: Config,
    /// Layers that stay on the CPU, the first ones.
    pub(crate) cpu_layers: usize,
    pub(crate) stages: Vec<StageWeights>,
    /// Whether a stage's device has fused attention; decided when the model is loaded.
    pub(crate) fused_attention: Vec<bool>,
    /// Whether the last device can choose the best token of a row.
    pub(crate) chooses: bool,
}

/// What one device holds.
#[derive(Debug)]
pub(crate) struct StageWeights {
    pub(crate) device: Device,
    pub(crate) layers: Range<usize>,
    pub(super) blocks: Vec<LayerTensors>,
    /// The embedding table, where this device gets tokens.
    pub(super) embedding: Option<Id>,
    pub(super) head: Option<Head>,
    /// Divisors of rope frequencies.
    pub(super) rope_factors: Option<Id>,
    pub(crate) bytes: usize,
    tensors: Vec<Tensor>,
}

impl Index<Id> for StageWeights {
    type Output = Tensor;

    /// The tensor of a number that this stage's list gave.
    fn index(&self, id: Id) -> &Tensor {
        &self.tensors[id.number()]
    }
}

/// The last norm and the output matrix.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) norm: Id,
    pub(super) output: Id,
}

#[derive(Debug)]
pub(super) struct LayerTensors {
    pub(super) attention: AttentionTensors,
    pub(super) feed_forward_norm: Id,
    pub(super) feed_forward: FeedForwardTensors,
    pub(super) feed_forward_post_norm: Option<Id>,
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
        let mut copier = Copier { gguf, cancel, progress, total, done: 0 };
        let count = shares.len();
        let mut stages = Vec::new();
        for (i, share) in shares.into_iter().enumerate() {
            let takes_tokens = i == 0 && cpu_layers == 0;
            stages.push(stage(config, share.device, share.layers, takes_tokens, i + 1 == count, &mut copier)?);
        }
        let fused_attention = vec![true; stages.len()];
        let mut model = DeviceModel { config: config.clone(), cpu_layers, stages, fused_attention, chooses: false };
        // A graph for one token tells now, not in the middle of a reply, what a device cannot do.
        model.fused_attention = Engine::probe(&model)?;
        model.chooses = Engine::probe_choice(&model)?;
        if let Some(progress) = progress {
            progress.report(Stage::Load, total, total);
        }
        Ok(Some(Arc::new(model)))
    }

    /// Whether the first device wants token ids rather than the residual stream.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.stages.first().is_some_and(|stage| stage.embedding.is_some())
    }

    /// Whether all devices are GPUs of this machine.
    pub(crate) fn on_gpus(&self) -> bool {
        let is_gpu = |kind| matches!(kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu);
        self.stages.iter().all(|stage| is_gpu(stage.device.kind()) && stage.device.backend_name() != "RPC")
    }

    /// Every device's name, layers and bytes of weights.
    pub(crate) fn placement(&self) -> Vec<(String, Range<usize>, usize)> {
        let name = |device: &Device| match device.backend_name().as_str() {
            // Which server it is.
            "RPC" => format!("{} at {}", device.name(), device.description()),
            _ => device.name(),
        };
        self.stages.iter().map(|stage| (name(&stage.device), stage.layers.clone(), stage.bytes)).collect()
    }
}

/// Lists a stage's tensors, gives them memory on the device and fills them.
fn stage(
    config: &Config,
    device: Device,
    layers: Range<usize>,
    takes_tokens: bool,
    has_head: bool,
    copier: &mut Copier<'_>,
) -> Result<StageWeights> {
    const TABLE: &str = "token_embd.weight";
    let (d, vocabulary) = (config.embedding_length, config.vocabulary);
    let mut list = List::new(copier.gguf);
    let mut blocks = Vec::with_capacity(layers.len());
    for il in layers.clone() {
        let Some(layer) = config.layers.get(il) else { continue };
        let f = &layer.feed_forward;
        let name = |part: &str| format!("blk.{il}.{part}");
        blocks.push(LayerTensors {
            attention: list.attention(il, d, &layer.attention)?,
            feed_forward_norm: list.vector(&name("ffn_norm.weight"), d)?,
            feed_forward: list.feed_forward(il, d, f)?,
            feed_forward_post_norm: list.vector_if(f.post_norm, &name("post_ffw_norm.weight"), d)?,
        });
    }
    let factors = config.ropes.iter().find_map(|rope| rope.factors.clone());
    let rope_factors = factors.map(|values| list.values("rope_freqs", [values.len(), 1, 1], values));
    let own_output = copier.gguf.tensor("output.weight").is_some();
    let head = if has_head {
        let norm = list.vector("output_norm.weight", d)?;
        Some(Head { norm, output: list.matrix(if own_output { "output.weight" } else { TABLE }, d, vocabulary)? })
    } else {
        None
    };
    let embedding = match &head {
        _ if !takes_tokens || !device.supports_get_rows(list::ggml_type(list.tensor(TABLE)?)?)? => None,
        Some(head) if !own_output => Some(head.output),
        _ => Some(list.matrix(TABLE, d, vocabulary)?),
    };
    let (tensors, bytes) = list.fill(&device, copier)?;
    if tensors.is_empty() {
        return Err(Error::new(ErrorKind::Internal, "a stage without tensors"));
    }
    Ok(StageWeights { device, layers, blocks, embedding, head, rope_factors, bytes, tensors })
}
