//! `r1 bench`: prefill and decode speed.

use std::time::Instant;

use r1core::{CacheType, KvCache, Model, Runner, Step, Wanted};
use serde_json::json;

use crate::args::BenchArgs;
use crate::output::{Failure, Outcome, json_line};
use crate::{interrupt, open};

pub(crate) fn run(args: &BenchArgs) -> Outcome {
    if args.repeat == 0 || args.chunk == Some(0) || args.batch.contains(&0) {
        return Err(Failure::Usage("repetitions, chunks and batch sizes start at 1".into()));
    }
    let model = open::model(&args.model)?;
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
        chunk: args.chunk.unwrap_or_else(|| model.prefill_chunk()),
        model,
    };
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
            let start = Instant::now();
            for i in 0..count {
                let tokens: Vec<[u32; 1]> = (0..batch).map(|b| [bench.token(i * 31 + b * 7)]).collect();
                let mut steps: Vec<Step<'_>> = caches
                    .iter_mut()
                    .zip(&tokens)
                    .map(|(cache, tokens)| Step { cache, tokens, wanted: Wanted::Last })
                    .collect();
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
}
