//! `r1 bench`: prefill and decode speed, beside what the machine could do at most.

use std::time::Instant;

use r1core::{CacheType, Estimate, KvCache, LoadMode, MachineLimits, Model, Runner, Step, Wanted};
use serde_json::json;

use crate::args::BenchArgs;
use crate::output::{Failure, Outcome, json_line};
use crate::{interrupt, open};

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    if args.repeat == 0 || args.chunk == Some(0) || args.batch.contains(&0) {
        return Err(Failure::Usage("repetitions, chunks and batch sizes start at 1".into()));
    }
    let start = Instant::now();
    let model = open::model(&args.model)?;
    let load = start.elapsed().as_secs_f64();
    let longest = args.prefill.max(args.depth + args.decode + 1);
    if longest > model.config().context_length {
        return Err(Failure::Usage(format!(
            "{longest} positions do not fit the model's context of {}",
            model.config().context_length
        )));
    }
    let mut bench = Bench {
        runner: Runner::new(&model, args.model.threads.map(usize::from), interrupt::token()),
        cache: args.cache.into(),
        repeat: args.repeat,
        greedy: args.greedy,
        chunk: args.chunk.unwrap_or_else(|| model.prefill_chunk()),
        model,
    };
    bench.print_load(args.json, load)?;
    // Speeds are those of a model that is in use for a while.
    bench.model.finish_repacking(&interrupt::token(), None)?;
    // They are the processor's: they say nothing of devices.
    if bench.model.placement().is_empty() {
        let limits = MachineLimits::measure(args.model.threads.map(usize::from));
        let gguf = open::gguf(args.model.model.as_deref(), LoadMode::HeaderOnly)?;
        let read = Estimate::new(&gguf, bench.model.config(), None, bench.cache)?.read_per_token;
        print_limits(args.json, &limits, read)?;
    }
    if args.prefill > 0 {
        let speed = bench.prefill(args.prefill)?;
        bench.print(args.json, "prefill", args.prefill, 0, 1, speed)?;
    }
    if args.decode > 0 {
        for batch in &args.batch {
            let speed = bench.decode(args.decode, args.depth, *batch)?;
            let test = if *batch == 1 { "decode" } else { "batch" };
            bench.print(args.json, test, args.decode, args.depth, *batch, speed)?;
        }
    }
    Ok(())
}

struct Bench {
    model: Model,
    runner: Runner,
    cache: CacheType,
    repeat: usize,
    greedy: bool,
    /// Tokens of a prompt that one pass takes.
    chunk: usize,
}

impl Bench {
    /// Tokens a second for a prompt of `count` tokens, the last one's logits included.
    fn prefill(&mut self, count: usize) -> Outcome<f64> {
        self.median(|bench| {
            let mut cache = bench.cache(count);
            let start = Instant::now();
            bench.fill(&mut cache, count, Wanted::Last)?;
            Ok(count as f64 / start.elapsed().as_secs_f64())
        })
    }

    /// Tokens a second, over all sequences, of `batch` sequences that share `depth` positions.
    fn decode(&mut self, count: usize, depth: usize, batch: usize) -> Outcome<f64> {
        self.median(|bench| {
            let mut shared = bench.cache(depth + count + 1);
            // One position at least, so that the sequences have something to continue.
            bench.fill(&mut shared, depth.max(1), Wanted::None)?;
            let mut caches: Vec<KvCache> = (0..batch).map(|_| shared.fork()).collect();
            drop(shared);
            let wanted = if bench.greedy { Wanted::Best } else { Wanted::Last };
            let start = Instant::now();
            for i in 0..count {
                // The first tokens differ, so that the sequences do.
                let token = |b: usize| {
                    let best = bench.runner.best(b).filter(|_| i > 0);
                    [best.map_or_else(|| bench.token(i * 31 + b * 7), |(id, _)| id)]
                };
                let tokens: Vec<[u32; 1]> = (0..batch).map(token).collect();
                let mut steps: Vec<Step<'_>> =
                    caches.iter_mut().zip(&tokens).map(|(cache, tokens)| Step { cache, tokens, wanted }).collect();
                bench.runner.run(&mut steps)?;
            }
            Ok((count * batch) as f64 / start.elapsed().as_secs_f64())
        })
    }

    fn cache(&self, capacity: usize) -> KvCache {
        KvCache::new(self.model.config(), self.cache, capacity)
    }

    fn fill(&mut self, cache: &mut KvCache, count: usize, last: Wanted) -> Outcome {
        let tokens: Vec<u32> = (0..count).map(|i| self.token(i)).collect();
        let chunks = tokens.chunks(self.chunk);
        let final_chunk = chunks.len() - 1;
        for (i, tokens) in chunks.enumerate() {
            let wanted = if i == final_chunk { last } else { Wanted::None };
            self.runner.run(&mut [Step { cache, tokens, wanted }])?;
        }
        Ok(())
    }

    /// Some token, different from its neighbours.
    fn token(&self, i: usize) -> u32 {
        (i.wrapping_mul(7919) % self.model.config().vocabulary) as u32
    }

    fn median(&mut self, mut test: impl FnMut(&mut Self) -> Outcome<f64>) -> Outcome<f64> {
        // Not counted: pages are touched, caches grow and GPUs record what they will repeat.
        test(self)?;
        let mut speeds = (0..self.repeat).map(|_| test(self)).collect::<Outcome<Vec<f64>>>()?;
        speeds.sort_by(f64::total_cmp);
        Ok(speeds[speeds.len() / 2])
    }

    fn print(&self, json: bool, test: &str, tokens: usize, depth: usize, batch: usize, speed: f64) -> Outcome {
        let threads = self.runner.threads();
        if json {
            return json_line(&json!({
                "test": test, "tokens": tokens, "depth": depth, "batch": batch, "threads": threads,
                "tokens_per_second": speed,
            }));
        }
        println!(
            "{test:<8} {tokens:>6} tokens  depth {depth:>6}  batch {batch:>3}  {threads} threads  {speed:>10.2} t/s"
        );
        Ok(())
    }

    /// Seconds to load and to compute 16 tokens, and the memory that the process held at most so far.
    fn print_load(&mut self, json: bool, load: f64) -> Outcome {
        let start = Instant::now();
        let mut cache = self.cache(16);
        self.fill(&mut cache, 16, Wanted::Last)?;
        let first = load + start.elapsed().as_secs_f64();
        let peak = peak_memory();
        if json {
            return json_line(&json!({ "test": "load", "load_s": load, "first_logits_s": first, "peak_bytes": peak }));
        }
        let peak = peak.map(|bytes| format!(", peak of memory {:.0} MiB", bytes as f64 / (1 << 20) as f64));
        println!("load     {load:.2} s, first logits of 16 tokens after {first:.2} s{}", peak.unwrap_or_default());
        Ok(())
    }
}

fn print_limits(json: bool, limits: &MachineLimits, read: u64) -> Outcome {
    let ceiling = limits.read / read as f64;
    if json {
        return json_line(&json!({
            "test": "limits", "read_bytes_per_second": limits.read, "int8_products_per_second": limits.products,
            "read_bytes_per_token": read, "decode_ceiling": ceiling,
        }));
    }
    let products = limits.products.map(|rate| format!(", {:.0} G int8 products/s", rate / 1e9)).unwrap_or_default();
    println!(
        "limits   {:.1} GB/s read{products}; {:.3} GB a token: at most {ceiling:.2} t/s of one sequence",
        limits.read / 1e9,
        read as f64 / 1e9,
    );
    Ok(())
}

/// Most memory that this process held, in bytes, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}
