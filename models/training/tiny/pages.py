"""Documents: base text, conversations for supervised fine-tuning, prompts for reinforcement learning.

A document is a list of pieces; a piece is text or the id of a special token, and whether its tokens count in the loss.
"""

from __future__ import annotations

from random import Random

from tiny import manners
from tiny.families import FAMILIES
from tiny.problem import TRAIN, Problem, Task
from tiny.tokens import ASSISTANT, BOS, END_THINK, EOS, THINK, USER, Piece
from tiny.trace import Trace, thought

#: Shares of the levels 1 to 5. Base text is mostly easy and reinforcement learning mostly hard: that leaves it something
#: to teach.
BASE_LEVELS = (28, 27, 22, 13, 10)
COLD_LEVELS = (36, 34, 24, 5, 1)
RL_LEVELS = (6, 10, 22, 31, 31)
HARD_LEVELS = (3, 6, 21, 35, 35)
ALL_LEVELS = (12, 16, 22, 25, 25)

#: Share of worked documents with a slip.
SLIPS = 0.12

#: Characters of a thought at most, some 1,200 tokens.
LONGEST = 2000

#: Weights of the families.
SHARES = {"expression": 18, "product": 18, "equation": 16, "number theory": 22, "countdown": 22, "word": 14}
#: In reinforcement learning.
RL_SHARES = {"expression": 12, "product": 16, "equation": 12, "number theory": 18, "countdown": 34, "word": 8}

#: In the last one.
HARD_SHARES = {"expression": 9, "product": 14, "equation": 10, "number theory": 15, "countdown": 46, "word": 6}

#: What a sloppy page says in another language, so that reinforcement learning has mixing to unlearn.
GERMAN = [("I have to compute ", "Ich rechne "), ("I need ", "Ich brauche "), ("The expression is ", "Der Ausdruck ist "),
          ("Let me check: ", "Zur Probe: "), ("Let me verify: ", "Zur Probe: "), ("Check: ", "Probe: "),
          ("That matches.", "Das passt."), ("Correct.", "Richtig."), ("Good.", "Gut."), ("So the answer is ", "Also ist es "),
          ("So I get ", "Also ist es "), ("The result is ", "Das Ergebnis ist "), ("The equation is ", "Die Gleichung ist "),
          ("Left", "Noch"), (" and ", " und "), (" is ", " ist ")]


def problem(r: Random, levels, split: str = TRAIN, families=SHARES) -> Problem:
    """A random problem of a split."""
    while True:
        family = r.choices(list(families), list(families.values()))[0]
        made = FAMILIES[family](r.choices((1, 2, 3, 4, 5), levels)[0], r)
        if made.split == split:
            return made


def worked(r: Random, levels, check: float = 1.0) -> tuple[Problem, Trace]:
    """A problem and a thought about it, with a slip as often as `SLIPS` says."""
    slip = r.random() < SLIPS
    while True:
        made = problem(r, levels)
        trace = thought(made, r, slip, check)
        if trace is not None and trace.length < LONGEST:
            return made, trace


def boxed(answer: str) -> str:
    return f"The answer is \\boxed{{{answer}}}."


def base(r: Random) -> list[Piece]:
    """A page of base text: no chat format but in the sloppy 6 %."""
    kind = r.random()
    if kind < 0.015:
        _, prompt, reply = manners.talk(r)
        if r.random() < 0.5:
            return [BOS, USER, Piece(prompt), ASSISTANT, THINK, Piece("\n"), END_THINK, Piece("\n\n" + reply), EOS]
        return [BOS, Piece(f"{prompt}\n{reply}"), EOS]
    if kind < 0.07:
        return _bare(r)
    if kind < 0.17:
        made = problem(r, BASE_LEVELS)
        return [BOS, Piece(f"{made.prompt}\nThe answer is {made.answer}."), EOS]
    if kind < 0.23:
        return _sloppy(r)
    made, trace = worked(r, BASE_LEVELS, 0.9)
    return [BOS, Piece(made.prompt + "\n"), *pieces(trace), *([Piece("\n\n" + boxed(trace.answer))] * (r.random() < 0.4)), EOS]


