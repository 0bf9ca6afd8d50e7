//! The same ids give the same logits, bit for bit: whatever the batch, the split of the prompt, the threads, the
//! instruction set or the past of the cache.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/gguf_writer.rs"]
mod gguf_writer;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use r1core::{
    CacheType, CancelToken, Device, ErrorKind, KvCache, Model, ModelOptions, ProgressFn, Repack, Runner, Step, Wanted,
};
use tiny_models::{KINDS, Shape};

/// Ids of a sequence; long enough for two pages of the cache.
fn ids(model: &Model, sequence: usize, count: usize) -> Vec<u32> {
    let vocabulary = model.config().vocabulary;
    (0..count).map(|i| ((i * 7919 + sequence * 104_729 + 3) % vocabulary) as u32).collect()
}

fn cache(model: &Model, kind: CacheType) -> KvCache {
    KvCache::new(model.config(), kind, 2048)
}

fn runner(model: &Model, threads: usize) -> Runner {
    Runner::new(model, Some(threads), CancelToken::new())
}

fn bits(logits: &[f32]) -> Vec<u32> {
    assert!(logits.iter().all(|l| l.is_finite()), "the test model overflows");
    logits.iter().map(|l| l.to_bits()).collect()
}

/// Logits of every position, the prompt run in chunks.
fn run(runner: &mut Runner, ids: &[u32], chunk: usize, kind: CacheType) -> Vec<u32> {
    let mut cache = cache(runner.model(), kind);
    let mut out = Vec::new();
    for tokens in ids.chunks(chunk) {
        let mut steps = [Step { cache: &mut cache, tokens, wanted: Wanted::All }];
        out.extend(bits(runner.run(&mut steps).unwrap()));
    }
    out
}

#[test]
fn the_split_of_a_prompt_changes_no_bit() {
    for architecture in KINDS {
        for kind in [CacheType::F16, CacheType::F32, CacheType::Q8_0] {
            let model = Shape::new(architecture, "Q8_0").model(&ModelOptions::default());
            let mut runner = runner(&model, 2);
            let ids = ids(&model, 0, 150);
            let whole = run(&mut runner, &ids, ids.len(), kind);
            for chunk in [1, 7, 64] {
                assert!(run(&mut runner, &ids, chunk, kind) == whole, "{architecture} in chunks of {chunk}");
            }
        }
    }
}

/// The first of the highest logits.
fn best_of(logits: &[f32]) -> (u32, f32) {
    let best = (0..logits.len()).reduce(|a, b| if logits[b] > logits[a] { b } else { a }).unwrap();
    (best as u32, logits[best])
}

#[test]
fn the_best_token_is_that_of_all_logits() {
    for architecture in KINDS {
        let model = Shape::new(architecture, "Q8_0").model(&ModelOptions::default());
        let vocabulary = model.config().vocabulary;
        let mut runner = runner(&model, 2);
        let all: Vec<Vec<u32>> = (0..5).map(|s| ids(&model, s, 3 + s)).collect();
        let rows: Vec<Vec<f32>> = all
            .iter()
            .map(|ids| {
                let mut cache = cache(&model, CacheType::F16);
                runner.run(&mut [Step { cache: &mut cache, tokens: ids, wanted: Wanted::All }]).unwrap().to_vec()
            })
            .collect();
        // In one batch with steps that want more, or nothing.
        let wanted = [Wanted::Best, Wanted::All, Wanted::None, Wanted::Best, Wanted::Last];
        let mut caches: Vec<_> = all.iter().map(|_| cache(&model, CacheType::F16)).collect();
        let steps = caches.iter_mut().zip(&all).zip(wanted);
        let mut steps: Vec<_> = steps.map(|((cache, tokens), wanted)| Step { cache, tokens, wanted }).collect();
        let whole = runner.run(&mut steps).unwrap().to_vec();
        let last = |i: usize| &rows[i][rows[i].len() - vocabulary..];
        assert!(bits(&whole) == bits(&[&rows[1], last(4)].concat()), "{architecture}");
        for (i, wanted) in wanted.into_iter().enumerate() {
            let best = (wanted == Wanted::Best).then(|| best_of(last(i)));
            assert_eq!(runner.best(i), best, "{architecture}, step {i}");
            match wanted {
                Wanted::None => assert_eq!(runner.logits(i).unwrap_err().kind(), ErrorKind::Argument),
                _ => assert!(bits(runner.logits(i).unwrap()) == bits(last(i)), "{architecture}, step {i}"),
            }
        }
        // A run that fails leaves no answers behind.
        let mut fresh = cache(&model, CacheType::F16);
        let step = Step { cache: &mut fresh, tokens: &[u32::MAX], wanted: Wanted::Best };
        assert!(runner.run(&mut [step]).is_err() && runner.best(0).is_none() && runner.logits(0).is_err());
    }
}

