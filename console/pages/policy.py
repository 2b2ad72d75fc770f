"""The risk policy: the version in force, its drafts, what it can never reach, and the words that put one in force. Beside it, the ramp to
enforce, and the shadow that judges without effect."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import controls, frame, paging
from console.deeds import faults_of, tried
from console.refusals import of_form
from console.views_of import backtests as understated
from console.views_of import policies as shown
from console.views_of import ramps
from console.views_of.things import is_id
from containment import policies, policy_approvals, ramp, shadow
from containment.domain.facts import Kind
from containment.models import RiskPolicyVersion, ShadowDifference
from containment.refusals import NoPolicy
from core.refusals import Refusal

ROWS = RiskPolicyVersion.objects.select_related("author", "approver", "supersedes", "shadow_by")
DIFFERENCES = ShadowDifference.objects.select_related("decision__detection__identity", "decision__detection__resource")
LONGEST = 100_000
MOST = 100


class DraftForm(forms.Form):
    text = forms.CharField(max_length=LONGEST, strip=False)


class ApproveForm(forms.Form):
    """`acknowledged`: whoever approves has read what this policy can never reach. `base`: what they saw it compared with."""

    digest = forms.CharField(max_length=100)
    base = forms.UUIDField(required=False)
    acknowledged = forms.BooleanField(error_messages={"required": "Say that you have read what this policy can never reach."})


class CellForm(forms.Form):
    """A place on the ramp; without an environment, all that have no column of their own."""

    kind = forms.ChoiceField(choices=[(str(kind), str(kind)) for kind in Kind])
    environment = forms.CharField(max_length=200, required=False)


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
    seen, base = form.cleaned_data["digest"], form.cleaned_data["base"]
    try:
        version = policy_approvals.approve(version_id, actor=request.actor, seen_digest=seen, acknowledged=True, seen_base=base)
    except Refusal as refusal:
        messages.error(request, refusal.sentence)
    else:
        said = "Approved. It is in force." if version.state == "in_force" else "Your word is on record. It takes somebody else's as well."
        messages.success(request, said)
    return redirect("policy_version", version_id)


# -- the shadow ----------------------------------------------------------------------------------------------------------------------------


@allowed("read")  # and the right to write or approve policies: the shadow asks
@require_POST
def start_shadow(request: ActorRequest, version_id: UUID) -> HttpResponse:
    tried(request, lambda: shadow.start(version_id, actor=request.actor), said="It judges every decision from now on, without effect.")
    return redirect("policy_version", version_id)


@allowed("read")  # as above
@require_POST
def stop_shadow(request: ActorRequest, version_id: UUID) -> HttpResponse:
    tried(request, lambda: shadow.stop(version_id, actor=request.actor), said="It is a draft again. What it found stays.")
    return redirect("policy_version", version_id)


@allowed("read")
@require_safe
def differences(request: ActorRequest, version_id: UUID) -> HttpResponse:
    """Case by case: what was decided, and what this version would have decided."""
    version = get_object_or_404(ROWS, pk=version_id)
    rows = DIFFERENCES.filter(version=version)
    facts = {
        "version": version,
        "counts": shown.counts(version),
        "judged": shadow.judged_count(version),
        "new_chains": understated.new_chains(version.text) if version.state in ("draft", "shadow") else [],
        "turned": paging.turn(rows, request.GET),
    }
    return frame.show(request, "policy/shadow.html", facts)


# -- the ramp ------------------------------------------------------------------------------------------------------------------------------


@allowed("read")
@require_safe
def the_ramp(request: ActorRequest) -> HttpResponse:
    form = CellForm(request.GET)
    kind, environment = (form.cleaned_data["kind"], form.cleaned_data["environment"]) if form.is_valid() else (Kind.AI_AGENT, "")
    try:
        it = ramps.show(Kind(kind), environment, request.actor)
    except NoPolicy:
        return redirect("policy")
    return frame.show(request, "policy/ramp.html", {"it": it, "asked": request.GET.get("ask", "")})


@allowed("policy.author")
@require_POST
def enforce(request: ActorRequest) -> HttpResponse:
    kind, environment = _cell(request)
    said = "Drafted: the text in force with this one mode changed."
    drafted = tried(request, lambda: policy_approvals.draft_enforcing(kind, environment, actor=request.actor), said=said)
    return redirect("policy_version", drafted.pk) if drafted else _back(kind, environment)


@allowed("policy.approve")
@require_POST
def observe(request: ActorRequest) -> HttpResponse:
    kind, environment = _cell(request)
    tried(
        request,
        lambda: policy_approvals.step_back(kind, environment, actor=request.actor),
        said="It only observes from now on. What is running goes on; undo it where it should not.",
    )
    return _back(kind, environment)


@allowed("read")  # and the right to write or approve policies, or to set connectors up: the ramp asks
@require_POST
def run_preflight(request: ActorRequest) -> HttpResponse:
    kind, environment = _cell(request)

    def run() -> None:
        cell = policy_approvals.cell(
            kind, environment, policy=policies.document(policies.in_force().text), version=None, viewer=request.actor
        )
        ramp.preflight(cell, actor=request.actor)

    tried(request, run, said="The connectors were asked. What they said stands below.")
    return _back(kind, environment)


@allowed("protected.edit")
@require_POST
def confirm_protected(request: ActorRequest) -> HttpResponse:
    tried(request, lambda: ramp.confirm_protected(actor=request.actor), said="Confirmed: the protected list is whole.")
    return _back(*_cell(request))


def _cell(request: ActorRequest) -> tuple[Kind, str]:
    form = CellForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    return Kind(form.cleaned_data["kind"]), form.cleaned_data["environment"]


def _back(kind: Kind, environment: str) -> HttpResponse:
    return redirect(f"{reverse('ramp')}?{urlencode({'kind': kind, 'environment': environment})}#cell")


def _page(request: ActorRequest, version: RiskPolicyVersion | None) -> HttpResponse:
    card = shown.card(version, request.actor) if version else None
    kind, key = request.GET.get("kind", ""), request.GET.get("where", "")
    kind = kind if kind in set(map(str, Kind)) else str(Kind.SERVICE_ACCOUNT)
    of_kind = [matrix for matrix in card.matrices if matrix.kind == kind] if card else []
    facts = {
        "it": card,
        "version": version,
        "kind": kind,
        "kinds": list(map(str, Kind)),
        "of_kind": of_kind,
        "matrix": next((matrix for matrix in of_kind if matrix.key == key), of_kind[0] if of_kind else None),
        "others": ROWS.exclude(pk=version.pk)[:MOST] if version else ROWS[:MOST],
        "may_draft": controls.control(request.actor, "policy.author"),
    }
    return frame.show(request, "policy/policy.html", facts)


urlpatterns = [
    path("policy/", policy, name="policy"),
    path("policy/draft/", draft, name="draft_policy"),
    path("policy/ramp/", the_ramp, name="ramp"),
    path("policy/ramp/enforce/", enforce, name="ramp_enforce"),
    path("policy/ramp/observe/", observe, name="ramp_observe"),
    path("policy/ramp/preflight/", run_preflight, name="ramp_preflight"),
    path("policy/ramp/protected/", confirm_protected, name="ramp_confirm"),
    path("policy/<uuid:version_id>/", policy_version, name="policy_version"),
    path("policy/<uuid:version_id>/approve/", approve, name="approve_policy"),
    path("policy/<uuid:version_id>/shadow/", differences, name="shadow"),
    path("policy/<uuid:version_id>/shadow/start/", start_shadow, name="start_shadow"),
    path("policy/<uuid:version_id>/shadow/stop/", stop_shadow, name="stop_shadow"),
]
