//! Small models with random weights, true to the keys and tensors of real files: every architecture in every format.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test uses a part of it")]

use super::gguf_writer::{GgufWriter, TensorSpec};
use r1core::gguf::Gguf;
use r1core::{Model, ModelOptions};

/// A small generator, so that every model can be made again.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal, with standard deviation 1.
    fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (sum - 6.0) as f32
    }
}

/// The shape of a small model.
#[derive(Clone)]
pub struct Shape {
    /// One of [`KINDS`].
    pub kind: &'static str,
    pub architecture: &'static str,
    /// Type of the matrices: the name of a format.
    pub format: &'static str,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub feed_forward: usize,
    pub vocabulary: usize,
    pub experts: Option<Experts>,
    pub latent: Option<Latent>,
    pub seed: u64,
    /// Factor of a context extended by YaRN from 64 positions.
    pub yarn: Option<f32>,
}

/// Latent attention of a small model; `head_dim` is the length of a head's output.
#[derive(Clone, Copy)]
pub struct Latent {
    /// 0 for queries that are not compressed.
    pub q_lora_rank: usize,
    pub kv_lora_rank: usize,
    /// Values of a query head that do not rotate, and those that do.
    pub nope: usize,
    pub rope: usize,
    /// As in files made before the heads' projections were split.
    pub merged: bool,
}

/// The experts of a small model; layers before `leading_dense` are dense.
#[derive(Clone)]
pub struct Experts {
    pub count: usize,
    pub used: usize,
    pub width: usize,
    pub leading_dense: usize,
    /// Experts that every token uses, of `deepseek2`.
    pub shared: usize,
    /// Gate and up rows in one tensor.
    pub fused: bool,
}

/// Every kind of model: the architectures, with experts and without, in all forms.
pub const KINDS: [&str; 16] = [
    "llama",
    "llama-moe",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "gemma3",
    "smollm3",
    "glm4",
    "phi3",
    "exaone",
    "deepseek-moe",
    "deepseek2",
    "deepseek2-merged",
    "deepseek2-moe",
    "deepseek2-lite-moe",
];

impl Shape {
    /// One of [`KINDS`].
    pub fn new(kind: &'static str, format: &'static str) -> Shape {
        let architecture = kind.split('-').next().unwrap();
        let latent = (architecture == "deepseek2").then_some(Latent {
            q_lora_rank: if kind == "deepseek2-lite-moe" { 0 } else { 256 },
            kv_lora_rank: 256,
            nope: 32,
            rope: 16,
            merged: kind == "deepseek2-merged",
        });
        let experts = kind.ends_with("moe").then_some(Experts {
            count: 8,
            used: if kind == "qwen2moe" { 4 } else { 2 },
            width: 256,
            leading_dense: usize::from(architecture.starts_with("deepseek")),
            shared: 1,
            fused: false,
        });
        Shape {
            kind,
            experts,
            latent,
            yarn: latent.is_some().then_some(40.0),
            architecture,
            format,
            // Every fourth layer of smollm3 differs.
            layers: if architecture == "smollm3" { 4 } else { 2 },
            width: 256,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            feed_forward: 512,
            vocabulary: 320,
            seed: 7,
        }
    }

    pub fn model(&self, options: &ModelOptions) -> Model {
        Model::load(Gguf::from_bytes(self.file()).unwrap(), options).unwrap()
    }

    /// The file's bytes.
    pub fn file(&self) -> Vec<u8> {
        self.writer().build()
    }

