"""What a search finds, kind by kind, each with its link. Only what the viewer may read is looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.models import Q

from approvals.models import ExceptionGrant, Hold
from console.templatetags.console import ICONS_OF_KINDS
from console.views_of.things import address_of, is_id
from containment.models import Case, Decision, Identity
from core.actor import Actor

MOST = 5
SHORTEST = 2


@dataclass(frozen=True, slots=True)
class Option:
    url: str
    icon: str
    name: str
    note: str


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    options: Sequence[Option]


def groups(text: str, viewer: Actor) -> list[Group]:
    """An id, bare or as `hold:0190…`, finds that one thing; other text what carries it in its name."""
    _, _, key = text.rpartition(":")
    wanted = key if is_id(key) else text
    if len(wanted) < SHORTEST or not viewer.may("read"):
        return []
    return [Group(name, options) for name, look in LOOKS if (options := look(wanted))]


def _identities(text: str) -> list[Option]:
    fitting = Q(subject__icontains=text) | Q(name__icontains=text) | Q(aliases__subject__icontains=text)
    provider, slash, subject = text.partition("/")
    if slash:
        fitting |= Q(provider=provider, subject__istartswith=subject)
    rows = Identity.objects.filter(_by(text, fitting)).distinct()[:MOST]
    return [
        Option(address_of(one.ref), ICONS_OF_KINDS[one.kind], one.label, f"{one.kind.replace('_', ' ')} · {one.provider}") for one in rows
    ]


def _holds(text: str) -> list[Option]:
    named = Identity.objects.filter(Q(subject__icontains=text) | Q(name__icontains=text))
    fitting = Q(title__icontains=text) | Q(identity_ref__in=[str(one.ref) for one in named[:MOST]])
    rows = Hold.objects.filter(_by(text, fitting)).order_by("-opened_at")[:MOST]
    return [Option(address_of(one.ref), "clock-pause", one.title, one.state) for one in rows]


def _cases(text: str) -> list[Option]:
    fitting = Q(title__icontains=text) | Q(identity__subject__icontains=text) | Q(identity__name__icontains=text)
    rows = Case.objects.filter(_by(text, fitting)).select_related("identity")[:MOST]
    return [Option(address_of(one.ref), "folder", one.title, f"{one.identity.label} · {one.state}") for one in rows]


def _decisions(text: str) -> list[Option]:
    fitting = Q(detection__title__icontains=text) | Q(detection__identity__subject__icontains=text) | Q(detection__external_id=text)
    wanted = Q(pk=text) | Q(detection_id=text) if is_id(text) else fitting
    rows = Decision.objects.filter(wanted).select_related("detection__identity")[:MOST]
    return [
        Option(address_of(one.ref), "history", one.detection.title, f"{one.verdict} · risk {one.risk} · {one.detection.identity.label}")
        for one in rows
    ]


def _exceptions(text: str) -> list[Option]:
    rows = ExceptionGrant.objects.filter(_by(text, Q(reason__icontains=text) | Q(ticket__icontains=text)))[:MOST]
    return [Option(address_of(one.ref), "hourglass", one.reason, one.state) for one in rows]


def _by(text: str, fitting: Q) -> Q:
    return Q(pk=text) if is_id(text) else fitting


LOOKS: Sequence[tuple[str, Callable[[str], list[Option]]]] = (
    ("Identities", _identities),
    ("Holds", _holds),
    ("Cases", _cases),
    ("Decisions", _decisions),
    ("Exceptions", _exceptions),
)
