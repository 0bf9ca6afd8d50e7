#!/usr/bin/env python3
"""The forward pass of a GGUF's weights in double precision: a truth that belongs to no engine.

    pip install gguf numpy
    reference.py FILE.gguf OUT.dump < IDS      one line of ids on stdin; logits of every position, as `compare` reads them

Architectures llama, qwen2, qwen3 and gemma3, with experts too (qwen2moe, qwen3moe), any block format that the gguf package decodes. llama.cpp's own pass over
f32 weights is a worse truth: its activations of gemma3 go through a table of half floats.
"""
import struct, sys
import numpy as np
import gguf


class File:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.fields = reader.fields
        self.tensors = {t.name: t for t in reader.tensors}
        self.arch = self.fields["general.architecture"].contents()

    def key(self, name, default=None):
        field = self.fields.get(f"{self.arch}.{name}")
        return default if field is None else field.contents()

    def tensor(self, name):
        """The tensor in f64, or None."""
        t = self.tensors.get(name)
        if t is None:
            return None
        raw = t.data if t.data.dtype in (np.float32, np.float16) else t.data.view(np.uint8)
        return gguf.quants.dequantize(raw, t.tensor_type).reshape([int(n) for n in reversed(t.shape)]).astype(np.float64)


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope(x, base, factors, interleaved):
    """x: (positions, heads, head size); pairs are neighbours (llama) or halves (the others)."""
    half = x.shape[-1] // 2
    frequency = base ** (-np.arange(half) / half)
    if factors is not None:
        frequency = frequency / factors
    angle = np.arange(x.shape[0])[:, None] * frequency
    cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    out = np.empty_like(x)
    (first, second) = (out[..., 0::2], out[..., 1::2]) if interleaved else (out[..., :half], out[..., half:])
    first[...], second[...] = a * cos - b * sin, a * sin + b * cos
    return out


def attention(q, k, v, window):
    """Causal, grouped heads; with a window, a position sees itself and the window - 1 before it."""
    n, heads, size = q.shape
    group = heads // k.shape[1]
    ago = np.arange(n)[:, None] - np.arange(n)[None, :]
    hidden = (ago < 0) | (ago >= window) if window else ago < 0
    out = np.empty((n, heads, v.shape[2]))
    for h in range(heads):
        scores = q[:, h] @ k[:, h // group].T / np.sqrt(size)
        scores[hidden] = -np.inf
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, h] = scores @ v[:, h // group] / scores.sum(axis=1, keepdims=True)
    return out.reshape(n, -1)


def silu(x):
    return x / (1 + np.exp(-x))


def gated(y, gate, up, down):
    return (silu(y @ gate.T) * (y @ up.T)) @ down.T


def experts(f, t, y):
    """A mixture of experts over the rows of y."""
    count, used = f.key("expert_count"), f.key("expert_used_count")
    scores = y @ t("ffn_gate_inp.weight").T
    if f.key("expert_gating_func", 1) == 2:
        scores = 1 / (1 + np.exp(-scores))
    else:
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    merit, bias = scores.copy(), t("exp_probs_b.bias")
    if bias is not None:
        merit += bias
    groups = f.key("expert_group_count", 1)
    if groups > 1:
        parts = merit.reshape(len(y), groups, -1)
        two = np.sort(parts, axis=2)[:, :, -2:].sum(axis=2)
        kept = np.argsort(-two, axis=1, kind="stable")[:, :f.key("expert_group_used_count")]
        masked = np.full_like(parts, -np.inf)
        np.put_along_axis(masked, kept[:, :, None], np.take_along_axis(parts, kept[:, :, None], 1), 1)
        merit = masked.reshape(len(y), count)
    chosen = np.argsort(-merit, axis=1, kind="stable")[:, :used]
    weights = np.take_along_axis(scores, chosen, 1)
    if f.key("expert_weights_norm", f.arch in ("llama", "qwen3moe")):
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 6.103515625e-5)
    weights *= f.key("expert_weights_scale", 1.0) or 1.0
    both = t("ffn_gate_up_exps.weight")
    gate, up = (t("ffn_gate_exps.weight"), t("ffn_up_exps.weight")) if both is None else np.split(both, 2, axis=1)
    down = t("ffn_down_exps.weight")
    out = np.zeros_like(y)
    for e in range(count):
        rows, places = np.nonzero(chosen == e)
        if len(rows):
            out[rows] += weights[rows, places][:, None] * gated(y[rows], gate[e], up[e], down[e])
    if t("ffn_gate_shexp.weight") is not None:
        shared = gated(y, *(t(f"ffn_{part}_shexp.weight") for part in ("gate", "up", "down")))
        factor = t("ffn_gate_inp_shexp.weight")
        out += shared if factor is None else shared / (1 + np.exp(-(y @ factor.reshape(-1))))[:, None]
    return out