#[test]
fn threads_change_no_bit() {
    for architecture in KINDS {
        let model = Shape::new(architecture, "Q4_K").model(&ModelOptions::default());
        let ids = ids(&model, 0, 100);
        let one = run(&mut runner(&model, 1), &ids, 50, CacheType::F16);
        for threads in [2, 4] {
            let mut runner = runner(&model, threads);
            assert!(run(&mut runner, &ids, 50, CacheType::F16) == one, "{architecture} on {threads} threads");
        }
    }
}

const FORMATS: [&str; 25] = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS", "MXFP4", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0",
];

/// Every format, in a dense model and in one with experts.
fn shapes_in_every_format() -> impl Iterator<Item = Shape> {
    let (experts, dense): (Vec<&str>, Vec<&str>) = KINDS.iter().partition(|kind| kind.ends_with("moe"));
    FORMATS.into_iter().enumerate().flat_map(move |(i, format)| {
        [dense[i % dense.len()], experts[i % experts.len()]].map(|kind| Shape::new(kind, format))
    })
}

#[test]
fn weights_in_place_change_no_bit_in_any_format() {
    for shape in shapes_in_every_format() {
        let [packed, partly, in_place] = [Repack::On, Repack::AllButExperts, Repack::Off].map(|repack| {
            let model = shape.model(&ModelOptions { repack, ..Default::default() });
            // Merged projections are taken apart.
            assert!(shape.kind == "deepseek2-merged" || (model.weight_bytes() == 0) == (repack == Repack::Off));
            run(&mut runner(&model, 2), &ids(&model, 0, 40), 13, CacheType::F16)
        });
        assert!(packed == in_place && packed == partly, "{} of {}", shape.format, shape.kind);
    }
}

/// A model whose weights take many slices to repack, from a file of its own, which is gone at once.
fn lazy_model() -> Model {
    let shape = Shape { layers: 6, ..Shape::new("qwen2", "Q4_K") };
    let number = std::sync::atomic::AtomicUsize::fetch_add(&FILES, 1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("r1core-lazy-{}-{number}.gguf", std::process::id()));
    std::fs::write(&path, shape.writer().build()).unwrap();
    let model = Model::open_with(&path, &ModelOptions { repack: Repack::Lazy, ..Default::default() });
    std::fs::remove_file(path).unwrap();
    model.unwrap()
}

static FILES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[test]
fn repacking_between_passes_changes_no_bit() {
    let model = lazy_model();
    let ids = ids(&model, 0, 30);
    let expected = {
        let shape = Shape { layers: 6, ..Shape::new("qwen2", "Q4_K") };
        let model = shape.model(&ModelOptions { repack: Repack::On, ..Default::default() });
        run(&mut runner(&model, 1), &ids, 30, CacheType::F16)
    };
    // Two sessions at once, from the first pass in place to the last packed one and beyond.
    std::thread::scope(|scope| {
        for threads in [1, 2] {
            let (model, ids, expected) = (&model, &ids, &expected);
            scope.spawn(move || {
                let mut runner = runner(model, threads);
                for chunk in [7, 1, 30] {
                    assert!(run(&mut runner, ids, chunk, CacheType::F16) == *expected, "in chunks of {chunk}");
                }
            });
        }
    });
    model.finish_repacking(&CancelToken::new(), None).unwrap();
    assert!(run(&mut runner(&model, 2), &ids, 11, CacheType::F16) == expected);
}

