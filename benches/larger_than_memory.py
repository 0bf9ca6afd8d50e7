#!/usr/bin/env python3
"""A model larger than the memory it may use: runs `r1 bench` in a control group whose memory is limited, and compares
the bytes that were read from disk with what the model's numbers predict.

    larger_than_memory.py R1 MODEL.gguf LIMIT_BYTES [--tokens 64] [--warm 64] [--threads 2] [--repack auto]

R1 is the command line's binary, MODEL a mixture of experts. Needs Linux, root, the gguf package, and a disk whose blocks
are read at the speed that is to be measured. Prints the speed, the bytes read for each token, and the prediction: the
bytes of the experts that a token uses, times the share of experts that finds no room in memory. The prediction assumes
a router that likes all experts alike, as one with random weights does; trained ones repeat themselves and read less.
"""
import argparse, json, os, subprocess, sys, threading, time
import gguf


def group(limit):
    """A new control group with that limit: its folder and the file that takes processes."""
    for root, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = f"{root}/r1-{os.getpid()}"
        try:
            os.mkdir(folder)
            with open(f"{folder}/{name}", "w") as f:
                f.write(str(limit))
            return folder
        except OSError:
            if os.path.isdir(folder):
                os.rmdir(folder)
    sys.exit("cannot limit memory: no control group may be made here")


def forget(path):
    """Takes the file out of the system's cache."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Run:
    """`r1 bench` in the group, watched: bytes read, and resident memory at its highest."""

    def __init__(self, folder, command):
        enter = lambda: open(f"{folder}/cgroup.procs", "w").write(str(os.getpid()))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=enter)
        self.read = self.anonymous = self.mapped = 0
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        self.lines = [json.loads(line) for line in self.process.communicate()[0].splitlines()]
        watcher.join()

    def watch(self):
        proc = f"/proc/{self.process.pid}"
        while self.process.poll() is None:
            try:
                self.read = int(next(l for l in open(f"{proc}/io") if l.startswith("read_bytes")).split()[1])
                status = {l.split(":")[0]: l.split()[1] for l in open(f"{proc}/status") if l.startswith("Rss")}
                self.anonymous = max(self.anonymous, int(status["RssAnon"]) * 1024)
                self.mapped = max(self.mapped, int(status["RssFile"]) * 1024)
            except (OSError, StopIteration, ValueError, KeyError):
                pass
            time.sleep(0.02)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("r1"), p.add_argument("model"), p.add_argument("limit", type=int)
    p.add_argument("--tokens", type=int, default=64), p.add_argument("--warm", type=int, default=64)
    p.add_argument("--threads", type=int, default=2), p.add_argument("--repack", default="auto")
    a = p.parse_args()

    reader = gguf.GGUFReader(a.model)
    arch = reader.fields["general.architecture"].contents()
    used = reader.fields[f"{arch}.expert_used_count"].contents()
    count = reader.fields[f"{arch}.expert_count"].contents()
    size = lambda wanted: sum(int(t.n_bytes) for t in reader.tensors if wanted(t.name))
    experts = size(lambda name: "_exps." in name)
    # The embedding table is read by rows, and only those of the tokens.
    rest = size(lambda name: "_exps." not in name and not name.startswith("token_embd"))
    table = size(lambda name: name.startswith("token_embd"))
    if not any(t.name == "output.weight" for t in reader.tensors):
        rest += table
    del reader

    runs = {}
    for tokens in (a.warm, a.warm + a.tokens):
        folder = group(a.limit)
        forget(a.model)
        command = [a.r1, "bench", "-m", a.model, "--repack", a.repack, "-p", "0", "-n", str(tokens), "-r", "1",
                   "-t", str(a.threads), "--json"]
        runs[tokens] = Run(folder, command)
        os.rmdir(folder)
    short, long = runs[a.warm], runs[a.warm + a.tokens]
    seconds = lambda run, tokens: tokens / next(l for l in run.lines if l["test"] == "decode")["tokens_per_second"]
    speed = a.tokens / (seconds(long, a.warm + a.tokens) - seconds(short, a.warm))
    per_token = (long.read - short.read) / a.tokens

    each = experts * used / count
    room = max(0, a.limit - long.anonymous - (0 if long.anonymous > rest / 2 else rest))
    share = max(0.0, 1 - room / experts)
    print(json.dumps({
        "file": experts + rest, "experts": experts, "limit": a.limit, "repack": a.repack,
        "resident_anonymous": long.anonymous, "resident_file": long.mapped,
        "tokens_per_second": round(speed, 2), "read_per_token": round(per_token),
        "experts_per_token": round(each), "predicted_per_token": round(each * share),
    }))


if __name__ == "__main__":
    main()
