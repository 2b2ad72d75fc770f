"""A Ref names a thing in another room without importing that room: `run:0190…`, `identity:0190…`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Ref:
    kind: str
    id: str

    @classmethod
    def to(cls, kind: str, key: UUID | str | int) -> Self:
        return cls(kind, str(key))

    @classmethod
    def parse(cls, text: str) -> Self:
        kind, colon, key = text.partition(":")
        if not (kind and colon and key):
            raise ValueError(f"{text!r} is not a reference of the form kind:id")
        return cls(kind, key)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"
