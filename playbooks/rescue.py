"""The rescue card: what a person does to put a run's target back with everything of ours down. Needs the database and nothing else.

The connector writes the commands from what was there before the cut; it is not asked to look. Where it cannot say, the card says what was
there. No secret stands on it: it names the command that opens what is sealed, or says which secret has to be set anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from audit import clock
from audit.record import record, story
from connectors import optional
from connectors.base import IRREVERSIBLE, Measure, State, Target
from connectors.base import Step as Call
from core.actor import SYSTEM
from evidence import vault
from playbooks.calls import connector_of
from playbooks.domain.moves import LIVE
from playbooks.models import Run, Step

log = logging.getLogger(__name__)

STANDING = ("acting", "verifying", "done", "partial", "failed", "needs_human", "undoing")
AT_A_TIME = 200
SEALED = (
    "A secret of it is sealed in the database, and not printed here. With the seal key at hand, “manage.py rescue_card RUN --open-sealed” "
    "prints it; otherwise set a new one and hand it to the owner."
)


@dataclass(frozen=True, slots=True)
class Deed:
    """One measure to take back. `commands`: to be typed as they are. `otherwise`: what to do where there are none."""

    seq: int
    measure: str
    connector: str
    state: str
    said: str
    commands: tuple[str, ...]
    otherwise: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    run: UUID
    state: str
    because: str
    provider: str
    subject: str
    playbook: str
    began: datetime
    at: datetime
    deeds: tuple[Deed, ...]

    @property
    def left_alone(self) -> bool:
        return not self.deeds


def card(run: Run) -> Card:
    """What stands of it, the last cut first."""
    steps = sorted(run.steps.all(), key=lambda step: -step.seq)
    return Card(
        run=run.pk,
        state=run.state,
        because=run.because,
        provider=str(run.target["provider"]),
        subject=str(run.target["subject"]),
        playbook=str(run.playbook),
        began=run.created_at,
        at=clock.now(),
        deeds=tuple(_deed(run, step) for step in steps if _stands(step)),
    )


def standing(*, subject: str = "") -> Iterator[Run]:
    """Every run that may hold something at this moment, or those on one subject; the newest first. Read in chunks, and none left out."""
    found = _runs().filter(state__in=[*sorted(LIVE - {"prepared"}), "failed", "accepted"])
    if subject:
        found = found.filter(target__subject=subject)
    for run in found.order_by("-created_at", "-id").iterator(chunk_size=AT_A_TIME):
        if any(_stands(step) for step in run.steps.all()):
            yield run


def one(run_id: UUID) -> Run | None:
    return _runs().filter(pk=run_id).first()


def text(cards: Iterable[Card]) -> Iterator[str]:
    """For a terminal or a sheet of paper."""
    for each in cards:
        yield f"# {each.subject} on {each.provider}"
        yield f"# run {each.run}, {each.state.replace('_', ' ')}, {each.playbook}, begun {each.began:%Y-%m-%d %H:%M:%S} UTC"
        if each.left_alone:
            yield "# Nothing of it stands, so there is nothing to put back."
        for place, deed in enumerate(each.deeds, start=1):
            yield ""
            yield f"# {place}. take back {deed.measure} ({deed.state.replace('_', ' ')}) with {deed.connector}"
            yield from deed.commands
            yield from (f"# {line}" for line in deed.otherwise.splitlines())
            if deed.secret:
                yield f"# {deed.secret}"
        yield ""


@story
def open_sealed(run: Run) -> dict[str, str]:
    """What is sealed for this run's undo, by measure and name. That it was opened is on record before it is seen."""
    found: dict[str, str] = {}
    for step in run.steps.all():
        if step.was_sealed:
            secret = vault.open_secret(bytes(step.was_sealed), about=str(step.ref))
            found |= {f"{step.measure}, {name}": str(value) for name, value in sorted(secret.items())}
    record("run.secret_opened", run.ref, actor=SYSTEM, about=run.about, count=len(found))
    return found


def call_of(run: Run, step: Step) -> Call:
    return Call(measure=Measure(step.measure), target=Target(**run.target), parameters=step.parameters, deadline_s=step.timeout_s)


def _runs() -> QuerySet[Run]:
    return Run.objects.select_related("playbook").prefetch_related(Prefetch("steps", queryset=Step.objects.order_by("seq")))


def _stands(step: Step) -> bool:
    return step.disruptive and step.was is not None and not step.was["contained"] and step.state in STANDING


def _deed(run: Run, step: Step) -> Deed:
    assert step.was is not None  # noqa: S101 - only what was looked at stands
    connector, otherwise = connector_of(step), ""
    commands: tuple[str, ...] = ()
    was = State(step.was["contained"], step.was["public"], {}, step.was["live_sessions"], step.was["account"])
    if connector is not None and step.inverse != IRREVERSIBLE:
        try:
            commands = tuple(optional.manual(connector, call_of(run, step), was))
        except Exception:  # one measure that cannot be told must not cost the others their commands
            log.exception("the connector %s could not say how to put %s back", step.connector, step.measure)
    if step.inverse == IRREVERSIBLE:
        otherwise = "What was ended stays ended. Let its owner begin anew."
    elif not commands:
        otherwise = f"No command is known. Put back {step.inverse}, by hand. What was there before:\n{_shown(was)}"
    secret = SEALED.replace("RUN", str(run.pk)) if step.was_sealed and step.inverse != IRREVERSIBLE else ""
    return Deed(step.seq, step.measure, step.connector, step.state, step.said, commands, otherwise, secret)


def _shown(was: State) -> str:
    kept = {name: value for name, value in was.public.items() if name != "seen"}
    return json.dumps(kept, indent=1, sort_keys=True, default=str)
