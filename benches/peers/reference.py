#!/usr/bin/env python3
"""The forward pass of a GGUF's weights in double precision: a truth that belongs to no engine.

    pip install gguf numpy
    reference.py FILE.gguf OUT.dump < IDS      one line of ids on stdin; logits of every position, as `compare` reads them

Every architecture that r1core runs, with experts too, any block format that the gguf package decodes. llama.cpp's own
pass over f32 weights is a worse truth: its activations of gemma3 go through a table of half floats.
"""
import struct, sys
import numpy as np
import gguf


ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3", "smollm3", "glm4", "phi3", "exaone", "qwen2moe", "qwen3moe",
                 "deepseek", "deepseek2")


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


def frequencies(f, n_rot, base, scaled=True):
    """Radians a position of every pair, and what cosines and sines are multiplied by."""
    half = n_rot // 2
    plain = base ** (-np.arange(half) / half)
    context = f.key("context_length")
    original, length = f.key("rope.scaling.original_context_length", context), f.key("rope.scaling.attn_factor", 1.0)
    factors = f.tensor("rope_freqs.weight")
    if factors is None:
        factors = f.tensor(f"rope_factors_{'long' if context > original else 'short'}.weight")
    if factors is not None:
        plain = plain / factors
    factor, kind = f.key("rope.scaling.factor", 0) or 1, f.key("rope.scaling.type", "linear")
    if not scaled or kind == "none":
        return plain, length
    if kind in ("linear", "longrope"):
        return plain / factor, length
    if kind != "yarn":
        sys.exit(f"rope scaling {kind} is not supported")
    pair = lambda turns: n_rot * np.log(original / (2 * np.pi * turns)) / (2 * np.log(base))
    low, high = max(0, np.floor(pair(32))), min(n_rot - 1, np.ceil(pair(1)))
    kept = 1 - np.clip((np.arange(half) - low) / max(0.001, high - low), 0, 1)
    # Of DeepSeek's two factors only the one on the scores is not 1 where the file has the multiplier.
    if f.arch != "deepseek2" or not f.key("rope.scaling.yarn_log_multiplier"):
        length *= 1 + 0.1 * np.log(factor)
    return plain / factor * (1 - kept) + plain * kept, length


def rope(x, turns, interleaved):
    """x: (positions, heads, head size), of which the first values turn; pairs are neighbours or halves."""
    (frequency, length), half = turns, len(turns[0])
    x, rest = x[..., :2 * half], x[..., 2 * half:]
    angle = np.arange(x.shape[0])[:, None] * frequency
    cos, sin = length * np.cos(angle)[:, None, :], length * np.sin(angle)[:, None, :]
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    out = np.empty_like(x)
    (first, second) = (out[..., 0::2], out[..., 1::2]) if interleaved else (out[..., :half], out[..., half:])
    first[...], second[...] = a * cos - b * sin, a * sin + b * cos
    return np.concatenate([out, rest], axis=-1)


