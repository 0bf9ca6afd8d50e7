"""Quick measures while training; the figures of record come from `r1 eval` on the exported files."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random

from tiny import pages
from tiny.problem import VALID, Task
from tiny.trace import thought


def sample_tasks(seed: int, count: int, split: str = VALID) -> list[Task]:
    """The families and levels in turn."""
    r, out = Random(f"measure {seed}"), []
    names = list(pages.SHARES)
    while len(out) < count:
        level = len(out) // len(names) % 5 + 1
        one_hot = [int(n == level) for n in range(1, 6)]
        out.append(pages.problem(r, one_hot, split, {names[len(out) % len(names)]: 1}).task())
    return out


def planted_tasks(seed: int, count: int, split: str = VALID) -> tuple[list[Task], list[Task]]:
    """Thoughts cut right after a wrong digit, and others cut after a right number."""
    r, bad, good = Random(f"planted {seed}"), [], []
    while len(bad) < count:
        made = pages.problem(r, (0, 1, 1, 1, 1), split)
        slipped, clean = thought(made, r, True), thought(made, r, False)
        if slipped is None or not slipped.wrong or not clean.ends:
            continue
        bad.append(made.task(slipped.cut))
        good.append(made.task(clean.text[: r.choice(clean.ends)]))
    return bad, good


def accuracy(roller, encode, judge, tasks: list[Task], k: int = 4, limit: int = 1100, temperature: float = 0.6,
             top_p: float = 0.95) -> dict:
    """pass@1, cons@k and more, over all and by family and level."""
    out = roller.sample([encode(task) for task in tasks], k, limit, temperature, top_p)
    verdicts = judge([(task, out.reply(i * k + g), bool(out._ended[i * k + g]))
                      for i, task in enumerate(tasks) for g in range(k)])
    parts, votes, total, thoughts = defaultdict(list), 0, 0, 0
    for i, task in enumerate(tasks):
        group = verdicts[i * k : (i + 1) * k]
        share = sum(v.right for v in group) / k
        parts[task.family].append(share)
        parts[f"level {task.level}"].append(share)
        said = Counter(_vote(task, v.answer) for v in group if v.answer is not None)
        winner = said.most_common(1)[0][0] if said else None
        votes += any(v.right and _vote(task, v.answer) == winner for v in group)
        total += share
    mean = lambda values: round(100 * sum(values) / len(values), 1)  # noqa: E731
    return {"pass@1": mean([total / len(tasks)]), f"cons@{k}": round(100 * votes / len(tasks), 1),
            "well_formed": mean([v.well_formed for v in verdicts]), "waits": mean([v.waits > 0 for v in verdicts]),
            "false_checks": mean([v.false_checks > 0 for v in verdicts]),
            "tokens": round(out.lengths.float().mean().item(), 1), **{name: mean(p) for name, p in sorted(parts.items())}}


def _vote(task: Task, answer):
    """Right countdown answers are one answer."""
    return task.target if task.numbers and task.right(answer) else answer


def self_checks(roller, encode, judge, count: int = 256, limit: int = 1100, seed: int = 7) -> dict:
    """How often planted slips are noticed and corrected, and how often there is an alarm without one."""
    bad, good = planted_tasks(seed, count)
    result = {}
    for name, tasks in (("planted", bad), ("untouched", good)):
        out = roller.sample([encode(task) for task in tasks], 1, limit, 0.6, 0.95)
        verdicts = judge([(task, out.reply(i), bool(out._ended[i])) for i, task in enumerate(tasks)])
        waits = [v.waits > task.prefix.count("Wait") for v, task in zip(verdicts, tasks)]
        share = lambda values: round(100 * sum(values) / count, 1)  # noqa: E731
        result[name] = {"noticed": share(waits), "right": share([v.right for v in verdicts]),
                        "noticed and right": share([v.right and w for v, w in zip(verdicts, waits)])}
    return result
