#!/usr/bin/env python3
"""Writes the task files beside this script, from the generators of ../training but with seeds of their own:

    python3 models/tasks/make_tasks.py

* `tasks.jsonl`: 600 problems, six families by five levels, 20 each; the figures of the model card are measured on it.
* `held_out.jsonl`: 240 more, on which nothing has been tuned.
* `planted.jsonl`: 300 thoughts that end right after a wrong digit (or a wrong claim) and 300 that end after a right number.

Needs nothing but Python 3 and writes the same files every time. Training never sees these problems: one problem in 16, by
the CRC of its content, is for tests alone.
"""

import json
import pathlib
import sys
from random import Random

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "training"))

from tiny.families import FAMILIES  # noqa: E402
from tiny.problem import TEST  # noqa: E402
from tiny.trace import thought  # noqa: E402


def kind(problem) -> str:
    if problem.numbers:
        return "using:" + ",".join(map(str, problem.numbers))
    return "integer" if problem.answer.lstrip("-").isdigit() else "exact"


def line(problem, **more) -> str:
    task = {"prompt": problem.prompt, "answer": problem.answer, "kind": kind(problem), "group": problem.family,
            "level": problem.level}
    return json.dumps({**task, **more}) + "\n"


def fresh(r, family, level, taken):
    """A problem of the test split whose content is not in `taken`."""
    for _ in range(10_000):
        problem = FAMILIES[family](level, r)
        if problem.split == TEST and problem.key not in taken and problem.prompt not in taken:
            taken.update((problem.key, problem.prompt))
            return problem
    raise RuntimeError(f"no more problems of {family} at level {level}")


def tasks(seed, each, taken):
    r = Random(f"test {seed}")
    return [line(fresh(r, family, level, taken)) for _ in range(each) for level in range(1, 6) for family in FAMILIES]


def planted(seed, count):
    """Half of the lines go wrong, half do not; the families in turn, levels 2 to 5."""
    r, lines = Random(f"planted {seed}"), []
    names = list(FAMILIES)
    while len(lines) < 2 * count:
        family, level = names[len(lines) // 2 % len(names)], r.randint(2, 5)
        problem = FAMILIES[family](level, r)
        if problem.split != TEST:
            continue
        slipped, clean = thought(problem, r, True), thought(problem, r, False)
        if slipped is None or max(slipped.length, clean.length) > 1500 or not clean.ends:
            continue
        lines.append(line(problem, thought=slipped.cut, planted=True))
        lines.append(line(problem, thought=clean.text[: r.choice(clean.ends)], planted=False))
    return lines


def main():
    taken = set()
    (HERE / "tasks.jsonl").write_text("".join(tasks(1, 20, taken)))
    (HERE / "held_out.jsonl").write_text("".join(tasks(2, 8, taken)))
    (HERE / "planted.jsonl").write_text("".join(planted(3, 300)))


if __name__ == "__main__":
    main()
