//! The header of DeepSeek-R1 (671 billion weights) as converters write it: every key that the engine reads and every
//! tensor with its type, shape and place. No vocabulary, and no data: some hundred gigabytes would follow.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each user takes a part of it")]

use super::gguf_writer::{GgufWriter, TensorSpec};
use r1core::Format;

/// How the weights are quantised; the rules that matter for the size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    Q8_0,
    Q4KM,
    /// Experts in Q2_K and Q3_K, the rest as in `Q4KM`.
    Q2K,
    /// Experts in IQ1_S and IQ2_XXS, the rest as in `Q4KM`.
    IQ1S,
}

impl Mix {
    pub fn from_name(name: &str) -> Option<Mix> {
        [("Q8_0", Mix::Q8_0), ("Q4_K_M", Mix::Q4KM), ("Q2_K", Mix::Q2K), ("IQ1_S", Mix::IQ1S)]
            .into_iter()
            .find_map(|(known, mix)| (known == name).then_some(mix))
    }

    /// The type of a matrix with rows of `inputs` values.
    fn of(self, part: &str, layer: usize, inputs: u64) -> &'static str {
        // As llama.cpp's quantiser spends more bits on the first and the last eighth and on every third between.
        let more = !(LAYERS / 8..7 * LAYERS / 8).contains(&layer) || (layer - LAYERS / 8) % 3 == 2;
        match (self, part) {
            (Mix::Q8_0, _) => "Q8_0",
            // No block of 256 fits.
            _ if !inputs.is_multiple_of(256) => "Q8_0",
            (_, "output") => "Q6_K",
            (Mix::Q2K, "ffn_down_exps") => "Q3_K",
            (Mix::Q2K, _) if part.ends_with("_exps") => "Q2_K",
            (Mix::IQ1S, "ffn_down_exps") => "IQ2_XXS",
            (Mix::IQ1S, _) if part.ends_with("_exps") => "IQ1_S",
            (_, "ffn_down" | "ffn_down_exps" | "ffn_down_shexp" | "attn_v_b") if more => "Q6_K",
            _ => "Q4_K",
        }
    }
}

const LAYERS: usize = 61;
const DENSE: usize = 3;
const WIDTH: u64 = 7168;
const HEADS: u64 = 128;
const EXPERTS: u64 = 256;
const VOCABULARY: u64 = 129_280;

/// The header; `merged` as files made before April 2025 have it.
pub fn header(mix: Mix, merged: bool) -> GgufWriter {
    let key = |k: &str| format!("deepseek2.{k}");
    let lengths = if merged { [HEADS as u32, 192, 128] } else { [1, 576, 512] };
    let mut w = GgufWriter::new()
        .str("general.architecture", "deepseek2")
        .str("general.name", "DeepSeek R1")
        .u32(&key("block_count"), LAYERS as u32)
        .u32(&key("context_length"), 163_840)
        .u32(&key("embedding_length"), WIDTH as u32)
        .u32(&key("feed_forward_length"), 18_432)
        .u32(&key("attention.head_count"), HEADS as u32)
        .u32(&key("attention.head_count_kv"), lengths[0])
        .u32(&key("attention.key_length"), lengths[1])
        .u32(&key("attention.value_length"), lengths[2])
        .u32(&key("attention.q_lora_rank"), 1536)
        .u32(&key("attention.kv_lora_rank"), 512)
        .f32(&key("attention.layer_norm_rms_epsilon"), 1e-6)
        .u32(&key("rope.dimension_count"), 64)
        .f32(&key("rope.freq_base"), 10_000.0)
        .str(&key("rope.scaling.type"), "yarn")
        .f32(&key("rope.scaling.factor"), 40.0)
        .u32(&key("rope.scaling.original_context_length"), 4096)
        .f32(&key("rope.scaling.yarn_log_multiplier"), 0.1)
        .u32(&key("leading_dense_block_count"), DENSE as u32)
        .u32(&key("expert_count"), EXPERTS as u32)
        .u32(&key("expert_used_count"), 8)
        .u32(&key("expert_shared_count"), 1)
        .u32(&key("expert_feed_forward_length"), 2048)
        .f32(&key("expert_weights_scale"), 2.5)
        .bool(&key("expert_weights_norm"), true)
        .u32(&key("expert_gating_func"), 2)
        .u32(&key("vocab_size"), VOCABULARY as u32);
    if !merged {
        w = w
            .u32(&key("attention.key_length_mla"), 192)
            .u32(&key("attention.value_length_mla"), 128)
            .u32(&key("expert_group_count"), 8)
            .u32(&key("expert_group_used_count"), 4);
    }
    let mut table = Table { mix, next: 0, tensors: Vec::new() };
    table.matrix("token_embd", 0, &[WIDTH, VOCABULARY], "");
    table.matrix("output", 0, &[WIDTH, VOCABULARY], "");
    table.floats("output_norm.weight", &[WIDTH]);
    for il in 0..LAYERS {
        table.layer(il, merged);
    }
    w.tensors = table.tensors;
    w
}

