"""Identities: who acts, who answers for it, and the queue of those that nobody owns yet."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from accounts.models import Person, Team
from audit import clock
from console import controls, filters, frame, paging
from console.deeds import page_or_part, tried
from console.filters import Filter
from console.refusals import of_form
from console.views_of import identities as shown
from console.views_of.things import is_id
from containment import inventory, lockout
from containment.models import Identity
from containment.models.identity import KINDS

ROWS = Identity.objects.select_related("owner", "merged_into")
PAGE, PART = "identities/list.html", "identities/_found.html"
NO_OWNER = Q(owner__isnull=True, owner_team="")
MOST_SUGGESTED = 300


class AdoptForm(forms.Form):
    owner = forms.ModelChoiceField(Person.objects.filter(is_active=True), required=False)
    team = forms.CharField(required=False, max_length=100)
    back = forms.ChoiceField(choices=[("identity", "identity"), ("adopt", "adopt")], required=False)


class PersonForm(forms.Form):
    person = forms.ModelChoiceField(Person.objects.filter(is_active=True))
    back = forms.ChoiceField(choices=[("identity", "identity"), ("person", "person")], required=False)


class MergeForm(forms.Form):
    other = forms.CharField(max_length=400)
    because = forms.CharField(max_length=2000)


class AliasForm(forms.Form):
    provider = forms.CharField(max_length=100)
    subject = forms.CharField(max_length=300)
    because = forms.CharField(max_length=2000)


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=2000)


@allowed("read")
@require_safe
def identities(request: ActorRequest) -> HttpResponse:
    listed = ROWS.filter(merged_into__isnull=True)
    rows, bar = filters.narrowed(listed, _filters(), request.GET)
    turned = paging.turn(rows, request.GET, by=["provider", "subject"], newest_first=False)
    queue = inventory.adoption_queue(most=1)
    facts = {
        "turned": turned,
        "bar": bar,
        "lines": [(one, shown.owner_of(one)) for one in turned.rows],
        "queue": queue,
        "all": listed.count(),
        "protected": listed.filter(protected=True).count(),
        "discovered": listed.filter(discovered_at__isnull=False).count(),
    }
    return page_or_part(request, PAGE, PART, facts)


@allowed("read")
@require_safe
def adoption(request: ActorRequest) -> HttpResponse:
    facts = {"queue": inventory.adoption_queue(), "may_edit": controls.control(request.actor, "inventory.edit")} | _owners()
    return frame.show(request, "identities/adoption.html", facts)


@allowed("read")
@require_safe
def identity(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    found = get_object_or_404(ROWS, pk=identity_id)
    it = shown.card(found, request.actor, now=clock.now())
    suggestions = Identity.objects.filter(merged_into__isnull=True).exclude(pk=found.pk)[:MOST_SUGGESTED] if it.may_edit else []
    facts = {"it": it, "identity": found, "asked": request.GET.get("ask", ""), "suggestions": suggestions} | _owners()
    return frame.show(request, "identities/identity.html", facts)


@allowed("inventory.edit")
@require_POST
def adopt(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    form = AdoptForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    owner, team = form.cleaned_data["owner"], form.cleaned_data["team"]
    found = get_object_or_404(Identity, pk=identity_id)
    said = f"{found.label} has an owner: {owner or team}."
    tried(request, lambda: inventory.adopt(identity_id, actor=request.actor, owner=owner.pk if owner else None, team=team), said=said)
    return redirect("adoption") if form.cleaned_data["back"] == "adopt" else redirect("identity", identity_id)


@allowed("read")  # and the right to edit the inventory or, where one is protected, that list: the inventory asks
@require_POST
def merge(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    """The other one is this one: what it has comes here."""
    form = MergeForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    other, because = _named(form.cleaned_data["other"]), form.cleaned_data["because"]
    tried(request, lambda: inventory.merge(other.pk, identity_id, actor=request.actor, because=because), said=f"{other} is this one now.")
    return redirect("identity", identity_id)


@allowed("read")  # as above
@require_POST
def split(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    """Take back a merge. `identity_id` is the one that was merged away."""
    because = _reason(request)
    tried(request, lambda: inventory.split(identity_id, actor=request.actor, because=because), said="They are two again.")
    return redirect("identity", identity_id)


@allowed("read")  # as above
@require_POST
def split_alias(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    form = AliasForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    said = form.cleaned_data
    other = tried(
        request,
        lambda: inventory.split_alias(identity_id, said["provider"], said["subject"], actor=request.actor, because=said["because"]),
        said=f"{said['provider']}/{said['subject']} is an identity of its own.",
    )
    return redirect("identity", other.pk if other else identity_id)


@allowed("people.manage")
@require_POST
def link_person(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    """This is the account of that person."""
    form = PersonForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    person, back = form.cleaned_data["person"], form.cleaned_data["back"]
    said = f"It is the account of {person}. A plan that would leave a hold without an answer is held for two."
    tried(request, lambda: lockout.link(person.pk, identity_id, actor=request.actor), said=said)
    return redirect("person", person.pk) if back == "person" else redirect("identity", identity_id)


@allowed("people.manage")
@require_POST
def unlink_person(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    tried(request, lambda: lockout.unlink(identity_id, actor=request.actor), said="It is nobody's account here any more.")
    return redirect("identity", identity_id)


@allowed("protected.edit")
@require_POST
def protect(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    because = _reason(request)
    tried(
        request, lambda: inventory.protect(identity_id, because, actor=request.actor), said="Protected: never contained without two people."
    )
    return redirect("identity", identity_id)


@allowed("protected.edit")
@require_POST
def unprotect(request: ActorRequest, identity_id: UUID) -> HttpResponse:
    because = _reason(request)
    tried(request, lambda: inventory.unprotect(identity_id, because, actor=request.actor), said="No longer protected.")
    return redirect("identity", identity_id)


def _reason(request: ActorRequest) -> str:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    return str(form.cleaned_data["reason"])


def _named(text: str) -> Identity:
    provider, _, subject = text.strip().partition("/")
    wanted = Q(pk=text.strip()) if is_id(text.strip()) else Q(provider=provider, subject=subject)
    found = Identity.objects.filter(wanted).first()
    if found is None:
        raise inventory.NoSuchIdentity(f"There is no identity {text}. Write it as provider/subject.")
    return found


def _owners() -> dict[str, object]:
    return {"people": Person.objects.filter(is_active=True).order_by("display_name"), "teams": Team.objects.all()}


def _filters() -> list[Filter]:
    providers = Identity.objects.order_by("provider").values_list("provider", flat=True).distinct()
    return [
        Filter("q", "Named", _about, "search", placeholder="Name, alias, team or id"),
        Filter("kind", "Kind", filters.by("kind"), options=filters.words(KINDS)),
        Filter("provider", "Provider", filters.by("provider"), options=[(name, name) for name in providers]),
        Filter("owner", "Owner", _owner, options=[("has", "has one"), ("none", "nobody")]),
        Filter("protected", "Protected", _protected, options=[("yes", "yes"), ("no", "no")]),
        Filter("discovered", "Discovered", _discovered, options=[("yes", "not listed by anybody"), ("no", "listed")]),
    ]


def _about(rows: QuerySet[Identity], value: str) -> QuerySet[Identity]:
    if is_id(value):
        return rows.filter(pk=value)
    found = Q(subject__icontains=value) | Q(name__icontains=value) | Q(owner_team__icontains=value)
    found |= Q(aliases__subject__icontains=value) | Q(owner__display_name__icontains=value)
    provider, slash, subject = value.partition("/")
    if slash:
        found |= Q(provider=provider, subject__icontains=subject)
    return rows.filter(found).distinct()


def _owner(rows: QuerySet[Identity], value: str) -> QuerySet[Identity]:
    return rows.filter(NO_OWNER) if value == "none" else rows.exclude(NO_OWNER)


def _protected(rows: QuerySet[Identity], value: str) -> QuerySet[Identity]:
    return rows.filter(protected=value == "yes")


def _discovered(rows: QuerySet[Identity], value: str) -> QuerySet[Identity]:
    return rows.filter(discovered_at__isnull=value == "no")


urlpatterns = [
    path("identities/", identities, name="identities"),
    path("identities/adopt/", adoption, name="adoption"),
    path("identities/<uuid:identity_id>/", identity, name="identity"),
    path("identities/<uuid:identity_id>/adopt/", adopt, name="adopt_identity"),
    path("identities/<uuid:identity_id>/merge/", merge, name="merge_identity"),
    path("identities/<uuid:identity_id>/split/", split, name="split_identity"),
    path("identities/<uuid:identity_id>/split-alias/", split_alias, name="split_alias"),
    path("identities/<uuid:identity_id>/person/", link_person, name="link_person"),
    path("identities/<uuid:identity_id>/person/unlink/", unlink_person, name="unlink_person"),
    path("identities/<uuid:identity_id>/protect/", protect, name="protect_identity"),
    path("identities/<uuid:identity_id>/unprotect/", unprotect, name="unprotect_identity"),
]
