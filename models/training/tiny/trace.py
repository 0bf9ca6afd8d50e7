"""A thought in the making: text, and at most one planted slip.

A slip is a wrong digit in one computed number, or (in a search) a hit that is none. Nothing marks it. What is wrong is kept out of the loss, so that a model learns
to notice slips but not to make them; what follows is computed from the wrong number, as a real slip's would be, until the
text notices it: at once (`Wait, 37*4 = 148.`) or when the check does not come out.
"""

from __future__ import annotations

from random import Random

from tiny.problem import Problem

CLAIM = " = "


class Trace:
    """Collects a thought. With `slip_at`, the result of that number is wrong."""

    def __init__(self, rng: Random, slip_at: int | None = None, at_once: bool = False):
        self.rng, self.slip_at, self.at_once = rng, slip_at, at_once
        self.parts: list[str] = []
        self.length = 0
        self.results = 0
        #: Where the wrong digits stand in the text.
        self.wrong: list[int] = []
        #: Where the wrong number ends.
        self.wrong_end = 0
        #: What the thought ends with.
        self.answer = ""
        #: Ends of the right results that a slip could have hit.
        self.ends: list[int] = []

    def say(self, text: str) -> None:
        if text[:1] == "\n" and self.parts and self.parts[-1].endswith(" "):
            # No space before a line break.
            self.parts[-1] = self.parts[-1][:-1]
            self.length -= 1
        self.parts.append(text)
        self.length += len(text)

    def result(self, expression: str, value: int, end: str = ". ", claim: str = CLAIM) -> int:
        """Writes `expression = value`; gives back what stands there at last."""
        self.say(expression + claim)
        index, self.results = self.results, self.results + 1
        if index != self.slip_at:
            self.say(str(value))
            self.ends.append(self.length)
            self.say(end)
            return value
        wrong = mistaken(value, self.rng)
        written, right = str(wrong), str(value)
        self.wrong = [self.length + i for i, digit in enumerate(written) if digit != right[i]]
        self.say(written)
        self.wrong_end = self.length
        if not self.at_once:
            self.say(end)
            return wrong
        self.say(f". Wait, {expression}{claim}{value}{end}")
        return value

    def false_hit(self, text: str, at_once: str) -> bool:
        """Where a slip may claim something: writes the claim if it is this slip's turn. True if it stands."""
        index, self.results = self.results, self.results + 1
        if index != self.slip_at:
            return False
        # The claim and the space before it, which is part of its first token.
        self.wrong = list(range(self.length - 1, self.length + len(text)))
        self.say(text)
        self.wrong_end = self.length
        if self.at_once:
            self.say(at_once)
        return not self.at_once

    @property
    def cut(self) -> str:
        """The thought up to its wrong digit, or its wrong claim."""
        claim = len(self.wrong) > 1 and self.wrong[-1] + 1 == self.wrong_end and not self.text[self.wrong[0]].isdigit()
        return self.text[: self.wrong_end if claim else self.wrong[0] + 1]

    @property
    def text(self) -> str:
        return "".join(self.parts)


def mistaken(value: int, rng: Random) -> int:
    """A number with as many digits, one of them wrong: by one as often as by anything."""
    digits = list(str(abs(value)))
    at = rng.randrange(len(digits))
    old = int(digits[at])
    choices = [d for d in ([old - 1, old + 1] if rng.random() < 0.5 else range(10)) if 0 <= d <= 9 and d != old]
    if at == 0 and len(digits) > 1:
        choices = [d for d in choices if d] or [old % 9 + 1]
    digits[at] = str(rng.choice(choices))
    return (-1 if value < 0 else 1) * int("".join(digits))


MATCH = ["That matches.", "Correct.", "Good."]
DIFFER = ["Wait, that does not match. I made a mistake. Again.", "Wait, this is wrong. Let me redo it.",
          "Wait, these differ. Once more."]
CHECK = ["Check: ", "Let me check: ", "Let me verify: "]
SO = ["So the answer is ", "So I get ", "The result is "]


def think(problem: Problem, trace: Trace, check: float = 1.0) -> str | None:
    """Writes a whole thought. Returns the answer, or None where it ended wrong."""
    rng = trace.rng
    trace.say(problem.opening + "\n")
    answer = None
    for attempt in range(3):
        answer = problem.work(trace)
        if answer is None:
            # The steps led nowhere, which is a check that failed.
            trace.say(rng.choice(DIFFER) + "\n")
            continue
        if attempt == 0 and rng.random() >= check:
            break
        trace.say(rng.choice(CHECK))
        if problem.check(trace, answer):
            trace.say(rng.choice(MATCH) + "\n")
            break
        trace.say(rng.choice(DIFFER) + "\n")
    trace.say(f"{rng.choice(SO)}{answer}.")
    trace.answer = answer or ""
    return answer if problem.right(answer) else None


def thought(problem: Problem, rng: Random, slip: bool, check: float = 1.0) -> Trace | None:
    """A thought that ends right, with a slip where asked; None where the slip goes unnoticed."""
    state = rng.getrandbits(62)
    trace = Trace(Random(state))
    if think(problem, trace, 1.0 if slip else check) is None:
        raise AssertionError(f"wrong without a slip: {problem.prompt}\n{trace.text}")
    if not slip:
        return trace
    if not trace.results:
        return None
    slipped = Trace(Random(state), rng.randrange(trace.results), rng.random() < 0.5)
    if think(problem, slipped) is None or not slipped.wrong or "Wait" not in slipped.text:
        return None
    return slipped
