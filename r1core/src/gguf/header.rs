//! The header of one file: metadata, then the tensor table.

use super::limits::{
    ALIGNMENTS, DEFAULT_ALIGNMENT, MAX_KEY_BYTES, MAX_KEYS, MAX_STRING_BYTES, MAX_TENSOR_NAME_BYTES, MAX_TENSORS,
};
use super::reader::{self, Reader};
use super::source::Source;
use super::tensor::{MAX_DIMS, block_layout};
use super::{Array, Metadata, TensorInfo, Value, detect};
use crate::{Error, ErrorKind, Result};

/// All that the header of one file says. Tensor offsets count from the start of the file.
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) alignment: u64,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<TensorInfo>,
}

/// Shortest key and value: length, one byte of key, type, one byte of value.
const MIN_ENTRY_BYTES: u64 = 8 + 1 + 4 + 1;
/// Shortest tensor: length, one byte of name, number of dimensions, one dimension, type, offset.
const MIN_TENSOR_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// Reads the header of a source of `len` bytes. Errors carry the place, but not the file's name.
pub(super) fn read(source: &Source, len: u64) -> Result<Header> {
    detect::check_magic(source, len)?;
    let reader = &mut Reader::new(source, len);
    let _magic: [u8; 4] = reader.bytes()?;
    let version = read_version(reader)?;
    let tensor_count = reader.count("tensors", MIN_TENSOR_BYTES)?;
    let key_count = reader.count("metadata keys", MIN_ENTRY_BYTES)?;
    check_limit(tensor_count, MAX_TENSORS, "tensors", 8)?;
    check_limit(key_count, MAX_KEYS, "metadata keys", 16)?;

    let metadata = read_metadata(reader, key_count)?;
    let alignment = read_alignment(&metadata)?;
    // The table begins here only now: what metadata took is no longer there for tensors.
    reader.check_count(tensor_count, "tensors", MIN_TENSOR_BYTES)?;
    let mut tensors = reader::reserve(tensor_count, reader.offset())?;
    for i in 0..tensor_count {
        tensors.push(read_tensor(reader, i)?);
    }
    let data_start = reader.offset().next_multiple_of(alignment);
    for tensor in &mut tensors {
        let absolute = tensor.offset.checked_add(data_start);
        tensor.offset = absolute.ok_or_else(|| {
            let message = format!("data offset {} is beyond any file", tensor.offset);
            Error::new(ErrorKind::Malformed, message).tensor(&tensor.name)
        })?;
    }
    Ok(Header { version, alignment, metadata, tensors })
}

fn read_version(reader: &mut Reader<'_>) -> Result<u32> {
    let offset = reader.offset();
    match reader.u32()? {
        version @ (2 | 3) => Ok(version),
        swapped if (1..=3).contains(&swapped.swap_bytes()) => {
            let error = Error::new(ErrorKind::NotGguf, "this is a big-endian GGUF file").offset(offset);
            Err(error.remedy("convert it to little-endian, for example with gguf-py's gguf_convert_endian.py"))
        }
        1 => {
            let error = Error::new(ErrorKind::Unsupported, "GGUF version 1 is not supported").offset(offset);
            Err(error.remedy("convert the model again with a current converter"))
        }
        other => {
            let message = format!("GGUF version {other} is not supported; versions 2 and 3 are");
            Err(Error::new(ErrorKind::Unsupported, message).offset(offset))
        }
    }
}

fn check_limit(count: u64, limit: u64, what: &str, offset: u64) -> Result<()> {
    if count > limit {
        let message = format!("{count} {what}; at most {limit} are allowed");
        return Err(Error::new(ErrorKind::Limit, message).offset(offset));
    }
    Ok(())
}

fn read_metadata(reader: &mut Reader<'_>, count: u64) -> Result<Metadata> {
    let mut entries = reader::reserve(count, reader.offset())?;
    for i in 0..count {
        let offset = reader.offset();
        let key = reader.string(MAX_KEY_BYTES).map_err(|error| error.key(format!("#{i}")))?;
        check_name(&key, "metadata key").map_err(|error| error.key(format!("#{i}")).offset(offset))?;
        let value = match read_value(reader) {
            Ok(value) => value,
            Err(error) => return Err(error.key(key)),
        };
        entries.push((key, value));
    }
    Metadata::from_entries(entries)
}

fn check_name(name: &str, what: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, format!("the {what} is empty")));
    }
    if name.contains('\0') {
        return Err(Error::new(ErrorKind::Malformed, format!("the {what} contains a NUL byte")));
    }
    Ok(())
}

fn read_value(reader: &mut Reader<'_>) -> Result<Value> {
    let offset = reader.offset();
    Ok(match reader.u32()? {
        0 => Value::U8(u8::from_le_bytes(reader.bytes()?)),
        1 => Value::I8(i8::from_le_bytes(reader.bytes()?)),
        2 => Value::U16(u16::from_le_bytes(reader.bytes()?)),
        3 => Value::I16(i16::from_le_bytes(reader.bytes()?)),
        4 => Value::U32(u32::from_le_bytes(reader.bytes()?)),
        5 => Value::I32(i32::from_le_bytes(reader.bytes()?)),
        6 => Value::F32(f32::from_le_bytes(reader.bytes()?)),
        7 => Value::Bool(reader.bool()?),
        8 => Value::Str(reader.string(MAX_STRING_BYTES)?),
        9 => Value::Array(read_array(reader)?),
        10 => Value::U64(u64::from_le_bytes(reader.bytes()?)),
        11 => Value::I64(i64::from_le_bytes(reader.bytes()?)),
        12 => Value::F64(f64::from_le_bytes(reader.bytes()?)),
        other => {
            return Err(Error::new(ErrorKind::Malformed, format!("value type {other} does not exist")).offset(offset));
        }
    })
}

