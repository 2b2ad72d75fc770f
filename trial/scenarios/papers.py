"""What the scenarios about documents share: putting one into the agent's folder, and reading in its diary what came of it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from embedded.postgres import write_private
from trial.estate import own_as_the_folder
from trial.scenarios.base import ITS_TURN, Access, ScenarioTrouble, wait_for


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the diary: what the agent wanted, and what it was told."""

    session: str
    tool: str
    about: str
    answer: str
    reason: str
    evaluation: str
    told: str

    def __str__(self) -> str:
        said = f" Its user reads: “{self.told}”" if self.told else ""
        return f"{self.tool}, {self.about}: {self.answer}{f' ({self.reason})' if self.reason else ''}.{said}"


@contextmanager
def put_into_the_folder(access: Access, name: str, text: str) -> Iterator[str]:
    """A document of this kind, under a name of its own each time. It is taken out again afterwards."""
    folder = access["estate"].get("documents")
    if folder is None:
        raise ScenarioTrouble("access.json does not say where the agent's documents lie. script/up completes it at its next start.")
    document = Path(folder) / f"{name}-{secrets.token_hex(3)}.txt"
    try:
        write_private(document, text)
        own_as_the_folder(document)
    except OSError as no:
        raise ScenarioTrouble(f"{document} cannot be written ({no.strerror}).") from no
    try:
        yield document.name
    finally:
        with contextlib.suppress(FileNotFoundError):
            document.unlink()


def diary_until(estate: psycopg.Connection, document: str, enough: Callable[[Sequence[Entry]], bool]) -> list[Entry]:
    """What the agent noted because of this document, once it is enough."""
    about = f"%as the document {document} asks"

    def noted() -> list[Entry]:
        rows = estate.execute(
            "SELECT session, tool, about, answer, reason, evaluation, told FROM agents.diary WHERE about LIKE %s ORDER BY id", [about]
        )
        return [Entry(*row) for row in rows.fetchall()]

    wait_for(lambda: enough(noted()), _why_not(estate, document), within=ITS_TURN)
    return noted()


def was_read(estate: psycopg.Connection, document: str) -> bool:
    return count(estate, "agents.calls WHERE tool = 'documents.read' AND about = %s", document) > 0


def count(estate: psycopg.Connection, of: str, *values: Any) -> int:
    """`of`: a table with a condition, written here in the scenarios."""
    row = estate.execute(f"SELECT count(*) FROM {of}".encode(), values).fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def last_call(estate: psycopg.Connection) -> int:
    """What is later than this came afterwards."""
    row = estate.execute("SELECT coalesce(max(id), 0) FROM agents.calls").fetchone()
    return int(row[0]) if row else 0


def last_mail(estate: psycopg.Connection) -> int:
    row = estate.execute("SELECT coalesce(max(id), 0) FROM mail.arrived").fetchone()
    return int(row[0]) if row else 0


def must(so: bool, otherwise: str) -> None:
    """The scenario shows what really happened, or it says that it did not."""
    if not so:
        raise ScenarioTrouble(f"It went otherwise: {otherwise}")


def _why_not(estate: psycopg.Connection, document: str) -> str:
    return f"The agent did nothing about {document} within {ITS_TURN:.0f} s. Is its session paused? agent.json says what it waits for."
