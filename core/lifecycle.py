"""A Lifecycle is the table of arrows of one kind of row. Which function may walk them is the owning room's business."""

from __future__ import annotations

from collections.abc import Mapping

from core.refusals import Refusal


class NoSuchMove(Refusal):
    code = "no_such_move"
    kind = "conflict"


class Lifecycle:
    def __init__(self, name: str, arrows: Mapping[tuple[str, str], str]) -> None:
        self.name = name
        self.arrows = dict(arrows)
        self.states = frozenset({was for was, _ in arrows} | set(arrows.values()))
        self.endings = frozenset(self.states - {was for was, _ in arrows})

    def after(self, state: str, move: str) -> str:
        """The state that `move` leads to. NoSuchMove if there is no such arrow."""
        try:
            return self.arrows[state, move]
        except KeyError:
            raise NoSuchMove(f"A {self.name} that is {state.replace('_', ' ')} cannot {move.replace('_', ' ')}.") from None

    def allows(self, state: str, move: str) -> bool:
        return (state, move) in self.arrows
