"""What calls that the guard let through took: secrets that were read, rights that were given. Asked by containment/taken.py."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from containment.models import Identity, Resource
from containment.taken import MOST_EVENTS, Seen, seen_in
from guard.models import GuardCall


def let_through(identity: Identity, since: datetime) -> Iterable[Seen]:
    """Allowed, or done without asking; not those that were told to have failed."""
    calls = GuardCall.objects.filter(identity=identity.pk, asked_at__gte=since).exclude(outcome="failed").exclude(resource="")
    done = calls.filter(verdict="allow") | calls.filter(asked=False)
    for call in done.order_by("asked_at")[:MOST_EVENTS]:
        resource = Resource(kind=call.resource_kind, key=call.resource)
        if (seen := seen_in(identity, call.action, resource, call.asked_at, "the guard")) is not None:
            yield seen
