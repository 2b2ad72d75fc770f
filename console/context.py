"""What the shell around every page knows: where one can go, and who is looking.

No counts here: a page that has them passes its own `rail`. Nothing asks the database, so that even the page of an error can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest

ALSO = {  # what belongs to a place, wherever it stands
    "/": ("/holds/",),
    "/cases/": ("/cases/", "/runs/"),
    "/guard/": ("/guard/", "/connect/", "/sessions/"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """One link of the rail; `key` follows g on the keyboard. The first four stand at the bottom of a phone."""

    icon: str
    label: str
    url: str
    key: str
    trial_only: bool = False

    def is_current(self, path: str) -> bool:
        return path == self.url or path.startswith(ALSO.get(self.url, (self.url,)))


PLACES = (
    Place("inbox", "Queue", "/", "q"),
    Place("folder", "Cases", "/cases/", "c"),
    Place("history", "Decisions", "/decisions/", "d"),
    Place("robot", "Guard", "/guard/", "r"),
    Place("users", "Identities", "/identities/", "i"),
    Place("lock-open", "Exposures", "/exposures/", "e"),
    Place("hourglass", "Exceptions", "/exceptions/", "x"),
    Place("route", "Playbooks", "/playbooks/", "p"),
    Place("adjustments", "Policy", "/policy/", "o"),
    Place("plug", "Sources", "/sources/", "u"),
    Place("server", "Connectors", "/connectors/", "n"),
    Place("hand-stop", "Kill switch", "/switch/", "k"),
    Place("arrow-back-up", "Undo many", "/mass-undo/", "m"),
    Place("file-text", "Audit trail", "/audit/", "t"),
    Place("server", "Health", "/health/", "h"),
    Place("flask", "Scenarios", "/scenarios/", "s", trial_only=True),
    Place("user-shield", "Access", "/access/", "a"),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    return {"trial": settings.TRIAL, "rail": rail(request.path)}


def rail(path: str, counts: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """The links as templates show them; `counts` by address."""
    return [
        {
            "icon": place.icon,
            "label": place.label,
            "url": place.url,
            "key": place.key,
            "count": (counts or {}).get(place.url),
            "current": place.is_current(path),
        }
        for place in PLACES
        if settings.TRIAL or not place.trial_only
    ]
