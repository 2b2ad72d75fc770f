"""An expected no. Raised where it is known, worded for the person who meets it.

`kind` says how a door shows it: the API as a status, the console as a notice beside the card, a task as the step's reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Kind = Literal["invalid", "unauthenticated", "forbidden", "missing", "conflict", "too_large", "unsupported", "busy", "malformed"]


class Refusal(Exception):  # noqa: N818 - a refusal is not an error
    code: ClassVar[str] = "refused"
    kind: ClassVar[Kind] = "conflict"

    def __init__(self, sentence: str, **facts: Any) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (`identity.kind`, `[3].severity`), a code, and a sentence."""

    path: str
    code: str
    detail: str


class BadInput(Refusal):
    """The input is understood and wrong. Carries every fault found, so that nobody mends them one by one."""

    code = "invalid"
    kind: ClassVar[Kind] = "invalid"

    def __init__(self, faults: list[Fault], sentence: str = "") -> None:
        first = faults[0]
        super().__init__(sentence or f"{first.path}: {first.detail}")
        self.faults = faults


class Missing(Refusal):
    code = "not_found"
    kind = "missing"


class Forbidden(Refusal):
    code = "forbidden"
    kind = "forbidden"
