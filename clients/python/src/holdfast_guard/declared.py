"""What is answered where the service does not: declared beforehand, for each class of tools. Writes are closed.

A call counts as a read only where somebody said so, at the call or in `tools`, and nobody said that it writes. An unknown tool writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

OPEN, CLOSED = "open", "closed"
READ, WRITE = "read", "write"


@dataclass(frozen=True)
class Declared:
    """`tools`: name or pattern → "read" or "write". `never_open`: reads that stay closed all the same, such as those of secrets.

    `dangerously_open_writes_that_nobody_allowed` does what it says. It is here so that nobody has to work around us, and nothing sets it.
    """

    reads: str = CLOSED
    tools: Mapping[str, str] = field(default_factory=dict)
    never_open: Sequence[str] = ()
    dangerously_open_writes_that_nobody_allowed: bool = False

    def __post_init__(self) -> None:
        if self.reads not in (OPEN, CLOSED):
            raise ValueError('reads is "open" or "closed"')
        if wrong := [name for name, kind in self.tools.items() if kind not in (READ, WRITE)]:
            raise ValueError(f'"read" or "write" is needed for {", ".join(wrong)}')
        if isinstance(self.never_open, str):
            raise ValueError("never_open is a list of names or patterns")

    def said(self, tool: str, said: bool | None = None) -> bool | None:
        """Whether it writes, as the call or a declaration has it; None where nobody said."""
        kinds = {kind for pattern, kind in self.tools.items() if _fits(tool, pattern)}
        if said is True or WRITE in kinds:
            return True
        return False if said is False or READ in kinds else None

    def writes(self, tool: str, said: bool | None = None) -> bool:
        """`said`: whether it writes, as the call has it."""
        return self.said(tool, said) is not False

    def opens(self, tool: str, said: bool | None = None) -> bool:
        if self.writes(tool, said):
            return self.dangerously_open_writes_that_nobody_allowed is True
        return self.reads == OPEN and not any(_fits(tool, pattern) for pattern in self.never_open)


def _fits(tool: str, pattern: str) -> bool:
    return tool == pattern or fnmatchcase(tool, pattern)
