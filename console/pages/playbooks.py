"""Playbooks: the plans in force and whom they are bound to, drafts with live checks and a dry run, and the words that put one in force,
retire it or withdraw it."""

from __future__ import annotations

from typing import Any
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
from console.deeds import tried
from console.refusals import of_form
from console.views_of import playbooks as shown
from console.views_of.things import is_id
from containment import readiness, trying
from containment.models import Identity
from core.refusals import Refusal
from playbooks import library
from playbooks.domain.document import check, stored
from playbooks.domain.moves import LIVE
from playbooks.domain.specs import PATTERNS
from playbooks.domain.yaml_lines import LONGEST, MOST_LINES, Located
from playbooks.dry_run import DryRun
from playbooks.models import PlaybookVersion, Run

ROWS = PlaybookVersion.objects.select_related("author", "approver", "ended_by")
MOST_OLD = 100
MOST_DRAFTS = 50
MOST_SUGGESTED = 300
LONGEST_REASON = 2000


class DraftForm(forms.Form):
    text = forms.CharField(max_length=LONGEST, strip=False)


class ApproveForm(forms.Form):
    digest = forms.CharField(max_length=100)


class EndForm(forms.Form):
    """`confirmed`: whoever retires it has read that somebody is left without a playbook."""

    reason = forms.CharField(max_length=LONGEST_REASON)
    confirmed = forms.BooleanField(required=False)


class TryForm(forms.Form):
    identity = forms.CharField(max_length=400, error_messages={"required": "On whom? Choose an identity."})


@allowed("read")
@require_safe
def playbooks(request: ActorRequest) -> HttpResponse:
    facts = {
        "in_force": shown.cards(ROWS.filter(state="in_force"), request.actor),
        "drafts": shown.cards(ROWS.filter(state="draft")[:MOST_DRAFTS], request.actor),
        "more_drafts": max(PlaybookVersion.objects.filter(state="draft").count() - MOST_DRAFTS, 0),
        "old": ROWS.exclude(state__in=["in_force", "draft"])[:MOST_OLD],
        "table": shown.table(),
        "patterns": PATTERNS,
        "may_draft": controls.control(request.actor, "playbook.author"),
    }
    return frame.show(request, "playbooks/list.html", facts)


@allowed("read")
@require_safe
def playbook(request: ActorRequest, version_id: UUID) -> HttpResponse:
    return _page(request, get_object_or_404(ROWS, pk=version_id))


def _page(request: ActorRequest, found: PlaybookVersion, *, status: int = 200, **more: Any) -> HttpResponse:
    document = stored(found.text)
    others = list(ROWS.filter(name=found.name).exclude(pk=found.pk)[:MOST_OLD])
    in_force = [one for one in library.in_force() if one.name != found.name]
    approver = controls.control(request.actor, "playbook.approve")
    left = library.uncovered_without(found) if found.state == "in_force" else []
    facts = {
        "it": shown.card(found, request.actor),
        "version": found,
        "picture": shown.picture(document),
        "terms": shown.terms_of(document),
        "bound": shown.bound(found, in_force) if found.state in {"in_force", "draft"} else [],
        "others": others,
        "before": next((one for one in others if one.version < found.version), None),
        "runs": Run.objects.filter(playbook=found, state__in=LIVE).count(),
        "lacking": readiness.of_playbook(found) if found.state in {"in_force", "draft"} else [],
        "now": library.instead_of(found) if found.state in {"revoked", "retired"} else "",
        "lines": found.text.splitlines(),
        "may_draft": controls.control(request.actor, "playbook.author"),
        "may_end": approver,
        "uncovered": library.said_cases(left),
        "confirming": {"confirmed": "yes"} if left else {},
        "asked": request.GET.get("ask", ""),
        "suggestions": _suggestions() if request.actor.may("playbook.author") or request.actor.may("playbook.approve") else [],
        "identity": "",
    }
    return frame.show(request, "playbooks/playbook.html", facts | more, status=status)


@allowed("read")
@require_safe
def compare(request: ActorRequest, version_id: UUID, other_id: UUID) -> HttpResponse:
    """What the second version says otherwise than the first."""
    was, now = get_object_or_404(ROWS, pk=version_id), get_object_or_404(ROWS, pk=other_id)
    facts = {"was": was, "now": now, "lines": shown.diff(was.text, now.text), "others": ROWS.filter(name=now.name)[:MOST_OLD]}
    return frame.show(request, "playbooks/diff.html", facts)


@allowed("playbook.author")
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: ActorRequest) -> HttpResponse:
    """Begins from the version that `?from=` names. What is wrong is named with its line, and the text stays as it was typed."""
    if request.method != "POST":
        base = _base(request)
        return _editor(request, base.text if base else "", base)
    text = _typed(request)
    form = DraftForm(request.POST)
    try:
        if not form.is_valid():
            raise of_form(form)
        drafted = library.draft(text, actor=request.actor)
    except Refusal as refusal:
        faults = check(text)[1] or [Located(1, "", refusal.code, refusal.sentence)]
        return _editor(request, text, _base(request), faults=faults, status=422)
    messages.success(request, f"{drafted} is drafted. Somebody else has to approve it.")
    return redirect("playbook", drafted.pk)


@allowed("playbook.author")
@require_POST
def checked(request: ActorRequest) -> HttpResponse:
    """The text as it stands, looked at while it is written. Nothing is kept."""
    text = _typed(request)
    return frame.fragment(request, "playbooks/_checked.html", {"check": shown.checked(text)})


