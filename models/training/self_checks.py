#!/usr/bin/env python3
"""How real a model's self-checks are: thoughts that have just gone wrong, and others that have not, run by r1core.

    cargo build --release -p r1core --example rollout
    python3 models/training/self_checks.py [MODEL] [--seed N] [--json]

`models/tasks/planted.jsonl` has 300 thoughts of held-out problems that end right after a wrong digit (or a wrong claim in a
search), and 300 that end after a right number. The model goes on from each (temperature 0.6, top-p 0.95). It has noticed if
it says "Wait"; it has corrected itself if the answer is right, too. An alarm without an error is a false one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: A check's verdict on its two sides.
SIDES = re.compile(r"(-?\d+) and (-?\d+)\. (That matches|Correct|Good|Wait)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default=ROOT / "models/r1-tiny-q8_0.gguf")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tasks_file = ROOT / "models/tasks/planted.jsonl"
    tasks = [json.loads(line) for line in tasks_file.read_text().splitlines()]
    command = [ROOT / "target/release/examples/rollout", args.model, tasks_file, "--samples", "1", "--temperature", "0.6",
               "--top-p", "0.95", "--limit", "1500", "--seed", args.seed]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts = defaultdict(lambda: defaultdict(int))
    for line in map(json.loads, out.splitlines()):
        task = tasks[line["task"]]
        noticed, right = "Wait" in line["thought"], line["rewards"]["accuracy"] == 1
        checks = SIDES.findall(task["thought"][-80:] + line["thought"])
        for group in ("all", task["group"]):
            count = counts["planted" if task["planted"] else "untouched", group]
            count["n"] += 1
            count["noticed"] += noticed
            count["right"] += right
            count["noticed and right"] += noticed and right
            count["checks"] += len(checks)
            count["false checks"] += sum((a == b) == (verdict == "Wait") for a, b, verdict in checks)
    rows = [{"thoughts": kind, "group": group, **count} for (kind, group), count in counts.items()]
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'thoughts':10} {'group':14} {'n':>4} {'says Wait':>9} {'right':>6} {'both':>6}   checks (false)")
    for row in sorted(rows, key=lambda row: (row["thoughts"], row["group"] != "all")):
        share = lambda key: f"{100 * row[key] / row['n']:.1f}"  # noqa: B023, E731
        print(f"{row['thoughts']:10} {row['group']:14} {row['n']:4} {share('noticed'):>9} {share('right'):>6} "
              f"{share('noticed and right'):>6}   {row['checks']} ({row['false checks']})")


if __name__ == "__main__":
    main()
