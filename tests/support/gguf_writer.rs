//! A small GGUF writer for tests: valid files by default, and every lie that a test needs.
#![allow(dead_code, unreachable_pub, reason = "test binaries include this file and use a part of it each")]

/// Builds the bytes of one GGUF file. Keys and tensors keep their order.
#[derive(Clone)]
pub struct GgufWriter {
    /// Version in the header; 3 by default.
    pub version: u32,
    /// Alignment of the data section; add `general.alignment` yourself when it is not 32.
    pub alignment: usize,
    /// Written instead of the number of tensors.
    pub tensor_count: Option<u64>,
    /// Written instead of the number of keys.
    pub key_count: Option<u64>,
    /// Encoded keys with their values.
    pub keys: Vec<Vec<u8>>,
    /// In the order of the table and of the data.
    pub tensors: Vec<TensorSpec>,
}

/// One tensor to write.
#[derive(Clone)]
pub struct TensorSpec {
    /// Any bytes.
    pub name: Vec<u8>,
    /// In ggml order; any number of them.
    pub dims: Vec<u64>,
    /// Written instead of the number of dimensions.
    pub n_dims: Option<u32>,
    /// ggml's number of the type.
    pub type_id: u32,
    /// Any bytes, whatever the shape says.
    pub data: Vec<u8>,
    /// Written instead of the place of the data.
    pub offset: Option<u64>,
}

impl TensorSpec {
    /// A tensor of any type.
    pub fn new(name: &str, dims: &[u64], type_id: u32, data: Vec<u8>) -> Self {
        Self { name: name.into(), dims: dims.to_vec(), n_dims: None, type_id, data, offset: None }
    }

    /// A tensor of `f32` values.
    pub fn f32(name: &str, dims: &[u64], values: &[f32]) -> Self {
        Self::new(name, dims, 0, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }
}

/// The numbers of the container's value types.
pub mod value_type {
    #![allow(missing_docs)]
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}

/// A string as the container has it: length and bytes.
pub fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

/// An array as the container has it: element type, count and elements.
pub fn array(element_type: u32, count: u64, elements: impl AsRef<[u8]>) -> Vec<u8> {
    [&element_type.to_le_bytes()[..], &count.to_le_bytes(), elements.as_ref()].concat()
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl GgufWriter {
    /// An empty file of version 3.
    pub fn new() -> Self {
        Self { version: 3, alignment: 32, tensor_count: None, key_count: None, keys: Vec::new(), tensors: Vec::new() }
    }

    /// Adds a key with any value type and any bytes.
    pub fn raw(mut self, key: impl AsRef<[u8]>, value_type: u32, value: impl AsRef<[u8]>) -> Self {
        self.keys.push([&string(key)[..], &value_type.to_le_bytes(), value.as_ref()].concat());
        self
    }

    /// Adds any bytes where a key would stand; counts as one key.
    pub fn raw_entry(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.keys.push(bytes.into());
        self
    }

    /// Takes a key out, to leave it out or to add another value.
    pub fn without(mut self, key: &str) -> Self {
        let name = string(key);
        self.keys.retain(|entry| !entry.starts_with(&name));
        self
    }

    /// Takes a tensor out.
    pub fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|tensor| tensor.name != name.as_bytes());
        self
    }

    /// Adds a bool.
    pub fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, value_type::BOOL, [value.into()])
    }

    /// Adds an `u16`.
    pub fn u16(self, key: &str, value: u16) -> Self {
        self.raw(key, value_type::U16, value.to_le_bytes())
    }

    /// Adds an `u32`.
    pub fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, value_type::U32, value.to_le_bytes())
    }

    /// Adds an `i32`.
    pub fn i32(self, key: &str, value: i32) -> Self {
        self.raw(key, value_type::I32, value.to_le_bytes())
    }

    /// Adds an `u64`.
    pub fn u64(self, key: &str, value: u64) -> Self {
        self.raw(key, value_type::U64, value.to_le_bytes())
    }

    /// Adds an `f32`.
    pub fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, value_type::F32, value.to_le_bytes())
    }

    /// Adds a string.
    pub fn str(self, key: &str, value: &str) -> Self {
        self.raw(key, value_type::STRING, string(value))
    }

    /// Adds an array of strings, which may be any bytes.
    pub fn strings<S: AsRef<[u8]>>(self, key: &str, values: &[S]) -> Self {
        let elements: Vec<u8> = values.iter().flat_map(string).collect();
        self.raw(key, value_type::ARRAY, array(value_type::STRING, values.len() as u64, elements))
    }

    /// Adds an array of `i32`.
    pub fn i32s(self, key: &str, values: &[i32]) -> Self {
        let elements: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(key, value_type::ARRAY, array(value_type::I32, values.len() as u64, elements))
    }

    /// Adds an array of `f32`.
    pub fn f32s(self, key: &str, values: &[f32]) -> Self {
        let elements: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(key, value_type::ARRAY, array(value_type::F32, values.len() as u64, elements))
    }

    /// Adds a tensor.
    pub fn tensor(mut self, tensor: TensorSpec) -> Self {
        self.tensors.push(tensor);
        self
    }

    /// The header without padding and data.
    pub fn header(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        out.extend(self.keys.concat());
        let mut next = 0;
        for tensor in &self.tensors {
            out.extend(string(&tensor.name));
            out.extend(tensor.n_dims.unwrap_or(tensor.dims.len() as u32).to_le_bytes());
            out.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            out.extend(tensor.type_id.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(next).to_le_bytes());
            next += tensor.data.len().next_multiple_of(self.alignment) as u64;
        }
        out
    }

    /// The whole file: header, padding, and the data of the tensors in order, each padded.
    pub fn build(&self) -> Vec<u8> {
        let mut out = self.header();
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            out.extend_from_slice(&tensor.data);
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out
    }
}
