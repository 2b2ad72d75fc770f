"""The page that plays incidents, and each signal once: what a scenario is about, a button, what to watch, and what came of it last time.

Part of the trial alone: trial/urls.py is there only where the trial is, and a production installation has neither.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit.record import record, story
from console import controls, frame
from console.views_of import decisions as told
from containment.domain.families import FAMILIES
from containment.models import Decision, Detection, Exposure, Identity
from core.actor import Actor
from core.refs import Ref
from core.refusals import Refusal
from guard.models import GuardCall
from trial.agent.words import PROVIDER, SUBJECT
from trial.outside import Intruder
from trial.scenarios import ALL, SIGNALS, Outcome, Scenario, ScenarioTrouble
from trial.scenarios.base import SOURCE
from trial.seed import ACCESS

STAYS = 60.0  # seconds that somebody from outside stays to be cut off, before they leave by themselves
AN_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class CannotPlay(Refusal):
    """The trial is not as scenarios need it; the sentence says what is missing."""

    code = "cannot_play"
    kind = "busy"


@dataclass(frozen=True, slots=True)
class Card:
    """A scenario, and the decision that it led to the last time. `signal`: what the signal it shows came to in there."""

    scenario: Scenario
    tone: str
    last: Detection | None
    decision: told.Line | None
    outcome: Outcome | None
    signal: Mapping[str, Any] | None
    family: str


@allowed("read")
@require_safe
def scenarios(request: ActorRequest) -> HttpResponse:
    return _page(request)


@allowed("scenario.run")
@require_POST
def run(request: ActorRequest, name: str) -> HttpResponse:
    """Plays it and waits for the decision, which takes a second or a few. The answer is the card, or the page, with what happened."""
    scenario = ALL.get(name) or SIGNALS.get(name)
    if scenario is None:
        raise Http404
    try:
        outcome = scenario.run(_access())
    except ScenarioTrouble as trouble:
        if request.htmx:
            raise CannotPlay(str(trouble)) from trouble
        messages.error(request, str(trouble))
        return redirect("scenarios")
    _note(scenario, request.actor)
    if outcome.intruder is not None:
        threading.Thread(target=_see_off, args=[outcome.intruder], name=f"see off {name}", daemon=True).start()
    if request.htmx:
        facts = {"it": _card(scenario, outcome), "may_run": controls.control(request.actor, "scenario.run")}
        return frame.fragment(request, "scenarios/_signal.html" if scenario.signal else "scenarios/_card.html", facts)
    return _page(request, outcome)


def _page(request: ActorRequest, outcome: Outcome | None = None) -> HttpResponse:
    cards, signals = (
        [_card(each, outcome if outcome and outcome.scenario == each.name else None) for each in group.values()] for group in (ALL, SIGNALS)
    )
    facts = {"cards": cards, "signals": signals, "may_run": controls.control(request.actor, "scenario.run"), "can_play": _estate_is_there()}
    return frame.show(request, "scenarios/page.html", facts)


def _card(scenario: Scenario, outcome: Outcome | None) -> Card:
    last = _last(scenario)
    rows = Decision.objects.select_related("detection__identity", "detection__resource", "detection__source", "hold", "run", "case")
    decision = rows.filter(detection=last).order_by("-generation").first() if last else None
    signals = {one["code"]: one for one in decision.signals} if decision else {}
    return Card(
        scenario,
        told.TONES.get(scenario.expect, "quiet"),
        last,
        told.line(decision) if decision else None,
        outcome,
        signals.get(scenario.signal),
        FAMILIES[scenario.signal] if scenario.signal else "",
    )


def _last(scenario: Scenario) -> Detection | None:
    """Detections and reports of a scenario are called after it, with an id behind that grows with time; one name may begin as another."""
    mine = {
        "source__name": SOURCE,
        "external_id__gte": f"{scenario.name}-0",
        "external_id__lt": f"{scenario.name}-g",
        "external_id__regex": f"^{scenario.name}-{AN_ID}$",
    }
    if scenario.guarded:
        calls = GuardCall.objects.filter(tool=scenario.guarded, detection__isnull=False, identity__in=_agent()).order_by("-asked_at")
        call = calls.values_list("detection", flat=True).first()
        return Detection.objects.filter(pk=call).first() if call else None
    if scenario.signal == "credential_exposed":
        report = Exposure.objects.filter(**mine).order_by("-external_id").first()
        return Detection.objects.filter(exposed__exposure=report).order_by("-received_at").first() if report else None
    return Detection.objects.filter(**mine).order_by("-external_id").first()


def _agent() -> QuerySet[Any, Any]:
    return Identity.objects.filter(provider=PROVIDER, subject=SUBJECT).values_list("id", flat=True)


def _access() -> Mapping[str, Any]:
    try:
        access: Mapping[str, Any] = json.loads((settings.HOME / ACCESS).read_text())
    except (OSError, ValueError) as no:
        raise ScenarioTrouble(f"{ACCESS} cannot be read; script/up writes it at every start.") from no
    if "estate" not in access:
        raise ScenarioTrouble("This trial was started with --empty: it has no estate to play in.")
    return access


def _estate_is_there() -> bool:
    try:
        _access()
    except ScenarioTrouble:
        return False
    return True


def _see_off(intruder: Intruder) -> None:
    intruder.wait_until_cut(STAYS)
    intruder.leave()


@story
def _note(scenario: Scenario, actor: Actor) -> None:
    record("scenario.started", Ref("scenario", scenario.name), actor=actor, name=scenario.name)


urlpatterns: Sequence[Any] = [
    path("scenarios/", scenarios, name="scenarios"),
    path("scenarios/<slug:name>/run/", run, name="run_scenario"),
]
