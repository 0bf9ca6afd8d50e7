#!/usr/bin/env python3
"""Writes the task files beside this script: problems in the phrasings that the shipped model was trained on.

    python3 models/tasks/make_tasks.py

Needs nothing but Python 3. The same files come out every time: a fixed seed, a generator of its own. No problem is in both
files. Whether a problem was also in the training data, which was generated at random, is unknown; the larger operands
make it unlikely.
"""

import json
import math
import pathlib

NAMES = ["Anna", "Hugo", "Iris", "Jack", "Nora", "Tom", "Mia", "Ben"]
THINGS = ["apples", "balls", "pens", "lamps", "cups", "cakes", "tickets"]


class Random:
    """SplitMix64, so that no version of Python changes the files."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def between(self, low, high):
        """A whole number from low to high, both included."""
        return low + self.bits() % (high - low + 1)

    def pick(self, items):
        return items[self.bits() % len(items)]


def expression(r):
    form, start = r.between(0, 3), r.pick(["Find the value of", "Compute", "Evaluate"])
    a, b, c, d = r.between(12, 99), r.between(12, 99), r.between(2, 9), r.between(2, 60)
    if form == 0:
        a, b, c = r.between(100, 999), r.between(100, 999), r.between(10, 99)
        return f"{start} {a} + {b} - {c}.", a + b - c
    if form == 1:
        return f"{start} ({a} + {b}) * {c} - {d}.", (a + b) * c - d
    if form == 2:
        a = d + r.between(2, 20)
        return f"{start} {b} * ({a} - {d}) + {c}.", b * (a - d) + c
    a, b = r.between(2, 30), r.between(2, 30)
    return f"{start} {a} * {c} + {b} * {d}.", a * c + b * d


def product(r):
    if r.between(0, 2):
        a, b = r.between(100, 9999), r.between(12, 999)
        return r.pick([f"Multiply {a} by {b}.", f"Find the product of {a} and {b}."]), a * b
    a, b = r.between(3, 99), r.between(12, 999)
    return r.pick([f"Divide {a * b} by {a}.", f"How many times does {a} go into {a * b}?"]), b


def linear(r):
    x, name = r.between(-20, 30), r.pick("xyz")
    form = r.between(0, 2)
    if form == 0:
        a, b = r.between(2, 15), r.between(1, 60)
        return f"Solve {a}{name} + {b} = {a * x + b} for {name}.", x
    if form == 1:
        a, b = r.between(6, 15), r.between(1, 40)
        c = r.between(2, a - 1)
        d = (a - c) * x - b
        right = f"{c}{name} {'-' if d < 0 else '+'} {abs(d)}"
        return r.pick([f"Solve for {name}: {a}{name} - {b} = {right}.", f"What is {name} when {a}{name} - {b} = {right}?"]), x
    a, b = r.between(2, 9), r.between(1, 20)
    return f"Solve {a}({name} + {b}) = {a * (x + b)} for {name}.", x


def number_theory(r):
    form = r.between(0, 3)
    if form == 0:
        g = r.between(2, 40)
        a, b = g * r.between(2, 40), g * r.between(2, 40)
        return f"What is the gcd of {a} and {b}?", math.gcd(a, b)
    if form == 1:
        a, b = r.between(4, 90), r.between(4, 90)
        return f"What is the lcm of {a} and {b}?", math.lcm(a, b)
    if form == 2:
        a, b = r.between(200, 9999), r.between(3, 60)
        return f"What is the remainder when {a} is divided by {b}?", a % b
    n = r.between(30, 1000)
    return f"What is the smallest prime factor of {n}?", next(p for p in range(2, n + 1) if n % p == 0)


def word(r):
    name, thing = r.pick(NAMES), r.pick(THINGS)
    other = r.pick([t for t in THINGS if t != thing])
    a, b, c, d = r.between(2, 20), r.between(2, 20), r.between(2, 20), r.between(2, 20)
    form = r.between(0, 2)
    if form == 0:
        text = f"{name} buys {a} {thing} for {b} dollars each and {c} {other} for {d} dollars each. How much does {name} pay?"
        return text, a * b + c * d
    if form == 1:
        broken = r.between(1, a * b - 1)
        text = (f"A shop gets {a} boxes with {b} {thing} each. {broken} of them are broken. "
                f"Each good one sells for {d} dollars. How much money do they bring?")
        return text, (a * b - broken) * d
    v, w = 10 * r.between(2, 9), 10 * r.between(2, 9)
    text = (f"A train drives {a} hours at {v} km per hour and then {b} hours at {w} km per hour. "
            f"How many km is that in total?")
    return text, a * v + b * w


FAMILIES = {"expression": expression, "product": product, "linear": linear, "number theory": number_theory, "word": word}


def tasks(seed, count, taken):
    """`count` tasks, the families in turn, none of them in `taken`."""
    r, made = Random(seed), []
    while len(made) < count:
        family = list(FAMILIES)[len(made) % len(FAMILIES)]
        prompt, answer = FAMILIES[family](r)
        if prompt not in taken:
            taken.add(prompt)
            made.append({"prompt": prompt, "answer": str(answer), "kind": "integer", "group": family})
    return made


def main():
    folder, taken = pathlib.Path(__file__).parent, set()
    for name, seed, count in [("tasks.jsonl", 1, 500), ("held_out.jsonl", 2, 200)]:
        lines = [json.dumps(task) + "\n" for task in tasks(seed, count, taken)]
        (folder / name).write_text("".join(lines))


if __name__ == "__main__":
    main()
