#!/usr/bin/env python3
"""How real a model's self-checks are: thoughts that have just gone wrong, and others that have not, run by r1core.

    cargo build --release -p r1core --example rollout
    python3 models/training/self_checks.py [MODEL] [--seed N] [--json]

`models/tasks/planted.jsonl` has 300 thoughts of held-out problems that end right after a wrong digit (or a wrong claim in a
search), and 300 that end after a right number. The model goes on from each (temperature 0.6, top-p 0.95). It has noticed if
it says "Wait"; it has corrected itself if the answer is right, too. In an untouched thought a "Wait" is a false alarm unless
the model has made an error of its own before: a false sum, a remainder that is none, a hit that is not needed. Errors in
the check itself do not excuse it.
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
#: What stands before its checks, and what it computes there.
CHECK = re.compile(r"(?:Check|Let me check|Let me verify): ")
SUM = re.compile(r"(?<![\d*+/(-])\(?(-?\d+)\)?([*/+-])\(?(-?\d+)\)? = (-?\d+)")
LEFT = re.compile(r"(\d+): (\d+)\*(\d+) = (\d+), left (-?\d+)")
HIT = re.compile(r"need ([\d, ]+)\. \d+ and \d+: ([\d, ]+)\. Yes, (\d+)")


def error(work: str) -> bool:
    """Whether a calculation says something false."""
    for a, op, b, c in SUM.findall(work):
        a, b, c = int(a), int(b), int(c)
        if not {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": b * c == a}[op]:
            return True
    for n, d, _, part, left in LEFT.findall(work):
        if int(left) != int(n) - int(part) or not 0 <= int(left) < int(d):
            return True
    return any(hit not in needs.split(", ") or hit not in made.split(", ") for needs, made, hit in HIT.findall(work))


def false_alarm(thought: str) -> bool:
    """Whether the first "Wait" has no reason."""
    before = thought[: thought.index("Wait")]
    checks = list(CHECK.finditer(before))
    return not error(before[: checks[-1].start()] if checks else before)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default=ROOT / "models/r1-tiny-q8_0.gguf")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--rollouts", help="what the example rollout wrote, instead of running it")
    parser.add_argument("--show", action="store_true", help="print the alarms in untouched thoughts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tasks_file = ROOT / "models/tasks/planted.jsonl"
    tasks = [json.loads(line) for line in tasks_file.read_text().splitlines()]
    command = [ROOT / "target/release/examples/rollout", args.model, tasks_file, "--samples", "1", "--temperature", "0.6",
               "--top-p", "0.95", "--limit", "1500", "--seed", args.seed]
    if args.rollouts:
        out = Path(args.rollouts).read_text()
    else:
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts = defaultdict(lambda: defaultdict(int))
    for line in map(json.loads, out.splitlines()):
        task = tasks[line["task"]]
        noticed, right = "Wait" in line["thought"], line["rewards"]["accuracy"] == 1
        alarm = noticed and not task["planted"] and false_alarm(task["thought"] + line["thought"])
        if args.show and noticed and not task["planted"]:
            print(f"{'false' if alarm else 'own error'}: {task['prompt']}\n{task['thought']} >>> {line['thought']}\n")
        checks = SIDES.findall(task["thought"][-80:] + line["thought"])
        for group in ("all", task["group"]):
            count = counts["planted" if task["planted"] else "untouched", group]
            count["n"] += 1
            count["noticed"] += noticed
            count["right"] += right
            count["noticed and right"] += noticed and right
            count["false alarms"] += alarm
            count["checks"] += len(checks)
            count["false checks"] += sum((a == b) == (verdict == "Wait") for a, b, verdict in checks)
    rows = [{"thoughts": kind, "group": group, **count} for (kind, group), count in counts.items()]
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'thoughts':10} {'group':14} {'n':>4} {'says Wait':>9} {'right':>6} {'both':>6} {'false alarm':>11}   checks (false)")
    for row in sorted(rows, key=lambda row: (row["thoughts"], row["group"] != "all")):
        share = lambda key: f"{100 * row[key] / row['n']:.1f}"  # noqa: B023, E731
        print(f"{row['thoughts']:10} {row['group']:14} {row['n']:4} {share('noticed'):>9} {share('right'):>6} "
              f"{share('noticed and right'):>6} {share('false alarms'):>11}   {row['checks']} ({row['false checks']})")


if __name__ == "__main__":
    main()
