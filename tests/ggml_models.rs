//! Models on ggml's devices give what the CPU gives, up to the rounding of another order of sums: here on ggml's own CPU
//! device, which runs the same graphs as a GPU.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/ggml.rs"]
mod ggml;
#[path = "support/gguf_writer.rs"]
mod gguf_writer;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use r1core::{
    CacheType, CancelToken, ErrorKind, GenerateOptions, Gguf, KvCache, Model, ModelOptions, Runner, SamplerOptions,
    SessionOptions, Step, VoteOptions, Wanted,
};
use tiny_models::{KINDS, Shape};

const ARCHITECTURES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

/// Every format that a file's matrices can have.
fn formats() -> Vec<&'static str> {
    r1core::Format::all().map(r1core::Format::name).collect()
}

fn device() -> ModelOptions {
    // Another backend is named where the machine has one: R1_TEST_BACKEND=cuda.
    let backend = std::env::var("R1_TEST_BACKEND").unwrap_or_else(|_| "ggml-cpu".into());
    ModelOptions { backend: Some(backend), ggml_folder: Some(ggml::folder()), ..ModelOptions::default() }
}

fn shipped(options: &ModelOptions) -> Model {
    Model::load(Gguf::from_bytes(&include_bytes!("../models/r1-tiny-q8_0.gguf")[..]).unwrap(), options).unwrap()
}

fn ids(model: &Model, sequence: usize, count: usize) -> Vec<u32> {
    let vocabulary = model.config().vocabulary;
    (0..count).map(|i| ((i * 7919 + sequence * 104_729 + 3) % vocabulary) as u32).collect()
}

fn runner(model: &Model) -> Runner {
    Runner::new(model, Some(1), CancelToken::new())
}

fn cache(model: &Model) -> KvCache {
    KvCache::new(model.config(), CacheType::F16, 2048)
}

/// Logits of every position, the prompt run in chunks.
fn run(model: &Model, ids: &[u32], chunk: usize) -> Vec<f32> {
    let (mut runner, mut cache, mut out) = (runner(model), cache(model), Vec::new());
    for tokens in ids.chunks(chunk) {
        out.extend_from_slice(runner.run(&mut [Step { cache: &mut cache, tokens, wanted: Wanted::All }]).unwrap());
    }
    assert!(out.iter().all(|l| l.is_finite()));
    out
}

/// How far `got` is from `wanted`, `[row][vocabulary]` each.
#[derive(Debug)]
struct Distance {
    /// Mean Kullback-Leibler divergence in nats.
    mean: f64,
    /// The middle one, and the largest.
    median: f64,
    max: f64,
    /// Rows that are more than a hundredth of a nat apart.
    far: usize,
    /// Rows whose likeliest token differs though it leads by more than a tenth of a nat.
    other_best: usize,
}

fn distance(vocabulary: usize, wanted: &[f32], got: &[f32]) -> Distance {
    assert_eq!(wanted.len(), got.len());
    let log_probs = |row: &[f32]| -> Vec<f64> {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
        let sum: f64 = row.iter().map(|l| (f64::from(*l) - max).exp()).sum();
        row.iter().map(|l| f64::from(*l) - max - sum.ln()).collect()
    };
    let best = |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    let (mut all, mut other_best) = (Vec::new(), 0);
    for (wanted, got) in wanted.chunks(vocabulary).zip(got.chunks(vocabulary)) {
        let (p, q) = (log_probs(wanted), log_probs(got));
        let kl: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        let (a, b) = (best(&p), best(&q));
        other_best += usize::from(a != b && p[a] - p[b] > 0.1);
        all.push(kl);
    }
    all.sort_by(f64::total_cmp);
    let far = all.iter().filter(|kl| **kl > 1e-2).count();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    Distance { mean, median: all[all.len() / 2], max: all[all.len() - 1], far, other_best }
}

/// The tolerance. Both sides round activations to 8 bits where the weights are in blocks, and each rounds sums in an order
/// of its own. A difference in a last bit can move a rounding by a whole step, so that a mean of 1e-5 nats is usual, and
/// a row whose distribution hangs on one such step can be a hundredth of a nat apart; a lead of a tenth is never lost.
fn check(what: &str, vocabulary: usize, wanted: &[f32], got: &[f32]) {
    let distance = distance(vocabulary, wanted, got);
    eprintln!("{what}: {distance:?}");
    assert!(distance.mean < 1e-3 && distance.max < 5e-2 && distance.other_best == 0, "{what}: {distance:?}");
}

