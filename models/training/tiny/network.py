"""The network: Qwen2's architecture, small, with the names of its GGUF tensors in mind."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    layers: int = 8
    width: int = 256
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    hidden: int = 512
    vocabulary: int = 768
    context: int = 2048
    rope_base: float = 10_000.0
    eps: float = 1e-6


#: What ships, and what it is distilled into.
TINY = Shape()
SMALL = Shape(layers=4, width=128, heads=2, kv_heads=1, hidden=384)


class Block(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        q, kv = shape.heads * shape.head, shape.kv_heads * shape.head
        self.attn_norm = nn.Parameter(torch.ones(shape.width))
        self.qkv = nn.Linear(shape.width, q + 2 * kv)
        self.out = nn.Linear(q, shape.width, bias=False)
        self.ffn_norm = nn.Parameter(torch.ones(shape.width))
        self.gate_up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)


class Network(nn.Module):
    def __init__(self, shape: Shape = TINY, seed: int = 0):
        super().__init__()
        self.shape = shape
        torch.manual_seed(seed)
        self.embed = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.02)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and name != "embed":
                scale = (2 * shape.layers) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(weight, std=0.6 * scale * weight.shape[1] ** -0.5)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        frequencies = shape.rope_base ** (-torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
        angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * frequencies
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def half(self, weight: torch.Tensor) -> torch.Tensor:
        """Matrices work in bfloat16 on a GPU, in float32 on a CPU."""
        return weight.to(torch.bfloat16) if weight.is_cuda else weight

    def normed(self, x, weight):
        return self.half(F.rms_norm(x, (self.shape.width,), weight, self.shape.eps))

    def qkv(self, block: Block, x, cos, sin):
        """Queries [.., heads, 64], keys and values [.., kv_heads, 64] of rows; cos and sin are [.., 32]."""
        s = self.shape
        rows = F.linear(self.normed(x, block.attn_norm), self.half(block.qkv.weight), self.half(block.qkv.bias))
        rows = rows.unflatten(-1, (s.heads + 2 * s.kv_heads, s.head))
        turned = rotate(rows[..., : s.heads + s.kv_heads, :], cos[..., None, :], sin[..., None, :])
        return turned[..., : s.heads, :], turned[..., s.heads :, :], rows[..., s.heads + s.kv_heads :, :]

    def after(self, block: Block, x, attended):
        """The output projection and the feed-forward network."""
        x = x + F.linear(attended, self.half(block.out.weight))
        gate, up = F.linear(self.normed(x, block.ffn_norm), self.half(block.gate_up.weight)).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, self.half(block.down.weight))

    def logits(self, x):
        return F.linear(self.normed(x, self.norm), self.half(self.embed)).float()

    def hidden(self, ids, keep=None):
        """Last states of [rows, time] ids; `keep(layer, keys, values)` sees what a cache would hold."""
        time = ids.shape[1]
        x, cos, sin = F.embedding(ids, self.embed), self.cos[:time], self.sin[:time]
        for n, block in enumerate(self.blocks):
            q, k, v = self.qkv(block, x, cos, sin)
            if keep:
                keep(n, k, v)
            out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True,
                                                 enable_gqa=True)
            x = self.after(block, x, out.transpose(1, 2).flatten(2))
        return x

    def forward(self, ids):
        return self.logits(self.hidden(ids))


def rotate(x, cos, sin):
    """Rotary positions: the halves of a head are the pairs."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


def save(network: Network, path, dtype=torch.float16) -> None:
    """Half precision by default: what ships, and small enough to carry."""
    torch.save({"shape": asdict(network.shape), "weights": {k: v.to(dtype).cpu() for k, v in network.state_dict().items()}},
               path)


def load(path, device="cpu") -> Network:
    made = torch.load(path, map_location="cpu", weights_only=True)
    network = Network(Shape(**made["shape"]))
    network.load_state_dict({k: v.float() for k, v in made["weights"].items()})
    return network.to(device)
