#!/usr/bin/env python3
"""The stages, one command each, or several in turn:

    python3 stages.py tokenizer base extend zero cold rl1 reject sft rl2 mend rl3 small_base small_cold small_rl teach distill
    python3 stages.py export

Everything lands in `--out`. A stage reads what earlier ones left there. `--minutes` scales the times that bound the
stages; the rates follow, so that a short run still ends with a low one. `--toy` runs every stage on a CPU in seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import torch

from tiny import grpo, judge, measure, pages, supervised, tokens
from tiny.network import SMALL, TINY, Network, Shape, load, save
from tiny.problem import Task
from tiny.rollout import Roller
from tiny.shards import MUTED, whole_rows
from tiny.trace import thought

HERE = Path(__file__).parent
#: Tokens of a rollout, prompt included.
CONTEXT = 2048


class Run:
    """What all stages share: folders, tokenizer, workers, the judge's processes, the log."""

    def __init__(self, args):
        self.args, self.out, self.toy = args, Path(args.out), args.toy
        self.out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.start, self.tokenizer = time.time(), self.out / "tokenizer.json"
        self.scratch = Path("/dev/shm") / f"tiny-{os.getpid()}"
        self.workers, self.pool, self._roller, self._tokens = {}, None, None, None
        self.curves = json.loads((self.out / "curves.json").read_text()) if (self.out / "curves.json").exists() else {}
        torch.manual_seed(args.seed)

    def log(self, text: str) -> None:
        line = f"[{time.time() - self.start:6.1f}] {text}"
        print(line, flush=True)
        with open(self.out / "log.txt", "a") as file:
            file.write(line + "\n")

    @property
    def tokens(self) -> tokens.Tokens:
        if self._tokens is None:
            self._tokens = tokens.Tokens(self.tokenizer)
        return self._tokens

    def keep(self, name: str, value) -> None:
        """Adds to the curves, on disk at once."""
        self.curves[name] = value
        (self.out / "curves.json").write_text(json.dumps(self.curves))

    def seconds(self, share: float) -> float:
        """A stage's time: its share of a run of `--minutes`."""
        return math.inf if self.toy else share * self.args.minutes * 60

    # Workers that write ahead of the trainer.

    def feed(self, kind: str, count: int) -> None:
        if kind in self.workers:
            return
        folder = self.scratch / kind
        folder.mkdir(parents=True)
        command = lambda n: [sys.executable, "-m", "tiny.shards", kind, str(n), str(self.args.seed), str(self.tokenizer),  # noqa: E731
                             str(folder)]
        self.workers[kind] = [folder, 0, [subprocess.Popen(command(n), cwd=HERE) for n in range(count)]]

    def next_file(self, kind: str) -> Path:
        """The workers' files in a fixed order, whoever is first."""
        folder, index, workers = self.workers[kind]
        path = folder / f"{index % len(workers)}_{index // len(workers)}"
        while not path.exists():
            if workers[index % len(workers)].poll():
                raise RuntimeError(f"a worker of {kind} has died")
            time.sleep(0.002)
        self.workers[kind][1] += 1
        return path

    def base_rows(self):
        while True:
            path = self.next_file("base")
            rows = np.load(path)
            path.unlink()
            yield rows[:2, :128] if self.toy else rows

    def prompts(self, kind: str = "prompts") -> list[Task]:
        path = self.next_file(kind)
        made = [Task(**{**task, "numbers": tuple(task["numbers"])}) for task in json.loads(path.read_text())]
        path.unlink()
        return made

    def stop_feed(self, kind: str) -> None:
        if kind in self.workers:
            folder, _, workers = self.workers.pop(kind)
            (folder / "stop").touch()
            for worker in workers:
                worker.wait()
            shutil.rmtree(folder)

    def close(self) -> None:
        for kind in list(self.workers):
            self.stop_feed(kind)
        if self.pool:
            self.pool.shutdown()
        shutil.rmtree(self.scratch, ignore_errors=True)

    # Prompts in, verdicts out.

    def encode(self, task: Task) -> list[int]:
        ids, _ = self.tokens.pieces(pages.prompt(task.prompt))
        return ids + self.tokens.encode(task.prefix) if task.prefix else ids

    def judge(self, work) -> list[judge.Verdict]:
        if self.pool is None:
            count = 2 if self.toy else 6
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(count, context, judge.start, (str(self.tokenizer),))
        size = max(1, -(-len(work) // 24))
        parts = [work[at : at + size] for at in range(0, len(work), size)]
        return [verdict for part in self.pool.map(judge.batch, parts) for verdict in part]

    def roller(self, network: Network) -> Roller:
        """The last roller where it belongs to this network; a cache is large."""
        if self._roller is None or self._roller.network is not network:
            self._roller = None
            self._roller = Roller(network, 64 if self.toy else self.args.rows, CONTEXT)
            self.log(f"decode attention: {self._roller.why}")
        return self._roller

    def load(self, name: str) -> Network:
        return load(self.out / f"{name}.pt", self.device)

    def finish(self, name: str, network: Network, wide: bool = True) -> None:
        """Saves a stage's network and measures it."""
        save(network, self.out / f"{name}.pt")
        size, k = (6, 2) if self.toy else (600, 4)
        roller = self.roller(network)
        result = measure.accuracy(roller, self.encode, self.judge, measure.sample_tasks(1, size), k, self.limit)
        result["self checks"] = measure.self_checks(roller, self.encode, self.judge, 4 if self.toy else 256, self.limit)
        self.keep(f"{name} measures", result)
        self.log(f"{name}: {result}")

    @property
    def limit(self) -> int:
        return 40 if self.toy else 1400

    def shape(self, shape: Shape) -> Shape:
        return Shape(layers=2, width=64, heads=2, kv_heads=1, head=32, hidden=96) if self.toy else shape


def tokenizer(run: Run) -> None:
    r = Random(f"tokenizer {run.args.seed}")
    made = [pages.base(r) if n % 2 else pages.conversation(r) for n in range(3_000 if run.toy else 30_000)]
    tokens.train(("".join(p.text for p in page if p.special is None) for page in made), run.tokenizer)


def base(run: Run, name="base", shape=TINY, share=0.28, steps=6500) -> None:
    run.feed("base", 2 if run.toy else run.args.workers)
    network = Network(run.shape(shape), run.args.seed).to(run.device)
    run.log(f"{name}: {sum(w.numel() for w in network.parameters())} parameters")
    curve = supervised.train(network, run.base_rows(), 6 if run.toy else steps, 2e-3, run.log, run.seconds(share),
                             compile=shape is TINY)
    if name == "small_base":
        run.stop_feed("base")  # Nothing reads on.
    run.keep(name, curve)
    run.finish(name, network)


def extend(run: Run) -> None:
    """Goes on with rows of 2,048 tokens, so that long thoughts and conversations find trained positions."""
    run.feed("base", 2 if run.toy else run.args.workers)
    network = run.load("base")
    rows = (rows if run.toy else rows.reshape(32, 2048) for rows in run.base_rows())
    run.keep("extend", supervised.train(network, rows, 6 if run.toy else 900, 8e-4, run.log, run.seconds(0.0625)))
    run.stop_feed("base")
    run.finish("extend", network)


def learn(run: Run, network: Network, rows: np.ndarray, name: str, epochs: int, rate: float, batch: int = 16) -> None:
    """Fine-tunes on rows."""
    if run.toy:
        rows, epochs, batch = rows[:4, :128], 1, 2
    r = np.random.default_rng(run.args.seed)
    order = np.concatenate([r.permutation(len(rows)) for _ in range(epochs)])
    steps = max(1, len(order) // batch)
    run.log(f"{name}: {len(rows)} rows, {int((rows < MUTED).sum())} tokens that count, {steps} steps")
    batches = (rows[order[n * batch : (n + 1) * batch]] for n in range(steps))
    run.keep(name, supervised.train(network, batches, steps, rate, run.log, warmup=min(20, steps)))


def cold(run: Run) -> None:
    network, r = run.load("extend"), Random(f"cold {run.args.seed}")
    count = 60 if run.toy else 7000
    rows = whole_rows((run.tokens.pieces(pages.conversation(r)) for _ in range(count)))
    learn(run, network, rows, "cold", 3, 6e-4)
    run.finish("cold", network)


def reinforce(run: Run, start: str, name: str, settings: grpo.Settings, share: float, score=judge.reward,
              prompts: str = "prompts", every: int = 16) -> None:
    """GRPO. Keeps the best network by the curve's own problems as `NAME-best`, beside the last one."""
    if run.toy:
        settings.steps, settings.prompts, settings.group, settings.limit = 2, 4, 4, 24
    else:
        settings.prompts = run.args.rows // settings.group
    run.feed(prompts, 1 if run.toy else 2)
    network = run.load(start)
    roller, held, best = run.roller(network), measure.sample_tasks(2, 6 if run.toy else 240), [0.0]

    def each(step, row):
        if step % every == 0:
            result = measure.accuracy(roller, run.encode, run.judge, held, 4, settings.limit)
            row["held"] = {key: result.get(key) for key in ("pass@1", "cons@4", "tokens", "countdown", "level 5", "waits")}
            if step and result["pass@1"] >= best[0]:
                best[0] = result["pass@1"]
                save(network, run.out / f"{name}-best.pt")

    curve = grpo.train(network, roller, run.encode, run.judge, lambda: run.prompts(prompts), settings, run.log, score,
                       run.seconds(share), each)
    run.keep(name, curve)
    run.finish(name, network)


def zero(run: Run) -> None:
    reinforce(run, "base", "zero", grpo.Settings(40, 1e-4), 0.0625, judge.zero_reward)


def rl1(run: Run) -> None:
    reinforce(run, "cold", "rl1", grpo.Settings(100, 8e-5), 0.3125)


def reject(run: Run) -> None:
    """Samples the first RL's model and keeps right, well-formed, English replies with true checks."""
    sampled(run, "rl1", "rejected", batches=8, k=12, most=2)


def teach(run: Run) -> None:
    """The last model's replies, for a smaller one to learn from."""
    sampled(run, "rl3", "taught", batches=5, k=4, most=4)


def sampled(run: Run, model: str, name: str, batches: int, k: int, most: int) -> None:
    network, kept, seen = run.load(model), [], 0
    roller = run.roller(network)
    run.feed("prompts", 1 if run.toy else 2)
    r = Random(f"{name} {run.args.seed}")
    # Half of the prompts as hard as in reinforcement learning, half of all levels.
    k = 4 if run.toy else k
    for _ in range(1 if run.toy else batches):
        batch = []
        while len(batch) < (8 if run.toy else run.args.rows // k):
            more = [pages.tasks(r, pages.ALL_LEVELS) if n % 2 else task for n, task in enumerate(run.prompts())]
            batch += [task for task in more if task.family != "talk"]
        batch = batch[: 8 if run.toy else run.args.rows // k]
        prompts = [run.encode(task) for task in batch]
        out = roller.sample(prompts, k, run.limit, 0.9)
        verdicts = run.judge([(task, out.reply(i * k + g), bool(out._ended[i * k + g]))
                              for i, task in enumerate(batch) for g in range(k)])
        seen += len(verdicts)
        for i in range(len(batch)):
            good = [g for g in range(k) if (v := verdicts[i * k + g]).right and v.well_formed and not v.false_checks
                    and v.language > 0.95]
            # A given beginning, with its slip, is context.
            for g in good[:most]:
                reply = out.reply(i * k + g) + [tokens.EOS.special]
                kept.append((prompts[i] + reply, [False] * len(prompts[i]) + [True] * len(reply)))
    if run.toy and not kept:
        kept = [(p + [tokens.EOS.special], [True] * (len(p) + 1)) for p in prompts]
    run.log(f"{name}: kept {len(kept)} of {seen}")
    count = len(kept)
    for _ in range(count // 12):
        kept.append(run.tokens.pieces(pages.conversation(r, talk=1.0)))
    # The generator's own slips keep corrections common.
    for _ in range(count // 8):
        kept.append(run.tokens.pieces(pages.conversation(r, pages.ALL_LEVELS)))
    r.shuffle(kept)
    rows = whole_rows(kept)
    np.save(run.out / f"{name}.npy", rows)
    run.keep(name, {"kept": count, "of": seen, "rows": len(rows)})


def mend(run: Run) -> None:
    """A short fine-tuning of the first RL's model: countdown searches with false hits, whose checks must come out unequal,
    among its own right replies and worked problems of the other families."""
    written, r = run.out / "mend_rows.npy", np.random.default_rng(run.args.seed)
    if not written.exists():
        np.save(written, mending_rows(run))
    rows = np.load(written)
    network, rows = run.load("rl1"), rows[r.permutation(len(rows))]
    batches = [rows[at : at + 16] for at in range(0, len(rows) - 15, 16)] if not run.toy else [rows[:2, :128]]
    run.log(f"mend: {len(rows)} rows, {len(batches)} steps")
    run.keep("mend", supervised.train(network, iter(batches), len(batches), 2.5e-4, run.log, warmup=6, decay=0.0))
    run.finish("mend", network)


def mending_rows(run: Run) -> np.ndarray:
    r, documents = Random(f"mend {run.args.seed}"), []
    kept = [doc for row in np.load(run.out / "rejected.npy") for doc in tokens_of(row)]
    # An earlier form of the check, which did not name the target, is not to be kept.
    own = [doc for doc in kept if "reached" not in run.tokens.decode(doc[0])]
    others = {family: share for family, share in pages.SHARES.items() if family != "countdown"}
    for _ in range(20 if run.toy else 14_000):
        kind = r.random()
        if kind < 0.35 and own:
            documents.append(r.choice(own))
            continue
        slip = r.random() < (0.35 if kind < 0.75 else 0.2)
        while True:
            made = pages.problem(r, pages.ALL_LEVELS, families={"countdown": 1} if kind < 0.75 else others)
            trace = thought(made, r, slip)
            if trace is not None and trace.length < pages.LONGEST:
                break
        documents.append(run.tokens.pieces(pages.prompt_of(made) + pages.reply(trace)))
    for _ in range(len(documents) // 20):
        documents.append(run.tokens.pieces(pages.conversation(r, talk=1.0)))
    r.shuffle(documents)
    return whole_rows(documents)


def tokens_of(row: np.ndarray) -> list[tuple[list[int], list[bool]]]:
    """The conversations of a packed row."""
    ids, counts = (row & (MUTED - 1)).tolist(), (row < MUTED).tolist()
    starts = [n for n, token in enumerate(ids) if token == tokens.BOS.special] + [len(ids)]
    out = []
    for a, b in zip(starts, starts[1:]):
        while b > a and not counts[b - 1]:
            b -= 1
        out.append((ids[a:b], counts[a:b]))
    return [doc for doc in out if doc[0]]


def sft(run: Run) -> None:
    """The base model again, on the kept samples."""
    network = run.load("extend")
    learn(run, network, np.load(run.out / "rejected.npy"), "sft", 2, 1e-3)
    run.finish("sft", network)


def rl2(run: Run) -> None:
    reinforce(run, "sft", "rl2", grpo.Settings(40, 5e-5), 0.125)


def rl3(run: Run) -> None:
    """The mended model again: mostly hard levels, half of it countdown, with room for long searches."""
    reinforce(run, "mend", "rl3", grpo.Settings(100, 8e-5, limit=1280), 0.5, prompts="hard", every=8)


def small_base(run: Run) -> None:
    base(run, "small_base", SMALL, 0.1, 2500)


def distill(run: Run) -> None:
    network = run.load("small_base")
    learn(run, network, np.load(run.out / "taught.npy"), "distill", 3, 1.5e-3)
    run.finish("distill", network)


def small_cold(run: Run) -> None:
    network, r = run.load("small_base"), Random(f"cold {run.args.seed}")
    rows = whole_rows((run.tokens.pieces(pages.conversation(r)) for _ in range(60 if run.toy else 7000)))
    learn(run, network, rows, "small_cold", 3, 1.5e-3)
    run.finish("small_cold", network)


def small_rl(run: Run) -> None:
    reinforce(run, "small_cold", "small_rl", grpo.Settings(60, 1e-4), 0.09)


def export(run: Run) -> None:
    """GGUF files of every checkpoint."""
    from tiny.export import export as write

    for path in sorted(run.out.glob("*.pt")):
        # The last stage's is the one that ships.
        name = "r1-tiny" if path.stem == "rl3" else f"r1-tiny-{path.stem}"
        for kind in ("q8_0", "f16"):
            write(load(path), run.tokenizer, run.out / f"{path.stem}-{kind}.gguf", kind, name)


STAGES = {f.__name__: f for f in (tokenizer, base, extend, zero, cold, rl1, reject, mend, sft, rl2, rl3, teach, small_base,
                                   distill, small_cold, small_rl, export)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=list(STAGES))
    parser.add_argument("--out", default="runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=30.0, help="time of the whole run")
    parser.add_argument("--workers", type=int, default=12, help="processes that write base text")
    parser.add_argument("--rows", type=int, default=4096, help="replies of one step of reinforcement learning")
    parser.add_argument("--deadline", type=float, default=math.inf, help="start no stage after this many seconds")
    parser.add_argument("--toy", action="store_true")
    run, failed = Run(parser.parse_args()), False
    try:
        for stage in run.args.stages:
            if time.time() - run.start > run.args.deadline:
                run.log(f"no time for {stage}")
                continue
            run.log(f"--- {stage}")
            try:
                STAGES[stage](run)
            except Exception:  # noqa: BLE001 - later stages may stand on other files
                run.log(traceback.format_exc())
                failed = True
    finally:
        run.close()
    sys.exit(failed)


if __name__ == "__main__":
    main()
