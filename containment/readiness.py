"""Readiness: can each connector do what plans ask of it, with the rights that it has? Asked hourly, and whenever somebody is about to be
asked.

Every call is bounded and made outside any transaction, in a thread beside the sweep; what was found is a row, and pages, holds and the ramp
read rows. Nothing is changed outside.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models import Max, QuerySet

from approvals.models import Hold
from audit import clock
from audit.record import record, story
from connectors import registry
from connectors.base import Connector, ConnectorTrouble, Measure, Ready, Rejected, Step, Target, Unavailable
from containment import duties, protection
from containment.domain.facts import USUAL_DRIVE, Kind
from containment.models import Designation, Identity, Readiness
from core.actor import SYSTEM, Actor
from core.crashpoints import crashpoint
from core.refs import Ref
from core.refusals import Forbidden, Missing
from playbooks import circuit, library, switch
from playbooks.domain.plan import NO_EVIDENCE, CannotPlan, render
from playbooks.models import PlaybookVersion, Run
from playbooks.refusals import NoPlaybook

log = logging.getLogger(__name__)

CONTACT = "contact"  # the row that says whether a connector answered at all, in the place of a measure
CHECKS = "connector.edit"
EVERY = timedelta(hours=1)
AFTER_SILENCE = timedelta(minutes=5)  # a connector that did not answer is asked again sooner
STALE = timedelta(hours=2)  # what was found longer ago is no news
LATELY = timedelta(days=7)
SAMPLES = 3
MOST_TARGETS = 50
MOST_HOLDS = 20
MOST_ROWS = 500
SECONDS, SECONDS_EACH = 30.0, 5.0
PATIENCE_OF_A_PAGE_S = 6.0
BETWEEN_LOOKS_S = 2.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A step that cannot work now: what lacks, the commands that give it, and what the playbook says follows."""

    connector: str
    measure: str
    missing: Sequence[str]
    remedy: Sequence[str]
    on_failure: str
    since: Any = None

    @property
    def follows(self) -> str:
        if self.on_failure == "continue":
            return "The playbook leaves it out then, and the rest goes on."
        return "Approving cannot work: the playbook undoes the rest then." if self.on_failure == "undo" else "Approving cannot work."


# -- one question --------------------------------------------------------------------------------------------------------------------------


def tried(connector_name: str, measure: str, target: Mapping[str, Any], parameters: Mapping[str, Any], *, ends: float) -> Ready:
    """Whether it can, within what is left of the time. Whatever a connector does, there is an answer."""
    connector = registry.connector_for(connector_name)
    if connector is None:
        return Ready(False, missing=[f"No connector acts on {connector_name}"])
    if because := circuit.said_open(connector_name):
        return Ready(False, missing=[because.rstrip(".")])
    try:
        return _asked(connector, measure, target, parameters, ends)
    except ConnectorTrouble as trouble:
        return Ready(False, missing=[f"{measure} on {target['subject']}: {trouble.said.rstrip('.')}"])
    except Exception:  # whatever a connector does, the page says that it cannot be relied on
        log.exception("the preflight of %s failed", connector_name)
        return Ready(False, missing=[f"{measure} on {target['subject']}: its connector failed; the log says why"])


def _asked(connector: Connector, measure: str, target: Mapping[str, Any], parameters: Mapping[str, Any], ends: float) -> Ready:
    left = ends - time.monotonic()
    if left <= 0:
        raise Unavailable("the connectors took too long, so it was not asked")
    deadline = max(0.5, min(SECONDS_EACH, left))
    crashpoint("readiness.preflight.before_call")
    ready = connector.preflight(Step(Measure(measure), Target(**target), parameters=parameters, deadline_s=deadline))
    crashpoint("readiness.preflight.after_call")
    return ready


