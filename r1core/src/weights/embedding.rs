//! The token embedding table, read row by row from the file's own bytes.

use std::sync::Arc;

use crate::gguf::{Gguf, TensorInfo};
use crate::{Error, ErrorKind, Result};
use r1_kernels::Format;

/// The embedding table: `rows` rows of `len` values in the file's format. It stays in the file: a token needs one row.
#[derive(Debug)]
pub(crate) struct Embedding {
    gguf: Arc<Gguf>,
    tensor: TensorInfo,
    format: Format,
    row_bytes: usize,
    rows: usize,
}

impl Embedding {
    pub(super) fn new(gguf: &Arc<Gguf>, tensor: &TensorInfo, len: usize, rows: usize) -> Result<Embedding> {
        let format = tensor.format()?;
        let row_bytes = format.row_bytes(len).ok_or_else(|| {
            Error::new(ErrorKind::Malformed, format!("rows of {len} values do not fill whole {} blocks", format.name()))
                .tensor(tensor.name())
        })?;
        Ok(Embedding { gguf: Arc::clone(gguf), tensor: tensor.clone(), format, row_bytes, rows })
    }

    /// Number of rows: ids below it are valid.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes row `id` into `out` (`[len]`), with `buffer` for its bytes.
    pub(crate) fn row(&self, id: u32, buffer: &mut Vec<u8>, out: &mut [f32]) -> Result<()> {
        buffer.resize(self.row_bytes, 0);
        self.gguf.read_at(&self.tensor, u64::from(id) * self.row_bytes as u64, buffer)?;
        self.format.dequantize(buffer, out);
        Ok(())
    }
}
