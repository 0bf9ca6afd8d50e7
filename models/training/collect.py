#!/usr/bin/env python3
"""Gathers what `r1 eval --json --out` wrote into one file of results, with the levels that it does not know.

    python3 models/training/collect.py models/training/results/stages.json TASKS NAME=EVAL.json:OUT.jsonl ...
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path


def levels(tasks: list[dict], out: str) -> dict[str, float]:
    """Share of right samples by level. The lines of a file of results are in the order of the tasks."""
    parts = defaultdict(list)
    records = [record for record in map(json.loads, open(out)) if record["pass"] == "samples"]
    for task, record in zip(tasks, records):
        parts[task["level"]] += [sample["correct"] for sample in record["samples"]]
    return {str(level): round(sum(part) / len(part), 4) for level, part in sorted(parts.items())}


def main() -> None:
    target, tasks, *runs = sys.argv[1:]
    tasks = [json.loads(line) for line in open(tasks)]
    results = {}
    for name, files in (run.split("=") for run in runs):
        figures, out = files.split(":")
        made = json.loads(Path(figures).read_text())
        results[name] = {**{k: v for k, v in made.items() if k not in ("votes", "early_stop", "by_kind")}, "by_level": levels(tasks, out)}
    Path(target).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
