"""Many at once: pick runs by what they have in common, read the list, ask; another person agrees; then watch each come back."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from console import controls, frame, paging
from console.deeds import faults_of, reason_of, tried
from console.refusals import of_form
from console.views_of import mass_undo as shown
from containment import mass_undo
from containment.mass_undo import Picks
from containment.models import MassUndo, RiskPolicyVersion, Source
from core.refusals import Refusal
from playbooks.models import PlaybookVersion

ROWS = MassUndo.objects.select_related("requester", "approver")
MOST_SHOWN = 200
MOST_OFFERED = 100


class PickForm(forms.Form):
    policy_version = forms.IntegerField(required=False, min_value=1, max_value=2_000_000_000)
    source = forms.CharField(required=False, max_length=200)
    playbook = forms.CharField(required=False, max_length=200)
    since = forms.DateTimeField(required=False)
    until = forms.DateTimeField(required=False)

    def picks(self) -> Picks:
        if not self.is_valid():
            raise of_form(self)
        said = self.cleaned_data
        return Picks(
            policy_version=said["policy_version"],
            source=said["source"].strip(),
            playbook=said["playbook"].strip(),
            since=said["since"],
            until=said["until"],
        )


@allowed("read")
@require_safe
def many(request: ActorRequest) -> HttpResponse:
    turned = paging.turn(ROWS, request.GET)
    facts = {"turned": turned, "cards": shown.cards(turned.rows, request.actor)}
    return frame.show(request, "mass_undo/list.html", facts | {"may_ask": controls.control(request.actor, mass_undo.UNDOES)})


@allowed("read")
@require_safe
def pick(request: ActorRequest) -> HttpResponse:
    return _picking(request, PickForm(request.GET if any(request.GET.values()) else None))


@allowed("run.undo")
@require_POST
def ask(request: ActorRequest) -> HttpResponse:
    form = PickForm(request.POST)
    try:
        seen = request.POST.get("digest", "")
        asked = mass_undo.ask(form.picks(), reason_of(request), actor=request.actor, seen_digest=seen)
    except Refusal as refusal:
        return _picking(request, form, refusal)
    messages.success(request, "Asked. Nothing is undone until another person has read the list and agreed.")
    return redirect("mass_undo", asked.pk)


@allowed("read")
@require_safe
def one(request: ActorRequest, key: UUID) -> HttpResponse:
    row = get_object_or_404(ROWS, pk=key)
    state = request.GET.get("state", "")
    members = row.members.filter(state=state) if state in shown.MEMBERS else row.members.all()
    turned = paging.turn(members, request.GET, newest_first=False)
    facts = {"it": shown.card(row, request.actor), "turned": turned, "lines": shown.lines(turned.rows), "state": state}
    return frame.show(request, "mass_undo/page.html", facts)


@allowed("read")
@require_safe
def as_file(request: ActorRequest, key: UUID) -> HttpResponse:
    row = get_object_or_404(ROWS, pk=key)
    answer = HttpResponse(shown.as_csv(row), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="undo-of-many-{row.pk}.csv"'
    return frame.fresh(answer)


@allowed("run.undo")
@require_POST
def agree(request: ActorRequest, key: UUID) -> HttpResponse:
    seen = request.POST.get("digest", "")
    said = "Agreed. Each is being undone now."
    tried(request, lambda: mass_undo.approve(key, actor=request.actor, seen_digest=seen), said=said)
    return redirect("mass_undo", key)


@allowed("run.undo")
@require_POST
def call_off(request: ActorRequest, key: UUID) -> HttpResponse:
    said = "Called off. What had not begun stays as it is."
    tried(request, lambda: mass_undo.withdraw(key, actor=request.actor), said=said)
    return redirect("mass_undo", key)


def _picking(request: ActorRequest, form: PickForm, refusal: Refusal | None = None) -> HttpResponse:
    faults = faults_of(refusal) if refusal else []
    preview = None
    if form.is_bound:
        try:
            preview = mass_undo.preview(form.picks())
        except Refusal as trouble:
            faults = faults or faults_of(trouble)
    versions = RiskPolicyVersion.objects.exclude(in_force_at=None).order_by("-version")
    facts = {
        "form": form,
        "faults": faults,
        "preview": preview,
        "lines": shown.previewed(preview.runs[:MOST_SHOWN]) if preview else [],
        "most_shown": MOST_SHOWN,
        "reason": request.POST.get("reason", ""),
        "may_ask": controls.control(request.actor, mass_undo.UNDOES),
        "policies": versions.values_list("version", flat=True)[:MOST_OFFERED],
        "sources": Source.objects.order_by("name").values_list("name", flat=True)[:MOST_OFFERED],
        "playbooks": [str(one) for one in PlaybookVersion.objects.order_by("name", "-version")[:MOST_OFFERED]],
    }
    return frame.show(request, "mass_undo/pick.html", facts, status=422 if faults else 200)


urlpatterns = [
    path("mass-undo/", many, name="mass_undos"),
    path("mass-undo/pick/", pick, name="pick_mass_undo"),
    path("mass-undo/ask/", ask, name="ask_mass_undo"),
    path("mass-undo/<uuid:key>/", one, name="mass_undo"),
    path("mass-undo/<uuid:key>/list.csv", as_file, name="mass_undo_csv"),
    path("mass-undo/<uuid:key>/agree/", agree, name="agree_mass_undo"),
    path("mass-undo/<uuid:key>/call-off/", call_off, name="call_off_mass_undo"),
]
