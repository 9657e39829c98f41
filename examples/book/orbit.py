"""Draws what repeating a map on a finite set must come to: a tail, then a cycle (the letter rho), as orbit.tex for TikZ.

The map x -> x*x + 1 (mod 55) from 3 stands for one pass of a build. Tail and period are found as Brent (1980) does it.
"""

import math

MODULUS = 55
START = 3


def one_pass(state: int) -> int:
    return (state * state + 1) % MODULUS


def tail_and_period(state: int) -> tuple[int, int]:
    """Brent's method: wait with doubling patience for the cycle, then measure the way to it."""
    power = period = 1
    slow, fast = state, one_pass(state)
    while slow != fast:
        if power == period:
            slow, power, period = fast, 2 * power, 0
        fast = one_pass(fast)
        period += 1
    slow = fast = state
    for _ in range(period):
        fast = one_pass(fast)
    tail = 0
    while slow != fast:
        slow, fast, tail = one_pass(slow), one_pass(fast), tail + 1
    return tail, period


def places(tail: int, period: int) -> list[tuple[float, float]]:
    """Where each state is drawn: the cycle on a circle that is entered at its leftmost point, the tail in front of it."""
    radius = max(1.15, 1.35 / (2 * math.sin(math.pi / max(period, 3))))
    line = [(-radius - 1.5 * (tail - index), 0.0) for index in range(tail)]
    angles = [math.pi - 2 * math.pi * index / period for index in range(period)]
    return line + [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def picture(tail: int, period: int) -> str:
    states = [START]
    while len(states) < tail + period:
        states.append(one_pass(states[-1]))
    lines = [
        f"\\newcommand\\orbittail{{{tail}}}",
        f"\\newcommand\\orbitperiod{{{period}}}",
        f"\\newcommand\\orbitpasses{{{tail + period}}}",
        f"\\newcommand\\orbitstart{{{START}}}",
        f"\\newcommand\\orbitmodulus{{{MODULUS}}}",
        "\\newcommand\\orbitpicture{%",
        "\\begin{tikzpicture}[state/.style={circle,draw,thick,minimum size=8mm,inner sep=0pt,font=\\small},",
        "  cycle state/.style={state,fill=black!12},pass/.style={->,>=stealth,thick}]",
    ]
    for index, (state, (x, y)) in enumerate(zip(states, places(tail, period), strict=True)):
        style = "state" if index < tail else "cycle state"
        lines.append(f"\\node[{style}] (s{index}) at ({x:.3f},{y:.3f}) {{{state}}};")
    for index in range(len(states)):
        following = index + 1 if index + 1 < len(states) else tail
        bend = "" if index < tail else "[bend left=12]"
        lines.append(f"\\draw[pass] (s{index}) to{bend} (s{following});")
    return "\n".join([*lines, "\\end{tikzpicture}}", ""])


if __name__ == "__main__":
    with open("orbit.tex", "w", encoding="ascii") as file:
        file.write(picture(*tail_and_period(START)))
