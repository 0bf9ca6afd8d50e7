"""Rewards by rule: accuracy, format, language, and honesty of the checks. Needs no PyTorch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tiny import manners
from tiny.problem import Task

BOX = re.compile(r"\\boxed\{([^{}]*)\}")
WORD = re.compile(r"[A-Za-z]{2,}")
#: What a check says of its two sides.
SIDES = re.compile(r"(-?\d+) and (-?\d+)\. (That matches|Correct|Good|Wait)")
#: A number taken back and then said again.
ALARM = re.compile(r"= (-?\d+)\. Wait, [^.=\n]* = \1[.,]")
ENGLISH = frozenset("""
I have to compute need The expression is Left Check Let me check verify mod and That matches Correct Good Wait that does
not match made mistake Again this wrong redo it these differ Once more So the answer get result multiply by divide left
equation on one side multiple of use Euclid for lcm gcd try primes prime divides ends in no yes Last from Back up Yes No
reached needed All numbers are used once cost rest total share money distance change number bag again
""".lower().split())


@dataclass
class Verdict:
    right: bool
    well_formed: bool
    #: Share of the thought's words that are English.
    language: float
    #: Checks whose verdict contradicts their sides, and corrections of what was right.
    false_checks: int
    waits: int
    answer: str | None


def judge(task: Task, text: str, ended: bool) -> Verdict:
    """Judges a reply, the thought's given beginning included. `ended`: by the end token."""
    thought, tag, rest = text.partition("</think>")
    boxes = BOX.findall(rest)
    clean = ended and bool(tag) and "</think>" not in rest and "<" not in rest and "<" not in thought
    words = [word.lower() for word in WORD.findall(thought)]
    language = sum(word in ENGLISH for word in words) / len(words) if words else 1.0
    false = sum((a == b) == (verdict == "Wait") for a, b, verdict in SIDES.findall(thought))
    false += len(ALARM.findall(thought))
    if task.family == "talk":
        said = rest.strip() in manners.KINDS[task.key]
        return Verdict(said and clean, clean and not boxes and not thought.strip(), language, false, 0, None)
    answer = boxes[-1] if boxes else None
    return Verdict(task.right(answer), clean and len(boxes) == 1, language, false, thought.count("Wait"), answer)


def reward(verdict: Verdict) -> float:
    """The pipeline's: right answers count only where the format is kept."""
    return ((verdict.right and verdict.well_formed) + 0.2 * verdict.well_formed + 0.1 * verdict.language
            - 0.3 * min(verdict.false_checks, 1))


def zero_reward(verdict: Verdict) -> float:
    """R1-Zero's: accuracy and format."""
    return verdict.right + 0.5 * verdict.well_formed


_tokens = None


def start(path) -> None:
    """Readies a worker process."""
    global _tokens
    from tiny.tokens import Tokens

    _tokens = Tokens(path)


def batch(work: list[tuple[Task, list[int], bool]]) -> list[Verdict]:
    """Judges token ids."""
    return [judge(task, task.prefix + _tokens.decode(ids), ended) for task, ids, ended in work]


