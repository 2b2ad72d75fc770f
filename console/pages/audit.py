"""The audit trail: what everybody did, newest first; each entry with its link; the check of the whole chain, and its export."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import ActorRequest
from accounts.allowed import allowed
from audit import verbs
from audit.models import AuditEntry, AuditHead
from audit.record import record, story
from console import controls, filters, frame, paging
from console.deeds import page_or_part
from console.filters import Bar, Filter
from console.views_of import audit as trail
from core.actor import Actor
from core.refs import Ref

CHAIN = Ref("audit", "main")
PAGE, PART = "audit/list.html", "audit/_found.html"


@allowed("audit.read")
@require_safe
def entries(request: ActorRequest) -> HttpResponse:
    return _page(request)


@allowed("audit.read")
@require_safe
def entry(request: ActorRequest, seq: int) -> HttpResponse:
    found = get_object_or_404(AuditEntry, seq=seq)
    head = AuditHead.objects.filter(chain="main").first()
    return frame.show(request, "audit/entry.html", {"it": trail.whole(found), "newer": seq + 1 if head and seq < head.seq else None})


@allowed("audit.verify")
@require_POST
def verify(request: ActorRequest) -> HttpResponse:
    """The result stands on the page that asked. That somebody looked is on record too."""
    result = trail.verify()
    _note_verified(result, request.actor)
    if request.htmx:
        return frame.fragment(request, "audit/_verified.html", {"result": result})
    return _page(request, result)


@allowed("audit.export")
@require_POST
def export(request: ActorRequest) -> HttpResponse:
    """The entries that the filters leave, oldest first: a file to compute the chain again with."""
    rows, _ = filters.narrowed(AuditEntry.objects.all(), _filters(), request.GET)
    found = list(rows.order_by("seq")[: trail.MOST_EXPORTED])
    _note_exported(found, request.actor)
    body = "".join(f"{line}\n" for line in trail.lines(found))
    answer = HttpResponse(body, content_type="application/x-ndjson; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{_file_name(found)}"'
    return frame.fresh(answer)


def _page(request: ActorRequest, result: trail.Verification | None = None) -> HttpResponse:
    rows, bar = filters.narrowed(AuditEntry.objects.all(), _filters(), request.GET)
    turned = paging.turn(rows, request.GET, by=["seq"])
    return page_or_part(request, PAGE, PART, _shown(request, turned, bar) | {"result": result})


def _shown(request: ActorRequest, turned: paging.Page[AuditEntry], bar: Bar) -> dict[str, object]:
    return {
        "turned": turned,
        "bar": bar,
        "lines": trail.told(turned.rows),
        "head": AuditHead.objects.filter(chain="main").first(),
        "may_verify": controls.control(request.actor, "audit.verify"),
        "may_export": controls.control(request.actor, "audit.export"),
        "most": trail.MOST_EXPORTED,
        "query": request.GET.urlencode(),
    }


@story
def _note_verified(result: trail.Verification, actor: Actor) -> None:
    found = {True: "intact", False: f"broken at {result.broken_at}", None: "too long to check on a page"}[result.intact]
    record("audit.verified", CHAIN, actor=actor, checked=result.checked, found=found)


@story
def _note_exported(found: list[AuditEntry], actor: Actor) -> None:
    first, last = (found[0].seq, found[-1].seq) if found else (0, 0)
    record("audit.exported", CHAIN, actor=actor, count=len(found), first=first, last=last)


def _file_name(found: list[AuditEntry]) -> str:
    return f"audit-{found[0].seq}-{found[-1].seq}.ndjson" if found else "audit-empty.ndjson"


def _filters() -> list[Filter]:
    rooms = sorted({verb.partition(".")[0] for verb in verbs.SENTENCES})
    options = [(f"{room}.", f"{room}: anything") for room in rooms] + [(verb, verb) for verb in sorted(verbs.SENTENCES)]
    return [
        Filter("q", "About", _about, "search", placeholder="A name, an id, or identity:0190…"),
        Filter("verb", "What was done", _verb, options=sorted(options)),
        Filter("actor", "By", _actor, "search", placeholder="A name"),
        Filter("from", "From (UTC)", lambda rows, value: rows.filter(at__gte=filters.moment(value)), "moment"),
        Filter("to", "Until (UTC)", lambda rows, value: rows.filter(at__lt=filters.moment(value)), "moment"),
    ]


def _verb(rows: QuerySet[AuditEntry], value: str) -> QuerySet[AuditEntry]:
    return rows.filter(verb__startswith=value) if value.endswith(".") else rows.filter(verb=value)


def _actor(rows: QuerySet[AuditEntry], value: str) -> QuerySet[AuditEntry]:
    return rows.filter(Q(actor_name__icontains=value) | Q(actor=value))


def _about(rows: QuerySet[AuditEntry], value: str) -> QuerySet[AuditEntry]:
    """An exact reference finds everything about the thing; other text is looked for in what was said."""
    if ":" in value and " " not in value:
        return rows.filter(Q(subject=value) | Q(about__contains=[value]))
    return rows.filter(Q(subject__icontains=value) | Q(body__icontains=value) | Q(verb__icontains=value))


urlpatterns = [
    path("audit/", entries, name="audit"),
    path("audit/verify/", verify, name="verify_audit"),
    path("audit/export/", export, name="export_audit"),
    path("audit/<int:seq>/", entry, name="audit_entry"),
]