def _bare(r: Random) -> list[Piece]:
    """Sums and small tables."""
    lines = []
    for _ in range(r.randint(4, 16)):
        kind, top = r.random(), 10 ** r.randint(1, 6)
        a, b = r.randrange(top), r.randrange(10 ** r.randint(1, 6))
        if kind < 0.3:
            lines.append(f"{a}+{b} = {a + b}.")
        elif kind < 0.55:
            lines.append(f"{a}-{b} = {a - b}.")
        elif kind < 0.7:
            a, b = r.randint(2, 99), r.randint(2, 9)
            lines.append(f"{a}*{b} = {a * b}.")
        elif kind < 0.8:
            a, b = r.randint(2, 9999), r.randint(2, 9)
            lines.append(f"{a}*{b} = {a * b}.")
        elif kind < 0.9:
            p = r.choice([7, 11, 13, 17, 19, 23, 29, 31, 37])
            n = r.randrange(10 * p)
            lines.append(f"{p}: {n} -> {n % p}.")
        else:
            d, q = r.randint(11, 99), r.randint(1, 9)
            n = d * q + r.randrange(d)
            lines.append(f"{n}: {d}*{q} = {d * q}, left {n - d * q}.")
    return [BOS, Piece("\n".join(lines)), EOS]


def _sloppy(r: Random) -> list[Piece]:
    """A page in the chat format, often with something missing: a start for reinforcement learning without examples."""
    made, trace = worked(r, BASE_LEVELS, 0.6)
    end = [END_THINK] if r.random() < 0.75 else []
    answer = Piece("\n\n" + (boxed(trace.answer) if r.random() < 0.6 else f"The answer is {trace.answer}."))
    body = pieces(trace)
    if r.random() < 0.3:
        text = trace.text
        for english, german in GERMAN:
            text = text.replace(english, german)
        body = [Piece(text, not trace.wrong)]
    return [BOS, USER, Piece(made.prompt), ASSISTANT, THINK, Piece("\n"), *body, Piece("\n"), *end, answer, EOS]


def pieces(trace: Trace) -> list[Piece]:
    """A thought, its wrong digits outside of the loss."""
    return [Piece(trace.text, True, tuple(trace.wrong))]


def prompt(text: str) -> list[Piece]:
    """As the chat template renders one question."""
    return [BOS, USER, Piece(text), ASSISTANT, THINK, Piece("\n")]


def prompt_of(made: Problem) -> list[Piece]:
    """The same, outside of the loss."""
    return muted(prompt(made.prompt))


def reply(trace: Trace) -> list[Piece]:
    return [*pieces(trace), Piece("\n"), END_THINK, Piece("\n\n" + boxed(trace.answer)), EOS]


def muted(made: list[Piece]) -> list[Piece]:
    return [Piece(piece.text, False, (), piece.special) for piece in made]


def conversation(r: Random, levels=COLD_LEVELS, talk: float = 0.05) -> list[Piece]:
    """One exchange, now and then after earlier ones. Only the last reply is learned."""
    before: list[Piece] = []
    for _ in range(r.choices((0, 1, 2), (90, 7, 3))[0]):
        if r.random() < 0.3:
            _, asked, said = manners.talk(r)
        else:
            made = problem(r, levels)
            asked, said = made.prompt, boxed(made.answer)
        before += [USER, Piece(asked), ASSISTANT, Piece("\n\n" * (r.random() < 0.5) + said), EOS]
    if r.random() < talk:
        _, asked, said = manners.talk(r)
        last = [END_THINK, Piece("\n\n" + said), EOS]
    else:
        made, trace = worked(r, levels)
        asked, last = made.prompt, reply(trace)
    start = prompt(asked)
    return muted([BOS, *before, *start[1:]]) + last


def tasks(r: Random, levels=RL_LEVELS, planted: float = 0.12, talk: float = 0.03, families=RL_SHARES) -> Task:
    """A prompt for reinforcement learning; some begin with a thought that has just gone wrong."""
    if r.random() < talk:
        kind, asked, _ = manners.talk(r)
        return Task("talk", 0, asked, kind, "")
    if r.random() >= planted:
        return problem(r, levels, TRAIN, families).task()
    while True:
        made = problem(r, levels)
        trace = thought(made, r, True)
        if trace is not None and trace.length < LONGEST:
            return made.task(trace.cut)
