#!/usr/bin/env python3
"""Draws docs/training/*.svg from results/*.json. Needs nothing but Python 3."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "docs" / "training"
COLOURS = ["#1f5fa8", "#c2571a", "#2c7a3d", "#7a3d8f", "#666666"]
LEFT, RIGHT, TOP, BOTTOM = 60.0, 600.0, 40.0, 300.0


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that span the range."""
    step = next(s * 10**e for e in range(-3, 6) for s in (1, 2, 5) if (high - low) / (s * 10**e) <= 7)
    first = int(low // step)
    return [round(n * step, 6) for n in range(first, int(-(-high // step)) + 1)]


def chart(path: str, title: str, x_label: str, y_label: str, lines: dict[str, list[tuple[float, float]]],
          y_range: tuple[float, float] | None = None, doublings: bool = False) -> None:
    """Lines over numbers; with `doublings` the x values are equally far apart."""
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    marks = ticks(*(y_range or (min(ys), max(ys))))
    low, high = marks[0], marks[-1]
    x_marks = xs if doublings else ticks(xs[0], xs[-1])
    if doublings:
        place = lambda x: LEFT + 20 + (RIGHT - LEFT - 40) * xs.index(x) / max(1, len(xs) - 1)  # noqa: E731
    else:
        place = lambda x: LEFT + (RIGHT - LEFT) * (x - x_marks[0]) / (x_marks[-1] - x_marks[0])  # noqa: E731
    height = lambda y: BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low)  # noqa: E731
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" font-family="sans-serif" font-size="12">',
           '<rect width="640" height="360" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{title}</text>']
    for y in marks:
        out.append(f'<path d="M{LEFT} {height(y):.1f}H{RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{height(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in x_marks:
        out.append(f'<text x="{place(x):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    out.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 40}" text-anchor="middle">{x_label}</text>')
    out.append(f'<text transform="translate(16 {(TOP + BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{y_label}</text>')
    for n, (name, points) in enumerate(lines.items()):
        colour = COLOURS[n % len(COLOURS)]
        path_text = " ".join(f"{place(x):.1f},{height(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{path_text}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) < 20:
            out += [f'<circle cx="{place(x):.1f}" cy="{height(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        x = LEFT + 10 + 130 * (n % 4)
        y = BOTTOM + 56 + 14 * (n // 4) - 2
        out.append(f'<path d="M{x} {y - 4}h18" stroke="{colour}" stroke-width="2"/><text x="{x + 22}" y="{y}">{name}</text>')
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / path).write_text("\n".join([*out, "</svg>"]) + "\n")


def bars(path: str, title: str, groups: list[str], series: dict[str, list[float | None]]) -> None:
    """Per cent, in groups of bars."""
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" font-family="sans-serif" font-size="12">',
           '<rect width="640" height="360" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{title}</text>']
    height = lambda y: BOTTOM - (BOTTOM - TOP) * y / 100  # noqa: E731
    for y in range(0, 101, 20):
        out.append(f'<path d="M{LEFT} {height(y):.1f}H{RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{height(y) + 4:.1f}" text-anchor="end">{y}</text>')
    room = (RIGHT - LEFT) / len(groups)
    width = min(30.0, 0.8 * room / len(series))
    for g, group in enumerate(groups):
        middle = LEFT + room * (g + 0.5)
        out.append(f'<text x="{middle:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{group}</text>')
        for n, values in enumerate(series.values()):
            if values[g] is not None:
                x = middle + width * (n - len(series) / 2)
                out.append(f'<rect x="{x:.1f}" y="{height(values[g]):.1f}" width="{width - 2:.1f}" '
                           f'height="{BOTTOM - height(values[g]):.1f}" fill="{COLOURS[n]}"/>')
                out.append(f'<text x="{x + width / 2 - 1:.1f}" y="{height(values[g]) - 4:.1f}" text-anchor="middle" '
                           f'font-size="9">{values[g]:.0f}</text>')
    for n, name in enumerate(series):
        out.append(f'<rect x="{LEFT + 140 * n}" y="{BOTTOM + 34}" width="12" height="12" fill="{COLOURS[n]}"/>')
        out.append(f'<text x="{LEFT + 140 * n + 18}" y="{BOTTOM + 44}">{name}</text>')
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / path).write_text("\n".join([*out, "</svg>"]) + "\n")


def smooth(values: list[float], width: int = 5) -> list[float]:
    return [sum(part) / len(part) for n in range(len(values)) if (part := values[max(0, n - width + 1) : n + 1])]


def main() -> None:
    results = HERE / "results"
    curves = json.loads((results / "curves.json").read_text())
    for name, title in (("zero", "R1-Zero"), ("rl1", "First reinforcement learning"), ("rl3", "Last reinforcement learning")):
        rows = curves[name]
        line = lambda key, scale=1: list(zip([r["step"] for r in rows], smooth([scale * r[key] for r in rows])))  # noqa: B023, E731
        held = [(r["step"], r["held"]["pass@1"]) for r in rows if "held" in r]
        held.append((rows[-1]["step"] + 1, curves[f"{name} measures"]["pass@1"]))
        chart(f"{name}-accuracy.svg", f"{title}: accuracy", "step", "right, %",
              {"prompts of the step": line("right", 100), "begun with a slip": line("planted_right", 100), "apart": held})
        chart(f"{name}-length.svg", f"{title}: length of a reply", "step", "tokens",
              {"all": line("length"), "countdown": line("countdown_length")})
    read = lambda name: json.loads((results / f"{name}.json").read_text())  # noqa: E731
    for name, title in (("stages", "Held-out problems, stage by stage"), ("small", "The small model: distillation and RL")):
        made = read(name)
        bars(f"{name}.svg", title, list(made), {"pass@1": [100 * s["pass@1"] for s in made.values()],
                                                "vote": [100 * s["cons@k"] for s in made.values()]})
    budgets = read("budgets")["shipped"]["budgets"]
    chart("budget.svg", "Accuracy against thinking budget", "tokens of thought at most", "right, %",
          {"pass@1": [(b["budget"], 100 * b["accuracy"]) for b in budgets],
           "vote": [(b["budget"], 100 * b["cons@k"]) for b in budgets]}, (0, 100), doublings=True)


if __name__ == "__main__":
    main()
