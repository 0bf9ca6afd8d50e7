"""Expressions of two to five operations."""

from random import Random

from tiny.problem import Problem
from tiny.steps import mod9, product, show, value

ASK = ["What is {}?", "Compute {}.", "Find the value of {}.", "Evaluate {}.", "Calculate {}.", "{}", "{} = ?", "{} =",
       "How much is {}?", "Work out {}.", "What does {} equal?", "Please compute {}.", "Can you calculate {}?",
       "Solve {}.", "Simplify {}.", "what is {}", "Tell me the value of {}.", "What's {}?", "Give the result of {}.",
       "I need the value of {}."]


def make(level: int, r: Random) -> Problem:
    tree = _tree(level, r)
    spaced, times = r.random() < 0.65, "x" if r.random() < 0.06 else "*"
    prompt = r.choice(ASK).format(show(tree, spaced, times=times))
    if isinstance(tree, tuple) and r.random() < 0.15 and all(isinstance(x, int) for x in tree[1:]):
        words = {"+": ["What is {} plus {}?", "Add {} and {}.", "Find the sum of {} and {}."],
                 "-": ["What is {} minus {}?", "What is the difference of {} and {}?"],
                 "*": ["What is {} times {}?"]}[tree[0]]
        prompt = r.choice(words).format(tree[1], tree[2])
    return Problem("expression", level, prompt, show(tree), str(value(tree)),
                   work=lambda t: str(_work(t, tree)), check=lambda t, a: mod9(t, tree, int(a)),
                   opening=r.choice(["I have to compute {}.", "The expression is {}.", "I need {}."]).format(show(tree)))


def _work(t, tree) -> int:
    """One operation a line, innermost and leftmost first, and what is left of the whole."""
    while isinstance(tree, tuple):
        tree = _reduce(t, tree)
        if isinstance(tree, tuple):
            t.say(f"Left: {show(tree)}.")
        t.say("\n")
    return tree


def _reduce(t, tree):
    op, a, b = tree
    if isinstance(a, tuple):
        return (op, _reduce(t, a), b)
    if isinstance(b, tuple):
        return (op, a, _reduce(t, b))
    if op == "*":
        return product(t, a, b)
    return t.result(show(tree), a + b if op == "+" else a - b)


def _tree(level: int, r: Random):
    n = lambda low, high: r.randint(low, high)  # noqa: E731
    op = lambda: r.choice("+-")  # noqa: E731
    if level == 1:
        return r.choice([("+", n(2, 99), n(2, 99)), ("-", n(2, 99), n(2, 99)), ("*", n(2, 20), n(2, 9)),
                         (op(), ("+", n(2, 50), n(2, 50)), n(2, 50))])
    if level == 2:
        a, b, c = n(11, 99), n(2, 99), n(2, 9)
        return r.choice([(op(), ("*", a, c), b), (op(), b, ("*", a, c)), ("*", ("+", a, b), c),
                         (op(), (op(), n(100, 999), n(100, 999)), a), (op(), n(100, 999), n(10, 999))])
    if level == 3:
        a, b, c, d, e = n(11, 99), n(11, 99), n(2, 9), n(2, 99), n(2, 20)
        return r.choice([("-", ("*", ("+", a, b), c), d), (op(), ("*", a, c), ("*", b, e)),
                         ("+", ("*", b, ("-", d + e, d)), a), ("*", ("+", a, d), ("-", e, c))])
    if level == 4:
        a, b, c, d, e = n(11, 99), n(11, 99), n(3, 30), n(11, 99), n(2, 99)
        return r.choice([(op(), (op(), ("*", a, b), ("*", c, d)), e), ("*", ("+", a, b), ("-", c + d, d)),
                         ("+", ("*", ("-", a, b), c), ("*", d, e)), (op(), n(100, 999), ("*", a, ("+", c, e)))])
    a, b, c, d, e, f = n(101, 999), n(11, 99), n(11, 99), n(11, 99), n(3, 30), n(101, 999)
    return r.choice([(op(), ("*", ("+", b, c), ("+", d, e)), f), (op(), ("*", a, b), ("*", c, d)),
                     ("+", ("*", ("-", ("*", b, e), c), r.randint(2, 9)), f),
                     ("-", ("+", ("*", a, e), ("*", c, d)), ("*", b, r.randint(2, 9))),
                     ("*", ("+", a, b), ("-", d + e, d))])
