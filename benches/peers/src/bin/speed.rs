//! Engines on the same file in one process, in turns, so that a noisy machine troubles all of them alike.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use r1_peers::Result;
use r1_peers::args::Args;
use r1_peers::engine::{self, BATCH, Engine, Running, Want};
use r1_peers::figures::quantile;
use r1_peers::llama;

const USAGE: &str = "\
speed -m FILE [-p 512] [-n 128] [--depth 8192] [--batches 1,4,8,16] [--threads 2] [--rounds 5]
      [--engines llama,llama-no-repack,r1core] [--also LLAMA_BENCH]... [--json]
In interleaved rounds: prefill of -p tokens; -n / 4 tokens of each of so many sequences on that prompt; decode of -n tokens
from an empty context and, unless --depth is 0, after so many positions. Before them, each in a process of its own: time to
the first logits of 16 tokens, loading included, and peak memory. --also takes any program that understands llama-bench's
-m -p -n -d -t -r -o json. Prints medians in tokens per second and r1core's ratio to the best of the others.";

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Prefill(usize),
    /// Sequences, and the prompt that they share.
    Batch(usize, usize),
    /// Tokens, and positions before them.
    Decode(usize, usize),
    FirstLogits,
    PeakMemory,
}

impl Work {
    fn name(self) -> String {
        match self {
            Work::Prefill(tokens) => format!("prefill {tokens}, t/s"),
            Work::Batch(sequences, prompt) => format!("{sequences} sequences on {prompt}, t/s"),
            Work::Decode(tokens, 0) => format!("decode {tokens}, t/s"),
            Work::Decode(tokens, depth) => format!("decode {tokens} at {depth}, t/s"),
            Work::FirstLogits => "load to first logits, s".into(),
            Work::PeakMemory => "peak memory, MiB".into(),
        }
    }

    /// Whether less is better.
    fn is_cost(self) -> bool {
        matches!(self, Work::FirstLogits | Work::PeakMemory)
    }
}

/// What was measured of one engine.
#[derive(Debug, Default)]
struct Lane {
    name: String,
    measured: Vec<(Work, f64)>,
}

impl Lane {
    fn add(&mut self, work: Work, figure: f64) {
        self.measured.push((work, figure));
    }

    fn median(&self, work: Work) -> Option<f64> {
        let figures: Vec<f64> = self.measured.iter().filter(|(w, _)| *w == work).map(|(_, figure)| *figure).collect();
        (!figures.is_empty()).then(|| quantile(figures, 0.5))
    }
}

struct Settings {
    path: PathBuf,
    prompt: usize,
    generated: usize,
    depth: usize,
    batches: Vec<usize>,
    threads: usize,
    rounds: usize,
}

fn main() -> Result<()> {
    let mut args = Args::of_process(USAGE);
    let path: PathBuf = args.required("-m")?;
    if let Some(engine) = args.value::<String>("--first")? {
        return first(&path, &engine, args.value("--threads")?.unwrap_or(2));
    }
    let batches = args.value::<String>("--batches")?.unwrap_or_else(|| "1,4,8,16".into());
    let settings = Settings {
        path,
        prompt: args.value("-p")?.unwrap_or(512),
        generated: args.value("-n")?.unwrap_or(128),
        depth: args.value("--depth")?.unwrap_or(8192),
        batches: batches.split(',').filter(|n| *n != "0").map(|n| Ok(n.parse()?)).collect::<Result<_>>()?,
        threads: args.value("--threads")?.unwrap_or(2),
        rounds: args.value("--rounds")?.unwrap_or(5),
    };
    let names = args.value("--engines")?.unwrap_or_else(|| String::from("llama,llama-no-repack,r1core"));
    let others = args.values("--also")?;
    let json = args.flag("--json");
    args.finish()?;
    llama::require_native_build()?;

    let names: Vec<&str> = names.split(',').collect();
    let lane = |name: &str| Lane { name: name.to_owned(), ..Lane::default() };
    let mut lanes: Vec<Lane> = names.iter().map(|name| lane(name)).collect();
    let mut also: Vec<Lane> = others.iter().map(|path| lane(path)).collect();
    for round in 0..settings.rounds {
        in_turns(&mut lanes, round, |lane, at| first_in_a_process(&settings, names[at], lane))?;
    }
    run_engines(&settings, &names, &mut lanes, &mut also)?;
    lanes.append(&mut also);
    print(&settings, &lanes, json);
    Ok(())
}

