"""Next-token training on packed rows: the base model, cold start, fine-tuning, distillation."""

from __future__ import annotations

import math
import time

import torch
import torch.nn.functional as F

from tiny.network import Network
from tiny.shards import MUTED


def optimizer(network: Network, rate: float, betas, decay: float):
    matrices = [w for w in network.parameters() if w.dim() == 2]
    vectors = [w for w in network.parameters() if w.dim() < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=network.embed.is_cuda)


def set_rate(opt, rate: float) -> None:
    for group in opt.param_groups:
        group["lr"] = rate


def loss_of(network: Network, rows: torch.Tensor) -> torch.Tensor:
    """Mean loss of the tokens that count, in rows of ids with the muted bit."""
    ids = rows & (MUTED - 1)
    target = torch.where(rows >= MUTED, -100, ids)[:, 1:]
    return F.cross_entropy(network(ids)[:, :-1].flatten(0, 1), target.flatten(), ignore_index=-100)


def compiled(network: Network, rows: torch.Tensor, log):
    """`loss_of`, compiled where that works."""
    plain = lambda batch: loss_of(network, batch)  # noqa: E731
    if not network.embed.is_cuda:
        return plain
    start = time.time()
    try:
        fast = torch.compile(plain, dynamic=False)
        fast(rows).backward()
        network.zero_grad()
        torch.cuda.synchronize()
        log(f"compiled in {time.time() - start:.0f} s")
        return fast
    except Exception as e:  # noqa: BLE001 - eager always works
        log(f"not compiled: {type(e).__name__}: {str(e)[:300]}")
        network.zero_grad()
        return plain


def train(network: Network, batches, steps: int, rate: float, log, seconds: float = math.inf, warmup: int = 100,
          decay: float = 0.05, compile: bool = False) -> list[dict]:
    """Runs `steps` batches or `seconds`, whichever ends first; the rate falls along a cosine to 5 %."""
    opt = optimizer(network, rate, (0.9, 0.95), decay)
    device, curve, loss_fn = network.embed.device, [], None
    start = time.time()
    for step, rows in enumerate(batches):
        rows = torch.from_numpy(rows.astype("int32")).to(device).long()
        if loss_fn is None:
            loss_fn = compiled(network, rows, log) if compile else lambda batch: loss_of(network, batch)
            start = time.time()
        done = max(step / steps, (time.time() - start) / seconds)
        if step >= steps or done >= 1:
            break
        set_rate(opt, rate * min(1, (step + 1) / warmup) * (0.05 + 0.475 * (1 + math.cos(math.pi * done))))
        loss = loss_fn(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        if step % max(1, steps // 50) == 0:
            curve.append({"step": step, "loss": round(loss.item(), 4), "seconds": round(time.time() - start, 1)})
            if len(curve) % 5 == 1:
                log(f"step {step}/{steps} loss {curve[-1]['loss']} {step * rows.numel() / max(time.time() - start, 1e-9) / 1e6:.2f} Mtok/s")
    return curve
