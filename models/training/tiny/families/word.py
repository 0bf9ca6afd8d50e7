"""Short word problems: a story, an expression, its value."""

from random import Random

from tiny.problem import Problem
from tiny.steps import RANK, agree, division, mod9, product, show, value

NAMES = ["Anna", "Hugo", "Iris", "Jack", "Nora", "Tom", "Mia", "Ben", "Lena", "Omar", "Sara", "Paul", "Ruth", "Kim"]
THINGS = ["apples", "balls", "pens", "lamps", "cups", "cakes", "tickets", "books", "eggs", "cards", "coins", "roses"]
PLACES = ["A shop", "A farm", "A school", "A market", "A baker", "A library"]


def make(level: int, r: Random) -> Problem:
    top = {1: 10, 2: 20, 3: 30, 4: 60, 5: 150}[level]
    n = lambda low=2: r.randint(low, max(low + 1, top))  # noqa: E731
    story = r.choice(STORIES[:6] if level <= 1 else STORIES)
    name, thing = r.choice(NAMES), r.choice(THINGS)
    other = r.choice([x for x in THINGS if x != thing])
    prompt, tree, unit = story(r, n, name, thing, other)
    if r.random() < 0.3:
        # A word that changes nothing.
        prompt = r.choice(["Here is a question. ", "Please help me. ", "Try this one: ", "A problem: "]) + prompt
    if tree[0] == "/":
        whole, parts = value(tree[1]), tree[2]
        return Problem("word", level, prompt, f"word {show(tree)}", str(whole // parts),
                       work=lambda t: _share(t, tree[1], parts), check=lambda t, a: _back(t, tree[1], parts, int(a)),
                       opening=_opening(r, tree, unit))
    return Problem("word", level, prompt, f"word {show(tree)}", str(value(tree)), work=lambda t: _work(t, tree),
                   check=lambda t, a: mod9(t, tree, int(a)), opening=_opening(r, tree, unit))


def _opening(r, tree, unit) -> str:
    return r.choice(["I need the {}: {}.", "The {} is {}."]).format(unit, show(tree))


def _reduce(t, tree) -> int:
    if isinstance(tree, int):
        return tree
    op, a, b = tree
    x, y = _reduce(t, a), _reduce(t, b)
    if op == "*":
        return product(t, x, y)
    return t.result(f"{x}{op}{y}", x + y if op == "+" else x - y)


def _work(t, tree) -> str:
    out = _reduce(t, tree)
    t.say("\n")
    return str(out)


def _share(t, tree, parts) -> str | None:
    whole = _reduce(t, tree)
    if whole < 0:
        return None
    q, left = division(t, whole, parts)
    if left:
        t.say(f"{whole} is not a multiple of {parts}. ")
        return None
    t.say("\n")
    return str(q)


def _back(t, tree, parts, answer) -> bool:
    back = product(t, answer, parts)
    return agree(t, back, _reduce(t, tree))


def _buy(r, n, name, thing, other):
    a, b, c, d = n(), n(), n(), n()
    text = f"{name} buys {a} {thing} for {b} dollars each and {c} {other} for {d} dollars each. "
    return text + r.choice([f"How much does {name} pay?", "How much is that in total?", "What is the total cost?"]), \
        ("+", ("*", a, b), ("*", c, d)), "cost"


def _give(r, n, name, thing, other):
    a, b = n(8), n()
    c = r.randint(1, a + b - 1)
    friend = r.choice([x for x in NAMES if x != name])
    text = f"{name} has {a} {thing}, gets {b} more and then gives {c} to {friend}. "
    return text + r.choice([f"How many {thing} does {name} have now?", f"How many {thing} are left?"]), \
        ("-", ("+", a, b), c), "rest"


def _boxes(r, n, name, thing, other):
    a, b = n(), n()
    text = f"There are {a} boxes with {b} {thing} in each. "
    return text + r.choice([f"How many {thing} are there?", f"How many {thing} is that in all?"]), ("*", a, b), "total"


def _more(r, n, name, thing, other):
    a, b = n(), n()
    friend = r.choice([x for x in NAMES if x != name])
    text = f"{name} has {a} {thing}. {friend} has {b} more than {name}. "
    return text + f"How many {thing} do they have together?", ("+", a, ("+", a, b)), "total"


def _days(r, n, name, thing, other):
    a, b = n(), r.randint(2, 9)
    verb = r.choice(["reads", "writes", "prints"])
    return f"{name} {verb} {a} pages a day. How many pages does {name} {verb[:-1]} in {b} " \
        + r.choice(["days?", "weeks?"]), None, "total"


def _pages(r, n, name, thing, other):
    text, _, unit = _days(r, n, name, thing, other)
    a, b = [int(word) for word in text.split() if word.isdigit()]
    return text, ("*", a, ("*", b, 7) if "weeks" in text else b), unit


def _share_out(r, n, name, thing, other):
    parts, each = r.randint(2, 12), n()
    text = f"{parts * each} {thing} are shared equally among {parts} children. "
    return text + f"How many {thing} does each child get?", ("/", parts * each, parts), "share"


def _broken(r, n, name, thing, other):
    a, b, d = n(), n(), r.randint(2, 20)
    c = r.randint(1, a * b - 1)
    place = r.choice(PLACES)
    text = f"{place} gets {a} boxes with {b} {thing} each. {c} of them are broken. "
    return text + f"Each good one sells for {d} dollars. How much money do they bring?", \
        ("*", ("-", ("*", a, b), c), d), "money"


def _train(r, n, name, thing, other):
    a, b, v, w = r.randint(2, 9), r.randint(2, 9), 5 * r.randint(4, 24), 5 * r.randint(4, 24)
    what = r.choice(["A train", "A bus", "A car", name])
    text = f"{what} drives {a} hours at {v} km per hour and then {b} hours at {w} km per hour. "
    return text + "How many km is that in total?", ("+", ("*", a, v), ("*", b, w)), "distance"


def _change(r, n, name, thing, other):
    a, b = n(), r.randint(2, 20)
    paid = a * b + r.randint(1, 50)
    text = f"{name} buys {a} {thing} for {b} dollars each and pays with {paid} dollars. "
    return text + r.choice(["How much change is there?", f"How much money does {name} get back?"]), \
        ("-", paid, ("*", a, b)), "change"


def _rows(r, n, name, thing, other):
    a, b, c = n(), n(), n()
    text = f"A hall has {a} rows of {b} seats, and {c} seats more at the back. "
    return text + "How many seats are there?", ("+", ("*", a, b), c), "total"


def _crates(r, n, name, thing, other):
    parts, each = r.randint(2, 12), n()
    rest = r.randint(1, 40)
    text = f"{name} has {parts * each + rest} {thing}, keeps {rest} and packs the others into {parts} equal bags. "
    return text + f"How many {thing} are in each bag?", ("/", ("-", parts * each + rest, rest), parts), "number in a bag"


STORIES = [_buy, _give, _boxes, _more, _pages, _share_out, _broken, _train, _change, _rows, _crates]
