"""Writes a network as a GGUF file: arch qwen2, R1's tags and template. The same network gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np

from tiny.network import Network
from tiny.tokens import PLAIN, SPECIAL

TEMPLATE = (Path(__file__).parent / "template.jinja").read_text().rstrip("\n")


def export(network: Network, tokenizer: Path, path: Path, kind: str = "q8_0", name: str = "r1-tiny") -> None:
    s, w = network.shape, {k: v.detach().float().cpu().numpy() for k, v in network.state_dict().items()}
    made = json.loads(Path(tokenizer).read_text())["model"]
    tokens = [text for text, _ in sorted(made["vocab"].items(), key=lambda item: item[1])] + SPECIAL
    merges = [m if isinstance(m, str) else " ".join(m) for m in made["merges"]]
    out = gguf.GGUFWriter(str(path), "qwen2")
    out.add_name(name)
    out.add_description("Tiny reasoning model, trained with DeepSeek-R1's stages in miniature on generated problems.")
    out.add_license("MIT OR Apache-2.0")
    count = sum(v.size for k, v in w.items())
    out.add_size_label(f"{count / 1e6:.1f}M")
    out.add_context_length(s.context)
    out.add_embedding_length(s.width)
    out.add_block_count(s.layers)
    out.add_feed_forward_length(s.hidden)
    out.add_head_count(s.heads)
    out.add_head_count_kv(s.kv_heads)
    if s.width // s.heads != s.head:
        out.add_key_length(s.head)
        out.add_value_length(s.head)
    out.add_rope_freq_base(s.rope_base)
    out.add_layer_norm_rms_eps(s.eps)
    quantised = kind == "q8_0"
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantised else gguf.LlamaFileType.MOSTLY_F16)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("deepseek-r1-qwen")
    out.add_token_list(tokens)
    control, user_defined = gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
    out.add_token_types([gguf.TokenType.NORMAL] * PLAIN + [control] * 4 + [user_defined] * 2)
    out.add_token_merges(merges)
    out.add_bos_token_id(PLAIN)
    out.add_eos_token_id(PLAIN + 1)
    out.add_pad_token_id(PLAIN + 1)
    out.add_add_bos_token(True)
    out.add_add_eos_token(False)
    out.add_chat_template(TEMPLATE)

    def matrix(tensor: str, values: np.ndarray) -> None:
        if quantised:
            kind = gguf.GGMLQuantizationType.Q8_0
            out.add_tensor(tensor, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            out.add_tensor(tensor, values.astype(np.float16))

    q, kv = s.heads * s.head, s.kv_heads * s.head
    matrix("token_embd.weight", w["embed"])
    out.add_tensor("output_norm.weight", w["norm"])
    for n in range(s.layers):
        part = lambda key: w[f"blocks.{n}.{key}"]  # noqa: B023, E731
        out.add_tensor(f"blk.{n}.attn_norm.weight", part("attn_norm"))
        bounds = {"q": (0, q), "k": (q, q + kv), "v": (q + kv, q + 2 * kv)}
        for name, (a, b) in bounds.items():
            matrix(f"blk.{n}.attn_{name}.weight", part("qkv.weight")[a:b])
            out.add_tensor(f"blk.{n}.attn_{name}.bias", part("qkv.bias")[a:b])
        matrix(f"blk.{n}.attn_output.weight", part("out.weight"))
        out.add_tensor(f"blk.{n}.ffn_norm.weight", part("ffn_norm"))
        gate, up = np.split(part("gate_up.weight"), 2)
        matrix(f"blk.{n}.ffn_gate.weight", gate)
        matrix(f"blk.{n}.ffn_up.weight", up)
        matrix(f"blk.{n}.ffn_down.weight", part("down.weight"))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