def attention(q, k, v, window, scale=None):
    """Causal, grouped heads; with a window, a position sees itself and the window - 1 before it."""
    n, heads, size = q.shape
    group = heads // k.shape[1]
    ago = np.arange(n)[:, None] - np.arange(n)[None, :]
    hidden = (ago < 0) | (ago >= window) if window else ago < 0
    out = np.empty((n, heads, v.shape[2]))
    for h in range(heads):
        scores = q[:, h] @ k[:, h // group].T * (scale or 1 / np.sqrt(size))
        scores[hidden] = -np.inf
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, h] = scores @ v[:, h // group] / scores.sum(axis=1, keepdims=True)
    return out.reshape(n, -1)


def latent_attention(f, t, x, eps, heads):
    """Multi-head latent attention as its paper has it: keys and values of every head are made from the latents."""
    n, rank, n_rot = len(x), f.key("attention.kv_lora_rank"), f.key("rope.dimension_count")
    split = f.key("attention.key_length_mla") is not None
    size, value = (f.key(f"attention.{name}_length" + "_mla" * split) for name in ("key", "value"))
    nope = size - n_rot
    if t("attn_q_a.weight") is not None:
        q = rms_norm(x @ t("attn_q_a.weight").T, t("attn_q_a_norm.weight"), eps) @ t("attn_q_b.weight").T
    else:
        q = x @ t("attn_q.weight").T
    q = q.reshape(n, heads, size)
    latent = x @ t("attn_kv_a_mqa.weight").T
    turned, latent = latent[:, None, rank:], rms_norm(latent[:, :rank], t("attn_kv_a_norm.weight"), eps)
    if split:
        k = np.einsum("nr,hrd->nhd", latent, t("attn_k_b.weight").reshape(heads, rank, nope))
        v = np.einsum("nr,hdr->nhd", latent, t("attn_v_b.weight").reshape(heads, value, rank))
    else:
        kv = (latent @ t("attn_kv_b.weight").T).reshape(n, heads, nope + value)
        k, v = kv[..., :nope], kv[..., nope:]
    turns = frequencies(f, n_rot, f.key("rope.freq_base", 10000.0))
    turn = lambda z: rope(z, turns, True)
    q = np.concatenate([q[..., :nope], turn(q[..., nope:])], axis=2)
    k = np.concatenate([k, np.repeat(turn(turned), heads, axis=1)], axis=2)
    length = turns[1]
    if f.key("rope.scaling.type") == "yarn":
        length *= 1 + f.key("rope.scaling.yarn_log_multiplier", 0.0) * np.log(f.key("rope.scaling.factor"))
    return attention(q, k, v, 0, length ** 2 / np.sqrt(size))


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
    x = f.tensor("token_embd.weight")[ids]
    if gemma:
        x *= np.float64(np.float32(np.sqrt(x.shape[1])))
    for i in range(f.key("block_count")):
        def t(name): return f.tensor(f"blk.{i}.{name}")
        def linear(name, y):
            bias = t(name + ".bias")
            return y @ t(name + ".weight").T + (0.0 if bias is None else bias)
        period = f.key("attention.sliding_window_pattern", 6)
        local = gemma and i % period != period - 1
        y = rms_norm(x, t("attn_norm.weight"), eps)
        if f.arch == "deepseek2":
            y = linear("attn_output", latent_attention(f, t, y, eps, heads))
        else:
            if t("attn_qkv.weight") is not None:
                parts = np.split(linear("attn_qkv", y), [heads * size, (heads + kv_heads) * size], axis=1)
            else:
                parts = [linear(f"attn_{part}", y) for part in "qkv"]
            q, k, v = (part.reshape(len(ids), count, -1) for part, count in zip(parts, (heads, kv_heads, kv_heads)))
            if t("attn_q_norm.weight") is not None:
                q, k = rms_norm(q, t("attn_q_norm.weight"), eps), rms_norm(k, t("attn_k_norm.weight"), eps)
            turns = frequencies(f, f.key("rope.dimension_count", size), 10000.0 if local else base, not local)
            still = f.arch == "smollm3" and i % 4 == 3
            neighbours = f.arch in ("llama", "smollm3", "glm4", "deepseek")
            turn = lambda z: z if still else rope(z, turns, neighbours)
            y = linear("attn_output", attention(turn(q), turn(k), v, window if local else 0))
        def post(name, y): return y if t(name) is None else rms_norm(y, t(name), eps)
        x = x + post("post_attention_norm.weight", y)
        y = rms_norm(x, t("ffn_norm.weight"), eps)
        if t("ffn_gate_inp.weight") is not None:
            x = x + experts(f, t, y)
            continue
        both = t("ffn_gate.weight") is None
        gate, up = np.split(linear("ffn_up", y), 2, axis=1) if both else (linear("ffn_gate", y), linear("ffn_up", y))
        if gemma:
            gate = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate ** 3)))
        else:
            gate = silu(gate)
        x = x + post("post_ffw_norm.weight", linear("ffn_down", gate * up))
    return rms_norm(x, f.tensor("output_norm.weight"), eps)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    f = File(sys.argv[1])
    if f.arch not in ARCHITECTURES:
        sys.exit(f"architecture {f.arch} is not supported")
    x = hidden_states(f, np.array(sys.stdin.readline().split(), dtype=np.int64))
    head = f.tensor("output.weight" if "output.weight" in f.tensors else "token_embd.weight").T
    with open(sys.argv[2], "wb") as out:
        out.write(struct.pack("<II", len(x), head.shape[1]))
        for start in range(0, len(x), 128):
            out.write((x[start:start + 128] @ head).astype("<f4").tobytes())


if __name__ == "__main__":
    main()
