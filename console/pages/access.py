"""Access: people with their roles, the tokens of programs, and the table that says what each role may do.

Everybody may read it; administrators change it. A token's text and a sign-in link are shown once, on the page that made them, and nowhere
else: not in an address, a session or a notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.timezone import make_aware
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import links, people, tokens
from accounts.actors import ActorRequest
from accounts.allowed import allowed
from accounts.models import LONGEST_TOKEN_LIFE, Person, ServiceToken, Team
from accounts.roles import PERMISSIONS, ROLES, Role, Scope
from audit import clock
from console import controls, frame
from console.deeds import faults_of, tried
from console.refusals import of_form
from containment import lockout
from containment.models import Identity, Source
from core.refs import Ref
from core.refusals import BadInput, Fault, Refusal

ROLE_CHOICES = [(role.value, role.value) for role in Role]
SCOPES = {
    Scope.DETECTIONS_WRITE: "post detections, for one source",
    Scope.GUARD_ASK: "ask the guard before acting",
    Scope.SESSIONS_WRITE: "register sessions",
    Scope.READ: "read what its owner may read",
}
MOST = 200
USUAL_DAYS = 90


class PersonForm(forms.Form):
    username = forms.RegexField(r"^[\w.@+-]+$", max_length=150, error_messages={"invalid": "Letters, digits and . @ + - _ only."})
    name = forms.CharField(max_length=200)
    email = forms.EmailField(required=False)
    roles = forms.MultipleChoiceField(choices=ROLE_CHOICES, required=False)
    teams = forms.ModelMultipleChoiceField(Team.objects.all(), required=False)


class RolesForm(forms.Form):
    roles = forms.MultipleChoiceField(choices=ROLE_CHOICES, required=False)


class TokenForm(forms.Form):
    name = forms.CharField(max_length=200)
    owner = forms.ModelChoiceField(Person.objects.filter(is_active=True))
    scopes = forms.MultipleChoiceField(choices=[(scope.value, scope.value) for scope in Scope])
    source = forms.CharField(max_length=100, required=False)
    ends_on = forms.DateField()


@allowed("read")
@require_safe
def access(request: ActorRequest) -> HttpResponse:
    everybody = Person.objects.prefetch_related("role_grants", "teams").order_by("-is_active", "display_name")
    facts = {
        "people": everybody[:MOST],
        "may_manage": controls.control(request.actor, "people.manage"),
        "teams": Team.objects.prefetch_related("members"),
    }
    return frame.show(request, "access/people.html", facts)


@allowed("read")
@require_safe
def roles(request: ActorRequest) -> HttpResponse:
    """The table as the code has it: nothing else gives anybody a permission."""
    rows = [(name, about, [name in ROLES[role] for role in Role]) for name, about in PERMISSIONS.items()]
    of_people = [row for row in rows if any(row[2])]
    facts = {"roles": list(Role), "rows": of_people, "scopes": SCOPES.items()}
    return frame.show(request, "access/roles.html", facts)


@allowed("people.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def add_person(request: ActorRequest) -> HttpResponse:
    form = PersonForm(request.POST) if request.method == "POST" else PersonForm()
    faults: list[tuple[str, str]] = []
    if form.is_bound:
        try:
            if not form.is_valid():
                raise of_form(form)
            said = form.cleaned_data
            added = people.add(
                said["username"],
                name=said["name"],
                email=said["email"],
                roles=said["roles"],
                teams=[team.name for team in said["teams"]],
                actor=request.actor,
            )
        except Refusal as refusal:
            faults = faults_of(refusal)
        else:
            messages.success(request, f"{added} is added. Issue a sign-in link, so that they can come in and choose a password.")
            return redirect("person", added.pk)
    facts = {"form": form, "faults": faults, "roles": list(Role), "teams": Team.objects.all()}
    return frame.show(request, "access/add_person.html", facts, status=422 if faults else 200)


@allowed("people.manage")
@require_safe
def person(request: ActorRequest, person_id: UUID) -> HttpResponse:
    return _person(request, person_id)


@allowed("people.manage")
@require_POST
def set_roles(request: ActorRequest, person_id: UUID) -> HttpResponse:
    form = RolesForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    get_object_or_404(Person, pk=person_id)
    tried(request, lambda: people.set_roles(person_id, form.cleaned_data["roles"], actor=request.actor), said="Their roles are changed.")
    return redirect("person", person_id)


@allowed("people.manage")
@require_POST
def let_go(request: ActorRequest, person_id: UUID) -> HttpResponse:
    get_object_or_404(Person, pk=person_id)
    tried(request, lambda: people.let_go(person_id, actor=request.actor), said="They cannot sign in any more, and their tokens ended.")
    return redirect("person", person_id)


@allowed("people.manage")
@require_POST
def take_back(request: ActorRequest, person_id: UUID) -> HttpResponse:
    get_object_or_404(Person, pk=person_id)
    tried(request, lambda: people.take_back(person_id, actor=request.actor), said="They may sign in again.")
    return redirect("person", person_id)


@allowed("people.manage")
@require_POST
@sensitive_variables("link")
def issue_link(request: ActorRequest, person_id: UUID) -> HttpResponse:
    """Whoever holds the link is that person, once; an administrator does not get in as themselves that way."""
    found = get_object_or_404(Person, pk=person_id, is_active=True)
    link = links.address(links.issue(found, actor=request.actor))
    return _person(request, person_id, link=link)


@allowed("read")
@require_safe
def tokens_list(request: ActorRequest) -> HttpResponse:
    return _tokens(request)


@allowed("token.manage")
@require_POST
@sensitive_variables("text")
def issue_token(request: ActorRequest) -> HttpResponse:
    form = TokenForm(request.POST)
    try:
        if not form.is_valid():
            raise of_form(form)
        said = form.cleaned_data
        token, text = tokens.issue(
            name=said["name"],
            owner=said["owner"],
            scopes=said["scopes"],
            source=said["source"],
            life=_life(make_aware(datetime.combine(said["ends_on"], time.min))),
            actor=request.actor,
        )
    except Refusal as refusal:
        return _tokens(request, form=form, faults=faults_of(refusal))
    return _tokens(request, issued=(token, text))


@allowed("token.manage")
@require_POST
def revoke_token(request: ActorRequest, token_id: UUID) -> HttpResponse:
    tried(request, lambda: tokens.revoke(token_id, actor=request.actor), said="Revoked. It opens nothing any more.")
    return redirect("tokens")


def _person(request: ActorRequest, person_id: UUID, *, link: str = "") -> HttpResponse:
    found = get_object_or_404(Person.objects.prefetch_related("role_grants__granted_by", "teams"), pk=person_id)
    mine = "Somebody else must change your own access." if request.actor.principal == str(found.pk) else ""
    facts = {
        "person": found,
        "roles": [(role, role in found.roles) for role in Role],
        "grants": found.role_grants.all(),
        "tokens": found.tokens.all()[:MOST],
        "accounts": lockout.accounts_of(found)[:MOST],
        "suggested": lockout.suggested_accounts(found),
        "link": link,
        "mine": mine,
        "asked": request.GET.get("ask", ""),
    }
    return frame.show(request, "access/person.html", facts)


def _tokens(
    request: ActorRequest,
    *,
    form: TokenForm | None = None,
    faults: list[tuple[str, str]] | None = None,
    issued: tuple[ServiceToken, str] | None = None,
) -> HttpResponse:
    now = clock.now()
    facts = {
        "tokens": _with_their_agents(ServiceToken.objects.select_related("owner")[:MOST]),
        "now": now,
        "form": form or TokenForm(initial={"owner": request.actor.principal, "ends_on": (now + timedelta(days=USUAL_DAYS)).date()}),
        "faults": faults or [],
        "issued": issued,
        "scopes": SCOPES.items(),
        "sources": Source.objects.values_list("name", flat=True),
        "latest": (now + LONGEST_TOKEN_LIFE).date(),
        "people": Person.objects.filter(is_active=True).order_by("display_name"),
        "may_manage": controls.control(request.actor, "token.manage"),
    }
    return frame.show(request, "access/tokens.html", facts, status=422 if faults else 200)


def _with_their_agents(found: Iterable[ServiceToken]) -> list[tuple[ServiceToken, Identity | None]]:
    """Beside each token the identity that it is bound to."""
    rows = list(found)
    bound = Identity.objects.in_bulk([UUID(Ref.parse(token.speaks_for).id) for token in rows if token.speaks_for])
    agents = {str(identity.ref): identity for identity in bound.values()}
    return [(token, agents.get(token.speaks_for)) for token in rows]


def _life(ends_at: datetime) -> timedelta:
    life = ends_at - clock.now()
    if not timedelta(0) < life <= LONGEST_TOKEN_LIFE:
        raise BadInput([Fault("ends_on", "out_of_range", "A token ends after today, and within a year.")])
    return life


urlpatterns = [
    path("access/", access, name="access"),
    path("access/roles/", roles, name="roles"),
    path("access/people/add/", add_person, name="add_person"),
    path("access/people/<uuid:person_id>/", person, name="person"),
    path("access/people/<uuid:person_id>/roles/", set_roles, name="set_roles"),
    path("access/people/<uuid:person_id>/link/", issue_link, name="issue_link"),
    path("access/people/<uuid:person_id>/let-go/", let_go, name="let_go"),
    path("access/people/<uuid:person_id>/take-back/", take_back, name="take_back"),
    path("access/tokens/", tokens_list, name="tokens"),
    path("access/tokens/issue/", issue_token, name="issue_token"),
    path("access/tokens/<uuid:token_id>/revoke/", revoke_token, name="revoke_token"),
]
