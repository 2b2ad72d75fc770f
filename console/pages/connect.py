"""Connect an agent: a token made on the spot, the lines to copy, and a page that lights up with the first call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed, public
from accounts.models import ServiceToken
from audit import clock
from console import controls
from console.deeds import faults_of
from console.frame import fragment, show
from console.refusals import of_form
from console.views_of import connect as shown
from containment.models import Identity, WorkDocument
from core.refusals import BadInput, Fault, Refusal
from guard import connect as room
from guard import wheel
from guard.connect import Connection

MOST = 200
USUAL_LIFE = 7


class ConnectForm(forms.Form):
    """Either an agent that is known, or a name for a new one."""

    agent = forms.UUIDField(required=False, error_messages={"invalid": room.PICK})
    name = forms.CharField(required=False)
    profile = forms.CharField(required=False)
    life = forms.TypedChoiceField(
        choices=[(str(days), words) for days, words in room.LIVES.items()],
        coerce=int,
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Pick how long the token lives."),
    )


@allowed("read")
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("made")
def connect(request: ActorRequest) -> HttpResponse:
    form = ConnectForm(request.POST) if request.method == "POST" else ConnectForm(_asked_for(request))
    if request.method != "POST":
        return _form(request, form)
    try:
        if not form.is_valid():
            raise of_form(form)
        profile = _profile(form.cleaned_data["profile"])
        made = room.connect(
            actor=request.actor,
            life=timedelta(days=form.cleaned_data["life"]),
            identity_id=form.cleaned_data["agent"],
            name=form.cleaned_data["name"],
        )
    except Refusal as refusal:
        return _form(request, form, faults=faults_of(refusal))
    return _made(request, made, profile)


@allowed("read")
@require_safe
def first_call(request: ActorRequest, token_id: UUID, identity_id: UUID) -> HttpResponse:
    """How far it has come: of a token of one's own, and by itself only."""
    token = get_object_or_404(ServiceToken, pk=token_id, owner_id=request.actor.principal)
    identity = get_object_or_404(Identity, pk=identity_id)
    return fragment(request, "connect/_first.html", _first(token, identity))


@public
@require_safe
def package(request: HttpRequest, file: str) -> HttpResponse:
    """The client for pip, which signs in nowhere. There is nothing in it but the source that everybody may read."""
    if file != wheel.name():
        raise Http404
    return HttpResponse(wheel.content(), content_type="application/octet-stream", headers={"Content-Disposition": "attachment"})


def _form(request: ActorRequest, form: ConnectForm, *, faults: list[tuple[str, str]] | None = None) -> HttpResponse:
    agents = Identity.objects.filter(kind=room.KIND, merged_into__isnull=True).order_by("-created_at")[:MOST]
    facts = {
        "form": form,
        "faults": faults or [],
        "agents": sorted(agents, key=lambda agent: agent.label.lower()),
        "profiles": _profiles(),
        "lives": room.LIVES.items(),
        "usual_life": USUAL_LIFE,
        "may_connect": controls.control(request.actor, "agent.connect"),
    }
    return show(request, "connect/page.html", facts, status=422 if faults else 200)


@sensitive_variables("made")
def _made(request: ActorRequest, made: Connection, profile: WorkDocument | None) -> HttpResponse:
    facts = {"made": made, "ways": shown.ways(made, profile), "profile": profile, **_first(made.token, made.identity)}
    return show(request, "connect/made.html", facts)


def _first(token: ServiceToken, identity: Identity) -> dict[str, Any]:
    return {"token": token, "identity": identity, "first": shown.first(room.progress(token, identity), clock.now())}


def _profiles() -> list[WorkDocument]:
    return list(WorkDocument.objects.filter(kind="agent_profile", state="in_force").order_by("name")[:MOST])


def _profile(name: str) -> WorkDocument | None:
    """A profile that has gone out of force meanwhile is not passed over in silence."""
    if not name:
        return None
    found = WorkDocument.objects.filter(kind="agent_profile", state="in_force", name=name).first() if "\0" not in name else None
    if found is None:
        raise BadInput([Fault("profile", "unknown", "Pick an agent profile that is in force.")])
    return found


def _asked_for(request: HttpRequest) -> dict[str, str] | None:
    """An address may say which agent is meant."""
    return {"agent": request.GET["agent"], "life": str(USUAL_LIFE)} if "agent" in request.GET else None


urlpatterns = [
    path("connect/", connect, name="connect"),
    path("connect/<uuid:token_id>/<uuid:identity_id>/", first_call, name="first_call"),
    path("connect/<str:file>", package, name="client_package"),
]
