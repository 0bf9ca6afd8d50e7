"""Linear equations in one unknown."""

from random import Random

from tiny.problem import Problem
from tiny.steps import agree, bracket

ASK = ["Solve {e} for {v}.", "Solve for {v}: {e}.", "What is {v} when {e}?", "Find {v} if {e}.", "If {e}, what is {v}?",
       "Solve {e}.", "Solve the equation {e}.", "{e}, what is {v}?", "Find {v}: {e}", "{e}. Find {v}.", "{e}",
       "Determine {v} from {e}.", "Please solve {e} for {v}.", "For which {v} is {e}?"]


def signed(n: int) -> str:
    return f"- {-n}" if n < 0 else f"+ {n}"


def term(a: int, v: str) -> str:
    return v if a == 1 else f"-{v}" if a == -1 else f"{a}{v}"


def side(a: int, b: int, v: str) -> str:
    """`3x - 7`."""
    return str(b) if a == 0 else term(a, v) + (f" {signed(b)}" if b else "")


def make(level: int, r: Random) -> Problem:
    v = r.choice("xxxxyzntk")
    x = r.randint(1, 12) if level == 1 else r.randint(-20, 30) if level < 5 else r.randint(-60, 99)
    top = {1: 9, 2: 15, 3: 15, 4: 12, 5: 25}[level]
    a, b, c = r.randint(2, top), r.randint(1, 20 * level), r.randint(2, top)
    if level >= 2 and r.random() < 0.4:
        b = -b
    if level <= 2:
        if r.random() < 0.2:
            a = 1 if level == 1 else -a
        # a x + b = d
        return _problem(level, r, v, x, (a, b, None), (0, a * x + b, None))
    if level == 3:
        if r.random() < 0.5:
            # a (x + b) = d
            return _problem(level, r, v, x, (1, b, a), (0, a * (x + b), None))
        a, c = _apart(r, top)
        return _problem(level, r, v, x, (a, b, None), (c, (a - c) * x + b, None))
    a, c = _apart(r, top)
    if r.random() < 0.4:
        return _problem(level, r, v, x, (a, b, None), (c, (a - c) * x + b, None))
    # a (x + b) = c x + d
    return _problem(level, r, v, x, (1, b, a), (c, a * (x + b) - c * x, None))


def _apart(r: Random, top: int) -> tuple[int, int]:
    while True:
        a, c = r.randint(2, top), r.randint(2, top)
        if a != c:
            return a, c


def _text(s, v) -> str:
    a, b, times = s
    return f"{times}({side(a, b, v)})" if times else side(a, b, v)


def _problem(level, r, v, x, left, right) -> Problem:
    if r.random() < 0.15 and right[0]:
        left, right = right, left
    text = f"{_text(left, v)} = {_text(right, v)}"
    return Problem("equation", level, r.choice(ASK).format(e=text, v=v), f"{left}{right}", str(x),
                   work=lambda t: _work(t, v, left, right), check=lambda t, answer: _check(t, left, right, int(answer)),
                   opening=r.choice(["The equation is {}.", "I have {}."]).format(text))


def _expand(t, s, v):
    a, b, times = s
    if not times:
        return a, b
    const = t.result(f"{times}*{bracket(b)}", times * b)
    t.say(f"{_text(s, v)} = {side(times * a, const, v)}.\n")
    return times * a, const


def _work(t, v, left, right) -> str | None:
    (a, b), (c, d) = _expand(t, left, v), _expand(t, right, v)
    if a == 0:
        (a, b), (c, d) = (c, d), (a, b)
    if c:
        if a < c:
            (a, b), (c, d) = (c, d), (a, b)
        k = t.result(f"{term(a, v)} and {term(c, v)} on one side: {a}-{bracket(c)}", a - c, end=". ")
        t.say(f"{side(k, b, v)} = {d}.\n")
        a = k
    if b:
        d = t.result(f"{d}{'+' if b < 0 else '-'}{abs(b)}", d - b, end=". ")
    t.say(f"{term(a, v)} = {d}. ")
    if a == 1:
        t.say("\n")
        return str(d)
    if a == 0 or d % a:
        # A slip has spoiled it.
        t.say(f"{d} is not a multiple of {a}. ")
        return None
    return str(t.result(f"{v} = {d}/{bracket(a)}", d // a, end=".\n"))


def _value(t, s, x) -> int:
    a, b, times = s
    if a == 0:
        return b
    out = x if a == 1 else t.result(f"{a}*{bracket(x)}", a * x)
    if b:
        out = t.result(f"{out}{'-' if b < 0 else '+'}{abs(b)}", out + b)
    return t.result(f"{times}*{bracket(out)}", times * out) if times else out


def _check(t, left, right, x) -> bool:
    return agree(t, _value(t, left, x), _value(t, right, x))
