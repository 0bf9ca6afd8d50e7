#!/usr/bin/env python3
"""Compares the log-probabilities of r1core's rollouts with PyTorch's, on one GGUF file of half precision.

    cargo run --release -p r1core --example rollout -- runs/rl1-f16.gguf models/tasks/tasks.jsonl --samples 4 --tasks 50 >r.jsonl
    python3 models/training/compare_logprobs.py runs/rl1-f16.gguf r.jsonl

Prints the largest and the mean difference over all sampled tokens; fails above 0.01.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
from gguf import GGUFReader

from tiny.network import Network, Shape


def network(path: str) -> Network:
    """The network in a file that tiny.export wrote, in float32."""
    reader = GGUFReader(path)
    field = lambda name: reader.get_field(f"qwen2.{name}").contents()  # noqa: E731
    tensors = {t.name: torch.from_numpy(np.array(t.data, dtype=np.float32)) for t in reader.tensors}
    heads, width = field("attention.head_count"), field("embedding_length")
    made = Network(Shape(field("block_count"), width, heads, field("attention.head_count_kv"), 64, field("feed_forward_length"),
                         tensors["token_embd.weight"].shape[0], field("context_length"), field("rope.freq_base"),
                         field("attention.layer_norm_rms_epsilon")))
    state = {"embed": tensors["token_embd.weight"], "norm": tensors["output_norm.weight"]}
    for n in range(field("block_count")):
        part = lambda name: tensors[f"blk.{n}.{name}"]  # noqa: B023, E731
        for ours, theirs in [("attn_norm", "attn_norm.weight"), ("ffn_norm", "ffn_norm.weight"),
                             ("out.weight", "attn_output.weight"), ("down.weight", "ffn_down.weight")]:
            state[f"blocks.{n}.{ours}"] = part(theirs)
        for kind in ("weight", "bias"):
            state[f"blocks.{n}.qkv.{kind}"] = torch.cat([part(f"attn_{x}.{kind}") for x in "qkv"])
        state[f"blocks.{n}.gate_up.weight"] = torch.cat([part("ffn_gate.weight"), part("ffn_up.weight")])
    made.load_state_dict(state)
    return made.eval()


def main() -> None:
    model, worst, total, count = network(sys.argv[1]), 0.0, 0.0, 0
    for line in open(sys.argv[2]):
        row = json.loads(line)
        ids = torch.tensor([row["prompt"] + row["tokens"]])
        with torch.no_grad():
            scores = torch.log_softmax(model(ids)[0, len(row["prompt"]) - 1 : -1].double(), -1)
        ours = scores.gather(1, ids[0, len(row["prompt"]) :, None])[:, 0].tolist()
        differences = [abs(a - b) for a, b, sampled in zip(ours, row["logprobs"], row["sampled"]) if sampled]
        worst, total, count = max([worst, *differences]), total + sum(differences), count + len(differences)
    print(f"{count} tokens: largest difference {worst:.5f}, mean {total / count:.7f}")
    sys.exit(worst > 0.01)


if __name__ == "__main__":
    main()