/// With experts: where two are of nearly equal merit, a rounding decides which of them a token uses, and then its row and
/// those that look back at it are those of another model. Random routers have many near ties: up to 6 of 70 rows were seen
/// to differ so, with one kind of random weights, and a sixth may; the median row agrees as above.
fn check_routed(what: &str, vocabulary: usize, wanted: &[f32], got: &[f32]) {
    let (distance, rows) = (distance(vocabulary, wanted, got), wanted.len() / vocabulary);
    eprintln!("{what}: {distance:?}");
    assert!(distance.median < 1e-3 && distance.far * 6 <= rows, "{what}: {distance:?}");
}

#[test]
fn every_architecture_and_format_agrees_with_the_cpu() {
    for (i, architecture) in KINDS.into_iter().enumerate() {
        // Every format on the plainest model; two of them, in turn, on each of the others.
        let formats = formats();
        let some = [formats[2 * i % formats.len()], formats[(2 * i + 1) % formats.len()], "Q4_K", "Q8_0"];
        for format in if i == 0 { &formats[..] } else { &some } {
            let shape = Shape::new(architecture, format);
            let (cpu, gpu) = (shape.model(&ModelOptions::default()), shape.model(&device()));
            assert_eq!(gpu.placement().len(), 1);
            let ids = ids(&cpu, 0, 70);
            let what = format!("{architecture} in {format}");
            let check = if shape.experts.is_some() { check_routed } else { check };
            check(&what, cpu.config().vocabulary, &run(&cpu, &ids, 70), &run(&gpu, &ids, 70));
        }
    }
}

#[test]
fn the_shipped_model_agrees_with_the_cpu() {
    let (cpu, gpu) = (shipped(&ModelOptions::default()), shipped(&device()));
    // What it was trained on: elsewhere its distributions hang on single roundings, on any engine.
    let mut session = cpu.session(SessionOptions { threads: Some(1), ..SessionOptions::default() }).unwrap();
    let template = cpu.chat_template(None).unwrap();
    let messages = [r1core::Message::user("What is 37 * 24?")];
    let options = r1core::RenderOptions { messages: &messages, add_generation_prompt: true, ..Default::default() };
    let prompt = template.render(&options).unwrap();
    let ids = cpu.tokenizer().encode(&prompt, r1core::EncodeOptions { add_bos: false, parse_special: true });
    let options = GenerateOptions { sampler: SamplerOptions::greedy(), max_tokens: Some(200), ..Default::default() };
    session.generate(&ids, &options).unwrap().for_each(|event| drop(event.unwrap()));
    let ids = session.tokens();
    check("the shipped model", cpu.config().vocabulary, &run(&cpu, ids, 512), &run(&gpu, ids, 512));
}

#[test]
fn the_split_of_a_prompt_changes_nothing_that_matters() {
    for architecture in ARCHITECTURES {
        let model = Shape::new(architecture, "Q8_0").model(&device());
        // Long enough for the cache to grow.
        let ids = ids(&model, 0, 300);
        let whole = run(&model, &ids, ids.len());
        for chunk in [1, 7, 64] {
            check(&format!("{architecture} in chunks of {chunk}"), 320, &whole, &run(&model, &ids, chunk));
        }
    }
}

#[test]
fn layers_may_be_shared_with_the_cpu() {
    for architecture in ARCHITECTURES {
        let shape = Shape { layers: 4, ..Shape::new(architecture, "Q4_K") };
        let cpu = shape.model(&ModelOptions::default());
        let ids = ids(&cpu, 0, 90);
        let wanted = run(&cpu, &ids, 33);
        for layers in [0, 1, 3, 4, 100] {
            let split = shape.model(&ModelOptions { gpu_layers: Some(layers), ..device() });
            let placed: usize = split.placement().iter().map(|(_, layers, _)| layers.len()).sum();
            assert_eq!(placed, layers.min(4));
            let got = run(&split, &ids, 33);
            check(&format!("{architecture} with {layers} layers on the device"), 320, &wanted, &got);
            assert!(layers > 0 || got == wanted, "without devices it is the CPU, bit for bit");
        }
    }
}

