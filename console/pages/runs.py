"""Runs have no page of their own: they stand in their case. Here they are found, undone, tried again, and accepted as they are."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import refusals
from console.pages.cases import answered
from containment import flow
from core.refs import Ref
from core.refusals import Refusal
from playbooks import runs
from playbooks.models import Run
from playbooks.refusals import NoSuchRun


class UndoForm(forms.Form):
    reason = forms.CharField(max_length=2000, error_messages={"required": "Say why it should be undone."})


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


def _case_of(run_id: UUID) -> UUID:
    case_ref = Run.objects.filter(pk=run_id).values_list("case_ref", flat=True).first()
    if case_ref is None:
        raise NoSuchRun("There is no such run.")
    return UUID(Ref.parse(case_ref).id)


urlpatterns = [
    path("runs/<uuid:run_id>/", run, name="run"),
    path("runs/<uuid:run_id>/undo/", undo_run, name="undo_run"),
    path("runs/<uuid:run_id>/accept/", accept_run, name="accept_run"),
    path("runs/<uuid:run_id>/try-again/", retry_run, name="retry_run"),
]
