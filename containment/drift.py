"""Drift: a containment that somebody lifted outside of Holdfast. It is found, said and put into the case; nothing is applied again.

Every few minutes each run that came to rest contained or partial is asked about: its connectors look, with credentials that can change
nothing where there are any. What no longer stands is a line of the run and a detection of the built-in source `drift`, which may bring
about nothing. That it stands again is noted too. Whether it is to be cut again is for a person.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from audit import clock, nudges
from audit.record import record, story
from connectors import optional
from connectors.base import IRREVERSIBLE, Connector, ConnectorTrouble, Measure, State
from containment import inventory
from containment.flow import DECIDE
from containment.models import Detection, Identity, Source
from containment.speaking import CEILINGS, DRIFT
from core.actor import SYSTEM
from core.crashpoints import crashpoint
from core.digest import digest
from core.refs import Ref
from playbooks import circuit, switch
from playbooks.calls import call_of, connector_of
from playbooks.models import Run, Step

EVERY = timedelta(minutes=5)
JITTER_S = 60.0  # sooner by up to this much, so that a storm of containments is not a storm of looks
PER_ROUND = 100
ROUND_S = 20.0
MOST_LINES = 50  # kept on a run: somebody who lifts and restores in a loop fills no page
RESTS = ("contained", "partial")


@dataclass(frozen=True, slots=True)
class Look:
    """What one control was found to be: `stands`, and in words what is there instead."""

    seq: int
    stands: bool
    said: str


def look_due() -> int:
    """A sweeper's duty, in a thread of its own: some of the runs whose turn it is, the longest unseen first."""
    if switch.stops_everything():
        return 0
    enough, done = time.monotonic() + ROUND_S, 0
    while done < PER_ROUND and time.monotonic() < enough and (run_id := _next()) is not None:
        look_at(run_id)
        done += 1
    return done


def look_at(run_id: UUID) -> Run:
    """Look now at everything that this run cut, and note what changed since the last look."""
    run = Run.objects.get(pk=run_id)
    looks = [look for step in _standing(run) if (look := _looked(run, step)) is not None]
    return _note(run_id, looks)


def lifted(run: Run) -> list[dict[str, Any]]:
    """What somebody lifted and nobody put back."""
    return [line for line in run.drifted if not line.get("healed_at")]


def _next() -> UUID | None:
    """Takes the turn of one run: whoever dies while looking leaves it for the next turn, and two sweepers never look at one at once."""
    with transaction.atomic():
        now = clock.now()
        unseen = (Q(looked_at__isnull=True) & _long_ago("finished_at", now)) | _long_ago("looked_at", now)
        rows = Run.objects.filter(unseen, state__in=RESTS).order_by(F("looked_at").asc(nulls_first=True))
        run = rows.select_for_update(skip_locked=True, of=("self",)).first()
        if run is None:
            return None
        run.looked_at = now - timedelta(seconds=random.uniform(0, JITTER_S))  # noqa: S311 - jitter
        run.save(update_fields=["looked_at"])
        return run.pk


def _long_ago(name: str, now: datetime) -> Q:
    """What lies ahead was before the clock was set back."""
    return Q(**{f"{name}__lte": now - EVERY}) | Q(**{f"{name}__gt": now})


def _standing(run: Run) -> list[Step]:
    """The controls that this run set and that can be lifted. What was ended once (a session) may begin anew and is no control, nor is a
    password that was replaced: whoever replaces it again lifts nothing."""
    steps = run.steps.filter(disruptive=True, state__in=["done", "partial"], was__isnull=False).exclude(measure=Measure.CREDENTIAL_ROTATE)
    return list(steps.exclude(inverse=IRREVERSIBLE).order_by("seq"))


def _looked(run: Run, step: Step) -> Look | None:
    """None where nobody can tell: the system is away, another one answers, or it will not be looked at."""
    connector = connector_of(step)
    if connector is None:
        return None
    looker = optional.looker(connector) or connector
    if looker is connector and circuit.said_open(circuit.door_of(step)):
        return None
    try:
        first = _stands(looker, run, step)
        return first if first is None or first.stands else _stands(looker, run, step)  # said twice: a read that lags is no drift
    except ConnectorTrouble:
        return None


