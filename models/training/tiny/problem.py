"""What a problem is, and which problems are held out."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Callable

TEST, VALID, TRAIN = "test", "valid", "train"


@dataclass
class Task:
    """What is asked, and how an answer is judged."""

    family: str
    level: int
    prompt: str
    #: Names the mathematical content, whatever the phrasing; decides the split.
    key: str
    #: The answer as it stands in the box; for countdown one of many.
    answer: str
    #: Countdown only: the numbers to use, and the value to reach.
    numbers: tuple[int, ...] = ()
    target: int = 0
    #: The beginning of a thought that the model is to go on with.
    prefix: str = ""

    @property
    def split(self) -> str:
        """One problem in 16 is for tests, another one for choosing and for curves. Bare sums are in both."""
        part = zlib.crc32(self.key.encode()) % 16
        return TEST if part == 0 else VALID if part == 1 else TRAIN

    def right(self, answer: str | None) -> bool:
        """Whether a boxed answer is right."""
        if answer is None:
            return False
        answer = answer.strip()
        if self.numbers:
            return reaches(answer, self.numbers, self.target)
        if self.key.startswith("factor "):
            return factors(answer) == factors(self.answer)
        return answer == self.answer


@dataclass
class Problem(Task):
    """A task with a way to solve it."""

    #: Writes the steps and returns the answer that they lead to, if any.
    work: Callable[["Trace"], str | None] = None  # noqa: F821
    #: Writes a check of an answer and returns whether both sides agree.
    check: Callable[["Trace", str], bool] = None  # noqa: F821
    #: What a thought begins with.
    opening: str = ""

    def task(self, prefix: str = "") -> Task:
        """The task alone, which can be sent to another process."""
        return Task(self.family, self.level, self.prompt, self.key, self.answer, self.numbers, self.target, prefix)


def factors(text: str) -> list[int] | None:
    """The factors of a product, in order; None for anything else."""
    parts = [part.strip() for part in text.split("*")]
    return sorted(map(int, parts)) if all(part.isdigit() and len(part) < 9 for part in parts) else None


def reaches(text: str, numbers: tuple[int, ...], target: int) -> bool:
    """Whether an expression has this value and uses each number once."""
    if len(text) > 60:
        return False
    used: list[int] = []
    try:
        value, rest = _sum(text.replace(" ", ""), used)
    except (ValueError, ZeroDivisionError, RecursionError):
        return False
    return not rest and value == target and sorted(used) == sorted(numbers)


def _sum(text: str, used: list[int]) -> tuple[Fraction, str]:
    value, rest = _product(text, used)
    while rest[:1] in ("+", "-"):
        right, after = _product(rest[1:], used)
        value, rest = (value + right if rest[0] == "+" else value - right), after
    return value, rest


def _product(text: str, used: list[int]) -> tuple[Fraction, str]:
    value, rest = _atom(text, used)
    while rest[:1] in ("*", "/"):
        right, after = _atom(rest[1:], used)
        value, rest = (value * right if rest[0] == "*" else value / right), after
    return value, rest


def _atom(text: str, used: list[int]) -> tuple[Fraction, str]:
    if text[:1] == "(":
        value, rest = _sum(text[1:], used)
        if rest[:1] != ")":
            raise ValueError("no closing bracket")
        return value, rest[1:]
    digits = 0
    while text[digits : digits + 1].isdigit():
        digits += 1
    if not 0 < digits < 9:
        raise ValueError("no number")
    used.append(int(text[:digits]))
    return Fraction(used[-1]), text[digits:]
