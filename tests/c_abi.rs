//! The C ABI keeps its promises: the header is what the library exports, every exported function is guarded, C and C++
//! programs build with one command and run, and no mistake of theirs is more than an error code.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// What `rustc --print native-static-libs` names.
const SYSTEM_LIBRARIES: &[&str] = if cfg!(target_os = "linux") { &["-lpthread", "-ldl", "-lm"] } else { &["-lm"] };

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(CRATE).join("..").join(path)
}

fn model() -> PathBuf {
    repository("models/r1-tiny-q8_0.gguf")
}

/// The small model, made to believe that it may think for longer than the two seconds after which it is interrupted.
fn patient_model() -> PathBuf {
    let mut bytes = fs::read(model()).unwrap();
    let key = b".context_length";
    let value = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4;
    bytes[value..value + 4].copy_from_slice(&(1u32 << 20).to_le_bytes());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("patient.gguf");
    fs::write(&path, bytes).unwrap();
    path
}

/// The shared library and the archive, built as this test was.
struct Library {
    shared: PathBuf,
    archive: PathBuf,
}

/// An integration test does not get a library without an rlib built, so this asks cargo for it.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // <target>[/<triple>]/<profile>/deps/<test>
        let profile_dir = test.ancestors().nth(2).unwrap();
        let target_dir = profile_dir.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()).unwrap();
        let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--lib", "--message-format=json", "--profile", profile, "--manifest-path"]);
        cargo.arg(Path::new(CRATE).join("Cargo.toml")).arg("--target-dir").arg(target_dir);
        if cfg!(feature = "grammar") {
            cargo.args(["--features", "grammar"]);
        }
        if let Some(triple) = profile_dir.parent().filter(|dir| *dir != target_dir).and_then(Path::file_name) {
            cargo.arg("--target").arg(triple);
        }
        let messages = String::from_utf8(run(cargo.stderr(Stdio::inherit())).stdout).unwrap();
        let artifacts = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .rfind(|message| {
                message["target"]["crate_types"].as_array().is_some_and(|t| t.iter().any(|t| t == "cdylib"))
            })
            .expect("cargo reports the library");
        let files: Vec<_> = artifacts["filenames"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        let find = |ends: &[&str]| files.iter().find(|file| ends.iter().any(|end| file.ends_with(end))).unwrap().into();
        Library { shared: find(&[".so", ".dylib"]), archive: find(&[".a"]) }
    })
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// A strict compiler for a standard: `c99`, `c11`, `c++17`.
fn compiler(standard: &str) -> Command {
    let mut command = Command::new(if standard.starts_with("c++") { "c++" } else { "cc" });
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic"]).arg(format!("-std={standard}"));
    command.arg("-I").arg(repository("include"));
    command
}

/// Compiles a program against the shared library.
fn build_shared(source: &str, standard: &str) -> PathBuf {
    let library = library();
    let directory = library.shared.parent().unwrap();
    let program = program_path(source, "shared");
    let mut command = compiler(standard);
    command.arg(repository(source)).arg("-o").arg(&program).arg("-L").arg(directory).arg("-lr1core");
    command.arg(format!("-Wl,-rpath,{}", directory.display())).arg("-lpthread");
    run(&mut command);
    program
}

/// Compiles a program against the archive, with sanitizers.
fn build_sanitized(source: &str, standard: &str) -> PathBuf {
    let program = program_path(source, "sanitized");
    let mut command = compiler(standard);
    command.args(["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o"]).arg(&program);
    command.arg(repository(source)).arg(&library().archive).args(SYSTEM_LIBRARIES);
    run(&mut command);
    program
}

fn program_path(source: &str, suffix: &str) -> PathBuf {
    let name = Path::new(source).file_name().unwrap().to_str().unwrap().replace('.', "_");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}_{suffix}"))
}

/// Runs a test program on the small model, which must report no failure; returns the number of its checks.
fn checks(program: &Path) -> usize {
    let output = String::from_utf8(run(Command::new(program).arg(model())).stdout).unwrap();
    let line = output.lines().last().unwrap();
    line.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{output}"))
}

fn sources() -> Vec<(String, String)> {
    let files = fs::read_dir(Path::new(CRATE).join("src")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

/// The names `r1_...` in a text that stand before `(`.
fn functions_in(header: &str) -> BTreeSet<String> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['/', '*', '#', ' ']));
    let code = code.collect::<Vec<_>>().join("\n");
    code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '('))
        .filter_map(|word| word.split_once('('))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("r1_"))
        .collect()
}

