//! Range-checked access to one architecture's metadata keys.

use crate::gguf::{Array, Metadata, Value};
use crate::{Error, ErrorKind, Result};

/// The keys under one architecture's prefix.
pub(super) struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl<'a> Keys<'a> {
    pub(super) fn new(metadata: &'a Metadata, prefix: &'static str) -> Self {
        Self { metadata, prefix }
    }

    /// The key with its prefix.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    /// The error where a required key is absent.
    pub(super) fn missing(&self, key: &str) -> Error {
        Error::new(ErrorKind::Missing, "required key is absent").key(self.full(key))
    }

    pub(super) fn size(&self, key: &str, min: usize, max: usize) -> Result<Option<usize>> {
        let full = self.full(key);
        let Some(value) = self.metadata.u64(&full)? else { return Ok(None) };
        check_size(value, min, max).map(Some).map_err(|e| e.key(full))
    }

    pub(super) fn require_size(&self, key: &str, min: usize, max: usize) -> Result<usize> {
        self.size(key, min, max)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn f32(&self, key: &str, min: f32, max: f32) -> Result<Option<f32>> {
        let full = self.full(key);
        let Some(value) = self.metadata.f32(&full)? else { return Ok(None) };
        if (min..=max).contains(&value) {
            Ok(Some(value))
        } else {
            Err(Error::new(ErrorKind::Malformed, format!("{value} is out of range {min}..={max}")).key(full))
        }
    }

    pub(super) fn require_f32(&self, key: &str, min: f32, max: f32) -> Result<f32> {
        self.f32(key, min, max)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.metadata.bool(&self.full(key))
    }

    pub(super) fn str(&self, key: &str) -> Result<Option<&'a str>> {
        self.metadata.str(&self.full(key))
    }

    /// A number for every layer: one scalar for all, or an array with one entry each.
    pub(super) fn per_layer(&self, key: &str, layers: usize, max: usize) -> Result<Option<Vec<usize>>> {
        let full = self.full(key);
        match self.metadata.get(&full) {
            None => Ok(None),
            Some(Value::Array(_)) => {
                let Some(values) = self.metadata.u32s(&full)? else { return Ok(None) };
                if values.len() < layers {
                    let found = values.len();
                    return Err(Error::new(
                        ErrorKind::Malformed,
                        format!("holds {found} entries, the model has {layers} layers"),
                    )
                    .key(full));
                }
                let checked: Result<Vec<usize>> =
                    values.iter().take(layers).map(|v| check_size(u64::from(*v), 1, max)).collect();
                checked.map(Some).map_err(|e| e.key(full))
            }
            Some(_) => Ok(self.size(key, 1, max)?.map(|value| vec![value; layers])),
        }
    }

    pub(super) fn require_per_layer(&self, key: &str, layers: usize, max: usize) -> Result<Vec<usize>> {
        self.per_layer(key, layers, max)?.ok_or_else(|| self.missing(key))
    }

    /// A flag for every layer, where the key holds an array of booleans; `None` where it holds anything else.
    pub(super) fn bools(&self, key: &str, layers: usize) -> Result<Option<Vec<bool>>> {
        let full = self.full(key);
        let Some(Value::Array(Array::Bool(flags))) = self.metadata.get(&full) else { return Ok(None) };
        match flags.get(..layers) {
            Some(flags) => Ok(Some(flags.to_vec())),
            None => Err(Error::new(
                ErrorKind::Malformed,
                format!("holds {} entries, the model has {layers} layers", flags.len()),
            )
            .key(full)),
        }
    }
}

fn check_size(value: u64, min: usize, max: usize) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|v| (min..=max).contains(v))
        .ok_or_else(|| Error::new(ErrorKind::Malformed, format!("{value} is out of range {min}..={max}")))
}
