"""What is really run for an order at one place: command line, folder, environment, log.

Knows no run.
"""

import os

from cpods.ids import TEX_INPUTS, TOOL_CACHE, UNPACKED_FORMATS
from cpods.orders import Order
from cpods.ports import Command

Variables = tuple[tuple[str, str], ...]


class Commands:
    """Commands for orders. ``state``: the state folder, below which logs and tools' caches lie."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._last_environment: tuple[Variables, Variables] = ((), ())

    def of(self, order: Order, root: str) -> Command:
        """The command of an order in the folder ``root``."""
        cwd = order.step.cwd
        return Command(
            argv=argv(order),
            cwd=root if cwd == "." else os.path.normpath(os.path.join(root, cwd)),
            env=self._environment(order.env),
            timeout=order.step.timeout,
            log=f"{self._state}/log/{order.log}",
        )

    def _environment(self, given: Variables) -> Variables:
        """An order's environment with what only this place knows. Most orders of a build have the same: made once."""
        if self._last_environment[0] is not given:
            stands_for = {TOOL_CACHE: os.path.join(self._state, "tool-cache"), TEX_INPUTS: dict(given).get("TEXINPUTS", "")}
            found = dict(given)
            for sign, value in stands_for.items():
                found.update((name, text.replace(sign, value)) for name, text in given if sign in text)
            _find_formats(found)
            self._last_environment = (given, tuple(found.items()))
        return self._last_environment[1]


def argv(order: Order) -> tuple[str, ...]:
    """The command: another one where what the steps ahead of this one made is there."""
    step = order.step
    made = [path for ahead in step.ahead for path in ahead.outputs]
    return step.argv_after if step.argv_after and all(order.overlay.get(path) is not None for path in made) else step.argv


def _find_formats(environment: dict[str, str]) -> None:
    """Puts the folder of unpacked formats where an engine is to get one, or takes the variable away."""
    for name in [name for name, text in environment.items() if text == UNPACKED_FORMATS]:
        from cpods.pod.formats import search_path  # only for TeX

        del environment[name]
        if path := search_path(name.partition("_")[2], environment):
            environment[name] = path
