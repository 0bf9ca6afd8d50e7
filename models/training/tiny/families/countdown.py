"""Countdown: reach a target with all of three or four numbers. A search that backs up."""

from itertools import combinations
from random import Random

from tiny.problem import Problem
from tiny.steps import RANK, agree

ASK = ["Use the numbers {} to make {}.", "Make {1} from {0}.", "Reach {1} with {0}.", "Use {} to reach {}.",
       "Combine {} to get {}.", "Using {}, make {}.", "Countdown: numbers {}, target {}.", "Use {} to make {}.",
       "Find an expression with {} that equals {}.", "How can you make {1} from the numbers {0}?",
       "Use each of {} once to make {}.", "Get {1} from {0} with + - * /.", "Numbers: {}. Target: {}."]
#: How many first steps fail before one works.
TRIES = [0] * 7 + [1] * 5 + [2] * 4 + [3] * 3 + [4, 4, 5, 6]
TOP = {1: 12, 2: 25, 3: 15, 4: 25, 5: 50}


def make(level: int, r: Random) -> Problem:
    count = 3 if level <= 2 else 4
    while True:
        numbers = [r.randint(1 if level < 4 else 2, TOP[level]) for _ in range(count)]
        items = [(n, n) for n in numbers]
        r.shuffle(items)
        while len(items) > 1:
            a, b = items.pop(), items.pop()
            out = r.choice(_merges(a, b))
            items.insert(r.randrange(len(items) + 1), out)
        target = items[0][0]
        solution = _solve([(n, n) for n in numbers], target) if 1 <= target <= 300 and target not in numbers else None
        if solution:
            break
    shown = ", ".join(map(str, numbers))
    if r.random() < 0.4:
        shown = f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
    seed = r.getrandbits(60)
    return Problem("countdown", level, r.choice(ASK).format(shown, target), f"countdown {sorted(numbers)} {target}",
                   show(solution), work=lambda t: _work(t, numbers, target, Random(seed)),
                   check=lambda t, answer: _check(t, target), numbers=tuple(numbers),
                   target=target,
                   opening=f"I need {target} from {', '.join(map(str, numbers))}.")


# An item is (value, tree); a tree is a number or (operator, tree, tree).


def _merges(a, b) -> list:
    """Everything that two items make in one step; never nothing or a fraction."""
    if a[0] < b[0]:
        a, b = b, a
    x, y = a[0], b[0]
    out = [(x + y, ("+", a[1], b[1]))]
    if x > y:
        out.append((x - y, ("-", a[1], b[1])))
    if y > 1:
        out.append((x * y, ("*", a[1], b[1])))
        if x % y == 0:
            out.append((x // y, ("/", a[1], b[1])))
    return out


def _three(items, target):
    """All (last, value needed, pair result, whole tree) that solve three items."""
    found = []
    for i, last in enumerate(items):
        rest = items[:i] + items[i + 1 :]
        for value, tree in _merges(*rest):
            whole = _close(last, (value, tree), target)
            if whole:
                found.append((i, value, whole))
    return found


def _close(last, other, target):
    """The tree of the step that leads to the target, if it is one that a search looks for."""
    if other[0] not in _needs(last[0], target):
        return None
    return next((tree for value, tree in _merges(last, other) if value == target), None)


def _solve(items, target):
    """Some solution's tree."""
    if len(items) == 3:
        found = _three(items, target)
        return found[0][2] if found else None
    for i, j in combinations(range(len(items)), 2):
        for merged in _merges(items[i], items[j]):
            tree = _solve([x for k, x in enumerate(items) if k not in (i, j)] + [merged], target)
            if tree:
                return tree
    return None


def show(tree, rank: int = 0) -> str:
    """With spaces around sums, as the answer is written."""
    if isinstance(tree, int):
        return str(tree)
    op, a, b = tree
    mine = RANK[op]
    sign = f" {op} " if mine == 1 else op
    text = show(a, mine) + sign + show(b, mine + (op in "-/"))
    return f"({text})" if mine < rank else text


def _work(t, numbers, target, r) -> str | None:
    """Guesses a first step, looks through all that the other three can make, backs up where that fails."""
    items = [(n, n) for n in numbers]
    if len(items) == 3:
        return _end(t, _look(t, items, target))
    good, bad = [], []
    for i, j in combinations(range(len(items)), 2):
        for merged in _merges(items[i], items[j]):
            rest = [x for k, x in enumerate(items) if k not in (i, j)] + [merged]
            (good if _three(rest, target) else bad).append(rest)
    # A retry after a slip goes straight to a step that works.
    wrong = min(r.choice(TRIES), len(bad)) if not t.wrong else 0
    likely = [rest for rest in bad if rest[-1][0] <= 2 * target]
    tries = r.sample(likely, wrong) if len(likely) >= wrong else r.sample(bad, wrong)
    for rest in tries + [r.choice(good)]:
        value, tree = rest[-1]
        value = t.result(_step(tree), value)
        rest[-1] = (value, tree)
        t.say(f"Left {', '.join(str(item[0]) for item in rest)}.\n")
        if value > 0:
            found = _look(t, rest, target)
            if found:
                return _end(t, found)
        t.say("Back up. ")
    return None


def _step(tree) -> str:
    op, a, b = tree
    return f"{a}{op}{b}"


def _look(t, items, target):
    """Tries each item as the last one: what it would need, and what the others make."""
    for i, last in enumerate(items):
        needs = _needs(last[0], target)
        a, b = sorted(items[:i] + items[i + 1 :], key=lambda item: -item[0])
        merges = _merges(a, b)
        t.say(f"Last {last[0]}: need {', '.join(map(str, needs))}. ")
        values = []
        for n, (value, (op, *_)) in enumerate(merges):
            sign = "" if n else f"{a[0]} and {b[0]}: "
            values.append(t.result(sign, value, end=", " if n + 1 < len(merges) else ". ", claim=""))
        for value, merged in zip(values, merges):
            if value in needs:
                t.say(f"Yes, {value}.\n")
                # The items' own values, so that a slip stays one.
                return _close(last, (value, merged[1]), target)
        value, (op, *_) = merged = t.rng.choice(merges)
        if t.false_hit(f"Yes, {value}.", f" Wait, {value} is not needed. "):
            t.say("\n")
            # As one who believes it would go on: with a step that leads elsewhere.
            return t.rng.choice([tree for v, tree in _merges(last, merged) if v != target])
        t.say("No.\n")
    return None


def _needs(last: int, target: int) -> list[int]:
    """What the others must be, so that one more step gives the target."""
    out = [target - last, target + last, last - target]
    if last > 1 and target % last == 0 and target > last:
        out.append(target // last)
    return list(dict.fromkeys(n for n in out if n > 0))


def _end(t, tree) -> str | None:
    if tree is None:
        return None
    t.tree = tree
    return show(tree)


def _check(t, target) -> bool:
    """Computes the expression anew, from the problem's numbers."""
    return agree(t, _value(t, t.tree), target)


def _value(t, tree) -> int:
    if isinstance(tree, int):
        return tree
    op, a, b = tree
    x, y = _value(t, a), _value(t, b)
    out = x + y if op == "+" else x - y if op == "-" else x * y if op == "*" else x // y if y and x % y == 0 else 0
    return t.result(f"{x}{op}{y}", out)
