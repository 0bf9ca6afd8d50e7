"""Group-relative policy optimisation: rollouts, rewards by rule, advantages within a group, a clipped update."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tiny.judge import reward
from tiny.network import Network
from tiny.rollout import Roller, Rollouts
from tiny.supervised import optimizer, set_rate


@dataclass
class Settings:
    steps: int
    rate: float
    prompts: int = 256
    group: int = 16
    limit: int = 768
    temperature: float = 1.0
    clip: tuple[float, float] = (0.2, 0.28)
    minibatches: int = 2
    #: Tokens of one forward pass, padding included.
    tokens: int = 96 * 1024


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """(reward - mean) / deviation within each row; 0 where all are equal."""
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.std(1, keepdim=True, correction=0) + 1e-4)


def train(network: Network, roller: Roller, encode, judge, tasks, settings: Settings, log, score=reward,
          seconds: float = float("inf"), each=None) -> list[dict]:
    """`tasks()` gives a step's prompts, `encode` a prompt's ids, `judge` verdicts; `each(step)` may measure."""
    opt = optimizer(network, settings.rate, (0.9, 0.99), 0.0)
    start, curve = time.time(), []
    for step in range(settings.steps):
        spent = max(step / settings.steps, (time.time() - start) / seconds)
        if spent >= 1:
            break
        set_rate(opt, settings.rate * min(1, (step + 1) / 4) * (1 - spent))
        begin = time.time()
        batch = tasks()[: settings.prompts]
        prompts = [encode(task) for task in batch]
        out = roller.sample(prompts, settings.group, settings.limit, settings.temperature)
        rolled = time.time()
        verdicts = judge([(task, out.reply(i * settings.group + g), bool(out._ended[i * settings.group + g]))
                          for i, task in enumerate(batch) for g in range(settings.group)])
        judged = time.time()
        scores = torch.tensor([score(v) for v in verdicts]).view(len(batch), settings.group)
        useful = scores.std(1) > 1e-3
        stats = update(network, opt, prompts, out, advantages(scores), useful, settings)
        groups = [verdicts[i * settings.group : (i + 1) * settings.group] for i in range(len(batch))]
        plain = [v for task, group in zip(batch, groups) if task.family != "talk" and not task.prefix for v in group]
        planted = [v for task, group in zip(batch, groups) if task.prefix for v in group]
        lengths = out.lengths.view(len(batch), -1).float().mean(1).tolist()
        mean = lambda values: round(sum(values) / max(1, len(values)), 4)  # noqa: E731
        curve.append({
            "step": step, "reward": round(scores.mean().item(), 4), "right": mean([v.right for v in plain]),
            "well_formed": mean([v.well_formed for v in plain]), "language": mean([v.language for v in plain]),
            "waits": mean([v.waits > 0 for v in plain]), "false_checks": mean([v.false_checks > 0 for v in plain]),
            "planted_right": mean([v.right for v in planted]), "planted_noticed": mean([v.waits > 0 for v in planted]),
            "length": mean([n for n, task in zip(lengths, batch) if task.family != "talk" and not task.prefix]),
            "countdown_length": mean([n for n, task in zip(lengths, batch) if task.family == "countdown"]),
            "useful": int(useful.sum()), **stats, "seconds": round(time.time() - start, 1)})
        if each:
            each(step, curve[-1])
        if step % 8 == 0 or step == settings.steps - 1:
            log(f"rl {curve[-1]} roll {rolled - begin:.2f} judge {judged - rolled:.2f} all {time.time() - begin:.2f}")
    return curve


def update(network, opt, prompts, out: Rollouts, advantage, useful, settings: Settings) -> dict:
    device, group = network.embed.device, settings.group
    rows = [i * group + g for i in useful.nonzero()[:, 0].tolist() for g in range(group)]
    if not rows:
        return {"ratio": 0.0, "clipped": 0.0}
    flat, generator = advantage.flatten(), torch.Generator().manual_seed(len(rows))
    order = [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
    ratios, clipped, count = [], [], settings.minibatches
    for part in (order[n::count] for n in range(count)):
        total = sum(out._lengths[row] for row in part)
        part = sorted(part, key=lambda row: len(prompts[row // group]) + out._lengths[row])
        while part:
            longest, take = 0, len(part)
            # Take from the long end as many as fit.
            longest = len(prompts[part[-1] // group]) + out._lengths[part[-1]]
            take = max(1, settings.tokens // longest)
            chunk, part = part[-take:], part[:-take]
            ids = torch.zeros(len(chunk), longest, dtype=torch.long)
            old = torch.zeros(len(chunk), longest)
            mask = torch.zeros(len(chunk), longest, dtype=torch.bool)
            for n, row in enumerate(chunk):
                prompt, length = prompts[row // group], out._lengths[row]
                ids[n, : len(prompt) + length] = torch.tensor(prompt + out._ids[row][:length])
                mask[n, len(prompt) : len(prompt) + length] = True
            reply = torch.cat([out.logprobs[row, : out._lengths[row]] for row in chunk])
            ids, mask, old = ids.to(device), mask.to(device), old.to(device)
            old[mask] = reply
            weight = flat[chunk].to(device)[:, None].expand(-1, longest)
            state = network.hidden(ids)[:, :-1][mask[:, 1:]]
            target = ids[:, 1:][mask[:, 1:]]
            logits = network.logits(state) / settings.temperature
            new = -F.cross_entropy(logits, target, reduction="none")
            ratio = (new - old[:, 1:][mask[:, 1:]]).exp()
            weight = weight[:, 1:][mask[:, 1:]]
            low, high = settings.clip
            loss = -torch.minimum(ratio * weight, ratio.clamp(1 - low, 1 + high) * weight).sum() / total
            loss.backward()
            ratios.append((ratio.detach() - 1).abs().mean())
            clipped.append(((ratio.detach() - 1).abs() > low).float().mean())
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
    return {"ratio": round(torch.stack(ratios).mean().item(), 5), "clipped": round(torch.stack(clipped).mean().item(), 5)}
