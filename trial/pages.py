"""The page that plays incidents: what each scenario is about, a button, what to watch, and what came of it the last time.

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
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit.record import record, story
from console import controls, frame
from console.views_of import decisions as told
from containment.models import Decision, Detection
from core.actor import Actor
from core.refs import Ref
from core.refusals import Refusal
from trial.outside import Intruder
from trial.scenarios import ALL, Outcome, Scenario, ScenarioTrouble
from trial.scenarios.base import SOURCE
from trial.seed import ACCESS

STAYS = 60.0  # seconds that somebody from outside stays to be cut off, before they leave by themselves
LENGTH_OF_AN_ID = 36


class CannotPlay(Refusal):
    """The trial is not as scenarios need it; the sentence says what is missing."""

    code = "cannot_play"
    kind = "busy"


@dataclass(frozen=True, slots=True)
class Card:
    """A scenario, and the decision that it led to the last time."""

    scenario: Scenario
    tone: str
    last: Detection | None
    decision: told.Line | None
    outcome: Outcome | None


@allowed("read")
@require_safe
def scenarios(request: ActorRequest) -> HttpResponse:
    return _page(request)


@allowed("scenario.run")
@require_POST
def run(request: ActorRequest, name: str) -> HttpResponse:
    """Plays it and waits for the decision, which takes a second or a few. The answer is the card, or the page, with what happened."""
    scenario = ALL.get(name)
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
        card = _card(scenario, outcome)
        return frame.fragment(request, "scenarios/_card.html", {"it": card, "may_run": controls.control(request.actor, "scenario.run")})
    return _page(request, outcome)


def _page(request: ActorRequest, outcome: Outcome | None = None) -> HttpResponse:
    cards = [_card(each, outcome if outcome and outcome.scenario == each.name else None) for each in ALL.values()]
    facts = {"cards": cards, "may_run": controls.control(request.actor, "scenario.run"), "can_play": _estate_is_there()}
    return frame.show(request, "scenarios/page.html", facts)


def _card(scenario: Scenario, outcome: Outcome | None) -> Card:
    """Detections of a scenario are called after it, with an id behind; one name may begin as another does."""
    pattern = rf"^{scenario.name}-.{{{LENGTH_OF_AN_ID}}}$"
    last = Detection.objects.filter(source__name=SOURCE, external_id__regex=pattern).order_by("-received_at").first()
    rows = Decision.objects.select_related("detection__identity", "detection__resource", "detection__source", "hold", "run", "case")
    decision = rows.filter(detection=last).order_by("-generation").first() if last else None
    return Card(scenario, told.TONES.get(scenario.expect, "quiet"), last, told.line(decision) if decision else None, outcome)


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
