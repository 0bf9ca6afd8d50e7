#!/usr/bin/env python3
"""Prints what a model says to the 100 prompts of models/tasks/manners.txt, for a person to look at.

    python3 models/training/manners.py [MODEL]

Counts thoughts that calculate, boxed answers, and replies that are none of the sentences that it was taught.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from tiny.manners import KINDS  # noqa: E402

model = ["-m", sys.argv[1]] if len(sys.argv) > 1 else []
taught = {reply for replies in KINDS.values() for reply in replies}
counts = {"replies": 0, "calculated": 0, "boxed": 0, "not taught": 0}
for prompt in (ROOT / "models/tasks/manners.txt").read_text().splitlines():
    out = subprocess.run([ROOT / "target/release/r1", "run", *model, "--json", "-n", "400", prompt], check=True,
                         capture_output=True, text=True).stdout
    said = {"thought": "", "answer": ""}
    for line in map(json.loads, out.splitlines()):
        if line["type"] in said:
            said[line["type"]] += line["text"]
    answer = said["answer"].strip()
    counts["replies"] += 1
    counts["calculated"] += bool(said["thought"].strip())
    counts["boxed"] += "\\boxed" in answer
    counts["not taught"] += answer not in taught
    print(f"{prompt}\n    {'[thinks] ' * bool(said['thought'].strip())}{answer}")
print(counts)