#[test]
fn a_batch_gives_what_its_sequences_give_alone() {
    let model = Shape::new("qwen2", "Q6_K").model(&device());
    let mut runner = runner(&model);
    let vocabulary = model.config().vocabulary;
    let sequences: Vec<Vec<u32>> = (0..9).map(|s| ids(&model, s, 40 + 9 * s)).collect();
    let alone: Vec<Vec<f32>> = sequences.iter().map(|ids| run(&model, ids, ids.len())).collect();
    // Sequences of different lengths end one after the other; first in steps of one, then of several tokens.
    for step in [1, 11] {
        let mut caches: Vec<KvCache> = (0..sequences.len()).map(|_| cache(&model)).collect();
        let mut together = vec![Vec::new(); sequences.len()];
        for start in (0..120).step_by(step) {
            let mut members = Vec::new();
            let mut steps = Vec::new();
            for (s, cache) in caches.iter_mut().enumerate() {
                if let Some(rest) = sequences[s].get(start..).filter(|rest| !rest.is_empty()) {
                    let tokens = &rest[..rest.len().min(step)];
                    members.push((s, tokens.len()));
                    steps.push(Step { cache, tokens, wanted: Wanted::All });
                }
            }
            if steps.is_empty() {
                continue;
            }
            let mut rest = runner.run(&mut steps).unwrap();
            for (s, count) in members {
                let (own, after) = rest.split_at(count * vocabulary);
                together[s].extend_from_slice(own);
                rest = after;
            }
        }
        for (s, alone) in alone.iter().enumerate() {
            check(&format!("sequence {s} in steps of {step}"), vocabulary, alone, &together[s]);
        }
    }
}

#[test]
fn forks_share_their_past_and_nothing_else() {
    let model = Shape::new("llama", "Q5_K").model(&device());
    let mut runner = runner(&model);
    let (prefix, a, b) = (ids(&model, 0, 90), ids(&model, 1, 30), ids(&model, 2, 30));
    let alone = |rest: &[u32]| run(&model, &[&prefix[..], rest].concat(), 40).split_off(prefix.len() * 320);
    let (alone_a, alone_b) = (alone(&a), alone(&b));
    let mut first = cache(&model);
    runner.run(&mut [Step { cache: &mut first, tokens: &prefix, wanted: Wanted::None }]).unwrap();
    let mut second = first.fork();
    assert_eq!(KvCache::bytes_together([&first, &second]), first.bytes());
    let mut next = |cache: &mut KvCache, tokens: &[u32]| {
        runner.run(&mut [Step { cache, tokens, wanted: Wanted::All }]).unwrap().to_vec()
    };
    check("the first", 320, &alone_a, &next(&mut first, &a));
    check("its fork", 320, &alone_b, &next(&mut second, &b));
    // And back: a cut cache goes on as if the rest had never been.
    first.truncate(prefix.len());
    check("the first, cut", 320, &alone_b, &next(&mut first, &b));
    // A fork that outlives its origin needs no copy, and is right.
    let mut third = first.fork();
    drop(first);
    third.truncate(prefix.len());
    check("a fork of a fork", 320, &alone_a, &next(&mut third, &a));
    // A sequence of another runner comes along.
    let mut other = self::runner(&model);
    third.truncate(prefix.len());
    let mut fourth = third.fork();
    let got = other.run(&mut [Step { cache: &mut fourth, tokens: &b, wanted: Wanted::All }]).unwrap().to_vec();
    check("on another runner", 320, &alone_b, &got);
}

