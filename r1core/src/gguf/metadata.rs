//! The metadata of a model: keys in file order, looked up by name and type.

use super::index::NameIndex;
use super::{Array, StringArray, Value};
use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Keys and values of a model's header.
///
/// The typed getters return `Ok(None)` when the key is absent and a [`ErrorKind::Malformed`] error that names the key
/// when its value has another type or does not fit; the `require_` getters make absence an [`ErrorKind::Missing`]
/// error. Integer getters accept every integer width that real files use, as long as the value fits.
///
/// ```
/// use r1core::gguf::{Metadata, Value};
/// let metadata = Metadata::from_entries(vec![("qwen2.block_count".into(), Value::U64(28))])?;
/// assert_eq!(metadata.u32("qwen2.block_count")?, Some(28));
/// assert_eq!(metadata.f32("qwen2.rope.freq_base")?, None);
/// assert!(metadata.str("qwen2.block_count").is_err());
/// # Ok::<(), r1core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: NameIndex,
    file: Option<PathBuf>,
}

impl Metadata {
    /// Metadata built in code.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] when a key occurs twice.
    pub fn from_entries(entries: Vec<(String, Value)>) -> Result<Self> {
        let index = NameIndex::new(&entries, entry_key).map_err(|twice| {
            let key = entries.get(twice.0).map_or("", entry_key);
            Error::new(ErrorKind::Malformed, "the key occurs twice").key(key)
        })?;
        Ok(Self { entries, index, file: None })
    }

    /// Names the file in the errors of the getters.
    pub(super) fn set_file(&mut self, path: &Path) {
        self.file = Some(path.to_path_buf());
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + Clone {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key, of whatever type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.find(&self.entries, entry_key, key).map(|(_, value)| value)
    }

    /// Whether the key is present.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// An integer of any width that fits an `u32`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or a value that does not fit.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.integer(key)
    }

