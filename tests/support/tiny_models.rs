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
}

/// The experts of a small model; layers before `leading_dense` are dense.
#[derive(Clone)]
pub struct Experts {
    pub count: usize,
    pub used: usize,
    pub width: usize,
    pub leading_dense: usize,
    /// Gate and up rows in one tensor.
    pub fused: bool,
}

/// Every kind of model: the architectures, and `llama` with experts.
pub const KINDS: [&str; 7] = ["llama", "llama-moe", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "gemma3"];

impl Shape {
    /// One of [`KINDS`].
    pub fn new(kind: &'static str, format: &'static str) -> Shape {
        let architecture = if kind == "llama-moe" { "llama" } else { kind };
        let experts = kind.ends_with("moe").then_some(Experts {
            count: 8,
            used: if kind == "qwen2moe" { 4 } else { 2 },
            width: 256,
            leading_dense: 0,
            fused: false,
        });
        Shape {
            kind,
            experts,
            architecture,
            format,
            layers: 2,
            width: 256,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            feed_forward: 512,
            vocabulary: 320,
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
        let (a, random) = (self.architecture, &mut Random::new(7));
        let (d, qs, kvs) = (self.width, self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let key = |k: &str| format!("{a}.{k}");
        let mut w = vocabulary(GgufWriter::new().str("general.architecture", a), self.vocabulary)
            .u32(&key("block_count"), self.layers as u32)
            .u32(&key("context_length"), 2048)
            .u32(&key("embedding_length"), d as u32)
            .u32(&key("feed_forward_length"), self.feed_forward as u32)
            .u32(&key("attention.head_count"), self.heads as u32)
            .u32(&key("attention.head_count_kv"), self.kv_heads as u32)
            .u32(&key("attention.key_length"), self.head_dim as u32)
            .u32(&key("attention.value_length"), self.head_dim as u32)
            .f32(&key("attention.layer_norm_rms_epsilon"), 1e-6)
            .f32(&key("rope.freq_base"), 10_000.0);
        if a == "gemma3" {
            w = w.u32(&key("attention.sliding_window"), 24).u32(&key("attention.sliding_window_pattern"), 2);
        }
        if let Some(experts) = &self.experts {
            w = w.u32(&key("expert_count"), experts.count as u32).u32(&key("expert_used_count"), experts.used as u32);
            if a != "llama" {
                w = w.u32(&key("expert_feed_forward_length"), experts.width as u32);
            }
            if a == "qwen2moe" {
                w = w.u32(&key("expert_shared_feed_forward_length"), self.feed_forward as u32);
            }
            if experts.leading_dense > 0 {
                w = w.u32(&key("leading_dense_block_count"), experts.leading_dense as u32);
            }
        }
        w = w.tensor(self.matrix(random, "token_embd.weight", d, self.vocabulary));
        for il in 0..self.layers {
            let name = |part: &str| format!("blk.{il}.{part}");
            w = w.tensor(vector(random, &name("attn_norm.weight"), d, 1.0));
            w = w.tensor(self.matrix(random, &name("attn_q.weight"), d, qs));
            w = w.tensor(self.matrix(random, &name("attn_k.weight"), d, kvs));
            w = w.tensor(self.matrix(random, &name("attn_v.weight"), d, kvs));
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
            if a == "gemma3" {
                w = w.tensor(vector(random, &name("post_attention_norm.weight"), d, 1.0));
                w = w.tensor(vector(random, &name("post_ffw_norm.weight"), d, 1.0));
            }
            w = w.tensor(vector(random, &name("ffn_norm.weight"), d, 1.0));
            w = match &self.experts {
                Some(experts) if il >= experts.leading_dense => self.experts(w, random, il, experts),
                _ => self.gated(w, random, il, "", self.feed_forward),
            };
        }
        if a == "llama" {
            let factors: Vec<f32> = (0..self.head_dim / 2).map(|i| 1.0 + i as f32 / 8.0).collect();
            w = w.tensor(TensorSpec::f32("rope_freqs.weight", &[factors.len() as u64], &factors));
        }
        w.tensor(vector(random, "output_norm.weight", d, 1.0))
    }

    /// Gate, up and down of a dense block or of the shared expert.
    fn gated(&self, w: GgufWriter, random: &mut Random, il: usize, suffix: &str, width: usize) -> GgufWriter {
        let name = |part: &str| format!("blk.{il}.ffn_{part}{suffix}.weight");
        w.tensor(self.matrix(random, &name("gate"), self.width, width))
            .tensor(self.matrix(random, &name("up"), self.width, width))
            .tensor(self.matrix(random, &name("down"), width, self.width))
    }

    fn experts(&self, w: GgufWriter, random: &mut Random, il: usize, experts: &Experts) -> GgufWriter {
        let (d, count) = (self.width, experts.count);
        // Mixtral files state one width for all.
        let width = if self.architecture == "llama" { self.feed_forward } else { experts.width };
        let name = |part: &str| format!("blk.{il}.{part}.weight");
        let router: Vec<f32> = (0..d * count).map(|_| random.normal() * 0.2).collect();
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
        let format = r1_format(self.format);
        let blocks = dims.iter().product::<u64>() as usize / format.block_len();
        let mut data = Vec::with_capacity(blocks * format.block_bytes());
        for _ in 0..blocks {
            let start = data.len();
            while data.len() < start + format.block_bytes() {
                data.extend(random.next().to_le_bytes());
            }
            data.truncate(start + format.block_bytes());
            set_scales(self.format, &mut data[start..], random);
        }
        TensorSpec::new(name, dims, format.id(), data)
    }
}

fn r1_format(name: &str) -> r1core::Format {
    r1core::Format::all().find(|f| f.name() == name).unwrap()
}

/// Sets a block's scales so that its values have a standard deviation of about 0.05.
fn set_scales(format: &str, block: &mut [u8], random: &mut Random) {
    let mut put = |at: usize, value: f32| block[at..at + 2].copy_from_slice(&half_bits(value).to_le_bytes());
    match format {
        "F32" => block.copy_from_slice(&(random.normal() * 0.05).to_le_bytes()),
        "F16" => put(0, random.normal() * 0.05),
        "BF16" => block.copy_from_slice(&((random.normal() * 0.05).to_bits() >> 16).to_le_bytes()[..2]),
        "Q4_0" | "IQ4_NL" => put(0, if format == "Q4_0" { 0.01 } else { 0.0008 }),
        "Q4_1" => {
            put(0, 0.01);
            put(2, -0.075);
        }
        "Q5_0" => put(0, 0.005),
        "Q5_1" => {
            put(0, 0.005);
            put(2, -0.0775);
        }
        "Q8_0" => put(0, 0.0007),
        "Q2_K" => {
            put(80, 0.005);
            put(82, 0.0075);
        }
        "Q3_K" => put(108, 0.001),
        "Q4_K" => {
            put(0, 0.000_15);
            put(2, 0.001_1);
        }
        "Q5_K" => {
            put(0, 0.000_075);
            put(2, 0.001_1);
        }
        "Q6_K" => put(208, 0.000_04),
        "IQ4_XS" => put(0, 0.000_04),
        "MXFP4" => block[0] = 120 + (random.next() % 3) as u8,
        other => panic!("no scales known for {other}"),
    }
}

fn half_bits(value: f32) -> u16 {
    // Exact enough for test data: truncates the mantissa, flushes subnormals.
    let bits = value.to_bits();
    let exponent = ((bits >> 23) & 0xff) as i32 - 127 + 15;
    let sign = ((bits >> 16) & 0x8000) as u16;
    if exponent <= 0 { sign } else { sign | (exponent as u16) << 10 | ((bits >> 13) & 0x3ff) as u16 }
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