def hidden_states(f, ids):
    gemma = f.arch == "gemma3"
    eps, heads = f.key("attention.layer_norm_rms_epsilon"), f.key("attention.head_count")
    kv_heads = f.key("attention.head_count_kv", heads)
    base, window = f.key("rope.freq_base", 10000.0), f.key("attention.sliding_window", 0)
    size = f.key("attention.key_length", f.key("embedding_length") // heads)
    factors = f.tensor("rope_freqs.weight")
    if any(key.startswith(f"{f.arch}.rope.scaling.") for key in f.fields):
        sys.exit("rope scaling is not supported")
    x = f.tensor("token_embd.weight")[ids]
    if gemma:
        x *= np.float64(np.float32(np.sqrt(x.shape[1])))
    for i in range(f.key("block_count")):
        def t(name): return f.tensor(f"blk.{i}.{name}")
        def linear(name, y):
            bias = t(name + ".bias")
            return y @ t(name + ".weight").T + (0.0 if bias is None else bias)
        local = gemma and i % 6 != 5
        y = rms_norm(x, t("attn_norm.weight"), eps)
        q = linear("attn_q", y).reshape(len(ids), heads, size)
        k = linear("attn_k", y).reshape(len(ids), kv_heads, size)
        v = linear("attn_v", y).reshape(len(ids), kv_heads, -1)
        if t("attn_q_norm.weight") is not None:
            q, k = rms_norm(q, t("attn_q_norm.weight"), eps), rms_norm(k, t("attn_k_norm.weight"), eps)
        turn = lambda z: rope(z, 10000.0 if local else base, factors, f.arch == "llama")
        y = linear("attn_output", attention(turn(q), turn(k), v, window if local else 0))
        x = x + (rms_norm(y, t("post_attention_norm.weight"), eps) if gemma else y)
        y = rms_norm(x, t("ffn_norm.weight"), eps)
        if t("ffn_gate_inp.weight") is not None:
            x = x + experts(f, t, y)
            continue
        gate = linear("ffn_gate", y)
        if gemma:
            gate = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate ** 3)))
        else:
            gate = silu(gate)
        y = linear("ffn_down", gate * linear("ffn_up", y))
        x = x + (rms_norm(y, t("post_ffw_norm.weight"), eps) if gemma else y)
    return rms_norm(x, f.tensor("output_norm.weight"), eps)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    f = File(sys.argv[1])
    if f.arch not in ("llama", "qwen2", "qwen3", "gemma3", "qwen2moe", "qwen3moe"):
        sys.exit(f"architecture {f.arch} is not supported")
    x = hidden_states(f, np.array(sys.stdin.readline().split(), dtype=np.int64))
    head = f.tensor("output.weight" if "output.weight" in f.tensors else "token_embd.weight").T
    with open(sys.argv[2], "wb") as out:
        out.write(struct.pack("<II", len(x), head.shape[1]))
        for start in range(0, len(x), 128):
            out.write((x[start:start + 128] @ head).astype("<f4").tobytes())


if __name__ == "__main__":
    main()