/// Calls `act` for every lane; who goes first changes from round to round.
fn in_turns(lanes: &mut [Lane], round: usize, mut act: impl FnMut(&mut Lane, usize) -> Result<()>) -> Result<()> {
    let count = lanes.len();
    (0..count).map(|turn| (turn + round) % count).try_for_each(|at| act(&mut lanes[at], at))
}

fn run_engines(settings: &Settings, names: &[&str], lanes: &mut [Lane], also: &mut [Lane]) -> Result<()> {
    let Settings { prompt, generated, depth, .. } = *settings;
    let branches = settings.batches.iter().copied().max().unwrap_or(1);
    let branched = prompt + branches * (generated / 4 + 1);
    let context = branched.max(depth + generated).max(1).next_multiple_of(256);
    let running = Running { context, branches, threads: settings.threads, exact: false };
    let open = |name: &&str| engine::open(name, &settings.path, running);
    let mut engines = names.iter().map(open).collect::<Result<Vec<_>>>()?;
    let vocabulary = engines.first().map_or(0, |engine| engine.vocabulary());
    let prompt = some_ids(prompt, vocabulary, 1);
    let generated = some_ids(generated.max(1), vocabulary, 2);

    for engine in &mut engines {
        engine.clear()?;
        compute(&mut **engine, &prompt, BATCH)?;
        compute(&mut **engine, &generated[..generated.len().min(8)], 1)?;
        engine.settle()?;
        engine.rest();
    }
    for round in 0..settings.rounds {
        in_turns(lanes, round, |lane, at| {
            let engine = &mut *engines[at];
            engine.clear()?;
            lane.add(Work::Prefill(prompt.len()), compute(engine, &prompt, BATCH)?);
            for &sequences in &settings.batches {
                let speed = branches_of(engine, &generated, sequences)?;
                lane.add(Work::Batch(sequences, prompt.len()), speed);
                engine.truncate(prompt.len())?;
            }
            engine.clear()?;
            lane.add(Work::Decode(generated.len(), 0), compute(engine, &generated, 1)?);
            engine.rest();
            Ok(())
        })?;
        in_turns(also, round, |lane, _| {
            llama_bench(settings, lane, &[Work::Prefill(prompt.len()), Work::Decode(generated.len(), 0)])
        })?;
    }
    if depth > 0 {
        let before = some_ids(depth, vocabulary, 3);
        for engine in &mut engines {
            engine.clear()?;
            compute(&mut **engine, &before, BATCH)?;
            engine.rest();
        }
        for round in 0..settings.rounds {
            in_turns(lanes, round, |lane, at| {
                let engine = &mut *engines[at];
                lane.add(Work::Decode(generated.len(), depth), compute(engine, &generated, 1)?);
                engine.truncate(depth)?;
                engine.rest();
                Ok(())
            })?;
        }
        in_turns(also, 0, |lane, _| llama_bench(settings, lane, &[Work::Decode(generated.len(), depth)]))?;
    }
    Ok(())
}

/// Appends `ids`, `batch` of them a call, with the logits of each call's last; tokens per second.
fn compute(engine: &mut dyn Engine, ids: &[i32], batch: usize) -> Result<f64> {
    let start = Instant::now();
    for chunk in ids.chunks(batch) {
        engine.decode(chunk, Want::Last)?;
    }
    Ok(ids.len() as f64 / start.elapsed().as_secs_f64())
}

/// Generates with `sequences` branches of what there is; tokens per second, over all of them.
fn branches_of(engine: &mut dyn Engine, ids: &[i32], sequences: usize) -> Result<f64> {
    engine.branch(sequences)?;
    let steps = (ids.len() / 4).max(1);
    let start = Instant::now();
    for step in 0..steps {
        let tokens: Vec<i32> = (0..sequences).map(|branch| ids[(step + 7 * branch) % ids.len()]).collect();
        engine.decode_branches(&tokens)?;
    }
    Ok((steps * sequences) as f64 / start.elapsed().as_secs_f64())
}