    /// An integer of any width that fits an `u64`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or a value that does not fit.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.integer(key)
    }

    /// An integer of any width that fits an `i64`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or a value that does not fit.
    pub fn i64(&self, key: &str) -> Result<Option<i64>> {
        self.integer(key)
    }

    /// A float of either width, rounded to `f32`. NaN and infinity pass when the file has them.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or an `f64` beyond the range of `f32`.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wide = value.as_float().ok_or_else(|| self.wrong_type(key, "a float", value.type_name()))?;
        narrow(wide).map(Some).ok_or_else(|| self.malformed(key, format!("{wide} is outside the range of f32")))
    }

    /// A truth value.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong_type(key, "a bool", other.type_name())),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, "a string", other.type_name())),
        }
    }

    /// An array of strings. An empty array of any other type counts as one, as some writers lose the type.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type.
    pub fn strings(&self, key: &str) -> Result<Option<&StringArray>> {
        static EMPTY: StringArray = StringArray::EMPTY;
        match self.array(key, "an array of strings")? {
            None => Ok(None),
            Some(Array::Str(strings)) => Ok(Some(strings)),
            Some(other) if other.is_empty() => Ok(Some(&EMPTY)),
            Some(other) => Err(self.wrong_type(key, "an array of strings", other.type_name())),
        }
    }

    /// An array of integers that all fit `u32`; borrowed when the file has `u32`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or an element that does not fit, which is named by its position.
    pub fn u32s(&self, key: &str) -> Result<Option<Cow<'_, [u32]>>> {
        match self.array(key, "an array of integers")? {
            None => Ok(None),
            Some(Array::U32(values)) => Ok(Some(Cow::Borrowed(values))),
            Some(other) => self.integers(key, other).map(|values| Some(Cow::Owned(values))),
        }
    }

    /// An array of integers that all fit `i32`; borrowed when the file has `i32`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or an element that does not fit, which is named by its position.
    pub fn i32s(&self, key: &str) -> Result<Option<Cow<'_, [i32]>>> {
        match self.array(key, "an array of integers")? {
            None => Ok(None),
            Some(Array::I32(values)) => Ok(Some(Cow::Borrowed(values))),
            Some(other) => self.integers(key, other).map(|values| Some(Cow::Owned(values))),
        }
    }

    /// An array of floats or `i32`, as token scores come; borrowed when the file has `f32`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type or an `f64` beyond the range of `f32`.
    pub fn f32s(&self, key: &str) -> Result<Option<Cow<'_, [f32]>>> {
        let wanted = "an array of floats";
        let Some(array) = self.array(key, wanted)? else { return Ok(None) };
        let mut floats = Vec::new();
        match array {
            Array::F32(values) => return Ok(Some(Cow::Borrowed(values))),
            Array::F64(values) => {
                reserve(&mut floats, values.len()).map_err(|e| self.place(e.key(key)))?;
                for (i, &wide) in values.iter().enumerate() {
                    let complain = || self.malformed(key, format!("element {i}: {wide} is outside the range of f32"));
                    floats.push(narrow(wide).ok_or_else(complain)?);
                }
            }
            Array::I32(values) => {
                reserve(&mut floats, values.len()).map_err(|e| self.place(e.key(key)))?;
                floats.extend(values.iter().map(|&v| v as f32));
            }
            other if other.is_empty() => {}
            other => return Err(self.wrong_type(key, wanted, other.type_name())),
        }
        Ok(Some(Cow::Owned(floats)))
    }

    /// The value for one layer of a key that holds either one integer for all layers or an array with one per layer.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for another type, a value that does not fit, or an array without that layer.
    pub fn u32_for_layer(&self, key: &str, layer: usize) -> Result<Option<u32>> {
        let Some(Value::Array(array)) = self.get(key) else { return self.u32(key) };
        let Some(value) = array.get(layer) else {
            return Err(self.malformed(key, format!("{} values, but layer {layer} needs one", array.len())));
        };
        let wanted = "an integer or an array of integers";
        let wide = value.as_integer().ok_or_else(|| self.wrong_type(key, wanted, array.type_name()))?;
        u32::try_from(wide).map(Some).map_err(|_| self.malformed(key, format!("element {layer}: {wide} does not fit")))
    }

    /// [`Metadata::u32`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_u32(&self, key: &str) -> Result<u32> {
        self.u32(key)?.ok_or_else(|| self.missing(key))
    }

    /// [`Metadata::u64`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_u64(&self, key: &str) -> Result<u64> {
        self.u64(key)?.ok_or_else(|| self.missing(key))
    }

    /// [`Metadata::f32`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_f32(&self, key: &str) -> Result<f32> {
        self.f32(key)?.ok_or_else(|| self.missing(key))
    }

    /// [`Metadata::bool`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_bool(&self, key: &str) -> Result<bool> {
        self.bool(key)?.ok_or_else(|| self.missing(key))
    }

    /// [`Metadata::str`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_str(&self, key: &str) -> Result<&str> {
        self.str(key)?.ok_or_else(|| self.missing(key))
    }

    /// [`Metadata::strings`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_strings(&self, key: &str) -> Result<&StringArray> {
        self.strings(key)?.ok_or_else(|| self.missing(key))
    }

    /// [`Metadata::f32s`] of a key that must be present.
    ///
    /// # Errors
    /// As there, and [`ErrorKind::Missing`].
    pub fn require_f32s(&self, key: &str) -> Result<Cow<'_, [f32]>> {
        self.f32s(key)?.ok_or_else(|| self.missing(key))
    }

    /// A [`ErrorKind::Malformed`] error about the value of a key, with the file's name.
    pub fn malformed(&self, key: &str, message: impl Into<String>) -> Error {
        self.place(Error::new(ErrorKind::Malformed, message).key(key))
    }

    fn integer<T: TryFrom<i128>>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wide = value.as_integer().ok_or_else(|| self.wrong_type(key, "an integer", value.type_name()))?;
        T::try_from(wide)
            .map(Some)
            .map_err(|_| self.malformed(key, format!("{wide} is outside the range of {}", std::any::type_name::<T>())))
    }

    fn integers<T: TryFrom<i128>>(&self, key: &str, array: &Array) -> Result<Vec<T>> {
        let mut out = Vec::new();
        reserve(&mut out, array.len()).map_err(|e| self.place(e.key(key)))?;
        if matches!(array, Array::Str(_)) && !array.is_empty() {
            return Err(self.wrong_type(key, "an array of integers", array.type_name()));
        }
        for (i, value) in (0..array.len()).filter_map(|i| array.get(i)).enumerate() {
            let wide =
                value.as_integer().ok_or_else(|| self.wrong_type(key, "an array of integers", array.type_name()))?;
            out.push(T::try_from(wide).map_err(|_| {
                let range = std::any::type_name::<T>();
                self.malformed(key, format!("element {i}: {wide} is outside the range of {range}"))
            })?);
        }
        Ok(out)
    }

    fn array(&self, key: &str, wanted: &str) -> Result<Option<&Array>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(other) => Err(self.wrong_type(key, wanted, other.type_name())),
        }
    }

    fn wrong_type(&self, key: &str, wanted: &str, found: &str) -> Error {
        self.malformed(key, format!("expected {wanted}, found {found}"))
    }

    fn missing(&self, key: &str) -> Error {
        self.place(Error::new(ErrorKind::Missing, "required key is absent").key(key))
    }

    fn place(&self, error: Error) -> Error {
        match &self.file {
            Some(path) => error.file(path),
            None => error,
        }
    }
}

fn entry_key((key, _): &(String, Value)) -> &str {
    key
}

/// `None` when a finite value would become infinite.
fn narrow(wide: f64) -> Option<f32> {
    let value = wide as f32;
    (value.is_finite() || !wide.is_finite()).then_some(value)
}

fn reserve<T>(vec: &mut Vec<T>, len: usize) -> Result<()> {
    vec.try_reserve_exact(len).map_err(|error| Error::new(ErrorKind::OutOfMemory, "cannot copy an array").source(error))
}
