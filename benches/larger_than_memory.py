#!/usr/bin/env python3
"""A model larger than the memory it may use: runs `r1 bench` in a control group whose memory is limited, and compares
the bytes that were read from disk with what the model's numbers predict.

    larger_than_memory.py R1 MODEL.gguf LIMIT_BYTES [--tokens 64] [--warm 64] [--threads 2] [--repack auto]

R1 is the command line's binary, MODEL a mixture of experts. Needs Linux, root and the gguf package. Prints what was
measured and what was predicted. Bytes: those of the experts that a token uses, times the share of experts that finds no
room in memory; this assumes a router that likes all experts alike, as one with random weights does (trained ones repeat
themselves and read less). Time: that of a token with the whole file in memory, and that of reading those bytes at the
rate which this disk gives random pieces of an expert's size, measured before and after.
"""
import argparse, concurrent.futures, json, os, random, subprocess, sys, threading, time
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


def disk_rate(path, piece, seconds=2.0):
    """Bytes a second of random pieces that are not in memory, many asked for at once."""
    forget(path)
    fd, count = os.open(path, os.O_RDONLY), os.path.getsize(path) // piece
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    places, start, read = random.sample(range(count), count), time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for at in range(0, count, 64):
            read += sum(pool.map(lambda i: len(os.pread(fd, piece, i * piece)), places[at:at + 64]))
            if time.monotonic() - start > seconds:
                break
    rate = read / (time.monotonic() - start)
    os.close(fd)
    return rate


class Run:
    """`r1 bench` in the group (if any), watched: bytes read, and resident memory at its highest."""

    def __init__(self, folder, command):
        enter = lambda: folder and open(f"{folder}/cgroup.procs", "w").write(str(os.getpid()))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=enter)
        self.read = self.anonymous = self.mapped = 0
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        try:
            self.lines = [json.loads(line) for line in self.process.communicate()[0].splitlines()]
        finally:
            self.process.kill()
            self.process.wait()
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
    piece = min(int(t.n_bytes) for t in reader.tensors if "_exps." in t.name) // count
    size = lambda wanted: sum(int(t.n_bytes) for t in reader.tensors if wanted(t.name))
    experts = size(lambda name: "_exps." in name)
    # The embedding table is read by rows, and only those of the tokens.
    rest = size(lambda name: "_exps." not in name and not name.startswith("token_embd"))
    table = size(lambda name: name.startswith("token_embd"))
    if not any(t.name == "output.weight" for t in reader.tensors):
        rest += table
    del reader

    def bench(tokens, folder=None):
        return Run(folder, [a.r1, "bench", "-m", a.model, "--repack", a.repack, "-p", "0", "-n", str(tokens), "-r", "1",
                            "-t", str(a.threads), "--json"])

    def seconds(run, tokens):
        return tokens / next(l for l in run.lines if l["test"] == "decode")["tokens_per_second"]

    def limited(tokens):
        folder = group(a.limit)
        forget(a.model)
        try:
            return bench(tokens, folder)
        finally:
            os.rmdir(folder)

    bench(a.warm)  # brings the file in
    in_memory = seconds(bench(a.warm), a.warm) / a.warm
    before = disk_rate(a.model, piece)
    short, long = limited(a.warm), limited(a.warm + a.tokens)
    after = disk_rate(a.model, piece)
    speed = a.tokens / (seconds(long, a.warm + a.tokens) - seconds(short, a.warm))
    per_token = (long.read - short.read) / a.tokens

    each = experts * used / count
    room = max(0, a.limit - long.anonymous - (0 if long.anonymous > rest / 2 else rest))
    predicted = each * max(0.0, 1 - room / experts)
    rate = (before + after) / 2
    print(json.dumps({
        "file": experts + rest, "experts": experts, "limit": a.limit, "repack": a.repack,
        "resident_anonymous": long.anonymous, "resident_file": long.mapped,
        "experts_per_token": round(each), "read_per_token": round(per_token), "predicted_read": round(predicted),
        "disk_rate": [round(before), round(after)], "speed_in_memory": round(1 / in_memory, 2),
        "tokens_per_second": round(speed, 2), "predicted_speed": round(1 / (in_memory + predicted / rate), 2),
    }))


if __name__ == "__main__":
    main()
