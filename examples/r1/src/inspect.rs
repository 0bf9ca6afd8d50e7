//! `r1 inspect`: what is in a file and what it needs, without touching its weights.

use std::collections::BTreeMap;

use r1core::{Config, Estimate, Gguf, LoadMode, gguf::Value};
use serde_json::json;

use crate::args::InspectArgs;
use crate::open;
use crate::output::{Outcome, json_line, size};

/// Array entries and characters that are shown of long values.
const SHOWN_ENTRIES: usize = 4;
const SHOWN_CHARACTERS: usize = 60;

pub(crate) fn run(args: &InspectArgs) -> Outcome {
    let gguf = open::gguf(args.file.as_deref(), LoadMode::HeaderOnly)?;
    let estimate = Config::from_gguf(&gguf)
        .and_then(|config| Estimate::new(&gguf, &config, args.context.map(|n| n as usize), args.cache.into()));
    if args.json { print_json(&gguf, &estimate) } else { print_text(&gguf, &estimate) }
}

fn print_json(gguf: &Gguf, estimate: &r1core::Result<Estimate>) -> Outcome {
    let metadata: serde_json::Map<_, _> =
        gguf.metadata().iter().map(|(key, value)| (key.to_owned(), json!(shown(value)))).collect();
    let tensors: Vec<_> = gguf
        .tensors()
        .iter()
        .map(|t| {
            json!({
                "name": t.name(), "type": t.type_name(), "shape": t.dims(), "bytes": t.byte_len(),
                "offset": t.offset(), "supported": t.format().is_ok(),
            })
        })
        .collect();
    let memory = match estimate {
        Ok(e) => json!({
            "context": e.context, "weights": e.weights, "experts": e.experts,
            "read_per_token": e.read_per_token, "cache": e.cache, "compute": e.compute, "mapped": e.mapped,
            "total": e.total(),
        }),
        Err(e) => json!({ "error": e.to_string() }),
    };
    json_line(&json!({
        "version": gguf.version(), "file_size": gguf.file_size(), "parts": gguf.parts().len(), "alignment": gguf.alignment(),
        "metadata": metadata, "tensors": tensors, "memory": memory,
    }))
}

fn print_text(gguf: &Gguf, estimate: &r1core::Result<Estimate>) -> Outcome {
    use std::io::Write;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    writeln!(
        out,
        "GGUF version {}, {} in {} part(s), {} keys, {} tensors\n",
        gguf.version(),
        size(gguf.file_size()),
        gguf.parts().len(),
        gguf.metadata().len(),
        gguf.tensors().len()
    )?;
    for (key, value) in gguf.metadata().iter() {
        writeln!(out, "{key:<45} {}", shown(value))?;
    }
    writeln!(out)?;
    for t in gguf.tensors() {
        let unsupported = if t.format().is_ok() { "" } else { "  (not supported)" };
        writeln!(
            out,
            "{:<40} {:<8} {:>24} {:>12}{unsupported}",
            t.name(),
            t.type_name(),
            format!("{:?}", t.dims()),
            size(t.byte_len())
        )?;
    }
    let mut types: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for t in gguf.tensors() {
        let entry = types.entry(t.type_name()).or_default();
        entry.0 += 1;
        entry.1 += t.byte_len();
    }
    writeln!(out)?;
    for (name, (count, bytes)) in types {
        writeln!(out, "{name:<8} {count:>5} tensors {:>12}", size(bytes))?;
    }
    writeln!(out)?;
    match estimate {
        Ok(e) => {
            writeln!(out, "memory for a context of {}:", e.context)?;
            let experts =
                if e.experts > 0 { format!("  ({} of them experts)", size(e.experts)) } else { String::new() };
            writeln!(out, "  weights {:>12}{experts}", size(e.weights))?;
            writeln!(out, "  cache   {:>12}", size(e.cache))?;
            writeln!(out, "  compute {:>12}", size(e.compute))?;
            writeln!(out, "  total   {:>12}  (and {} mapped from the file)", size(e.total()), size(e.mapped))?;
            writeln!(out, "weights that a generated token reads: {}", size(e.read_per_token))?;
        }
        Err(e) => writeln!(out, "no memory estimate: {e}")?,
    }
    out.flush()?;
    Ok(())
}

/// A value on one line, long ones shortened.
fn shown(value: &Value) -> String {
    match value {
        Value::Str(text) => shorten(text),
        Value::Array(array) => {
            let entries: Vec<String> =
                (0..array.len().min(SHOWN_ENTRIES)).filter_map(|i| array.get(i)).map(|v| shown(&v)).collect();
            let more = if array.len() > SHOWN_ENTRIES { ", ..." } else { "" };
            format!("{} x {} [{}{more}]", array.len(), array.type_name(), entries.join(", "))
        }
        Value::U8(v) => v.to_string(),
        Value::I8(v) => v.to_string(),
        Value::U16(v) => v.to_string(),
        Value::I16(v) => v.to_string(),
        Value::U32(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::U64(v) => v.to_string(),
        Value::I64(v) => v.to_string(),
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
    }
}

fn shorten(text: &str) -> String {
    let escaped: String = text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(SHOWN_CHARACTERS).is_some() { "..." } else { "" };
    format!("{escaped}{more}")
}
