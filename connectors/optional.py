"""What a connector may offer beyond the contract, asked in one way, with an honest answer for those that do not offer it.

Each function takes any connector; the Protocols are in base.py. What a connector raises travels on.
"""

from __future__ import annotations

from connectors.base import (
    Connector,
    Forgets,
    HandsOver,
    HasDoors,
    Measure,
    NamesAdministrators,
    OnlyLooks,
    ResolvesSubjects,
    RestoresByHand,
    State,
    Step,
)


def manual(connector: Connector, step: Step, was: State) -> list[str]:
    """What a person types or clicks to put back `was`. Empty: the connector cannot say, so the card shows `was` itself."""
    return list(connector.manual(step, was)) if isinstance(connector, RestoresByHand) else []


def resolves(connector: Connector, step: Step) -> list[str]:
    """Every subject that the call would hit; at least the one that the target names."""
    found = connector.resolves(step) if isinstance(connector, ResolvesSubjects) else ()
    return list(dict.fromkeys([step.target.subject, *found]))


def hands_over(connector: Connector, step: Step, was: State, to: Step, to_was: State) -> tuple[State, State]:
    """The two records to undo by, when `step` is undone and `to`, on the same subject, stays. Commit both before undoing; where the second
    is another one afterwards, `to` counts as performed by us, whatever look said."""
    return connector.hands_over(step, was, to, to_was) if isinstance(connector, HandsOver) else (was, to_was)


def forget(connector: Connector, step: Step, *, key: str) -> None:
    """What it keeps outside for undoing the attempt `key` is not needed any more."""
    if isinstance(connector, Forgets):
        connector.forget(step, key=key)


def administrators(connector: Connector) -> list[str]:
    """Who can still repair things there, besides us. Empty: nobody, or the connector does not know."""
    return list(connector.administrators()) if isinstance(connector, NamesAdministrators) else []


def looker(connector: Connector) -> Connector | None:
    """The same connector without the power to change anything. None: it has no such credentials, so nothing may be tried on it."""
    return connector.looker() if isinstance(connector, OnlyLooks) else None


def door(connector: Connector, measure: Measure) -> str:
    """The host that a measure asks, of a connector that asks several; empty otherwise."""
    return connector.door(measure) if isinstance(connector, HasDoors) else ""
