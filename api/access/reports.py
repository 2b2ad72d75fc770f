"""What came of it: a runtime tells outcomes, calls that nobody was asked about, and tools that changed. One result each, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from api import gate
from api.access import body
from api.refusals import STATUS
from core.actor import Actor
from core.refusals import BadInput, Fault, Refusal
from guard import asked
from guard import reports as guard
from guard.reports import Taken
from sources import reports as reader
from sources.reports import Report


@body.asking("guard.ask")
def reports(request: HttpRequest, actor: Actor) -> HttpResponse:
    items = _items(gate.read_json(request, limit=gate.BATCH_LIMIT))
    provider = asked.provider_of(actor)
    read = [_read(item, provider) for item in items]
    taken = iter(guard.take([one for one in read if not isinstance(one, Refusal)], actor))
    results = [_result(index, one if isinstance(one, Refusal) else next(taken)) for index, one in enumerate(read)]
    statuses = [result["status"] for result in results]
    counts = {"accepted": statuses.count(201), "duplicates": statuses.count(200), "refused": sum(status >= 400 for status in statuses)}
    return body.said({**counts, "results": results})


def _items(message: Any) -> list[Any]:
    if not isinstance(message, dict):
        raise gate.Malformed([Fault("", "wrong_type", "An object with the member reports is needed here.")])
    if unknown := sorted(set(message) - {"reports"}):
        raise gate.Malformed([Fault(name, "unknown_member", "There is no such member.") for name in unknown[: gate.MOST_FAULTS]])
    items = message.get("reports")
    if not isinstance(items, list) or not items:
        raise gate.Malformed([Fault("reports", "wrong_type", "A list of at least one report is needed here.")])
    if len(items) > gate.MOST_ITEMS:
        raise gate.TooLarge(f"At most {gate.MOST_ITEMS:,} reports fit into one request.")
    return items


def _read(item: Any, provider: str) -> Report | Refusal:
    try:
        return reader.read(item, provider=provider)
    except BadInput as refusal:
        return refusal


def _result(index: int, said: Taken | Refusal) -> Mapping[str, Any]:
    """201: on record now; 200: it was before."""
    if isinstance(said, Refusal):
        told: dict[str, Any] = {"index": index, "status": STATUS[said.kind], "code": said.code, "detail": said.sentence}
        return told | ({"errors": [_fault(fault, f"reports[{index}]") for fault in said.faults]} if isinstance(said, BadInput) else {})
    ids = {"evaluation_id": str(said.call or ""), "detection": str(said.detection or "")}
    result = {"index": index, "status": 200 if said.duplicate else 201, "duplicate": said.duplicate}
    return result | {name: key for name, key in ids.items() if key} | ({"learned": True} if said.taught else {})


def _fault(fault: Fault, at: str) -> dict[str, str]:
    return {"path": f"{at}.{fault.path}" if fault.path else at, "code": fault.code, "detail": fault.detail}