#[test]
fn the_header_is_generated_from_the_sources() {
    let config = cbindgen::Config::from_file(Path::new(CRATE).join("cbindgen.toml")).unwrap();
    let sources = Path::new(CRATE).join("src/lib.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(sources).generate().unwrap();
    let mut header = Vec::new();
    bindings.write(&mut header);
    let header = String::from_utf8(header).unwrap();
    let path = repository("include/r1core.h");
    if std::env::var_os("R1_UPDATE_HEADER").is_some() {
        fs::write(&path, &header).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    let differs = header.lines().zip(committed.lines()).position(|(new, old)| new != old);
    assert!(
        header == committed,
        "include/r1core.h differs from what src gives, first in line {:?}; R1_UPDATE_HEADER=1 rewrites it",
        differs.map(|line| line + 1)
    );
}

#[test]
fn headers_compile_alone_in_every_standard() {
    for standard in ["c99", "c11", "c++17"] {
        let mut command = compiler(standard);
        let language = if standard.starts_with("c++") { "c++" } else { "c" };
        run(command.args(["-fsyntax-only", "-x", language]).arg(repository("tests/abi/headers.c")));
    }
    run(compiler("c++17").arg("-fsyntax-only").arg(repository("tests/abi/wrapper.cpp")));
    run(compiler("c11").arg("-fsyntax-only").args(["-include", "r1core.h", "-x", "c", "/dev/null"]));
}

#[cfg(target_pointer_width = "64")]
#[test]
fn the_layout_of_version_1_is_frozen() {
    run(compiler("c11").arg("-fsyntax-only").arg(repository("tests/abi/layout.c")));
}

#[test]
fn every_exported_function_begins_with_its_guard() {
    let mut found = 0;
    for (file, text) in sources() {
        for (at, _) in text.match_indices("extern \"C\" fn r1_") {
            let declaration = &text[at..];
            let body = declaration.split_once("{\n").map(|(_, body)| body.trim_start()).unwrap_or_default();
            let name = declaration.split(['(', ' ']).find(|word| word.starts_with("r1_")).unwrap();
            assert!(body.starts_with("guard!(") || body.starts_with("guard_or!("), "{file}: {name} has no guard");
            // The guard is the whole body: nothing runs before or after it.
            let end = body.find("\n}\n").unwrap();
            assert!(body[..end].trim_end().ends_with(')') && !body[..end].contains("\n    let"), "{file}: {name}");
            found += 1;
        }
        let exported = text.matches("#[unsafe(no_mangle)]").count();
        assert_eq!(exported, text.matches("extern \"C\" fn r1_").count(), "{file}");
    }
    assert_eq!(found, functions_in(&fs::read_to_string(repository("include/r1core.h")).unwrap()).len());
}

#[cfg(target_os = "linux")]
#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(&library().shared)).stdout;
    let symbols = String::from_utf8(symbols).unwrap();
    let exported: BTreeSet<_> =
        symbols.lines().filter_map(|line| line.split(' ').next_back()).map(str::to_owned).collect();
    let declared = functions_in(&fs::read_to_string(repository("include/r1core.h")).unwrap());
    assert_eq!(exported, declared);
}

#[test]
fn misuse_is_an_error_code() {
    assert!(checks(&build_shared("tests/abi/misuse.c", "c99")) >= 300);
}

#[test]
fn everything_works_from_c_in_any_order_of_freeing() {
    assert!(checks(&build_shared("tests/abi/lifecycle.c", "c11")) >= 100);
}

#[test]
fn threads_and_callbacks_get_errors_instead_of_races() {
    assert!(checks(&build_shared("tests/abi/threads.c", "c11")) >= 60);
}

#[test]
fn votes_and_conversations_are_steered_from_c() {
    assert!(checks(&build_shared("tests/abi/steering.c", "c11")) >= 100);
}

#[test]
fn replies_keep_their_rules_from_c() {
    assert!(checks(&build_shared("tests/abi/rules.c", "c11")) >= 30);
}

#[test]
fn the_cpp_wrapper_moves_throws_and_frees() {
    run(Command::new(build_shared("tests/abi/wrapper.cpp", "c++17")).arg(model()));
}

#[cfg(target_os = "linux")]
#[test]
fn no_test_program_leaks_or_touches_foreign_memory() {
    for (source, standard) in [
        ("tests/abi/misuse.c", "c99"),
        ("tests/abi/lifecycle.c", "c11"),
        ("tests/abi/threads.c", "c11"),
        ("tests/abi/steering.c", "c11"),
        ("tests/abi/rules.c", "c11"),
        ("tests/abi/wrapper.cpp", "c++17"),
    ] {
        run(Command::new(build_sanitized(source, standard)).arg(model()));
    }
}

#[test]
fn the_examples_build_with_one_command_and_think() {
    let mut chat = Command::new(build_shared("examples/c/chat.c", "c99"));
    let mut chat = chat.arg(model()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut chat.stdin.take().unwrap(), b"What is 37 * 24?\n").unwrap();
    let output = chat.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("\x1b[2m") && text.contains("888"), "{text}");

    let output = run(Command::new(build_shared("examples/c/complete.c", "c99")).arg(model()).args(["2 + 2 =", "8"]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("2 + 2 =") && text.len() > "2 + 2 =\n".len(), "{text}");

    let program = build_shared("examples/c/answer_now.c", "c99");
    let begun = Instant::now();
    let output = run(Command::new(program).arg(patient_model()).arg("What is 37 * 24?"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("\n(interrupted)\n") && text.len() > "\n(interrupted)\n".len(), "{text}");
    assert!(!output.stderr.is_empty(), "no thought");
    assert!(begun.elapsed() >= Duration::from_secs(2), "the thought is interrupted after two seconds");
    for example in ["complete.c", "chat.c", "answer_now.c"] {
        let lines = fs::read_to_string(repository("examples/c").join(example)).unwrap().lines().count();
        assert!(lines <= 60, "{example} has {lines} lines");
    }
}
