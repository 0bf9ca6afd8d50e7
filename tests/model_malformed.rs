//! Files whose container is sound and whose model is not: numbers, shapes, vocabularies and templates that lie. Each is an
//! error that names the key or the tensor, or a model that runs; none is a panic.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "support/gguf_writer.rs"]
mod gguf_writer;
#[path = "support/tiny_models.rs"]
mod tiny_models;

use gguf_writer::{GgufWriter, TensorSpec};
use r1core::gguf::Gguf;
use r1core::{Chat, ChatOptions, ErrorKind, GenerateOptions, Model, ModelOptions, Result, SessionOptions};
use tiny_models::Shape;

fn sound() -> GgufWriter {
    Shape { layers: 1, ..Shape::new("llama", "Q8_0") }.writer()
}

fn load(file: &GgufWriter) -> Result<Model> {
    Model::load(Gguf::from_bytes(file.build())?, &ModelOptions::default())
}

/// Uses a model as a host would.
fn run(model: &Model) -> Result<()> {
    let mut session = model.session(SessionOptions { threads: Some(1), ..Default::default() })?;
    let prompt = model.tokenizer().encode("hi 😀 hi", Default::default());
    let prompt = if prompt.is_empty() { vec![0] } else { prompt };
    for event in session.generate(&prompt, &GenerateOptions { max_tokens: Some(4), ..Default::default() })? {
        event?;
    }
    Ok(())
}