def _stands(looker: Connector, run: Run, step: Step) -> Look | None:
    crashpoint("drift.look.before_call")
    state = looker.look(call_of(run, step))
    crashpoint("drift.look.after_call")
    was = step.was or {}
    if was.get("account") and state.account != was["account"]:
        return None
    if state.contained:
        return Look(step.seq, True, "")
    if step.state == "partial" and not _as_before(state, was):
        return Look(step.seq, True, "")  # what could be cut of it still is
    return Look(step.seq, False, f"{step.measure} on {run.target['subject']} does not hold any more, and Holdfast did not lift it.")


def _as_before(state: State, was: dict[str, Any]) -> bool:
    """Whether it is again what we saw before we acted, but for what moves by itself."""
    now, then = dict(state.public), dict(was.get("public", {}))
    now.pop("seen", None), then.pop("seen", None)
    return now == then and not was.get("contained")


@story
def _note(run_id: UUID, looks: Iterable[Look]) -> Run:
    identity = _locked_identity(run_id)
    run = Run.objects.select_for_update(of=("self",)).get(pk=run_id)
    if run.state not in RESTS:
        return run  # it was turned meanwhile: what we saw is our own doing
    now = clock.now()
    lines, steps = list(run.drifted), {step.seq: step for step in run.steps.all()}
    open_lines = {line["seq"]: line for line in lines if not line.get("healed_at")}
    for look in looks:
        step, line = steps[look.seq], open_lines.get(look.seq)
        about = [step.ref, *run.about]
        if look.stands and line is not None:
            line["healed_at"] = now.isoformat()
            record("run.healed", run.ref, actor=SYSTEM, about=about, measure=step.measure, subject=run.target["subject"])
        elif not look.stands and line is None:
            facts = {"seq": step.seq, "measure": step.measure, "subject": run.target["subject"], "said": look.said}
            lines.append({**facts, "at": now.isoformat(), "healed_at": ""})
            record("run.drifted", run.ref, actor=SYSTEM, about=about, measure=step.measure, said=look.said)
            _tell(run, step, identity, look, number=len(lines))
    run.drifted, run.looked_at = lines[-MOST_LINES:], now
    run.save(update_fields=["drifted", "looked_at"])
    return run


def _locked_identity(run_id: UUID) -> Identity:
    """Locked before its run, as everywhere; where it was merged meanwhile, the one that it lives on as."""
    ref = Run.objects.values_list("identity_ref", flat=True).get(pk=run_id)
    return inventory.lock(UUID(Ref.parse(ref).id))


def _tell(run: Run, step: Step, identity: Identity, look: Look, *, number: int) -> None:
    """A detection, so that it is judged and stands in the case like all that was noticed. Its source may bring about nothing."""
    now = clock.now()
    source, _ = Source.objects.get_or_create(name=DRIFT, defaults={"ceiling": CEILINGS[DRIFT], "trust": 0.0})
    told = {"run": str(run.pk), "step": step.seq, "measure": step.measure, "said": look.said, "number": number, "at": now.isoformat()}
    detection = Detection.objects.create(
        source=source,
        external_id=f"drift:{step.pk}:{now:%Y%m%d%H%M%S%f}",
        body_digest=digest(told),
        title=f"Lifted outside of Holdfast: {step.measure} on {run.target['subject']}",
        severity="medium",
        confidence=1.0,
        identity=identity,
        action="control.lifted",
        context={"run": str(run.pk), "measure": step.measure},
        occurred_at=now,
        received_at=now,
        next_at=now,
    )
    record(
        "detection.received",
        detection.ref,
        actor=SYSTEM,
        about=[identity.ref, run.ref],
        title=detection.title,
        identity=str(identity),
        source=source.name,
        external_id=detection.external_id,
        body_digest=detection.body_digest,
    )
    nudges.wake_worker(DECIDE, detection.pk)
