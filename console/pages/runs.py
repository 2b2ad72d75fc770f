"""Runs have no page of their own: they stand in their case. Here they are found, undone, tried again, and accepted as they are;
what comes back in levels is steered, what ends by itself is prolonged, and the rescue card is shown."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import refusals
from console.frame import show
from console.pages.cases import answered
from console.views_of.runs import PROLONG_BY
from containment import flow
from core.refs import Ref
from core.refusals import Refusal
from playbooks import rescue, returning, runs
from playbooks.models import Run
from playbooks.refusals import NoSuchRun


class UndoForm(forms.Form):
    reason = forms.CharField(max_length=2000, error_messages={"required": "Say why it should be undone."})


class AgainForm(forms.Form):
    reason = forms.CharField(max_length=2000, error_messages={"required": "Say why it is contained again."})


class RestForm(forms.Form):
    reason = forms.CharField(max_length=2000, error_messages={"required": "Say why nothing more has to be watched."})


class LevelForm(forms.Form):
    level = forms.IntegerField(min_value=0, max_value=1000, error_messages={"required": "The page did not say which level you watched."})


class ProlongForm(forms.Form):
    until = forms.DateTimeField(error_messages={"required": "The page did not say until when it lasts."})
    by = forms.ChoiceField(choices=list(PROLONG_BY.items()), error_messages={"required": "Choose by how much."})
    reason = forms.CharField(max_length=2000, error_messages={"required": "Say why it has to last longer."})


class AcceptForm(forms.Form):
    reason = forms.CharField(max_length=2000, error_messages={"required": "Say why it may stay as it is."})


@allowed("read")
@require_safe
def run(request: ActorRequest, run_id: UUID) -> HttpResponse:
    return redirect("case", _case_of(run_id))


@allowed("run.undo")
@require_POST
def undo_run(request: ActorRequest, run_id: UUID) -> HttpResponse:
    form = UndoForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        refusal = refusals.caught(lambda: flow.undo_run(run_id, actor=request.actor, reason=form.cleaned_data["reason"]))
    return answered(request, _case_of(run_id), refusal, done="it is being undone")


@allowed("run.undo")
@require_POST
def accept_run(request: ActorRequest, run_id: UUID) -> HttpResponse:
    form = AcceptForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        refusal = refusals.caught(lambda: runs.accept(run_id, actor=request.actor, reason=form.cleaned_data["reason"]))
    return answered(request, _case_of(run_id), refusal, done="it is accepted as it is")


@allowed("run.undo")
@require_POST
def retry_run(request: ActorRequest, run_id: UUID) -> HttpResponse:
    refusal = refusals.caught(lambda: runs.retry(run_id, actor=request.actor))
    return answered(request, _case_of(run_id), refusal, done="it is tried again")


@allowed("run.undo")
@require_POST
def next_level(request: ActorRequest, run_id: UUID) -> HttpResponse:
    form = LevelForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        seen = form.cleaned_data["level"]
        refusal = refusals.caught(lambda: returning.next_level(run_id, actor=request.actor, seen_level=seen))
    return answered(request, _case_of(run_id), refusal, done="the next level is given back")


@allowed("run.undo")
@require_POST
def contain_again(request: ActorRequest, run_id: UUID) -> HttpResponse:
    form = AgainForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        because = form.cleaned_data["reason"]
        refusal = refusals.caught(lambda: returning.contain_again(run_id, actor=request.actor, because=because))
    return answered(request, _case_of(run_id), refusal, done="it is contained again")


@allowed("run.undo")
@require_POST
def give_back_rest(request: ActorRequest, run_id: UUID) -> HttpResponse:
    form = RestForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        reason = form.cleaned_data["reason"]
        refusal = refusals.caught(lambda: returning.give_back_the_rest(run_id, actor=request.actor, reason=reason))
    return answered(request, _case_of(run_id), refusal, done="the rest is given back")


@allowed("run.undo")
@require_POST
def prolong(request: ActorRequest, run_id: UUID) -> HttpResponse:
    form = ProlongForm(request.POST)
    refusal: Refusal | None = None if form.is_valid() else refusals.of_form(form)
    if refusal is None:
        by, reason, seen = timedelta(hours=int(form.cleaned_data["by"])), form.cleaned_data["reason"], form.cleaned_data["until"]
        refusal = refusals.caught(lambda: returning.prolong(run_id, by=by, actor=request.actor, reason=reason, seen_until=seen))
    return answered(request, _case_of(run_id), refusal, done="it lasts longer")


@allowed("read")
@require_safe
def rescue_card(request: ActorRequest, run_id: UUID) -> HttpResponse:
    """To be printed, or read while everything else still answers."""
    found = rescue.one(run_id)
    if found is None:
        raise NoSuchRun("There is no such run.")
    return show(request, "runs/rescue.html", {"card": rescue.card(found), "case_url": f"/cases/{_case_of(run_id)}/"})


def _case_of(run_id: UUID) -> UUID:
    case_ref = Run.objects.filter(pk=run_id).values_list("case_ref", flat=True).first()
    if case_ref is None:
        raise NoSuchRun("There is no such run.")
    return UUID(Ref.parse(case_ref).id)


urlpatterns = [
    path("runs/<uuid:run_id>/", run, name="run"),
    path("runs/<uuid:run_id>/rescue/", rescue_card, name="rescue"),
    path("runs/<uuid:run_id>/next-level/", next_level, name="next_level"),
    path("runs/<uuid:run_id>/contain-again/", contain_again, name="contain_again"),
    path("runs/<uuid:run_id>/give-back-the-rest/", give_back_rest, name="give_back_rest"),
    path("runs/<uuid:run_id>/prolong/", prolong, name="prolong_run"),
    path("runs/<uuid:run_id>/undo/", undo_run, name="undo_run"),
    path("runs/<uuid:run_id>/accept/", accept_run, name="accept_run"),
    path("runs/<uuid:run_id>/try-again/", retry_run, name="retry_run"),
]
