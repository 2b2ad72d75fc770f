"""Playbooks: the plans in force, their drafts, and the second person's word that puts one in force."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import controls, frame
from console.deeds import faults_of, tried
from console.refusals import of_form
from console.views_of import playbooks as shown
from console.views_of.things import is_id
from core.refusals import Refusal
from playbooks import library
from playbooks.models import PlaybookVersion

ROWS = PlaybookVersion.objects.select_related("author", "approver")
MOST_OLD = 100
LONGEST = 100_000


class DraftForm(forms.Form):
    text = forms.CharField(max_length=LONGEST, strip=False)


class ApproveForm(forms.Form):
    digest = forms.CharField(max_length=100)


@allowed("read")
@require_safe
def playbooks(request: ActorRequest) -> HttpResponse:
    facts = {
        "in_force": [shown.card(version, request.actor) for version in ROWS.filter(state="in_force")],
        "drafts": [shown.card(version, request.actor) for version in ROWS.filter(state="draft")],
        "old": ROWS.exclude(state__in=["in_force", "draft"])[:MOST_OLD],
        "may_draft": controls.control(request.actor, "playbook.author"),
    }
    return frame.show(request, "playbooks/list.html", facts)


@allowed("read")
@require_safe
def playbook(request: ActorRequest, version_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=version_id)
    facts = {
        "it": shown.card(found, request.actor),
        "version": found,
        "others": ROWS.filter(name=found.name).exclude(pk=found.pk),
        "may_draft": controls.control(request.actor, "playbook.author"),
    }
    return frame.show(request, "playbooks/playbook.html", facts)


@allowed("playbook.author")
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: ActorRequest) -> HttpResponse:
    """Begins from the version that `?from=` names. What is wrong is named with its path, and the text stays as it was typed."""
    begun = request.GET.get("from", "")
    base = PlaybookVersion.objects.filter(pk=begun).first() if is_id(begun) else None
    text, faults = base.text if base else "", list[tuple[str, str]]()
    if request.method == "POST":
        form = DraftForm(request.POST)
        text = request.POST.get("text", "")
        try:
            if not form.is_valid():
                raise of_form(form)
            drafted = library.draft(form.cleaned_data["text"].replace("\r\n", "\n"), actor=request.actor)
        except Refusal as refusal:
            faults = faults_of(refusal)
        else:
            messages.success(request, f"{drafted} is drafted. Somebody else has to approve it.")
            return redirect("playbook", drafted.pk)
    facts = {"text": text, "faults": faults, "base": base}
    return frame.show(request, "playbooks/draft.html", facts, status=422 if faults else 200)


@allowed("playbook.approve")
@require_POST
def approve(request: ActorRequest, version_id: UUID) -> HttpResponse:
    form = ApproveForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    seen = form.cleaned_data["digest"]
    tried(request, lambda: library.approve(version_id, actor=request.actor, seen_digest=seen), said="Approved. It is in force.")
    return redirect("playbook", version_id)


urlpatterns = [
    path("playbooks/", playbooks, name="playbooks"),
    path("playbooks/draft/", draft, name="draft_playbook"),
    path("playbooks/<uuid:version_id>/", playbook, name="playbook"),
    path("playbooks/<uuid:version_id>/approve/", approve, name="approve_playbook"),
]
