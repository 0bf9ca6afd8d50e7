//! Mixtures of experts: what is chosen is used and nothing else, in every form that files have, wherever the weights are.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/gguf_writer.rs"]
mod gguf_writer;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use gguf_writer::{GgufWriter, TensorSpec};
use r1core::gguf::Gguf;
use r1core::{CacheType, CancelToken, KvCache, Model, ModelOptions, Repack, Runner, Step, Wanted};
use tiny_models::Shape;

fn logits(model: &Model, count: usize) -> Vec<f32> {
    let ids: Vec<u32> = (0..count).map(|i| (i * 7919 + 3) as u32 % 320).collect();
    let mut cache = KvCache::new(model.config(), CacheType::F16, 2048);
    let mut runner = Runner::new(model, Some(2), CancelToken::new());
    runner.run(&mut [Step { cache: &mut cache, tokens: &ids, wanted: Wanted::All }]).unwrap().to_vec()
}

fn load(file: &GgufWriter, repack: Repack) -> Model {
    Model::load(Gguf::from_bytes(file.build()).unwrap(), &ModelOptions { repack, ..Default::default() }).unwrap()
}

fn tensor<'a>(file: &'a GgufWriter, name: &str) -> &'a TensorSpec {
    file.tensors.iter().find(|t| t.name == name.as_bytes()).unwrap()
}

#[test]
fn experts_that_are_not_chosen_are_not_used() {
    let shape = Shape { layers: 1, ..Shape::new("qwen3moe", "F32") };
    let mut file = shape.writer();
    let sound = logits(&load(&file, Repack::On), 40);
    // A bias that no score outweighs: every token uses the first two of eight.
    let bias: Vec<f32> = (0..8).map(|e| if e < 2 { 10.0 } else { 0.0 }).collect();
    file = file.tensor(TensorSpec::f32("blk.0.exp_probs_b.bias", &[8], &bias));
    let chosen = logits(&load(&file, Repack::On), 40);
    assert_ne!(sound, chosen, "the bias moves the choice");
    for name in ["gate", "up", "down"] {
        let name = format!("blk.0.ffn_{name}_exps.weight");
        let poisoned = file.tensors.iter_mut().find(|t| t.name == name.as_bytes()).unwrap();
        let start = poisoned.data.len() / 8 * 2;
        poisoned.data[start..].as_chunks_mut::<4>().0.fill(f32::NAN.to_le_bytes());
    }
    for repack in [Repack::On, Repack::AllButExperts, Repack::Off] {
        assert!(logits(&load(&file, repack), 40) == chosen, "{repack:?}");
    }
}

/// Bytes of a mapped file that are in this process's memory.
#[cfg(target_os = "linux")]
fn resident(path: &std::path::Path) -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
    let rss = lines.find(|line| line.starts_with("Rss:")).unwrap();
    rss.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn experts_that_are_not_chosen_are_not_brought_into_memory() {
    let mut shape = Shape { layers: 1, ..Shape::new("qwen3moe", "F32") };
    if let Some(experts) = &mut shape.experts {
        (experts.count, experts.width) = (32, 512);
    }
    let bias: Vec<f32> = (0..32).map(|e| if e < 2 { 10.0 } else { 0.0 }).collect();
    let file = shape.writer().tensor(TensorSpec::f32("blk.0.exp_probs_b.bias", &[32], &bias));
    let path = std::env::temp_dir().join(format!("r1core-resident-{}.gguf", std::process::id()));
    std::fs::write(&path, file.build()).unwrap();
    let experts: usize = file.tensors.iter().filter(|t| t.name.ends_with(b"_exps.weight")).map(|t| t.data.len()).sum();
    for (repack, rest) in [(Repack::AllButExperts, 0), (Repack::Off, file.build().len() - experts)] {
        let model = Model::open_with(&path, &ModelOptions { repack, ..Default::default() }).unwrap();
        logits(&model, 40);
        let resident = resident(&path);
        // Two of 32, and what the system maps with a page that is touched: up to a huge page at each end of each matrix.
        let chosen = (experts / 16 + rest + 2 * 3 * 2 * (2 << 20)) as u64;
        assert!(resident <= chosen, "{repack:?}: {resident} bytes of {experts} are resident, {chosen} were expected");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn gate_and_up_in_one_tensor_are_the_same_model() {
    let shape = Shape::new("qwen3moe", "Q4_K");
    let separate = shape.writer();
    let mut fused = shape.writer();
    for il in 0..shape.layers {
        let name = |part: &str| format!("blk.{il}.ffn_{part}_exps.weight");
        let (gate, up) = (tensor(&separate, &name("gate")), tensor(&separate, &name("up")));
        let bytes = gate.data.len() / 8;
        let both = gate.data.chunks(bytes).zip(up.data.chunks(bytes)).flat_map(|(g, u)| [g, u].concat()).collect();
        let both = TensorSpec::new(&name("gate_up"), &[256, 512, 8], gate.type_id, both);
        fused = fused.without_tensor(&name("gate")).without_tensor(&name("up")).tensor(both);
    }
    for repack in [Repack::On, Repack::Off] {
        assert!(logits(&load(&fused, repack), 30) == logits(&load(&separate, repack), 30), "{repack:?}");
    }
}

#[test]
fn only_the_experts_stay_in_the_file() {
    let model = |repack| Shape::new("qwen2moe", "Q4_K").model(&ModelOptions { repack, ..Default::default() });
    let sizes = [Repack::On, Repack::AllButExperts, Repack::Off].map(|repack| model(repack).weight_bytes());
    // Two layers of 8 experts of 3 matrices of 256 x 256 values, at 4.5 bits; packed they take 4 % more at most.
    let experts = 2 * 8 * 3 * 256 * 256 * 9 / 16;
    let difference = sizes[0] - sizes[1];
    assert!((experts..=experts + experts / 25).contains(&difference), "{difference} for {experts}");
    assert!(sizes[1] > 0 && sizes[2] == 0);
    assert_eq!(model(Repack::Auto).repack(), Repack::Lazy, "a small model fits");
    assert_eq!(model(Repack::Lazy).weight_bytes(), sizes[0]);
}

#[test]
fn mixtral_files_state_one_width_for_all() {
    let model = Shape::new("llama-moe", "Q8_0").model(&ModelOptions::default());
    assert!(logits(&model, 12).iter().all(|l| l.is_finite()));
}
