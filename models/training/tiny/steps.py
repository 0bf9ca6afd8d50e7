"""Steps that several families write: products, divisions, checks."""

from __future__ import annotations

from tiny.trace import Trace


def product(t: Trace, a: int, b: int) -> int:
    """`37*24` by the digits of the second factor."""
    if abs(b) > abs(a):
        a, b = b, a
    sign = -1 if a * b < 0 else 1
    x, y = abs(a), abs(b)
    places = [int(d) * 10 ** i for i, d in reversed(list(enumerate(reversed(str(y))))) if d != "0"]
    if len(places) <= 1:
        return t.result(f"{bracket(a)}*{bracket(b)}", a * b)
    total = None
    for place in places:
        part = t.result(f"{x}*{place}", x * place)
        total = part if total is None else t.result(f"{total}+{part}", total + part)
    if sign < 0:
        t.say(f"{bracket(a)}*{bracket(b)} = {-total}. ")
    return sign * total


def bracket(n: int) -> str:
    return f"({n})" if n < 0 else str(n)


def division(t: Trace, n: int, d: int) -> tuple[int, int]:
    """Long division, a line a digit; quotient and remainder."""
    text, cur, quotient, at = str(n), 0, "", 0
    while at < len(text) and cur < d:
        cur, at = cur * 10 + int(text[at]), at + 1
    t.say(f"{n}/{d}: ")
    while True:
        q = cur // d
        if q == 0:
            left = cur
            t.say(f"{cur}: 0. ")
        elif d < 10:
            left = t.result(f"{cur}: {q}, left", cur - q * d, claim=" ")
        else:
            times = t.result(f"{cur}: {d}*{q}", q * d, end=", ")
            left = t.result("left", cur - times, claim=" ")
        quotient += str(q)
        if at == len(text) or not 0 <= left < d:
            return int(quotient + "0" * (len(text) - at)), left
        cur, at = left * 10 + int(text[at]), at + 1


def nine(t: Trace, n: int) -> int:
    """Writes how a number becomes its residue mod 9; numbers of one digit are said only where they are used."""
    if 0 <= n < 9:
        return n
    path, m = [str(n)], abs(n)
    while m > 9:
        m = sum(map(int, str(m)))
        path.append(str(m))
    m %= 9
    residue = (9 - m) % 9 if n < 0 else m
    if path[-1] != str(residue):
        path.append(str(residue))
    t.say(" -> ".join(path) + ". ")
    return residue


def mod9(t: Trace, tree, answer: int) -> bool:
    """Whether a value agrees with its expression mod 9."""
    t.say("mod 9, ")
    left, right = _residue(t, tree), nine(t, answer)
    return agree(t, left, right)


def _residue(t: Trace, tree) -> int:
    if isinstance(tree, int):
        return nine(t, tree)
    op, a, b = tree
    x, y = _residue(t, a), _residue(t, b)
    value = x + y if op == "+" else x - y if op == "-" else x * y
    residue = value % 9
    t.say(f"{x}{op}{y} = {value}" + (f" -> {residue}. " if residue != value else ". "))
    return residue


def agree(t: Trace, left: int, right: int) -> bool:
    """Writes both sides of a check."""
    t.say(f"{left} and {right}. ")
    return left == right


def value(tree) -> int:
    """What an expression is worth."""
    if isinstance(tree, int):
        return tree
    op, a, b = tree
    x, y = value(a), value(b)
    return x + y if op == "+" else x - y if op == "-" else x * y


RANK = {"+": 1, "-": 1, "*": 2, "/": 2}


def show(tree, spaced: bool = False, rank: int = 0, times: str = "*") -> str:
    """An expression with the brackets it needs."""
    if isinstance(tree, int):
        return bracket(tree) if rank else str(tree)
    op, a, b = tree
    mine = RANK[op]
    sign = times if op == "*" else op
    text = show(a, spaced, mine, times) + (f" {sign} " if spaced else sign)
    # The right side of a difference or quotient keeps its brackets.
    text += show(b, spaced, mine + (op in "-/"), times)
    return f"({text})" if mine < rank else text