@allowed("playbook.author")
@require_POST
def try_text(request: ActorRequest) -> HttpResponse:
    """A dry run of what stands in the editor, saved or not."""
    text = _typed(request)
    found, trouble, identity = _tried(request, text)
    more: dict[str, Any] = {"dry": found, "drawn": shown.tried(found) if found else None, "trouble": trouble, "identity": identity}
    if request.htmx:
        return frame.fragment(request, "playbooks/_tried.html", more)
    return _editor(request, text, _base(request), status=422 if trouble else 200, **more)


@allowed("playbook.approve")
@require_POST
def try_version(request: ActorRequest, version_id: UUID) -> HttpResponse:
    """The same of a version, for whoever is to approve it."""
    version = get_object_or_404(ROWS, pk=version_id)
    found, trouble, identity = _tried(request, version)
    more: dict[str, Any] = {"dry": found, "drawn": shown.tried(found) if found else None, "trouble": trouble, "identity": identity}
    if request.htmx:
        return frame.fragment(request, "playbooks/_tried.html", more)
    return _page(request, version, status=422 if trouble else 200, **more)


def _tried(request: ActorRequest, playbook: PlaybookVersion | str) -> tuple[DryRun | None, str, str]:
    form = TryForm(request.POST)
    name = request.POST.get("identity", "").strip()
    try:
        if not form.is_valid():
            raise of_form(form)
        return trying.out(playbook, _identity(name), actor=request.actor), "", name
    except Refusal as refusal:
        return None, refusal.sentence, name


def _identity(name: str) -> UUID:
    provider, _, subject = name.partition("/")
    found = Identity.objects.filter(provider=provider, subject=subject, merged_into__isnull=True).values_list("pk", flat=True).first()
    return found or UUID(int=0)


def _suggestions() -> list[Identity]:
    return list(Identity.objects.filter(merged_into__isnull=True)[:MOST_SUGGESTED])


def _typed(request: ActorRequest) -> str:
    """No more of it than makes one see that it is too long."""
    return request.POST.get("text", "").replace("\r\n", "\n")[: LONGEST + 1]


def _base(request: ActorRequest) -> PlaybookVersion | None:
    begun = request.GET.get("from", "") or request.POST.get("from", "")
    return ROWS.filter(pk=begun).first() if is_id(begun) else None


def _editor(
    request: ActorRequest, text: str, base: PlaybookVersion | None, *, faults: list[Located] | None = None, status: int = 200, **more: Any
) -> HttpResponse:
    facts = {
        "text": text,
        "base": base,
        "check": shown.checked(text) if text.strip() else None,
        "numbers": range(1, min(text.count("\n") + 2, MOST_LINES + 1)),
        "saving_failed": bool(faults),
        "suggestions": _suggestions(),
        "identity": "",
    }
    return frame.show(request, "playbooks/draft.html", facts | more, status=status)


@allowed("playbook.approve")
@require_POST
def approve(request: ActorRequest, version_id: UUID) -> HttpResponse:
    form = ApproveForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    seen = form.cleaned_data["digest"]
    tried(request, lambda: library.approve(version_id, actor=request.actor, seen_digest=seen), said="Approved. It is in force.")
    return redirect("playbook", version_id)


@allowed("playbook.approve")
@require_POST
def retire(request: ActorRequest, version_id: UUID) -> HttpResponse:
    said = _end_form(request)
    because, confirmed = said["reason"], said["confirmed"]
    tried(
        request,
        lambda: library.retire(version_id, actor=request.actor, because=because, confirmed=confirmed),
        said="Retired. No new run begins with it; those that began go on.",
    )
    return redirect("playbook", version_id)


@allowed("playbook.approve")
@require_POST
def revoke(request: ActorRequest, version_id: UUID) -> HttpResponse:
    because = _end_form(request)["reason"]
    tried(
        request,
        lambda: library.revoke(version_id, actor=request.actor, because=because),
        said="Withdrawn as harmful. Its runs stop at their next step and wait for a person.",
    )
    return redirect("playbook", version_id)


@allowed("playbook.author")
@require_POST
def drop(request: ActorRequest, version_id: UUID) -> HttpResponse:
    tried(request, lambda: library.drop(version_id, actor=request.actor), said="The draft is dropped.")
    return redirect("playbooks")


def _end_form(request: ActorRequest) -> dict[str, Any]:
    form = EndForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    return form.cleaned_data


urlpatterns = [
    path("playbooks/", playbooks, name="playbooks"),
    path("playbooks/draft/", draft, name="draft_playbook"),
    path("playbooks/check/", checked, name="check_playbook"),
    path("playbooks/try/", try_text, name="try_playbook_text"),
    path("playbooks/<uuid:version_id>/", playbook, name="playbook"),
    path("playbooks/<uuid:version_id>/to/<uuid:other_id>/", compare, name="compare_playbooks"),
    path("playbooks/<uuid:version_id>/try/", try_version, name="try_playbook"),
    path("playbooks/<uuid:version_id>/approve/", approve, name="approve_playbook"),
    path("playbooks/<uuid:version_id>/retire/", retire, name="retire_playbook"),
    path("playbooks/<uuid:version_id>/revoke/", revoke, name="revoke_playbook"),
    path("playbooks/<uuid:version_id>/drop/", drop, name="drop_playbook"),
]
