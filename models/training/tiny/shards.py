"""A worker: writes training rows or prompts as files, ahead of the trainer. Needs no PyTorch.

    python -m tiny.shards KIND WORKER SEED TOKENIZER FOLDER

Runs until the folder has a file `stop`. Files are made whole under another name first.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np

from tiny import pages
from tiny.tokens import Tokens

ROW = 1024
#: Files that a worker keeps ready.
AHEAD = 40
#: Set in a token that does not count in the loss.
MUTED = 1 << 15


def rows(tokens: Tokens, make, count: int) -> np.ndarray:
    """`count` rows of packed documents; a document may go on in the next row."""
    out, need = [], count * ROW
    while len(out) < need:
        ids, counts = tokens.pieces(make())
        out += [i if c else i | MUTED for i, c in zip(ids, counts)]
    return np.array(out[:need], np.uint16).reshape(count, ROW)


def whole_rows(documents, width: int = 2 * ROW, alone: bool = False) -> np.ndarray:
    """Rows in which no document is cut, one in each if `alone`; the rest is muted."""
    out, row = [], []
    for ids, counts in documents:
        ids = [i if c else i | MUTED for i, c in zip(ids, counts)][:width]
        if row and (alone or len(row) + len(ids) > width):
            out.append(row + [763 | MUTED] * (width - len(row)))
            row = []
        row = row + ids
    out.append(row + [763 | MUTED] * (width - len(row)))
    return np.array(out, np.uint16)


def main() -> None:
    kind, worker, seed, tokenizer, folder = sys.argv[1:]
    tokens, folder, shard = Tokens(Path(tokenizer)), Path(folder), 0
    while not (folder / "stop").exists():
        if os.getppid() == 1:
            return
        if shard >= AHEAD and (folder / f"{worker}_{shard - AHEAD}").exists():
            time.sleep(0.02)
            continue
        r = Random(f"{kind} {seed} {worker} {shard}")
        path = folder / f"{worker}_{shard}"
        if kind == "base":
            with open(f"{path}.part", "wb") as file:
                np.save(file, rows(tokens, lambda: pages.base(r), 64))
        else:
            hard = {"levels": pages.HARD_LEVELS, "families": pages.HARD_SHARES} if kind == "hard" else {}
            made = [asdict(pages.tasks(r, **hard)) for _ in range(256)]
            Path(f"{path}.part").write_text(json.dumps(made))
        os.rename(f"{path}.part", path)
        shard += 1


if __name__ == "__main__":
    main()