fn read_array(reader: &mut Reader<'_>) -> Result<Array> {
    let offset = reader.offset();
    let element = reader.u32()?;
    let element_bytes = match element {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        // A string is at least its length.
        8 | 10..=12 => 8,
        9 => {
            let error = Error::new(ErrorKind::Unsupported, "an array of arrays is not supported").offset(offset);
            return Err(error);
        }
        other => {
            let message = format!("array element type {other} does not exist");
            return Err(Error::new(ErrorKind::Malformed, message).offset(offset));
        }
    };
    let count = reader.count("array elements", element_bytes)?;
    Ok(match element {
        0 => Array::U8(reader.scalars(count, u8::from_le_bytes)?),
        1 => Array::I8(reader.scalars(count, i8::from_le_bytes)?),
        2 => Array::U16(reader.scalars(count, u16::from_le_bytes)?),
        3 => Array::I16(reader.scalars(count, i16::from_le_bytes)?),
        4 => Array::U32(reader.scalars(count, u32::from_le_bytes)?),
        5 => Array::I32(reader.scalars(count, i32::from_le_bytes)?),
        6 => Array::F32(reader.scalars(count, f32::from_le_bytes)?),
        7 => reader.bools(count)?,
        10 => Array::U64(reader.scalars(count, u64::from_le_bytes)?),
        11 => Array::I64(reader.scalars(count, i64::from_le_bytes)?),
        12 => Array::F64(reader.scalars(count, f64::from_le_bytes)?),
        _ => Array::Str(reader.strings(count)?),
    })
}

fn read_alignment(metadata: &Metadata) -> Result<u64> {
    const KEY: &str = "general.alignment";
    let alignment = match metadata.get(KEY) {
        None => return Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(alignment)) => u64::from(*alignment),
        // The one key whose exact type decides where every tensor lies.
        Some(other) => return Err(metadata.malformed(KEY, format!("expected u32, found {}", other.type_name()))),
    };
    if !alignment.is_power_of_two() || !ALIGNMENTS.contains(&alignment) {
        let (least, most) = (ALIGNMENTS.start(), ALIGNMENTS.end());
        let message = format!("alignment {alignment} is not a power of two from {least} to {most}");
        return Err(metadata.malformed(KEY, message));
    }
    Ok(alignment)
}

/// Reads one row of the tensor table; its offset is still relative to the data section.
fn read_tensor(reader: &mut Reader<'_>, i: u64) -> Result<TensorInfo> {
    let at = reader.offset();
    let name = reader
        .string(MAX_TENSOR_NAME_BYTES)
        .and_then(|name| check_name(&name, "tensor name").map(|()| name).map_err(|error| error.offset(at)))
        .map_err(|error| error.tensor(format!("#{i}")))?;
    match read_shape(reader) {
        Ok(Shape { dims, n_dims, type_id, bytes }) => {
            let offset = reader.u64().map_err(|error| error.tensor(&name))?;
            Ok(TensorInfo { name, dims, n_dims, type_id, offset, bytes, part: 0 })
        }
        Err(error) => Err(error.tensor(name)),
    }
}

struct Shape {
    dims: [u64; MAX_DIMS],
    n_dims: u8,
    type_id: u32,
    bytes: u64,
}

fn read_shape(reader: &mut Reader<'_>) -> Result<Shape> {
    let malformed = |message: String, offset: u64| Error::new(ErrorKind::Malformed, message).offset(offset);
    let at = reader.offset();
    let n_dims = reader.u32()?;
    let n_dims = match u8::try_from(n_dims) {
        Ok(n @ 1..=4) => n,
        _ => return Err(malformed(format!("{n_dims} dimensions; a tensor has 1 to {MAX_DIMS}"), at)),
    };
    let at = reader.offset();
    let mut dims = [1_u64; MAX_DIMS];
    for dim in dims.iter_mut().take(n_dims.into()) {
        *dim = reader.u64()?;
    }
    let shown = dims.get(..n_dims.into()).unwrap_or_default();
    if dims.contains(&0) {
        return Err(malformed(format!("shape {shown:?} has a dimension of 0"), at));
    }
    let too_large = || malformed(format!("shape {shown:?} is too large"), at);
    let elements = dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim)).ok_or_else(too_large)?;

    let at = reader.offset();
    let type_id = reader.u32()?;
    let Some((block_len, block_bytes)) = block_layout(type_id) else {
        let message = match r1_kernels::type_name(type_id) {
            Some(name) => format!("tensor type {name} (id {type_id}) is not supported"),
            None => format!("tensor type {type_id} is not known"),
        };
        return Err(Error::new(ErrorKind::Unsupported, message).offset(at));
    };
    if dims[0] % block_len != 0 {
        let name = r1_kernels::type_name(type_id).unwrap_or("type");
        return Err(malformed(
            format!("rows of {} values do not divide into {name} blocks of {block_len}", dims[0]),
            at,
        ));
    }
    let bytes = (elements / block_len).checked_mul(block_bytes).filter(|&bytes| i64::try_from(bytes).is_ok());
    Ok(Shape { dims, n_dims, type_id, bytes: bytes.ok_or_else(too_large)? })
}
