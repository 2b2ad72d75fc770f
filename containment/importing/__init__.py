"""The inventory from a file: YAML for all of it, CSV for one section. All of a file or nothing; the same file again changes nothing.

`reading` turns a file into plain values that know their lines, `shapes` says what may stand in each section, `writing` brings the rows in
line. What is not in the file stays as it is. Workflows, agent profiles and designations become drafts and requests: a file approves
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.record import record, story
from containment.importing.reading import CannotImport, Document
from containment.importing.writing import Change, Writer
from core.actor import Actor
from core.ids import uuid7
from core.refs import Ref

__all__ = ["CannotImport", "Change", "Outcome", "carry_out"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or would be, in the order of the file's sections; `unchanged` entries stood there already."""

    changes: tuple[Change, ...]
    unchanged: int


class _DryRun(Exception):  # noqa: N818 - the way out of a story that must leave no trace
    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def carry_out(document: Document, *, name: str, actor: Actor, dry_run: bool = False) -> Outcome:
    """One story for the whole file. A dry run is the same story, taken back. CannotImport names every fault with its line."""
    try:
        return _tell(document, name, actor, dry_run)
    except _DryRun as way_out:
        return way_out.outcome


@story
def _tell(document: Document, name: str, actor: Actor, dry_run: bool) -> Outcome:
    writer = Writer(document, actor)
    writer.write()
    if writer.faults:
        raise CannotImport(writer.faults, document.lines)
    outcome = Outcome(tuple(writer.changes), writer.unchanged)
    if dry_run:
        raise _DryRun(outcome)
    made = [change for change in outcome.changes if change.what != "note"]
    if made:
        record("inventory.imported", Ref.to("import", uuid7()), actor=actor, count=len(made), file=name, unchanged=outcome.unchanged)
    return outcome
