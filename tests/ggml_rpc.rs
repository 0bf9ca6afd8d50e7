//! A model shared out over two RPC servers of ggml on this machine, each with half of the layers.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn folder() -> PathBuf {
    match std::env::var_os("R1_GGML_LIB_DIR").filter(|v| !v.is_empty()) {
        Some(folder) => folder.into(),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/ggml").into(),
    }
}

fn r1(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_r1"));
    command.args(args).env("R1_GGML_LIB_DIR", folder()).env("R1_LOG", "info").env_remove("R1_BACKEND");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let args = ["rpc-server", "--listen", &address, "--backend", "ggml-cpu", "--threads", "1"];
        let mut child = r1(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the server has ended; is there a libggml-rpc?");
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn logits(args: &[&str]) -> Vec<(u64, f64)> {
    let mut child = r1(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"5 40 7 19 23 11 50 61\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    line["top"].as_array().unwrap().iter().map(|t| (t[0].as_u64().unwrap(), t[1].as_f64().unwrap())).collect()
}

#[test]
fn two_servers_hold_half_of_the_layers_each() {
    let servers = [Server::start(), Server::start()];
    let [a, b] = servers.each_ref().map(|server| server.address.as_str());
    let remote = ["--backend", "rpc", "--rpc", a, "--rpc", b];
    let args = [&["run", "--temp", "0", "--threads", "1"][..], &remote, &["What is 37 * 24?"]].concat();
    let Output { status, stdout, stderr } = r1(&args).output().unwrap();
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(status.success() && stdout.contains("888"), "{stdout}{stderr}");
    let placed: Vec<&str> = stderr.lines().filter(|line| line.contains("layers ") && line.contains(" on ")).collect();
    assert_eq!(placed.len(), 2, "{stderr}");
    for (line, address) in placed.iter().zip([a, b]) {
        assert!(line.contains(address), "{stderr}");
    }
    let counts: Vec<usize> = placed
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|word| *word == "layers").unwrap();
            words[at + 3].parse::<usize>().unwrap() + 1 - words[at + 1].parse::<usize>().unwrap()
        })
        .collect();
    assert!(counts[0].abs_diff(counts[1]) <= 1, "{stderr}");

    // The same arithmetic as in this process.
    let local = logits(&["logits", "--json", "--threads", "1", "--backend", "ggml-cpu"]);
    let spread = logits(&[&["logits", "--json", "--threads", "1"][..], &remote].concat());
    for ((id, wanted), (same, got)) in local.iter().zip(&spread) {
        assert!(id == same && (wanted - got).abs() < 1e-4, "{local:?} is not {spread:?}");
    }

    let listed = text(&r1(&["devices", "--rpc", a]).output().unwrap().stdout);
    assert!(listed.contains("RPC") && listed.contains(a), "{listed}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let output = r1(&["run", "--backend", "rpc", "--rpc", "127.0.0.1:1", "hello"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("127.0.0.1:1"), "{}", text(&output.stderr));
    let output = r1(&["rpc-server", "--listen", "256.0.0.1:1", "--backend", "ggml-cpu"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("256.0.0.1:1"), "{}", text(&output.stderr));
}