#[test]
fn many_forks_decode_as_one_batch() {
    let model = Shape::new("qwen3", "Q4_K").model(&device());
    let mut runner = runner(&model);
    let prefix = ids(&model, 0, 60);
    let mut shared = cache(&model);
    runner.run(&mut [Step { cache: &mut shared, tokens: &prefix, wanted: Wanted::None }]).unwrap();
    let mut caches: Vec<KvCache> = (0..20).map(|_| shared.fork()).collect();
    let rests: Vec<Vec<u32>> = (0..20).map(|s| ids(&model, s + 1, 12)).collect();
    let mut together = vec![Vec::new(); 20];
    for i in 0..12 {
        // Every step one fewer runs, from a changing place, so that slots become free in the middle.
        let alive: Vec<usize> = (0..20).filter(|s| s % 3 != 1 || i < 4).filter(|s| *s != 0 || i < 8).collect();
        let mut steps: Vec<Step<'_>> = caches
            .iter_mut()
            .enumerate()
            .filter(|(s, _)| alive.contains(s))
            .map(|(s, cache)| Step { cache, tokens: &rests[s][i..=i], wanted: Wanted::Last })
            .collect();
        let logits = runner.run(&mut steps).unwrap();
        for (s, logits) in alive.iter().zip(logits.chunks(320)) {
            together[*s].extend_from_slice(logits);
        }
        if i == 4 {
            for s in (0..20).filter(|s| s % 3 == 1) {
                caches[s] = cache(&model);
            }
        }
    }
    for (s, together) in together.iter().enumerate() {
        let count = together.len() / 320;
        let whole = run(&model, &[&prefix[..], &rests[s][..count]].concat(), 80);
        check(&format!("fork {s}"), 320, &whole[prefix.len() * 320..], together);
    }
}

#[test]
fn asking_for_fewer_logits_changes_none() {
    let model = Shape::new("gemma3", "Q4_0").model(&device());
    let ids = ids(&model, 0, 70);
    let all = run(&model, &ids, ids.len());
    let (mut runner, mut cache) = (runner(&model), cache(&model));
    let (head, tail) = ids.split_at(50);
    assert!(runner.run(&mut [Step { cache: &mut cache, tokens: head, wanted: Wanted::None }]).unwrap().is_empty());
    let last = runner.run(&mut [Step { cache: &mut cache, tokens: tail, wanted: Wanted::Last }]).unwrap();
    check("the last", 320, &all[69 * 320..], last);
}

#[test]
fn the_shipped_model_answers() {
    let model = shipped(&device());
    let mut chat = r1core::Chat::new(
        model.session(SessionOptions { threads: Some(1), ..SessionOptions::default() }).unwrap(),
        r1core::ChatOptions::default(),
    )
    .unwrap();
    let options = GenerateOptions { sampler: SamplerOptions::greedy(), ..GenerateOptions::default() };
    let mut answer = String::new();
    for event in chat.send("What is 37 * 24?", &options).unwrap() {
        if let r1core::Event::Answer(text) = event.unwrap() {
            answer += &text;
        }
    }
    assert!(answer.contains("888"), "{answer}");
    let options = VoteOptions { samples: 8, ..VoteOptions::default() };
    let result = chat.vote("What is 12 + 30?", &options).unwrap().result().unwrap();
    assert_eq!(result.answer.as_deref(), Some("42"));
}

/// The first of the highest logits.
fn best_of(logits: &[f32]) -> (u32, f32) {
    let best = (0..logits.len()).reduce(|a, b| if logits[b] > logits[a] { b } else { a }).unwrap();
    (best as u32, logits[best])
}

#[test]
fn the_best_token_that_a_device_chooses_is_that_of_all_logits() {
    for architecture in KINDS {
        let model = Shape::new(architecture, "Q8_0").model(&device());
        let mut runner = runner(&model);
        let prompts: Vec<_> = (0..5).map(|s| ids(&model, s, 3 + s)).collect();
        let mut caches: Vec<_> = prompts.iter().map(|_| cache(&model)).collect();
        for (cache, tokens) in caches.iter_mut().zip(&prompts) {
            // A prompt gives its best token too.
            let step = Step { cache: &mut *cache, tokens, wanted: Wanted::Best };
            assert!(runner.run(&mut [step]).unwrap().is_empty());
            let best = runner.best(0).unwrap();
            assert_eq!(best, best_of(runner.logits(0).unwrap()));
        }
        for token in [1, 2, 3] {
            // The same batch, once for all logits and once for the best tokens.
            let mut forks: Vec<_> = caches.iter().map(KvCache::fork).collect();
            let tokens = [token];
            let mut wanted: Vec<_> =
                forks.iter_mut().map(|cache| Step { cache, tokens: &tokens, wanted: Wanted::Last }).collect();
            let all = runner.run(&mut wanted).unwrap().to_vec();
            let mut wanted: Vec<_> =
                caches.iter_mut().map(|cache| Step { cache, tokens: &tokens, wanted: Wanted::Best }).collect();
            assert!(runner.run(&mut wanted).unwrap().is_empty());
            for (i, row) in all.chunks_exact(model.config().vocabulary).enumerate() {
                assert_eq!(runner.best(i), Some(best_of(row)), "{architecture}, sequence {i}");
                assert!(runner.logits(i).unwrap() == row, "{architecture}, sequence {i}");
            }
        }
    }
}

