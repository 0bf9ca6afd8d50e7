//! Every signature in the table against ggml's own headers: written out as C, and given to a C compiler.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::{offset_of, size_of};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::table::{DECLARATIONS, Declaration, ENUMERATIONS, InitParams};

/// Opaque structures here and in C.
const STRUCTURES: [(&str, &str); 9] = [
    ("Context", "struct ggml_context"),
    ("RawTensor", "struct ggml_tensor"),
    ("RawGraph", "struct ggml_cgraph"),
    ("RawAllocator", "struct ggml_gallocr"),
    ("RawBuffer", "struct ggml_backend_buffer"),
    ("RawBufferType", "struct ggml_backend_buffer_type"),
    ("RawBackend", "struct ggml_backend"),
    ("RawDevice", "struct ggml_backend_device"),
    ("RawRegistry", "struct ggml_backend_reg"),
];

const NUMBERS: [(&str, &str); 11] = [
    ("", "void"),
    ("c_void", "void"),
    ("c_char", "char"),
    ("c_int", "int"),
    ("bool", "bool"),
    ("u8", "uint8_t"),
    ("u64", "uint64_t"),
    ("i64", "int64_t"),
    ("usize", "size_t"),
    ("f32", "float"),
    ("f64", "double"),
];

const OTHERS: [(&str, &str); 2] =
    [("InitParams", "struct ggml_init_params"), ("Option<LogCallback>", "ggml_log_callback")];

/// The C type of a Rust type.
fn c_type(rust: &str) -> String {
    if let Some(inner) = rust.strip_prefix("*mut ") {
        return format!("{} *", c_type(inner));
    }
    if let Some(inner) = rust.strip_prefix("*const ") {
        return format!("const {} *", c_type(inner));
    }
    let mut known = STRUCTURES.iter().chain(&NUMBERS).chain(&OTHERS).chain(ENUMERATIONS);
    known.find(|(name, _)| *name == rust).unwrap_or_else(|| panic!("no C type for '{rust}'")).1.into()
}

/// A C program that compiles where the declarations are ggml's.
fn program(declarations: &[Declaration]) -> String {
    let mut c = String::from(
        "#include <stddef.h>\n#include \"ggml.h\"\n#include \"ggml-alloc.h\"\n#include \"ggml-backend.h\"\n\
         #include \"ggml-rpc.h\"\n#include \"ggml-impl.h\"\n\
         /* The header has its type alone. */\n\
         extern ggml_backend_set_n_threads_t ggml_backend_set_n_threads;\n\
         void log_callback(enum ggml_log_level level, const char * text, void * user);\n\
         void check(void) {\n    ggml_log_callback log = log_callback; (void) log;\n",
    );
    for (name, args, result) in declarations {
        let args: Vec<_> = args.iter().map(|ty| c_type(ty)).collect();
        let args = if args.is_empty() { "void".into() } else { args.join(", ") };
        // Complaints begin with the name.
        writeln!(c, "#line 1 \"{name}\"\n    {} (*p_{name})({args}) = {name}; (void) p_{name};", c_type(result))
            .unwrap();
    }
    let fields = [
        ("mem_size", offset_of!(InitParams, mem_size)),
        ("mem_buffer", offset_of!(InitParams, mem_buffer)),
        ("no_alloc", offset_of!(InitParams, no_alloc)),
    ];
    for (field, offset) in fields {
        writeln!(c, "    _Static_assert(offsetof(struct ggml_init_params, {field}) == {offset}, \"{field}\");")
            .unwrap();
    }
    let size = size_of::<InitParams>();
    writeln!(c, "    _Static_assert(sizeof(struct ggml_init_params) == {size}, \"size\");\n}}").unwrap();
    c
}

/// What the C compiler complains of; nothing where all is well.
fn complaints(declarations: &[Declaration]) -> String {
    let folder = std::env::var_os("R1_GGML_HEADERS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/ggml/include").into());
    assert!(folder.join("ggml.h").is_file(), "ggml's headers are not in {folder:?}: run tests/fetch_ggml.sh");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut run = Command::new(compiler)
        .args(["-std=c11", "-fsyntax-only", "-Werror", "-Wall", "-x", "c", "-", "-I"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    run.stdin.take().unwrap().write_all(program(declarations).as_bytes()).unwrap();
    let output = run.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), text.is_empty(), "{text}");
    text
}

#[test]
fn every_signature_is_that_of_the_header() {
    assert!(DECLARATIONS.len() > 80);
    let complaints = complaints(DECLARATIONS);
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn a_signature_that_is_not_the_headers_is_told() {
    let tensor = "*mut RawTensor";
    assert_eq!(complaints(&[("ggml_scale", &["*mut Context", "*mut RawTensor", "f32"], tensor)]), "");
    let lies: [Declaration; 7] = [
        ("ggml_scale", &["*mut Context", "*mut RawTensor", "f64"], tensor),
        ("ggml_scale", &["*mut Context", "*mut RawTensor"], tensor),
        ("ggml_scale", &["*mut RawTensor", "*mut Context", "f32"], tensor),
        ("ggml_scale", &["*mut Context", "*mut RawTensor", "f32"], "*mut RawGraph"),
        ("ggml_scaled", &["*mut Context", "*mut RawTensor", "f32"], tensor),
        ("ggml_nbytes", &["*const RawTensor"], "i64"),
        ("ggml_type_size", &["Precision"], "usize"),
    ];
    for lie in lies {
        assert!(complaints(&[lie]).contains(lie.0), "{lie:?} was believed");
    }
}