@story
def keep(provider: str, measure: str, subject: str, ready: Ready) -> Readiness:
    """What was found takes the place of what was found before; on record only where it turned."""
    said = {"missing": [one.rstrip(".") for one in ready.missing], "remedy": list(ready.remedy), "too_much": list(ready.too_much)}
    row = Readiness.objects.select_for_update(of=("self",)).filter(provider=provider, measure=measure, subject=subject).first()
    turned = not ready.can if row is None else row.can != ready.can
    row, _ = Readiness.objects.update_or_create(
        provider=provider, measure=measure, subject=subject, defaults={**said, "can": ready.can, "checked_at": clock.now()}
    )
    if turned:
        because = "; ".join(said["missing"]) or "nothing is missing any more"
        word, on = "can" if ready.can else "cannot", subject or "anybody there"
        what = "answer" if measure == CONTACT else measure
        record("readiness.changed", ref_of(row), actor=SYSTEM, provider=provider, measure=what, subject=on, word=word, because=because)
    return row


def ref_of(row: Readiness) -> Ref:
    return Ref.to("readiness", str(row.pk))


# -- one provider --------------------------------------------------------------------------------------------------------------------------


def round_of(provider: str, *, seconds: float = SECONDS) -> None:
    """Who it is; what it can do to anybody there; and to those who are likely to be next."""
    ends = time.monotonic() + seconds
    connector = registry.connector_for(provider)
    named = protection.contact(provider)
    keep(provider, CONTACT, "", Ready(not named.trouble, missing=[named.trouble] if named.trouble else []))
    if connector is None or named.trouble:
        return
    _anybody(provider, connector, ends)
    for identity in _likely(provider):
        for step in steps_for(identity):
            if time.monotonic() > ends:
                return
            look_at(step, target_of(identity), ends=ends)


def look_at(step: Mapping[str, Any], target: Mapping[str, Any], *, ends: float) -> Readiness:
    """One step of a plan on its target."""
    connector, measure = str(step["connector"]), str(step["measure"])
    return keep(connector, measure, subject_for(connector, target), tried(connector, measure, target, step["parameters"], ends=ends))


def _anybody(provider: str, connector: Connector, ends: float) -> None:
    """Every measure that it declares, on the first of a few identities that it knows."""
    samples = list(_identities(provider).filter(protected=False).order_by("-last_seen_at", "id")[:SAMPLES])
    planned = {str(step["measure"]): step["parameters"] for one in samples for step in steps_for(one) if step["connector"] == provider}
    for measure in map(str, connector.abilities):
        for identity in samples:
            try:
                ready = _asked(connector, measure, target_of(identity), planned.get(measure, {}), ends)
            except Rejected as trouble:  # it does not know this one; perhaps the next
                ready = Ready(False, missing=[trouble.said.rstrip(".")])
                if identity is not samples[-1]:
                    continue
            except Exception:
                if measure not in planned:
                    break
                ready = tried(provider, measure, target_of(identity), planned[measure], ends=ends)
            if ready.can or measure in planned or (ready.remedy and not connector.abilities[Measure(measure)].parameters):
                keep(provider, measure, "", ready)
            else:  # no playbook names it, so that nobody says with which parameters it would be asked
                Readiness.objects.filter(provider=provider, measure=measure, subject="").delete()
            break


def _identities(provider: str) -> QuerySet[Identity]:
    return Identity.objects.filter(provider=provider, merged_into__isnull=True)


def _likely(provider: str) -> list[Identity]:
    """Those with a run or a hold lately, and the designated; those that were looked at longest ago first."""
    since = clock.now() - LATELY
    refs = {
        *Run.objects.filter(created_at__gt=since).order_by("-created_at").values_list("identity_ref", flat=True)[:MOST_ROWS],
        *Hold.objects.filter(opened_at__gt=since).order_by("-opened_at").values_list("identity_ref", flat=True)[:MOST_ROWS],
    }
    keys = {Ref.parse(ref).id for ref in refs if ref}
    designated = Designation.objects.filter(granted_at__isnull=False, ended_at__isnull=True)
    keys |= {str(key) for key in designated.values_list("identity_id", flat=True)[:MOST_ROWS]}
    found = list(_identities(provider).filter(pk__in=keys)[:MOST_ROWS])
    seen = dict(Readiness.objects.filter(provider=provider).exclude(subject="").order_by("checked_at").values_list("subject", "checked_at"))
    never = clock.now() - timedelta(days=3650)
    return sorted(found, key=lambda one: seen.get(one.subject, never))[:MOST_TARGETS]