#[test]
fn tokens_that_are_as_good_as_each_other_give_the_lowest() {
    let mut file = Shape::new("llama", "F32").writer();
    // Of a norm of zeros every logit is zero.
    let norm = file.tensors.iter_mut().find(|tensor| tensor.name == b"output_norm.weight").unwrap();
    norm.data.fill(0);
    let model = Model::load(Gguf::from_bytes(file.build()).unwrap(), &device()).unwrap();
    let (mut runner, mut cache) = (runner(&model), cache(&model));
    for _ in 0..2 {
        runner.run(&mut [Step { cache: &mut cache, tokens: &[5], wanted: Wanted::Best }]).unwrap();
        assert_eq!(runner.best(0).unwrap().0, 0);
    }
}

#[test]
fn greedy_replies_of_a_device_need_no_logits_on_the_host() {
    let model = shipped(&device());
    let special = r1core::EncodeOptions { add_bos: true, parse_special: true };
    let prompt = model.tokenizer().encode("<｜User｜>What is 37 * 24?<｜Assistant｜><think>\n", special);
    let greedy = GenerateOptions { sampler: SamplerOptions::greedy(), ..GenerateOptions::default() };
    let reply = |options: &GenerateOptions| {
        let mut session = model.session(SessionOptions::default()).unwrap();
        session.generate(&prompt, options).unwrap().for_each(|event| drop(event.unwrap()));
        let fork = session.fork().logits().unwrap().to_vec();
        assert!(fork == session.logits().unwrap());
        (session.tokens().to_vec(), fork)
    };
    // Log-probabilities need them.
    assert!(reply(&greedy) == reply(&GenerateOptions { logprobs: Some(1), ..greedy.clone() }));
}

#[test]
fn cancelling_leaves_the_session_usable() {
    let model = shipped(&device());
    let mut session = model.session(SessionOptions { threads: Some(1), ..SessionOptions::default() }).unwrap();
    let prompt = model.tokenizer().encode("What is 2 + 2?", Default::default());
    session.cancel_token().cancel();
    assert_eq!(session.prefill(&prompt).unwrap_err().kind(), ErrorKind::Cancelled);
    session.cancel_token().reset();
    session.prefill(&prompt).unwrap();
    assert!(session.logits().unwrap().iter().all(|l| l.is_finite()));
}

#[test]
fn what_cannot_run_says_so() {
    let shape = Shape::new("llama", "Q4_0");
    let open = |options: &ModelOptions| Model::load(Gguf::from_bytes(shape.file()).unwrap(), options).map(|_| ());
    let named = |backend: &str| ModelOptions { backend: Some(backend.into()), ..device() };
    for backend in ["metal", "no such device", "", "CPU,CPU9"] {
        let error = open(&named(backend)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{backend}: {error}");
        assert!(error.remedy_text().unwrap().contains("cpu"), "{error}");
    }
    let error = open(&ModelOptions { ggml_folder: Some("/nonexistent".into()), ..device() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    assert!(open(&named("rpc")).is_err(), "no server was named");
    // Another model's sequence.
    let (one, two) = (shape.model(&device()), shape.model(&device()));
    let cpu = shape.model(&ModelOptions::default());
    let mut cache = cache(&one);
    let mut step = |model: &Model| {
        runner(model).run(&mut [Step { cache: &mut cache, tokens: &[1], wanted: Wanted::None }]).map(|_| ())
    };
    step(&one).unwrap();
    for cache in [CacheType::F32, CacheType::Q8_0] {
        let options = SessionOptions { cache, ..SessionOptions::default() };
        assert_eq!(one.session(options).map(|_| ()).unwrap_err().kind(), ErrorKind::Unsupported);
        let mut other = KvCache::new(one.config(), cache, 64);
        let step = Step { cache: &mut other, tokens: &[1], wanted: Wanted::None };
        assert_eq!(runner(&one).run(&mut [step]).map(|_| ()).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert_eq!(step(&two).unwrap_err().kind(), ErrorKind::Argument);
    assert_eq!(step(&cpu).unwrap_err().kind(), ErrorKind::Argument);
    step(&one).unwrap();
}