#[test]
fn repacking_can_be_stopped_and_finished() {
    let model = lazy_model();
    let ids = ids(&model, 1, 20);
    let in_place = run(&mut runner(&model, 2), &ids, 20, CacheType::F16);
    let stopped = CancelToken::new();
    stopped.cancel();
    assert_eq!(model.finish_repacking(&stopped, None).unwrap_err().kind(), ErrorKind::Cancelled);
    // A cancelled pass stops in the packing before it, too, and the next one goes on.
    let cancel = CancelToken::new();
    let mut runner = Runner::new(&model, Some(2), cancel.clone());
    let mut cache = cache(&model, CacheType::F16);
    cancel.cancel();
    let mut steps = [Step { cache: &mut cache, tokens: &ids, wanted: Wanted::All }];
    assert_eq!(runner.run(&mut steps).unwrap_err().kind(), ErrorKind::Cancelled);
    cancel.reset();
    assert!(bits(runner.run(&mut steps).unwrap()) == in_place);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let model = lazy_model();
    let note = std::sync::Arc::clone(&seen);
    let progress = ProgressFn::new(move |p| note.lock().unwrap().push((p.done, p.total)));
    model.finish_repacking(&CancelToken::new(), Some(&progress)).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted() && seen.last().is_some_and(|(done, total)| done == total), "{seen:?}");
    assert!(run(&mut self::runner(&model, 2), &ids, 20, CacheType::F16) == in_place);
}

