"""What sweepers do besides for rooms further up, which name it here when they load: short work that must not wait for anything else."""

from __future__ import annotations

from collections.abc import Callable

Duty = Callable[[], int]  # does a bounded part of what is due, and says how much that was

soon: list[Duty] = []  # looked after several times a second, beside the sweep
tidying: list[Duty] = []  # every half minute


def look_after(duty: Duty) -> None:
    if duty not in soon:
        soon.append(duty)


def tidy_up(duty: Duty) -> None:
    if duty not in tidying:
        tidying.append(duty)