def steps_for(identity: Identity) -> list[Mapping[str, Any]]:
    """Each measure of each connector once, that its playbook would ask for; none where no playbook or no connector fits."""
    try:
        document = library.bind(kind=identity.kind, drive=str(USUAL_DRIVE[Kind(identity.kind)]), pattern="any").document
        stages = render(document, target_of(identity), library.ability_of)
    except (NoPlaybook, CannotPlan):
        return []
    return list(once(stages))


def once(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    """Each measure of each connector once, whichever stage it stands in."""
    seen: set[tuple[str, str]] = set()
    for steps in stages.values():
        for step in steps:
            what = (str(step["connector"]), str(step["measure"]))
            if what not in seen and step.get("probe") != NO_EVIDENCE.probe:  # nobody there could be asked
                seen.add(what)
                yield step


def target_of(identity: Identity) -> dict[str, Any]:
    """As containment/targets.py freezes it, for somebody against whom nothing is known."""
    return {
        "provider": identity.provider,
        "kind": identity.kind,
        "subject": identity.subject,
        "identity": str(identity.pk),
        "session": "",
        "credential": "",
        "facts": {
            "environment": identity.environment,
            "sessions": [],
            "spare": [],
            "only": [],
            "must_go_on": {"schemas": [], "reconnect": False},
        },
    }


def subject_for(connector: str, target: Mapping[str, Any]) -> str:
    """How a row names a target: in the words of its own connector, or of its provider where another connector acts on it."""
    return str(target["subject"]) if connector == target["provider"] else f"{target['provider']}/{target['subject']}"


# -- what pages, holds and the ramp read ---------------------------------------------------------------------------------------------------


def marks(steps: Iterable[Mapping[str, Any]], target: Mapping[str, Any]) -> list[Mark]:
    """The steps of a stage that cannot work on this target, by what was found last."""
    listed = list(steps)
    subjects = {subject_for(str(step["connector"]), target) for step in listed}
    fresh = Readiness.objects.filter(checked_at__gt=clock.now() - STALE, subject__in=[*subjects, ""])
    rows = {(row.provider, row.measure, row.subject): row for row in fresh.filter(provider__in={str(step["connector"]) for step in listed})}
    found: dict[tuple[str, str], Mark] = {}
    for step in listed:
        connector, measure = str(step["connector"]), str(step["measure"])
        row = rows.get((connector, measure, subject_for(connector, target))) or rows.get((connector, measure, ""))
        if row is not None and not row.can:
            mark = Mark(connector, measure, tuple(row.missing), tuple(row.remedy), str(step["on_failure"]), row.checked_at)
            found.setdefault((connector, measure), mark)
    return list(found.values())


def warning(steps: Iterable[Mapping[str, Any]], target: Mapping[str, Any]) -> str:
    """For a hold that opens: what cannot work, and what follows. Empty where nothing is known against it."""
    return " ".join(f"{mark.measure} cannot work now ({'; '.join(mark.missing)}). {mark.follows}" for mark in marks(steps, target))


def of_playbook(version: PlaybookVersion) -> list[Readiness]:
    """What its steps would lack on the systems that have identities of its kinds."""
    providers = Identity.objects.filter(kind__in=version.kinds, merged_into__isnull=True).values_list("provider", flat=True).distinct()
    named = {step.connector for steps in library.document(version.text).stages.values() for step in steps} - {"identity.provider"}
    measures = {str(step.measure) for steps in library.document(version.text).stages.values() for step in steps}
    rows = Readiness.objects.filter(can=False, measure__in=measures, provider__in={*providers[:MOST_TARGETS], *named})
    return list(rows[:MOST_TARGETS])


def last_contact(provider: str) -> Readiness | None:
    return Readiness.objects.filter(provider=provider, measure=CONTACT, subject="").first()


# -- when --------------------------------------------------------------------------------------------------------------------------------


def due() -> list[str]:
    """Providers that nobody asked within the hour, or since another playbook came into force; of those that were silent, sooner. What lies
    ahead was before the clock was set back."""
    now = clock.now()
    newest = PlaybookVersion.objects.filter(state="in_force", in_force_at__lte=now).aggregate(at=Max("in_force_at"))["at"]
    rows = {row.provider: row for row in Readiness.objects.filter(measure=CONTACT, subject="")}
    return [
        provider
        for provider in registry.providers()
        if (row := rows.get(provider)) is None
        or not now - (EVERY if row.can else AFTER_SILENCE) <= row.checked_at <= now
        or (newest is not None and row.checked_at < newest)
    ]


@story
def _claimed(provider: str) -> bool:
    """Of several sweepers, one asks."""
    row = Readiness.objects.select_for_update(of=("self",), skip_locked=True).filter(provider=provider, measure=CONTACT, subject="").first()
    if row is None:
        exists = Readiness.objects.filter(provider=provider, measure=CONTACT, subject="").exists()
        return not exists  # nobody ever asked: two that do at once write the same row one after the other
    if provider not in due():
        return False
    row.checked_at = clock.now()
    row.save(update_fields=["checked_at"])
    return True


def hourly() -> int:
    """A duty: begins what is due in a thread of its own, because a target that hangs must keep nothing waiting. Nobody outside is called
    while the kill switch is at “nothing”, unless a person asks."""
    return _beside("readiness", _rounds) if not switch.stops_everything() and due() else 0


_looked_at: set[str] = set()
_next_look = 0.0


def unanswered() -> int:
    """A duty, every other second: for a hold that just opened, whether what it asks for can work."""
    global _next_look
    if time.monotonic() < _next_look:
        return 0
    _next_look = time.monotonic() + BETWEEN_LOOKS_S
    if switch.stops_everything() or not (fresh := _unlooked()):
        return 0
    return _beside("readiness of holds", lambda: _look_at_all(fresh))


def _rounds() -> None:
    for provider in due():
        try:
            if _claimed(provider):
                round_of(provider)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # one that fails must not keep the others from being asked
            log.exception("asking the connector of %s whether it is ready failed", provider)


def _look_at_all(fresh: Iterable[Hold]) -> None:
    for hold in fresh:
        look_at_hold(hold)


def _unlooked() -> list[Hold]:
    lately = Hold.objects.filter(state="open", opened_at__gt=clock.now() - timedelta(minutes=10)).exclude(run_ref="")
    return [hold for hold in lately.order_by("-opened_at")[:MOST_HOLDS] if str(hold.pk) not in _looked_at]


def look_at_hold(hold: Hold, *, seconds: float = SECONDS) -> None:
    """The stage that it asks for, on its target."""
    if len(_looked_at) > 10 * MOST_ROWS:
        _looked_at.clear()
    _looked_at.add(str(hold.pk))
    ends = time.monotonic() + seconds
    for step in asked_for(hold):
        if time.monotonic() > ends:
            return
        look_at(step, hold.plan["target"], ends=ends)


def asked_for(hold: Hold) -> list[Mapping[str, Any]]:
    """The steps that run on approval, as its plan shows them."""
    plan = hold.plan if isinstance(hold.plan, Mapping) else {}
    stage = str(plan.get("versions", {}).get("stage", ""))
    return list(plan.get("plan", {}).get(stage, [])) if plan.get("target") else []


def check_now(provider: str, *, actor: Actor) -> bool:
    """For a person at its page: True where the answer came while they waited; otherwise it comes to the page by itself."""
    if not actor.may(CHECKS):
        raise Forbidden("This takes the right to set connectors up.")
    if registry.connector_for(provider) is None:
        raise Missing(f"No connector acts on {provider}.")
    thread = threading.Thread(target=_apart, args=(lambda: round_of(provider),), name=f"readiness of {provider}", daemon=True)
    thread.start()
    thread.join(PATIENCE_OF_A_PAGE_S)
    return not thread.is_alive()


_threads: dict[str, threading.Thread] = {}


def _beside(name: str, work: Callable[[], None]) -> int:
    if (running := _threads.get(name)) is not None and running.is_alive():
        return 0
    _threads[name] = threading.Thread(target=_apart, args=(work,), name=name, daemon=True)
    _threads[name].start()
    return 1


def _apart(work: Callable[[], None]) -> None:
    with _own_connection():
        work()


@contextmanager
def _own_connection() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        log.warning("the database does not answer (%s); connectors are asked again later", type(error).__name__)
    except Exception:
        log.exception("asking connectors whether they are ready failed; it is tried again")
    finally:
        connection.close()


def look_after() -> None:
    """When the room loads."""
    duties.tidy_up(hourly)
    duties.look_after(unanswered)