#[test]
fn instruction_sets_change_no_bit_in_any_format() {
    for (i, shape) in shapes_in_every_format().enumerate() {
        let results: Vec<_> = Device::list()[0]
            .available
            .iter()
            .map(|kernels| {
                let model = shape.model(&ModelOptions { kernels: Some((*kernels).into()), ..Default::default() });
                assert_eq!(model.kernels(), *kernels);
                let kind = [CacheType::F16, CacheType::Q8_0][i % 2];
                run(&mut runner(&model, 2), &ids(&model, 0, 20), 16, kind)
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{} of {}", shape.format, shape.kind);
    }
}

#[test]
fn a_batch_changes_no_bit_of_its_sequences() {
    for architecture in KINDS {
        let model = Shape::new(architecture, "Q6_K").model(&ModelOptions::default());
        let mut runner = runner(&model, 2);
        // Sequences of different lengths, so that a batch mixes positions.
        let sequences: Vec<Vec<u32>> = (0..8).map(|s| ids(&model, s, 40 + 9 * s)).collect();
        let alone: Vec<Vec<u32>> = sequences.iter().map(|ids| run(&mut runner, ids, 33, CacheType::F16)).collect();
        for batch in [2, 8] {
            let mut caches: Vec<KvCache> = (0..batch).map(|_| cache(&model, CacheType::F16)).collect();
            let longest = sequences[..batch].iter().map(Vec::len).max().unwrap();
            let mut together = vec![Vec::new(); batch];
            for start in (0..longest).step_by(11) {
                let mut members = Vec::new();
                let mut steps = Vec::new();
                for (s, cache) in caches.iter_mut().enumerate() {
                    let ids = &sequences[s];
                    if start < ids.len() {
                        let tokens = &ids[start..ids.len().min(start + 11)];
                        members.push((s, tokens.len()));
                        steps.push(Step { cache, tokens, wanted: Wanted::All });
                    }
                }
                let logits = bits(runner.run(&mut steps).unwrap());
                let mut rest = logits.as_slice();
                for (s, count) in members {
                    let (own, after) = rest.split_at(count * model.config().vocabulary);
                    together[s].extend_from_slice(own);
                    rest = after;
                }
            }
            for s in 0..batch {
                assert!(together[s] == alone[s], "{architecture}: sequence {s} in a batch of {batch}");
            }
        }
    }
}

#[test]
fn forks_share_their_past_and_nothing_else() {
    let model = Shape::new("qwen2", "Q5_K").model(&ModelOptions::default());
    let mut runner = runner(&model, 2);
    let (prefix, a, b) = (ids(&model, 0, 90), ids(&model, 1, 30), ids(&model, 2, 30));
    let alone = |runner: &mut Runner, rest: &[u32]| {
        let whole = [&prefix[..], rest].concat();
        run(runner, &whole, 30, CacheType::F16).split_off(prefix.len() * model.config().vocabulary)
    };
    let (alone_a, alone_b) = (alone(&mut runner, &a), alone(&mut runner, &b));
    let mut first = cache(&model, CacheType::F16);
    runner.run(&mut [Step { cache: &mut first, tokens: &prefix, wanted: Wanted::None }]).unwrap();
    let mut second = first.fork();
    let mut next = |cache: &mut KvCache, tokens: &[u32]| {
        bits(runner.run(&mut [Step { cache, tokens, wanted: Wanted::All }]).unwrap())
    };
    assert!(next(&mut first, &a) == alone_a);
    assert!(next(&mut second, &b) == alone_b);
    // And back: a cut cache goes on as if the rest had never been.
    first.truncate(prefix.len());
    assert!(next(&mut first, &b) == alone_b);
}

#[test]
fn samples_of_one_prompt_get_together_what_they_get_alone() {
    for (architecture, kind) in
        [("qwen2", CacheType::F16), ("qwen3", CacheType::Q8_0), ("gemma3", CacheType::Q8_0), ("llama", CacheType::F32)]
    {
        let model = Shape::new(architecture, "Q4_K").model(&ModelOptions::default());
        // More than one split of the keys, and no whole number of pages.
        let prompt = ids(&model, 0, 550);
        let samples: Vec<Vec<u32>> = (1..6).map(|sample| ids(&model, sample, 12)).collect();
        let alone = |sample: &Vec<u32>| {
            let whole = [&prompt[..], sample].concat();
            let mut runner = runner(&model, 1);
            run(&mut runner, &whole, 200, kind).split_off(prompt.len() * model.config().vocabulary)
        };
        let expected: Vec<Vec<u32>> = samples.iter().map(alone).collect();
        for threads in [1, 3] {
            let mut runner = runner(&model, threads);
            let mut first = cache(&model, kind);
            runner.run(&mut [Step { cache: &mut first, tokens: &prompt, wanted: Wanted::None }]).unwrap();
            let mut caches: Vec<KvCache> = samples.iter().map(|_| first.fork()).collect();
            let mut together = vec![Vec::new(); samples.len()];
            for position in 0..samples[0].len() {
                let mut steps: Vec<Step<'_>> = caches
                    .iter_mut()
                    .zip(&samples)
                    .map(|(cache, sample)| Step { cache, tokens: &sample[position..=position], wanted: Wanted::All })
                    .collect();
                let logits = bits(runner.run(&mut steps).unwrap());
                for (logits, out) in logits.chunks(model.config().vocabulary).zip(&mut together) {
                    out.extend_from_slice(logits);
                }
            }
            assert!(together == expected, "{architecture}, {kind:?}, {threads} threads");
        }
    }
}

#[test]
fn asking_for_fewer_logits_changes_no_bit_of_those_asked_for() {
    for architecture in KINDS {
        let model = Shape::new(architecture, "Q4_0").model(&ModelOptions::default());
        let mut runner = runner(&model, 2);
        let ids = ids(&model, 0, 70);
        let all = run(&mut runner, &ids, ids.len(), CacheType::F16);
        let mut cache = cache(&model, CacheType::F16);
        let mut steps = [Step { cache: &mut cache, tokens: &ids, wanted: Wanted::Last }];
        let last = bits(runner.run(&mut steps).unwrap());
        assert!(all.ends_with(&last) && last.len() == model.config().vocabulary, "{architecture}");
    }
}
