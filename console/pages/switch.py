"""The kill switch: where it stands, what that means, one click to make it harder, and two people to make it milder."""

from __future__ import annotations

from typing import cast

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import frame
from console.deeds import reason_of, tried
from console.refusals import of_form
from console.views_of import connectors
from console.views_of import switch as shown
from core.refusals import Refusal
from playbooks import switching
from playbooks.models.switch import POSITIONS
from playbooks.switch import Position


class TurnForm(forms.Form):
    position = forms.ChoiceField(choices=[(one, one) for one in POSITIONS])

    def wanted(self) -> Position:
        if not self.is_valid():
            raise of_form(self)
        return cast(Position, self.cleaned_data["position"])


@allowed("read")
@require_safe
def switch(request: ActorRequest) -> HttpResponse:
    return frame.show(request, "switch/page.html", {"it": shown.card(request.actor)})


@allowed("read")
@require_safe
def banner(request: ActorRequest) -> HttpResponse:
    return frame.fragment(request, "switch/_banner.html", {"kill_switch": shown.stand(), "refusing": connectors.refusing()})


@allowed(switching.ON)
@require_POST
def turn(request: ActorRequest) -> HttpResponse:
    form = TurnForm(request.POST)
    said = "It holds from now on, in every process."
    tried(request, lambda: switching.turn(form.wanted(), reason_of(request), actor=request.actor), said=said)
    return redirect("switch")


@allowed(switching.OFF)
@require_POST
def ask(request: ActorRequest) -> HttpResponse:
    form = TurnForm(request.POST)
    said = "Asked. It stays where it is until another person agrees."
    tried(request, lambda: switching.ask_lift(form.wanted(), reason_of(request), actor=request.actor), said=said)
    return redirect("switch")


@allowed(switching.OFF)
@require_POST
def agree(request: ActorRequest) -> HttpResponse:
    seen = request.POST.get("position", "")
    tried(request, lambda: switching.lift(request.actor, seen=seen or _nothing_seen()), said="Done. What was kept back goes on now.")
    return redirect("switch")


@allowed(switching.OFF)
@require_POST
def withdraw(request: ActorRequest) -> HttpResponse:
    tried(request, lambda: switching.withdraw_lift(actor=request.actor), said="Withdrawn. It stays where it is.")
    return redirect("switch")


def _nothing_seen() -> str:
    raise Refusal("The page did not say what was asked for. Look again, then agree or not.")


urlpatterns = [
    path("switch/", switch, name="switch"),
    path("switch/banner/", banner, name="switch_banner"),
    path("switch/turn/", turn, name="turn_switch"),
    path("switch/ask/", ask, name="ask_switch"),
    path("switch/agree/", agree, name="agree_switch"),
    path("switch/withdraw/", withdraw, name="withdraw_switch"),
]