struct Table {
    mix: Mix,
    next: u64,
    tensors: Vec<TensorSpec>,
}

impl Table {
    fn layer(&mut self, il: usize, merged: bool) {
        let block = format!("blk.{il}.");
        for (part, len) in [("attn_norm", WIDTH), ("ffn_norm", WIDTH), ("attn_q_a_norm", 1536), ("attn_kv_a_norm", 512)]
        {
            self.floats(&format!("{block}{part}.weight"), &[len]);
        }
        let mut matrices: Vec<(&str, Vec<u64>)> = vec![
            ("attn_q_a", vec![WIDTH, 1536]),
            ("attn_q_b", vec![1536, HEADS * 192]),
            ("attn_kv_a_mqa", vec![WIDTH, 576]),
            ("attn_output", vec![HEADS * 128, WIDTH]),
        ];
        if merged {
            matrices.push(("attn_kv_b", vec![512, HEADS * 256]));
        } else {
            matrices.extend([("attn_k_b", vec![128, 512, HEADS]), ("attn_v_b", vec![512, 128, HEADS])]);
        }
        if il < DENSE {
            matrices.extend([("ffn_gate", vec![WIDTH, 18_432]), ("ffn_up", vec![WIDTH, 18_432])]);
            matrices.push(("ffn_down", vec![18_432, WIDTH]));
        } else {
            self.floats(&format!("{block}ffn_gate_inp.weight"), &[WIDTH, EXPERTS]);
            self.floats(&format!("{block}exp_probs_b.bias"), &[EXPERTS]);
            matrices.extend([
                ("ffn_gate_exps", vec![WIDTH, 2048, EXPERTS]),
                ("ffn_up_exps", vec![WIDTH, 2048, EXPERTS]),
                ("ffn_down_exps", vec![2048, WIDTH, EXPERTS]),
                ("ffn_gate_shexp", vec![WIDTH, 2048]),
                ("ffn_up_shexp", vec![WIDTH, 2048]),
                ("ffn_down_shexp", vec![2048, WIDTH]),
            ]);
        }
        for (part, dims) in matrices {
            self.matrix(part, il, &dims, &block);
        }
    }

    fn matrix(&mut self, part: &str, il: usize, dims: &[u64], block: &str) {
        self.add(&format!("{block}{part}.weight"), dims, self.mix.of(part, il, dims[0]));
    }

    fn floats(&mut self, name: &str, dims: &[u64]) {
        self.add(name, dims, "F32");
    }

    fn add(&mut self, name: &str, dims: &[u64], format: &str) {
        let format = Format::all().find(|f| f.name() == format).unwrap();
        let bytes = dims.iter().product::<u64>() / format.block_len() as u64 * format.block_bytes() as u64;
        let mut tensor = TensorSpec::new(name, dims, format.id(), Vec::new());
        tensor.offset = Some(self.next);
        self.next += bytes.next_multiple_of(32);
        self.tensors.push(tensor);
    }
}