/// Loads the file, computes the logits of 16 tokens, and prints the seconds and the peak of resident memory.
fn first(path: &Path, name: &str, threads: usize) -> Result<()> {
    let start = Instant::now();
    let running = Running { context: 512, branches: 1, threads, exact: false };
    let mut engine = engine::open(name, path, running)?;
    let ids = some_ids(16, engine.vocabulary(), 4);
    engine.decode(&ids, Want::Last)?;
    println!("{} {}", start.elapsed().as_secs_f64(), peak_memory().unwrap_or(0.0));
    Ok(())
}

/// Most resident memory so far, in MiB (Linux tells).
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

fn first_in_a_process(settings: &Settings, name: &str, lane: &mut Lane) -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--first", name, "--threads", &settings.threads.to_string(), "-m"])
        .arg(&settings.path)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut figures = text.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(seconds)), Some(Ok(memory))) = (figures.next(), figures.next()) else {
        return Err(format!("{name} in a process of its own: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    lane.add(Work::FirstLogits, seconds);
    lane.add(Work::PeakMemory, memory);
    Ok(())
}

/// Has a program that understands llama-bench's arguments measure `works`, one run of each.
fn llama_bench(settings: &Settings, lane: &mut Lane, works: &[Work]) -> Result<()> {
    for &work in works {
        let (prompt, generated, depth) = match work {
            Work::Prefill(tokens) => (tokens, 0, 0),
            Work::Decode(tokens, depth) => (0, tokens, depth),
            _ => continue,
        };
        let mut command = Command::new(&lane.name);
        command.arg("-m").arg(&settings.path).args(["-p", &prompt.to_string(), "-n", &generated.to_string()]);
        command.args(["-t", &settings.threads.to_string(), "-r", "1", "-o", "json"]);
        if depth > 0 {
            command.args(["-d", &depth.to_string()]);
        }
        let output = command.output().map_err(|e| format!("{}: {e}", lane.name))?;
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("{}: {e}: {}", lane.name, String::from_utf8_lossy(&output.stderr)))?;
        let speed = rows[0]["avg_ts"].as_f64().ok_or_else(|| format!("{}: no avg_ts", lane.name))?;
        lane.add(work, speed);
    }
    Ok(())
}

fn print(settings: &Settings, lanes: &[Lane], json: bool) {
    let mut works: Vec<Work> = Vec::new();
    for (work, _) in lanes.iter().flat_map(|lane| &lane.measured) {
        if !works.contains(work) {
            works.push(*work);
        }
    }
    let best_of = |work: Work, of_others: bool| {
        let others = lanes.iter().filter(|lane| (lane.name != "r1core") == of_others);
        let figures = others.filter_map(|lane| lane.median(work));
        if work.is_cost() { figures.reduce(f64::min) } else { figures.reduce(f64::max) }
    };
    if !json {
        print!("{:28}", format!("{} threads, {} rounds", settings.threads, settings.rounds));
        lanes.iter().for_each(|lane| print!(" {:>16}", lane.name.rsplit('/').next().unwrap_or_default()));
        println!(" {:>16}", "r1core to best");
    }
    for work in works {
        let ratio = best_of(work, false).zip(best_of(work, true)).map(|(ours, best)| ours / best);
        if json {
            let medians: serde_json::Map<String, serde_json::Value> =
                lanes.iter().map(|lane| (lane.name.clone(), lane.median(work).into())).collect();
            let (threads, rounds) = (settings.threads, settings.rounds);
            let line = serde_json::json!({
                "work": work.name(), "threads": threads, "rounds": rounds, "medians": medians, "ratio_to_best": ratio,
            });
            println!("{line}");
            continue;
        }
        print!("{:28}", work.name());
        for lane in lanes {
            print!(" {:>16}", lane.median(work).map_or("-".into(), |figure| format!("{figure:.2}")));
        }
        println!(" {:>16}", ratio.map_or("-".into(), |ratio| format!("x{ratio:.2}")));
    }
}

/// `n` ids spread over the vocabulary, the same for the same seed (a linear congruential sequence's high bits).
fn some_ids(n: usize, vocabulary: usize, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize % vocabulary.max(1)) as i32
    };
    (0..n).map(|_| next()).collect()
}
