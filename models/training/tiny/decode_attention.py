"""One step of attention over a cache: each row reads as many keys as it has, finished rows none."""

import torch
import torch.nn.functional as F

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

if triton:

    @triton.jit
    def _kernel(Q, K, V, OUT, COUNT, stride_b, stride_h, KV: tl.constexpr, REP: tl.constexpr, D: tl.constexpr,
                BLOCK: tl.constexpr):
        row, head = tl.program_id(0), tl.program_id(1)
        count = tl.load(COUNT + row)
        d, key, rep = tl.arange(0, D), tl.arange(0, BLOCK), tl.arange(0, REP)
        at = (row * KV * REP + head * REP + rep[:, None]) * D + d[None, :]
        q = tl.load(Q + at).to(tl.float32) * (D ** -0.5)
        base = row.to(tl.int64) * stride_b + head * stride_h
        best = tl.full([REP], -1e30, tl.float32)
        total = tl.zeros([REP], tl.float32)
        out = tl.zeros([REP, D], tl.float32)
        for start in range(0, count, BLOCK):
            inside = start + key < count
            place = base + (start + key)[:, None] * D + d[None, :]
            k = tl.load(K + place, mask=inside[:, None], other=0.0).to(tl.float32)
            v = tl.load(V + place, mask=inside[:, None], other=0.0).to(tl.float32)
            score = tl.sum(q[:, None, :] * k[None, :, :], 2)
            score = tl.where(inside[None, :], score, -1e30)
            top = tl.maximum(best, tl.max(score, 1))
            weight = tl.exp(score - top[:, None])
            scale = tl.exp(best - top)
            total = total * scale + tl.sum(weight, 1)
            out = out * scale[:, None] + tl.sum(weight[:, :, None] * v[None, :, :], 1)
            best = top
        out = out / tl.maximum(total, 1e-20)[:, None]
        tl.store(OUT + at, out.to(OUT.dtype.element_ty))


def reference(q, k, v, count):
    """q [rows, heads, 64], k and v [rows, kv_heads, length, 64], count [rows] -> [rows, heads * 64]."""
    rows, kv, length, width = k.shape
    mask = torch.arange(length, device=k.device)[None, :] < count.clamp(min=1)[:, None]
    # The heads of a group stand as queries of one head.
    grouped = q.view(rows, kv, -1, width)
    return F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask[:, None, None, :]).reshape(rows, -1)


def fused(q, k, v, count):
    rows, heads, width = q.shape
    kv = k.shape[1]
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    _kernel[(rows, kv)](q.contiguous(), k, v, out, count, k.stride(0), k.stride(1), kv, heads // kv, width, 32, num_warps=2)
    return out.view(rows, -1)


def choose(device, heads: int, kv: int):
    """The fused kernel where it works and agrees, else the reference; and the reason."""
    if device.type != "cuda" or triton is None:
        return reference, "no GPU"
    try:
        generator = torch.Generator(device).manual_seed(1)
        make = lambda *shape: torch.randn(shape, generator=generator, device=device).bfloat16()  # noqa: E731
        q, k, v = make(300, heads, 64), make(300, kv, 200, 64), make(300, kv, 200, 64)
        count = torch.randint(1, 200, (300,), generator=generator, device=device, dtype=torch.int32)
        want, got = reference(q.float(), k.float(), v.float(), count), fused(q, k, v, count).float()
        error = ((want - got).norm() / want.norm()).item()
        return (fused, f"fused, error {error:.1e}") if error < 0.01 else (reference, f"fused kernel is off by {error:.1e}")
    except Exception as e:  # noqa: BLE001 - any failure of a compiler means the reference
        return reference, f"{type(e).__name__}: {str(e)[:200]}"