    /// The file, for tests that change it before they write it.
    pub fn writer(&self) -> GgufWriter {
        let (a, random) = (self.architecture, &mut Random::new(self.seed));
        let (d, qs, kvs) = (self.width, self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let key = |k: &str| format!("{a}.{k}");
        let mut w = vocabulary(GgufWriter::new().str("general.architecture", a), self.vocabulary)
            .u32(&key("block_count"), self.layers as u32)
            .u32(&key("context_length"), 2048)
            .u32(&key("embedding_length"), d as u32)
            .u32(&key("feed_forward_length"), self.feed_forward as u32)
            .u32(&key("attention.head_count"), self.heads as u32)
            .f32(&key("attention.layer_norm_rms_epsilon"), 1e-6)
            .f32(&key("rope.freq_base"), 10_000.0);
        w = match &self.latent {
            Some(latent) => self.latent_keys(w, latent),
            None => w
                .u32(&key("attention.head_count_kv"), self.kv_heads as u32)
                .u32(&key("attention.key_length"), self.head_dim as u32)
                .u32(&key("attention.value_length"), self.head_dim as u32),
        };
        if let Some(factor) = self.yarn {
            w = w
                .str(&key("rope.scaling.type"), "yarn")
                .f32(&key("rope.scaling.factor"), factor)
                .u32(&key("rope.scaling.original_context_length"), 64);
        }
        if matches!(a, "glm4" | "phi3") {
            w = w.u32(&key("rope.dimension_count"), self.head_dim as u32 / 2);
        }
        if a == "phi3" && self.yarn.is_none() {
            // As Phi-4-mini: no type of scaling, and the factors' own length.
            w = w.u32(&key("rope.scaling.original_context_length"), 64).f32(&key("rope.scaling.attn_factor"), 1.19);
        }
        if a == "gemma3" {
            w = w.u32(&key("attention.sliding_window"), 24).u32(&key("attention.sliding_window_pattern"), 2);
        }
        if let Some(experts) = &self.experts {
            w = w.u32(&key("expert_count"), experts.count as u32).u32(&key("expert_used_count"), experts.used as u32);
            if a != "llama" {
                w = w.u32(&key("expert_feed_forward_length"), experts.width as u32);
            }
            if a.starts_with("deepseek") {
                w = w.u32(&key("expert_shared_count"), experts.shared as u32).f32(&key("expert_weights_scale"), 2.5);
            }
            if self.kind == "deepseek2-moe" {
                w = w.u32(&key("expert_gating_func"), 2).bool(&key("expert_weights_norm"), true);
                w = w.u32(&key("expert_group_count"), 4).u32(&key("expert_group_used_count"), 2);
            }
            if a == "qwen2moe" {
                w = w.u32(&key("expert_shared_feed_forward_length"), self.feed_forward as u32);
            }
            if experts.leading_dense > 0 {
                w = w.u32(&key("leading_dense_block_count"), experts.leading_dense as u32);
            }
        }
        if self.latent.is_some() && self.experts.is_none() {
            // llama.cpp asks for them in files without experts too.
            w = w
                .u32(&key("leading_dense_block_count"), self.layers as u32)
                .u32(&key("expert_shared_count"), 0)
                .u32(&key("expert_feed_forward_length"), self.feed_forward as u32);
        }
        w = w.tensor(self.matrix(random, "token_embd.weight", d, self.vocabulary));
        for il in 0..self.layers {
            let name = |part: &str| format!("blk.{il}.{part}");
            w = w.tensor(vector(random, &name("attn_norm.weight"), d, 1.0));
            w = match &self.latent {
                Some(latent) => self.latent_tensors(w, random, il, latent),
                None if a == "phi3" => w.tensor(self.matrix(random, &name("attn_qkv.weight"), d, qs + 2 * kvs)),
                None => w
                    .tensor(self.matrix(random, &name("attn_q.weight"), d, qs))
                    .tensor(self.matrix(random, &name("attn_k.weight"), d, kvs))
                    .tensor(self.matrix(random, &name("attn_v.weight"), d, kvs)),
            };
            w = w.tensor(self.matrix(random, &name("attn_output.weight"), qs, d));
            if a.starts_with("qwen2") {
                w = w.tensor(vector(random, &name("attn_q.bias"), qs, 0.0));
                w = w.tensor(vector(random, &name("attn_k.bias"), kvs, 0.0));
                w = w.tensor(vector(random, &name("attn_v.bias"), kvs, 0.0));
            }
            if matches!(a, "qwen3" | "qwen3moe" | "gemma3") {
                w = w.tensor(vector(random, &name("attn_q_norm.weight"), self.head_dim, 1.0));
                w = w.tensor(vector(random, &name("attn_k_norm.weight"), self.head_dim, 1.0));
            }
            if matches!(a, "gemma3" | "glm4") {
                w = w.tensor(vector(random, &name("post_attention_norm.weight"), d, 1.0));
                w = w.tensor(vector(random, &name("post_ffw_norm.weight"), d, 1.0));
            }
            w = w.tensor(vector(random, &name("ffn_norm.weight"), d, 1.0));
            w = match &self.experts {
                Some(experts) if il >= experts.leading_dense => self.experts(w, random, il, experts),
                _ => self.gated(w, random, il, "", self.feed_forward),
            };
        }
        // What rotations divide their angles by, of one kind or of two.
        let named: &[&str] = match a {
            "llama" | "exaone" => &["rope_freqs.weight"],
            "phi3" => &["rope_factors_long.weight", "rope_factors_short.weight"],
            _ => &[],
        };
        for (n, name) in named.iter().enumerate() {
            let pairs = self.head_dim / if a == "phi3" { 4 } else { 2 };
            let factors: Vec<f32> = (0..pairs).map(|i| 1.0 + i as f32 / 8.0 * (1 - n) as f32).collect();
            w = w.tensor(TensorSpec::f32(name, &[pairs as u64], &factors));
        }
        if a == "qwen2moe" {
            w = w.tensor(self.matrix(random, "output.weight", d, self.vocabulary));
        }
        w.tensor(vector(random, "output_norm.weight", d, 1.0))
    }

    fn latent_keys(&self, w: GgufWriter, latent: &Latent) -> GgufWriter {
        let key = |k: &str| format!("{}.{k}", self.architecture);
        let lengths = [latent.nope + latent.rope, self.head_dim].map(|n| n as u32);
        let mut w = w
            .u32(&key("attention.kv_lora_rank"), latent.kv_lora_rank as u32)
            .u32(&key("rope.dimension_count"), latent.rope as u32)
            .f32(&key("rope.scaling.yarn_log_multiplier"), if latent.q_lora_rank > 0 { 0.1 } else { 0.0707 });
        // llama.cpp knows files without the key by their 27 layers.
        if latent.q_lora_rank > 0 || self.layers != 27 {
            w = w.u32(&key("attention.q_lora_rank"), latent.q_lora_rank as u32);
        }
        if latent.merged {
            return w
                .u32(&key("attention.head_count_kv"), self.heads as u32)
                .u32(&key("attention.key_length"), lengths[0])
                .u32(&key("attention.value_length"), lengths[1]);
        }
        w.u32(&key("attention.head_count_kv"), 1)
            .u32(&key("attention.key_length"), (latent.kv_lora_rank + latent.rope) as u32)
            .u32(&key("attention.value_length"), latent.kv_lora_rank as u32)
            .u32(&key("attention.key_length_mla"), lengths[0])
            .u32(&key("attention.value_length_mla"), lengths[1])
    }

    fn latent_tensors(&self, mut w: GgufWriter, random: &mut Random, il: usize, latent: &Latent) -> GgufWriter {
        let name = |part: &str| format!("blk.{il}.{part}.weight");
        let (d, rank, queries) = (self.width, latent.kv_lora_rank, self.heads * (latent.nope + latent.rope));
        match latent.q_lora_rank {
            0 => w = w.tensor(self.matrix(random, &name("attn_q"), d, queries)),
            q_rank => {
                w = w.tensor(self.matrix(random, &name("attn_q_a"), d, q_rank));
                w = w.tensor(vector(random, &name("attn_q_a_norm"), q_rank, 1.0));
                w = w.tensor(self.matrix(random, &name("attn_q_b"), q_rank, queries));
            }
        }
        w = w.tensor(self.matrix(random, &name("attn_kv_a_mqa"), d, rank + latent.rope));
        w = w.tensor(vector(random, &name("attn_kv_a_norm"), rank, 1.0));
        if latent.merged {
            return w.tensor(self.matrix(random, &name("attn_kv_b"), rank, self.heads * (latent.nope + self.head_dim)));
        }
        w.tensor(self.stack(random, &name("attn_k_b"), [latent.nope, rank, self.heads])).tensor(self.stack(
            random,
            &name("attn_v_b"),
            [rank, self.head_dim, self.heads],
        ))
    }

    /// Gate, up and down of a dense block or of the shared expert.
    fn gated(&self, w: GgufWriter, random: &mut Random, il: usize, suffix: &str, width: usize) -> GgufWriter {
        let name = |part: &str| format!("blk.{il}.ffn_{part}{suffix}.weight");
        if matches!(self.architecture, "glm4" | "phi3") {
            // Gate rows, then up rows.
            return w.tensor(self.matrix(random, &name("up"), self.width, 2 * width)).tensor(self.matrix(
                random,
                &name("down"),
                width,
                self.width,
            ));
        }
        w.tensor(self.matrix(random, &name("gate"), self.width, width))
            .tensor(self.matrix(random, &name("up"), self.width, width))
            .tensor(self.matrix(random, &name("down"), width, self.width))
    }

    fn experts(&self, w: GgufWriter, random: &mut Random, il: usize, experts: &Experts) -> GgufWriter {
        let (d, count) = (self.width, experts.count);
        // Mixtral files state one width for all.
        let width = if self.architecture == "llama" { self.feed_forward } else { experts.width };
        let name = |part: &str| format!("blk.{il}.{part}.weight");
        // Scores of a sigmoid that saturates would all be the same, and the bias alone would choose.
        let spread = if self.kind == "deepseek2-moe" { 1.0 / (d as f32).sqrt() } else { 0.2 };
        let router: Vec<f32> = (0..d * count).map(|_| random.normal() * spread).collect();
        let mut w = w.tensor(TensorSpec::f32(&name("ffn_gate_inp"), &[d as u64, count as u64], &router));
        if experts.fused {
            w = w.tensor(self.stack(random, &name("ffn_gate_up_exps"), [d, 2 * width, count]));
        } else {
            w = w.tensor(self.stack(random, &name("ffn_gate_exps"), [d, width, count])).tensor(self.stack(
                random,
                &name("ffn_up_exps"),
                [d, width, count],
            ));
        }
        w = w.tensor(self.stack(random, &name("ffn_down_exps"), [width, d, count]));
        if self.kind == "deepseek2-moe" {
            w = w.tensor(vector(random, &format!("blk.{il}.exp_probs_b.bias"), count, 0.0));
        }
        if self.architecture.starts_with("deepseek") {
            w = self.gated(w, random, il, "_shexp", experts.shared * width);
        }
        if self.architecture == "qwen2moe" {
            w = w.tensor(vector(random, &name("ffn_gate_inp_shexp"), d, 0.0));
            w = self.gated(w, random, il, "_shexp", self.feed_forward);
        }
        w
    }

    fn matrix(&self, random: &mut Random, name: &str, inputs: usize, outputs: usize) -> TensorSpec {
        self.blocks(random, name, &[inputs as u64, outputs as u64])
    }

    /// Inputs, outputs, matrices.
    fn stack(&self, random: &mut Random, name: &str, dims: [usize; 3]) -> TensorSpec {
        self.blocks(random, name, &dims.map(|d| d as u64))
    }

    fn blocks(&self, random: &mut Random, name: &str, dims: &[u64]) -> TensorSpec {
        let mut format = r1_format(self.format);
        if !dims[0].is_multiple_of(format.block_len() as u64) {
            // As the quantiser falls back where rows do not fill blocks of 256.
            format = r1_format(match self.format {
                "Q4_K" => "Q5_0",
                "Q5_K" => "Q5_1",
                "Q6_K" => "Q8_0",
                "IQ4_XS" => "IQ4_NL",
                _ => "Q4_0",
            });
        }
        let blocks = dims.iter().product::<u64>() as usize / format.block_len();
        let mut data = Vec::with_capacity(blocks * format.block_bytes());
        for _ in 0..blocks {
            let start = data.len();
            while data.len() < start + format.block_bytes() {
                data.extend(random.next().to_le_bytes());
            }
            data.truncate(start + format.block_bytes());
            set_scales(format.name(), &mut data[start..], random);
        }
        TensorSpec::new(name, dims, format.id(), data)
    }
}

fn r1_format(name: &str) -> r1core::Format {
    r1core::Format::all().find(|f| f.name() == name).unwrap()
}

/// Sets a block's scales so that its values have a standard deviation of about 0.05. Formats whose codes are not
/// symmetric get scales of both signs, so that the mean is zero: a mean that all weights share would drown the rest.
fn set_scales(format: &str, block: &mut [u8], random: &mut Random) {
    let sign = if random.next() & 1 == 0 { 1.0 } else { -1.0 };
    let mut put = |at: usize, value: f32| block[at..at + 2].copy_from_slice(&half_bits(value).to_le_bytes());
    match format {
        "F32" => block.copy_from_slice(&(random.normal() * 0.05).to_le_bytes()),
        "F16" => put(0, random.normal() * 0.05),
        "BF16" => block.copy_from_slice(&((random.normal() * 0.05).to_bits() >> 16).to_le_bytes()[..2]),
        "Q4_0" | "IQ4_NL" => put(0, sign * if format == "Q4_0" { 0.01 } else { 0.0008 }),
        "Q4_1" => {
            put(0, 0.01);
            put(2, -0.075);
        }
        "Q5_0" => put(0, sign * 0.005),
        "Q5_1" => {
            put(0, 0.005);
            put(2, -0.0775);
        }
        "Q8_0" => put(0, sign * 0.0007),
        "Q2_K" => {
            put(80, 0.005);
            put(82, 0.0075);
        }
        "Q3_K" => put(108, sign * 0.001),
        "Q4_K" => {
            put(0, 0.000_15);
            put(2, 0.001_1);
        }
        "Q5_K" => {
            put(0, 0.000_075);
            put(2, 0.001_1);
        }
        "Q6_K" => put(208, sign * 0.000_04),
        "IQ4_XS" => put(0, sign * 0.000_04),
        "IQ2_XXS" | "IQ2_XS" | "IQ2_S" => put(0, 0.000_9),
        "IQ3_XXS" => put(0, 0.000_35),
        "IQ3_S" => put(0, 0.000_3),
        "IQ1_S" => put(0, 0.007),
        // 0.0068, in the high nibbles of four u16.
        "IQ1_M" => (0..4).for_each(|i| block[49 + 2 * i] = block[49 + 2 * i] & 15 | [0, 0, 15, 1][i] << 4),
        "TQ1_0" => put(52, 0.06),
        "TQ2_0" => put(64, 0.06),
        "MXFP4" => block[0] = 120 + (random.next() % 3) as u8,
        other => panic!("no scales known for {other}"),
    }
}

/// The half float of a small number, its low bits cut off.
fn half_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let exponent = ((bits >> 23) & 0xff) as i32 - 127 + 15;
    let sign = ((bits >> 16) & 0x8000) as u16;
    let significand = (bits & 0x7f_ffff) | 0x80_0000;
    match exponent {
        ..-9 => sign,
        // Subnormal: the leading one is written out.
        -9..=0 => sign | (significand >> (14 - exponent)) as u16,
        _ => sign | (exponent as u16) << 10 | ((bits >> 13) & 0x3ff) as u16,
    }
}

fn vector(random: &mut Random, name: &str, len: usize, mean: f32) -> TensorSpec {
    let values: Vec<f32> = (0..len).map(|_| mean + random.normal() * 0.05).collect();
    TensorSpec::f32(name, &[len as u64], &values)
}

/// 256 byte tokens of the GPT-2 alphabet, the tags of the R1 family, and padding.
fn vocabulary(w: GgufWriter, count: usize) -> GgufWriter {
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    let mut tokens: Vec<String> = (0..256)
        .map(|b| {
            let code = if printable(b) {
                b
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect();
    let mut types = vec![1i32; 256];
    for (text, kind) in [("<bos>", 3), ("<eos>", 3), ("<think>", 4), ("</think>", 4)] {
        tokens.push(text.into());
        types.push(kind);
    }
    for i in tokens.len()..count {
        tokens.push(format!("[PAD{i}]"));
        types.push(5);
    }
    w.str("tokenizer.ggml.model", "gpt2")
        .str("tokenizer.ggml.pre", "qwen2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .strings("tokenizer.ggml.merges", &["a b", "t h"][..0])
        .u32("tokenizer.ggml.bos_token_id", 256)
        .u32("tokenizer.ggml.eos_token_id", 257)
}