/// Collects every case that does not fail as it should.
fn check(cases: Vec<(&str, GgufWriter, ErrorKind, &str)>) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, file, kind, place)| match load(file) {
            Err(e) if e.kind() == *kind && e.to_string().contains(place) => None,
            Err(e) => Some(format!("{name}: {:?} {e}", e.kind())),
            Ok(_) => Some(format!("{name}: it loads")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_file_that_the_lies_start_from_is_sound() {
    run(&load(&sound()).unwrap()).unwrap();
}

#[test]
fn numbers_that_cannot_be_are_named_by_their_key() {
    use ErrorKind::{Malformed, Missing, Unsupported};
    let set = |key: &str, value: u32| sound().without(key).u32(key, value);
    let set_f32 = |key: &str, value: f32| sound().without(key).f32(key, value);
    let mut cases = vec![
        ("no architecture", sound().without("general.architecture"), Missing, "general.architecture"),
        (
            "unknown architecture",
            sound().without("general.architecture").str("general.architecture", "nonsense"),
            Unsupported,
            "nonsense",
        ),
        (
            "architecture of a wrong type",
            sound().without("general.architecture").u32("general.architecture", 1),
            Malformed,
            "general.architecture",
        ),
        ("more layers than tensors", set("llama.block_count", 1000), Missing, "blk.1."),
        (
            "layers as text",
            sound().without("llama.block_count").str("llama.block_count", "1"),
            Malformed,
            "llama.block_count",
        ),
        (
            "layers below zero",
            sound().without("llama.block_count").i32("llama.block_count", -1),
            Malformed,
            "block_count",
        ),
        ("heads that share no key-value head", set("llama.attention.head_count_kv", 3), Malformed, "head_count_kv"),
        ("more key-value heads than heads", set("llama.attention.head_count_kv", 8), Malformed, "head_count_kv"),
        (
            "too few heads in a list",
            sound().without("llama.attention.head_count").i32s("llama.attention.head_count", &[]),
            Malformed,
            "head_count",
        ),
        ("embedding that fits no tensor", set("llama.embedding_length", 128), Malformed, "token_embd.weight"),
        ("feed-forward that fits no tensor", set("llama.feed_forward_length", 256), Malformed, "ffn_gate"),
        ("odd heads", set("llama.attention.key_length", 63), Malformed, "llama."),
        ("odd rotation", set("llama.rope.dimension_count", 15), Malformed, "rope.dimension_count"),
        ("rotation beyond the head", set("llama.rope.dimension_count", 4096), Malformed, "rope.dimension_count"),
        ("rotation that the factors do not fit", set("llama.rope.dimension_count", 32), Malformed, "rope_freqs"),
        ("another vocabulary", set("llama.vocab_size", 7), Malformed, "vocab_size"),
        ("a scaling that nobody knows", sound().str("llama.rope.scaling.type", "su"), Unsupported, "rope.scaling.type"),
    ];
    for key in [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
    ] {
        cases.push(("a required key is absent", sound().without(key), Missing, key));
    }
    for key in [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.attention.key_length",
    ] {
        cases.push(("zero", set(key, 0), Malformed, key));
        cases.push(("the largest number", set(key, u32::MAX), Malformed, key));
    }
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        let key = "llama.attention.layer_norm_rms_epsilon";
        cases.push(("an epsilon that is none", set_f32(key, value), Malformed, key));
        cases.push(("a base that is none", set_f32("llama.rope.freq_base", value), Malformed, "rope.freq_base"));
    }
    check(cases);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    use ErrorKind::{Malformed, Missing, Unsupported};
    let replaced = |name: &str, dims: &[u64], type_id, bytes| {
        sound().without_tensor(name).tensor(TensorSpec::new(name, dims, type_id, vec![0; bytes]))
    };
    let mut cases = vec![
        (
            "a transposed matrix",
            replaced("blk.0.ffn_down.weight", &[256, 512], 8, 256 * 512 / 32 * 34),
            Malformed,
            "ffn_down",
        ),
        ("a quantised norm", replaced("blk.0.attn_norm.weight", &[256], 8, 8 * 34), Malformed, "attn_norm"),
        ("a type that is not read", replaced("blk.0.attn_q.weight", &[256, 256], 41, 256 * 36), Unsupported, "Q1_0"),
        ("a third dimension", replaced("blk.0.attn_q.weight", &[256, 128, 2], 0, 4 * 256 * 256), Malformed, "attn_q"),
        ("a short norm", replaced("output_norm.weight", &[255], 0, 4 * 255), Malformed, "output_norm"),
        ("factors of a wrong type", replaced("rope_freqs.weight", &[32], 1, 64), Malformed, "rope_freqs"),
        ("factors of zero", replaced("rope_freqs.weight", &[32], 0, 128), Malformed, "rope_freqs"),
    ];
    for name in [
        "token_embd.weight",
        "output_norm.weight",
        "blk.0.attn_norm.weight",
        "blk.0.attn_k.weight",
        "blk.0.ffn_up.weight",
    ] {
        cases.push(("absent", sound().without_tensor(name), Missing, name));
    }
    check(cases);
}

fn latent(kind: &'static str) -> GgufWriter {
    Shape { layers: 2, ..Shape::new(kind, "Q8_0") }.writer()
}

#[test]
fn latent_attention_whose_numbers_cannot_be_is_named() {
    use ErrorKind::{Malformed, Missing, Unsupported};
    for kind in ["deepseek2", "deepseek2-merged", "deepseek2-moe", "deepseek2-lite-moe"] {
        run(&load(&latent(kind)).unwrap()).unwrap();
    }
    let set = |kind, key: &str, value: u32| {
        let key = format!("deepseek2.{key}");
        latent(kind).without(&key).u32(&key, value)
    };
    let set_f32 = |key: &str, value: f32| {
        let key = format!("deepseek2.{key}");
        latent("deepseek2").without(&key).f32(&key, value)
    };
    let without = |kind, key: &str| latent(kind).without(&format!("deepseek2.{key}"));
    let mut cases = vec![
        ("another compressed query", set("deepseek2", "attention.q_lora_rank", 128), Malformed, "attn_q_a"),
        ("no compressed query", without("deepseek2", "attention.q_lora_rank"), Missing, "attn_q.weight"),
        (
            "a compressed query in a lite file",
            set("deepseek2-lite-moe", "attention.q_lora_rank", 64),
            Missing,
            "attn_q_a",
        ),
        ("a latent that fits no key length", set("deepseek2", "attention.kv_lora_rank", 128), Malformed, "key_length"),
        (
            "a latent that fits no tensor",
            set("deepseek2-merged", "attention.kv_lora_rank", 128),
            Malformed,
            "attn_kv_b",
        ),
        ("an odd rotation", set("deepseek2", "rope.dimension_count", 15), Malformed, "deepseek2."),
        (
            "a rotation of whole heads",
            set("deepseek2-merged", "rope.dimension_count", 48),
            Malformed,
            "rope.dimension_count",
        ),
        ("no rotation", without("deepseek2", "rope.dimension_count"), Missing, "rope.dimension_count"),
        ("half of the current form", without("deepseek2", "attention.value_length_mla"), Missing, "value_length_mla"),
        ("the other half of it", without("deepseek2", "attention.key_length_mla"), Missing, "key_length_mla"),
        ("many key heads", set("deepseek2", "attention.head_count_kv", 4), Malformed, "head_count_kv"),
        ("values longer than latents", set("deepseek2", "attention.value_length", 272), Malformed, "value_length"),
        ("short heads", set("deepseek2", "attention.key_length_mla", 16), Malformed, "rope.dimension_count"),
        ("long heads", set("deepseek2", "attention.key_length_mla", 64), Malformed, "attn_q_b"),
        (
            "no lengths in an old file",
            without("deepseek2-merged", "attention.key_length"),
            Missing,
            "attention.key_length",
        ),
        (
            "the current form by its keys alone",
            set("deepseek2-merged", "attention.key_length_mla", 48).u32("deepseek2.attention.value_length_mla", 64),
            Malformed,
            "head_count_kv",
        ),
        ("more heads", set("deepseek2", "attention.head_count", 8), Malformed, "attn_q_b"),
        (
            "a layer too many to predict with",
            set("deepseek2", "nextn_predict_layers", 2),
            Malformed,
            "nextn_predict_layers",
        ),
        ("a temperature", set_f32("attention.temperature_scale", 0.1), Unsupported, "temperature_scale"),
        ("a context that YaRN shortens", set_f32("rope.scaling.factor", 0.5), Malformed, "rope.scaling.factor"),
        (
            "experts without a router",
            latent("deepseek2-moe").without_tensor("blk.1.ffn_gate_inp.weight"),
            Missing,
            "ffn_gate_inp",
        ),
    ];
    for (key, kind) in [("attention.kv_lora_rank", "deepseek2"), ("rope.dimension_count", "deepseek2-merged")] {
        cases.push(("zero", set(kind, key, 0), Malformed, key));
        cases.push(("the largest number", set(kind, key, u32::MAX), Malformed, key));
    }
    for key in ["rope.scaling.yarn_log_multiplier", "rope.scaling.factor", "rope.scaling.attn_factor"] {
        cases.push(("not a number", set_f32(key, f32::NAN), Malformed, key));
        cases.push(("below zero", set_f32(key, -1.0), Malformed, key));
    }
    for (kind, name) in [
        ("deepseek2", "blk.0.attn_k_b.weight"),
        ("deepseek2", "blk.0.attn_v_b.weight"),
        ("deepseek2", "blk.1.attn_kv_a_mqa.weight"),
        ("deepseek2", "blk.0.attn_kv_a_norm.weight"),
        ("deepseek2", "blk.0.attn_q_a_norm.weight"),
        ("deepseek2", "blk.0.attn_q_b.weight"),
        ("deepseek2", "blk.0.attn_output.weight"),
        ("deepseek2-merged", "blk.0.attn_kv_b.weight"),
        ("deepseek2-lite-moe", "blk.0.attn_q.weight"),
    ] {
        cases.push(("absent", latent(kind).without_tensor(name), Missing, name));
        let wrong = TensorSpec::new(name, &[32, 7], 8, vec![0; 7 * 34]);
        cases.push(("of another shape", latent(kind).without_tensor(name).tensor(wrong), Malformed, name));
    }
    let swapped = TensorSpec::new("blk.0.attn_k_b.weight", &[256, 32, 4], 8, vec![0; 4 * 32 * 256 / 32 * 34]);
    cases.push((
        "not transposed",
        latent("deepseek2").without_tensor("blk.0.attn_k_b.weight").tensor(swapped),
        Malformed,
        "attn_k_b",
    ));
    check(cases);
}

#[test]
fn the_forms_of_latent_files_that_loaders_write_run() {
    // Heads folded into the rows.
    let mut folded = latent("deepseek2");
    for tensor in &mut folded.tensors {
        if tensor.dims.len() == 3 {
            tensor.dims = vec![tensor.dims[0], tensor.dims[1] * tensor.dims[2]];
        }
    }
    // The last block predicts further tokens and is not run.
    let predicting =
        latent("deepseek2").u32("deepseek2.nextn_predict_layers", 1).without_tensor("blk.1.attn_norm.weight");
    for (name, file) in [
        ("folded heads", folded),
        ("a predicting block", predicting),
        ("no multiplier", latent("deepseek2").without("deepseek2.rope.scaling.yarn_log_multiplier")),
        ("no head_count_kv", latent("deepseek2").without("deepseek2.attention.head_count_kv")),
        ("a lite file without the key", latent("deepseek2-lite-moe").without("deepseek2.attention.q_lora_rank")),
    ] {
        load(&file).and_then(|model| run(&model)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn experts_that_cannot_be_are_named() {
    use ErrorKind::{Malformed, Missing, Unsupported};
    let experts = |kind: &'static str| Shape { layers: 1, ..Shape::new(kind, "Q8_0") }.writer();
    let key = |name: &str| format!("qwen3moe.{name}");
    let set = |name: &str, value: u32| experts("qwen3moe").without(&key(name)).u32(&key(name), value);
    let without = |name: &str| experts("qwen3moe").without(&key(name));
    let stack = |name: &str, dims: &[u64]| {
        let name = format!("blk.0.{name}.weight");
        let bytes = dims.iter().product::<u64>() as usize / 32 * 34;
        experts("qwen3moe").without_tensor(&name).tensor(TensorSpec::new(&name, dims, 8, vec![0; bytes]))
    };
    run(&load(&experts("qwen3moe")).unwrap()).unwrap();
    let mut cases = vec![
        ("no number of experts", without("expert_count"), Missing, "expert_count"),
        ("no number of used experts", without("expert_used_count"), Missing, "expert_used_count"),
        ("more used than there are", set("expert_used_count", 9), Malformed, "expert_used_count"),
        ("none used", set("expert_used_count", 0), Malformed, "expert_used_count"),
        ("another number of experts", set("expert_count", 16), Malformed, "ffn_gate_inp"),
        ("fewer experts than rows", set("expert_count", 4), Malformed, "ffn_gate_inp"),
        ("a single expert", set("expert_count", 1), Missing, "ffn_gate"),
        ("experts of another width", set("expert_feed_forward_length", 128), Malformed, "exps"),
        ("a gate that nobody knows", set("expert_gating_func", 9), Unsupported, "expert_gating_func"),
        ("uneven groups", set("expert_group_count", 3), Malformed, "expert_group_count"),
        ("more groups than experts", set("expert_group_count", 16), Malformed, "expert_group_count"),
        ("no number of used groups", set("expert_group_count", 4), Missing, "expert_group_used_count"),
        (
            "groups too small for the experts that are used",
            set("expert_group_count", 8).u32(&key("expert_group_used_count"), 1),
            Malformed,
            "expert_group_used_count",
        ),
        (
            "more used groups than groups",
            set("expert_group_count", 4).u32(&key("expert_group_used_count"), 5),
            Malformed,
            "expert_group_used_count",
        ),
        (
            "a scale that is none",
            experts("qwen3moe").f32(&key("expert_weights_scale"), f32::NAN),
            Malformed,
            "expert_weights_scale",
        ),
        (
            "more dense layers than any model has",
            set("leading_dense_block_count", u32::MAX),
            Malformed,
            "leading_dense",
        ),
        ("dense layers without their weights", set("leading_dense_block_count", 1), Missing, "blk.0.ffn"),
        ("shared experts without weights", set("expert_shared_count", 1), Missing, "shexp"),
        ("more shared experts than fit", set("expert_shared_count", 1024 * 1024), Malformed, "expert_shared_count"),
        ("a stack of fewer experts", stack("ffn_up_exps", &[256, 256, 7]), Malformed, "ffn_up_exps"),
        ("a stack turned around", stack("ffn_up_exps", &[256, 8, 256]), Malformed, "ffn_up_exps"),
        ("a stack laid flat", stack("ffn_down_exps", &[256, 2048]), Malformed, "ffn_down_exps"),
        ("half of a fused stack", stack("ffn_gate_up_exps", &[256, 256, 8]), Malformed, "ffn_gate_up_exps"),
        (
            "experts of an architecture that has none",
            Shape { layers: 1, ..Shape::new("qwen2", "Q8_0") }.writer().u32("qwen2.expert_count", 8),
            Unsupported,
            "qwen2.expert_count",
        ),
    ];
    for name in ["expert_count", "expert_used_count", "expert_feed_forward_length", "expert_shared_feed_forward_length"]
    {
        cases.push(("the largest number", set(name, u32::MAX), Malformed, name));
    }
    for name in ["ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"] {
        cases.push(("absent", experts("qwen3moe").without_tensor(&format!("blk.0.{name}")), Missing, name));
    }
    for name in ["ffn_gate_inp_shexp.weight", "ffn_up_shexp.weight"] {
        cases.push(("absent", experts("qwen2moe").without_tensor(&format!("blk.0.{name}")), Missing, name));
    }
    check(cases);
}

#[test]
fn a_router_that_is_no_number_still_ends_in_an_error() {
    for value in [f32::NAN, f32::INFINITY] {
        let router = TensorSpec::f32("blk.0.ffn_gate_inp.weight", &[256, 8], &[value; 256 * 8]);
        let file = Shape { layers: 1, ..Shape::new("qwen3moe", "Q8_0") }.writer();
        let model = load(&file.without_tensor("blk.0.ffn_gate_inp.weight").tensor(router)).unwrap();
        assert_eq!(run(&model).unwrap_err().kind(), ErrorKind::State);
    }
}

#[test]
fn weights_that_are_no_numbers_end_in_an_error_not_in_a_crash() {
    for value in [f32::NAN, f32::INFINITY] {
        let norm = TensorSpec::f32("output_norm.weight", &[256], &[value; 256]);
        let model = load(&sound().without_tensor("output_norm.weight").tensor(norm)).unwrap();
        assert_eq!(run(&model).unwrap_err().kind(), ErrorKind::State);
    }
}

#[test]
fn vocabularies_that_lie_are_named() {
    use ErrorKind::{Malformed, Missing, Unsupported};
    let tokens = "tokenizer.ggml.tokens";
    let many: Vec<String> = (0..400).map(|i| format!("t{i}")).collect();
    check(vec![
        ("no tokens", sound().without(tokens), Missing, tokens),
        ("tokens as numbers", sound().without(tokens).i32s(tokens, &[1, 2, 3]), Malformed, tokens),
        ("more tokens than rows", sound().without(tokens).strings(tokens, &many), Malformed, "token"),
        ("no model", sound().without("tokenizer.ggml.model"), Missing, "tokenizer.ggml.model"),
        (
            "a model that is not read",
            sound().without("tokenizer.ggml.model").str("tokenizer.ggml.model", "rwkv"),
            Unsupported,
            "rwkv",
        ),
        (
            "a splitter that nobody knows",
            sound().without("tokenizer.ggml.pre").str("tokenizer.ggml.pre", "nonsense"),
            Unsupported,
            "nonsense",
        ),
        (
            "types as text",
            sound().without("tokenizer.ggml.token_type").strings("tokenizer.ggml.token_type", &["normal"]),
            Malformed,
            "token_type",
        ),
        ("no merges", sound().without("tokenizer.ggml.merges"), Missing, "tokenizer.ggml.merges"),
    ]);
}

#[test]
fn harmless_oddities_load_and_run() {
    for (name, file) in [
        (
            "a beginning outside the vocabulary",
            sound().without("tokenizer.ggml.bos_token_id").u32("tokenizer.ggml.bos_token_id", 9999),
        ),
        ("no end at all", sound().without("tokenizer.ggml.eos_token_id")),
        ("a tensor that nobody needs", sound().tensor(TensorSpec::f32("extra.weight", &[3], &[1.0; 3]))),
        ("a window of zero", sound().u32("llama.attention.sliding_window", 0)),
    ] {
        load(&file).and_then(|model| run(&model)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn templates_fail_when_a_chat_begins_and_not_before() {
    let key = "tokenizer.chat_template";
    for (file, kind) in [
        (sound(), ErrorKind::NoTemplate),
        (sound().str(key, "{% for x in %}"), ErrorKind::Template),
        (sound().str(key, &"(".repeat(2_000_000)), ErrorKind::Limit),
    ] {
        let model = load(&file).unwrap();
        run(&model).unwrap();
        let session = model.session(SessionOptions::default()).unwrap();
        assert_eq!(Chat::new(session, ChatOptions::default()).map(|_| ()).unwrap_err().kind(), kind);
    }
    check(vec![("a template that is no text", sound().u32(key, 1), ErrorKind::Malformed, key)]);
}
