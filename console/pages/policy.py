"""The risk policy: the version in force, its drafts, what it can never reach, and the second person's word that puts one in force."""

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
from console.views_of import policies as shown
from console.views_of.things import is_id
from containment import policies, policy_approvals
from containment.domain.facts import Kind
from containment.models import RiskPolicyVersion
from core.refusals import Refusal

ROWS = RiskPolicyVersion.objects.select_related("author", "approver")
LONGEST = 100_000
MOST = 100


class DraftForm(forms.Form):
    text = forms.CharField(max_length=LONGEST, strip=False)


class ApproveForm(forms.Form):
    """`acknowledged`: whoever approves has read what this policy can never reach."""

    digest = forms.CharField(max_length=100)
    acknowledged = forms.BooleanField(error_messages={"required": "Say that you have read what this policy can never reach."})


@allowed("read")
@require_safe
def policy(request: ActorRequest) -> HttpResponse:
    """The version in force; without one, what to do about it."""
    return _page(request, ROWS.filter(state="in_force").first())


@allowed("read")
@require_safe
def policy_version(request: ActorRequest, version_id: UUID) -> HttpResponse:
    return _page(request, get_object_or_404(ROWS, pk=version_id))


@allowed("policy.author")
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: ActorRequest) -> HttpResponse:
    """Begins from the version that `?from=` names, else from the one in force. What is wrong is named with its line and path."""
    begun = request.GET.get("from", "")
    base = ROWS.filter(pk=begun).first() if is_id(begun) else ROWS.filter(state="in_force").first()
    text, faults = base.text if base else "", list[tuple[str, str]]()
    if request.method == "POST":
        form = DraftForm(request.POST)
        text = request.POST.get("text", "")
        try:
            if not form.is_valid():
                raise of_form(form)
            drafted = policies.draft(form.cleaned_data["text"].replace("\r\n", "\n"), actor=request.actor)
        except Refusal as refusal:
            faults = faults_of(refusal)
        else:
            messages.success(request, f"{str(drafted).capitalize()} is drafted. Somebody else has to approve it.")
            return redirect("policy_version", drafted.pk)
    facts = {"text": text, "faults": faults, "base": base}
    return frame.show(request, "policy/draft.html", facts, status=422 if faults else 200)


@allowed("policy.approve")
@require_POST
def approve(request: ActorRequest, version_id: UUID) -> HttpResponse:
    form = ApproveForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    seen = form.cleaned_data["digest"]
    tried(request, lambda: policy_approvals.approve(version_id, actor=request.actor, seen_digest=seen, acknowledged=True), said="Approved. It is in force.")
    return redirect("policy_version", version_id)


def _page(request: ActorRequest, version: RiskPolicyVersion | None) -> HttpResponse:
    kind = request.GET.get("kind", "")
    facts = {
        "it": shown.card(version, request.actor) if version else None,
        "version": version,
        "kind": kind if kind in set(map(str, Kind)) else str(Kind.SERVICE_ACCOUNT),
        "others": ROWS.exclude(pk=version.pk)[:MOST] if version else ROWS[:MOST],
        "may_draft": controls.control(request.actor, "policy.author"),
    }
    return frame.show(request, "policy/policy.html", facts)


urlpatterns = [
    path("policy/", policy, name="policy"),
    path("policy/draft/", draft, name="draft_policy"),
    path("policy/<uuid:version_id>/", policy_version, name="policy_version"),
    path("policy/<uuid:version_id>/approve/", approve, name="approve_policy"),
]
