"""Long multiplication and division."""

from random import Random

from tiny.problem import Problem
from tiny.steps import agree, division, mod9, product

TIMES = ["What is {} * {}?", "Multiply {} by {}.", "Find the product of {} and {}.", "Compute {} * {}.", "{}*{}",
         "What is {} times {}?", "Calculate {} x {}.", "What is the product of {} and {}?", "{} * {} = ?",
         "How much is {} times {}?", "Please multiply {} and {}.", "Work out {} * {}.", "what is {}*{}"]
OVER = ["What is {} / {}?", "Divide {} by {}.", "Compute {} / {}.", "{}/{}", "What is {} divided by {}?",
        "Find {} divided by {}.", "Calculate {} / {}.", "Work out {} / {}."]
INTO = ["How many times does {1} go into {0}?", "How often does {1} fit into {0}?"]

FACTORS = {1: ((11, 99), (2, 9)), 2: ((11, 99), (11, 99)), 3: ((101, 999), (11, 99)), 4: ((1001, 9999), (11, 99)),
           5: ((1001, 9999), (101, 999))}
QUOTIENTS = {1: ((2, 9), (11, 99)), 2: ((2, 9), (101, 999)), 3: ((11, 30), (11, 99)), 4: ((11, 99), (101, 999)),
             5: ((11, 99), (1001, 9999))}


def make(level: int, r: Random) -> Problem:
    if r.random() < 0.6:
        big, small = FACTORS[level]
        if level == 4 and r.random() < 0.4:
            big = small = (101, 999)
        a, b = r.randint(*big), r.randint(*small)
        if r.random() < 0.3:
            a, b = b, a
        return Problem("product", level, r.choice(TIMES).format(a, b), f"{min(a, b)}*{max(a, b)}", str(a * b),
                       work=lambda t: _times(t, a, b), check=lambda t, answer: mod9(t, ("*", a, b), int(answer)),
                       opening=r.choice(["I have to multiply {} by {}.", "I need {}*{}."]).format(a, b))
    d, q = r.randint(*QUOTIENTS[level][0]), r.randint(*QUOTIENTS[level][1])
    prompt = r.choice(OVER + INTO).format(d * q, d)
    return Problem("product", level, prompt, f"{d * q}/{d}", str(q), work=lambda t: _over(t, d * q, d),
                   check=lambda t, answer: _back(t, d * q, d, int(answer)),
                   opening=r.choice(["I have to divide {} by {}.", "I need {}/{}."]).format(d * q, d))


def _times(t, a, b) -> str:
    out = product(t, a, b)
    t.say("\n")
    return str(out)


def _over(t, n, d) -> str:
    q, left = division(t, n, d)
    t.say(f"That is {q}" + (f", left {left}.\n" if left else ".\n"))
    return str(q)


def _back(t, n, d, q) -> bool:
    return agree(t, product(t, q, d), n)
