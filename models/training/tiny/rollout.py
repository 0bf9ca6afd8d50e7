"""Samples replies: prompts are read once, samples of a prompt share them, one CUDA graph a token."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiny import decode_attention
from tiny.network import Network
from tiny.tokens import EOS

GRAPH_ROWS = (512, 2048, 4096)


@dataclass
class Rollouts:
    #: Reply ids [rows, length], right-padded with EOS.
    ids: torch.Tensor
    #: Their log-probabilities under the distribution that was sampled from.
    logprobs: torch.Tensor
    #: Tokens of each reply, the end token included.
    lengths: torch.Tensor
    #: Whether a reply ended by itself.
    ended: torch.Tensor

    def reply(self, row: int) -> list[int]:
        """Without the end token."""
        return self._ids[row][: self._lengths[row] - self._ended[row]]

    def lists(self) -> "Rollouts":
        self._ids, self._lengths, self._ended = self.ids.tolist(), self.lengths.tolist(), self.ended.int().tolist()
        return self


class Roller:
    """Holds the cache and the graphs of one network, whose weights may change between calls."""

    def __init__(self, network: Network, rows: int, length: int):
        self.network, self.length = network, length
        self.device = network.embed.device
        self.gpu = self.device.type == "cuda"
        s = network.shape
        self.attend, self.why = decode_attention.choose(self.device, s.heads, s.kv_heads)
        dtype = torch.bfloat16 if self.gpu else torch.float32
        size = (s.layers, rows, s.kv_heads, length, s.head)
        self.keys, self.values = (torch.zeros(size, dtype=dtype, device=self.device) for _ in range(2))
        self.rows = rows
        new = lambda dtype, *more: torch.zeros((rows, *more), dtype=dtype, device=self.device)  # noqa: E731
        self.token, self.place, self.count = new(torch.long), new(torch.long), new(torch.int32)
        self.alive, self.made, self.limit = new(torch.bool), new(torch.long), new(torch.long)
        self.out, self.scores = new(torch.long, length), new(torch.float32, length)
        self.logits = new(torch.float32, s.vocabulary)
        self.index = torch.arange(rows, device=self.device)
        self.graphs = {}

    @torch.no_grad()
    def sample(self, prompts: list[list[int]], k: int, limit: int, temperature: float = 1.0, top_p: float = 1.0) -> Rollouts:
        """k replies to each prompt, those of a prompt side by side, at most `limit` tokens each."""
        parts, step = [], max(1, self.rows // k)
        for at in range(0, len(prompts), step):
            parts.append(self._chunk(prompts[at : at + step], k, limit, temperature, top_p))
        width = max(part[0].shape[1] for part in parts)
        pad = lambda x, fill: torch.nn.functional.pad(x, (0, width - x.shape[1]), value=fill)  # noqa: E731
        return Rollouts(torch.cat([pad(p[0], EOS.special) for p in parts]), torch.cat([pad(p[1], 0.0) for p in parts]),
                        torch.cat([p[2] for p in parts]), torch.cat([p[3] for p in parts])).lists()

    def _chunk(self, prompts, k, limit, temperature, top_p):
        rows = len(prompts) * k
        padded = next((n for n in GRAPH_ROWS if rows <= n <= self.rows), self.rows) if self.gpu else rows
        longest = max(map(len, prompts))
        ids = torch.tensor([p + [0] * (longest - len(p)) for p in prompts], device=self.device)
        lengths = torch.tensor([len(p) for p in prompts], device=self.device)

        def keep(layer, keys, values):
            for cache, new in ((self.keys, keys), (self.values, values)):
                cache[layer, :rows, :, :longest] = new.transpose(1, 2).repeat_interleave(k, 0)

        states = self.network.hidden(ids, keep)
        last = self.network.logits(states[torch.arange(len(prompts), device=self.device), lengths - 1])
        self.alive.zero_(), self.count.zero_(), self.made.zero_()
        self.place.zero_(), self.token.zero_()
        self.out.fill_(EOS.special), self.scores.zero_()
        self.alive[:rows] = True
        self.place[:rows] = lengths.repeat_interleave(k)
        self.limit[:rows] = torch.clamp(self.length - self.place[:rows], max=limit)
        self.logits[:rows] = last.repeat_interleave(k, 0)
        key = (padded, temperature, top_p)
        for n in range(limit):
            if n == 0 or not self.gpu:
                self._choose(padded, temperature, top_p)
                self._advance(padded)
            else:
                if key not in self.graphs:
                    self._capture(key)
                self.graphs[key].replay()
            if n % 32 == 31 and not self.alive[:padded].any():
                break
        made = self.made[:rows]
        width = max(1, int(made.max()))
        ended = self.out[:rows].gather(1, (made - 1)[:, None])[:, 0] == EOS.special
        return self.out[:rows, :width].clone(), self.scores[:rows, :width].clone(), made.clone(), ended

    def _capture(self, key):
        """Records one step; what the trial runs do to the state is undone."""
        state = [self.token, self.place, self.count, self.alive, self.made, self.out, self.scores, self.logits]
        saved = [x.clone() for x in state]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.alive.zero_()
            for _ in range(2):
                self._choose(*key)
                self._advance(key[0])
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._choose(*key)
            self._advance(key[0])
        self.graphs[key] = graph
        for x, old in zip(state, saved):
            x.copy_(old)

    def _choose(self, rows, temperature, top_p):
        """Draws a token of each row and notes it."""
        scores = torch.log_softmax(self.logits[:rows] / temperature, -1)
        drawn = scores
        if top_p < 1:
            ordered, order = scores.exp().sort(-1, descending=True)
            cut = ordered.cumsum(-1) - ordered >= top_p
            drawn = scores.masked_fill(torch.zeros_like(cut).scatter(1, order, cut), float("-inf"))
        noise = torch.empty_like(scores).exponential_().clamp_(min=1e-20).log()
        token = (drawn - noise).argmax(-1)
        alive = self.alive[:rows]
        made = self.made[:rows]
        at = torch.where(alive, made, self.length - 1).clamp(max=self.length - 1)[:, None]
        self.out[:rows].scatter_(1, at, torch.where(alive, token, EOS.special)[:, None])
        chosen = scores.gather(1, token[:, None])[:, 0]
        self.scores[:rows].scatter_(1, at, torch.where(alive, chosen, torch.zeros_like(chosen))[:, None])
        made += alive
        alive &= (token != EOS.special) & (made < self.limit[:rows])
        self.token[:rows] = token

    def _advance(self, rows):
        """Runs the network on the drawn tokens of the rows that go on."""
        net, s = self.network, self.network.shape
        place, index = self.place[:rows].clamp(max=self.length - 1), self.index[:rows]
        self.count[:rows] = torch.where(self.alive[:rows], place + 1, torch.zeros_like(place)).int()
        x = torch.nn.functional.embedding(self.token[:rows], net.embed)
        cos, sin = net.cos[place], net.sin[place]
        for n, block in enumerate(net.blocks):
            q, k, v = net.qkv(block, x, cos, sin)
            self.keys[n][index, :, place] = k
            self.values[n][index, :, place] = v
            x = net.after(block, x, self.attend(q, self.keys[n, :rows], self.values[n, :rows], self.count[:rows]))
        self.logits[:rows] = net.logits(x)
        self.place[:rows] += self.alive[:rows]
