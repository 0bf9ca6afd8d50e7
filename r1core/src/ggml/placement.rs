//! Which layers go where.

use std::ops::Range;
use std::path::PathBuf;

use r1_ggml::{Device, DeviceKind};

use crate::config::Config;
use crate::gguf::{Gguf, TensorInfo};
use crate::{Error, ErrorKind, Result};

/// What the host asks for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// See [`ModelOptions::backend`](crate::ModelOptions::backend).
    pub(crate) backend: String,
    /// Layers on devices, the last ones; `None` takes as many as fit.
    pub(crate) layers: Option<usize>,
    /// A folder with ggml's libraries.
    pub(crate) folder: Option<PathBuf>,
    /// Addresses of RPC servers.
    pub(crate) servers: Vec<String>,
}

/// One device and its layers, in the order of the model.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) device: Device,
    pub(crate) layers: Range<usize>,
}

/// Memory that stays free on a device: scratch that its backend takes while computing, and other programs.
const SPARE: u64 = 768 << 20;
/// Positions of cache that are counted in when layers are chosen by memory.
const POSITIONS: u64 = 4096;

/// Shares the last layers of the model out over `devices`, in proportion to their free memory; earlier layers stay on
/// the CPU. The head (and the embedding table, where a device gets all layers) goes to the last one.
pub(crate) fn share(gguf: &Gguf, config: &Config, devices: Vec<Device>, asked: Option<usize>) -> Result<Vec<Share>> {
    let count = config.layers.len();
    let costs: Vec<u64> = (0..count).map(|il| layer_bytes(gguf, config, il)).collect();
    let size = |name: &str| gguf.tensor(name).map_or(0, TensorInfo::byte_len);
    let head = size("output.weight").max(size("token_embd.weight")) + size("output_norm.weight");
    let free: Vec<u64> = devices.iter().map(budget).collect();
    let total: u64 = free.iter().fold(0, |sum, f| sum.saturating_add(*f));

    let on_devices = match asked {
        Some(asked) => asked.min(count),
        None => {
            // From the last layer on, as many as fit beside the head.
            let mut left = total.saturating_sub(head);
            costs.iter().rev().take_while(|cost| left.checked_sub(**cost).map(|rest| left = rest).is_some()).count()
        }
    };
    if on_devices == 0 {
        return match asked {
            Some(_) => Ok(Vec::new()),
            None => Err(Error::new(
                ErrorKind::OutOfMemory,
                format!("not one layer fits the {} MiB that the devices have free", total >> 20),
            )
            .remedy("free memory on the device, use a smaller model, or run on the CPU")),
        };
    }
    let first = count - on_devices;
    let needed: u64 = costs[first..].iter().sum::<u64>() + head;
    if needed > total {
        return Err(Error::new(
            ErrorKind::OutOfMemory,
            format!("{on_devices} layers need {} MiB, the devices have {} MiB free", needed >> 20, total >> 20),
        )
        .remedy("put fewer layers on the devices, or let the free memory decide"));
    }
    let mut shares = Vec::new();
    let mut start = first;
    let mut given = 0_u64;
    let mut allowed = 0_u128;
    let last = devices.len() - 1;
    for (i, (device, free)) in devices.into_iter().zip(free).enumerate() {
        allowed += u128::from(needed) * u128::from(free) / u128::from(total.max(1));
        let mut end = start;
        while end < count && (i == last || u128::from(given + costs[end] / 2) <= allowed) {
            given += costs[end];
            end += 1;
        }
        if end > start {
            shares.push(Share { device, layers: start..end });
        }
        start = end;
    }
    Ok(shares)
}

/// Memory that may be taken on a device.
fn budget(device: &Device) -> u64 {
    match device.memory() {
        // Devices that do not tell, or that share the host's memory, are not limited here.
        (0, 0) => u64::MAX / 1024,
        (free, _) if device.kind() == DeviceKind::Cpu => free,
        (free, _) => free.saturating_sub(SPARE),
    }
}

fn layer_bytes(gguf: &Gguf, config: &Config, il: usize) -> u64 {
    let prefix = format!("blk.{il}.");
    let weights: u64 = gguf.tensors().iter().filter(|t| t.name().starts_with(&prefix)).map(TensorInfo::byte_len).sum();
    weights + config.layers[il].attention.cache_values() as u64 * 2 * POSITIONS
}
