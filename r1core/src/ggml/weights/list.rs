//! A stage's tensors: listed, then allocated at once, then filled.

use std::ops::Range;

use r1_ggml::{Device, StoreBuilder, Tensor, Type};

use crate::cancel::CancelToken;
use crate::gguf::{Gguf, TensorInfo};
use crate::progress::{ProgressFn, Stage};
use crate::weights::{check_shape, floats, required};
use crate::{Error, ErrorKind, Result};

/// A tensor's number in its stage's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(usize);

impl Id {
    pub(super) fn number(self) -> usize {
        self.0
    }
}

/// A matrix and what is added to its products.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    pub(crate) weight: Id,
    pub(crate) bias: Option<Id>,
}

/// Some rows of a tensor of the file.
pub(super) struct Rows<'a> {
    pub(super) tensor: &'a TensorInfo,
    pub(super) rows: Range<usize>,
}

/// What is copied into a tensor.
enum Source<'a> {
    /// Rows of the file, one after the other, of so many bytes each.
    File(Vec<Rows<'a>>, usize),
    Values(Vec<f32>),
}

pub(super) struct List<'a> {
    pub(super) gguf: &'a Gguf,
    builder: StoreBuilder,
    sources: Vec<Source<'a>>,
}

/// Reads the file for the device and tells how far it is.
pub(super) struct Copier<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) cancel: &'a CancelToken,
    pub(super) progress: Option<&'a ProgressFn>,
    /// Bytes of the file's tensors, and those of them that were copied.
    pub(super) total: u64,
    pub(super) done: u64,
}

impl<'a> List<'a> {
    pub(super) fn new(gguf: &'a Gguf) -> List<'a> {
        List { gguf, builder: StoreBuilder::new(), sources: Vec::new() }
    }

    pub(super) fn tensor(&self, name: &str) -> Result<&'a TensorInfo> {
        required(self.gguf, name)
    }

    /// F32 values, `[columns, rows, matrices]`.
    pub(super) fn values(&mut self, name: &str, dims: [usize; 3], values: Vec<f32>) -> Id {
        self.sources.push(Source::Values(values));
        let [x, y, z] = dims.map(|n| n as i64);
        Id(self.builder.add(name, Type::F32, [x, y, z, 1]))
    }

    pub(super) fn vector(&mut self, name: &str, len: usize) -> Result<Id> {
        let values = self.floats(name, &[len])?;
        Ok(self.values(name, [len, 1, 1], values))
    }

    pub(super) fn vector_if(&mut self, wanted: bool, name: &str, len: usize) -> Result<Option<Id>> {
        if wanted { self.vector(name, len).map(Some) } else { Ok(None) }
    }

    pub(super) fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Id> {
        let tensor = self.tensor(name)?;
        check_shape(tensor, &[inputs, outputs])?;
        self.stack(vec![Rows { tensor, rows: 0..outputs }], inputs, 1)
    }

    pub(super) fn linear(&mut self, stem: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.matrix(&format!("{stem}.weight"), inputs, outputs)?;
        let bias = format!("{stem}.bias");
        Ok(Linear { weight, bias: self.vector_if(self.gguf.tensor(&bias).is_some(), &bias, outputs)? })
    }

    /// `count` matrices of as many rows each out of `parts`, which have one format.
    pub(super) fn stack(&mut self, parts: Vec<Rows<'a>>, inputs: usize, count: usize) -> Result<Id> {
        let Some(Rows { tensor: first, .. }) = parts.first() else {
            return Err(Error::new(ErrorKind::Internal, "a matrix of no rows"));
        };
        let (ty, format) = (ggml_type(first)?, first.format()?);
        let row_bytes = format.row_bytes(inputs).ok_or_else(|| {
            let what = format!("rows of {inputs} values do not fill whole {} blocks", format.name());
            Error::new(ErrorKind::Malformed, what).tensor(first.name())
        })?;
        let rows: usize = parts.iter().map(|part| part.rows.len()).sum();
        let name = first.name();
        self.sources.push(Source::File(parts, row_bytes));
        Ok(Id(self.builder.add(name, ty, [inputs as i64, (rows / count) as i64, count as i64, 1])))
    }

    /// All values of a small tensor of that shape.
    pub(super) fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        floats(self.gguf, self.tensor(name)?, shape)
    }

    /// Memory on `device` for all of them, filled; and its bytes.
    pub(super) fn fill(self, device: &Device, copier: &mut Copier<'_>) -> Result<(Vec<Tensor>, usize)> {
        let List { builder, sources, .. } = self;
        let mut store = builder.weights(device)?;
        for (index, source) in sources.iter().enumerate() {
            let mut offset = 0;
            let mut write = |bytes: &[u8]| {
                // Piecewise, so that cancelling and progress do not wait for a large tensor.
                const PIECE: usize = 16 << 20;
                for piece in bytes.chunks(PIECE) {
                    copier.cancel.check()?;
                    store.write(index, offset, piece)?;
                    offset += piece.len();
                    copier.done += piece.len() as u64;
                    if let Some(progress) = copier.progress {
                        progress.report(Stage::Load, copier.done.min(copier.total), copier.total);
                    }
                }
                Ok::<_, Error>(())
            };
            match source {
                Source::Values(values) => {
                    write(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
                }
                Source::File(parts, row_bytes) => {
                    for Rows { tensor, rows } in parts {
                        let data = copier.gguf.data(tensor)?;
                        let range = rows.start * row_bytes..rows.end * row_bytes;
                        write(data.get(range).ok_or_else(|| {
                            Error::new(ErrorKind::Malformed, "has fewer rows than its shape says").tensor(tensor.name())
                        })?)?;
                    }
                }
            }
        }
        let bytes = store.bytes();
        Ok((store.share(), bytes))
    }
}

/// ggml's type of a tensor's values.
pub(super) fn ggml_type(tensor: &TensorInfo) -> Result<Type> {
    Type::from_gguf(tensor.type_id()).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("no device computes with {}", tensor.type_name()))
            .tensor(tensor.name())
            .remedy("run on the CPU")
    })
}
