"""What the workloads tell Holdfast of their own work: POST /api/v1/activity, a small batch every few seconds, with a token of their own.

Telling is never a burden to working: a workload leaves a note and goes on. Notes of the same kind are added up until the next batch. While
Holdfast is away they are kept, up to a bound, and sent again; each carries an id, so that none counts twice.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from core.ids import uuid7

TOKEN = "activity-token.json"
EVERY = 3.0  # seconds between two batches
AT_ONCE = 500  # notes in one batch
MOST_KEPT = 20_000  # while Holdfast is away; beyond that the oldest go, and the status says how many
REFUSED_FOR_GOOD = (400, 413, 415, 422)  # what Holdfast cannot read now it cannot read later


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that a session did, without when and how often."""

    role: str
    session: str
    action: str
    table: str

    def told(self, first_at: datetime, count: int) -> dict[str, Any]:
        """As the API takes it."""
        return {
            "id": f"{self.session}-{uuid7()}",
            "occurred_at": first_at.isoformat(timespec="milliseconds"),
            "identity": {"kind": "service_account", "provider": "postgres", "subject": self.role},
            "session": {"id": self.session},
            "action": {"name": self.action, "count": count},
            "resource": {"kind": "table", "id": self.table},
            "context": {"environment": "prod", "tenant": "acme"},
        }


class Feed(threading.Thread):
    """Takes notes from every workload's thread, and sends them from its own."""

    def __init__(self, origin: str, home: Path, stop: threading.Event) -> None:
        super().__init__(name="activity feed", daemon=True)
        self.home = home
        self.stop = stop
        self.client = httpx.Client(base_url=origin, timeout=10.0)
        self.sent = 0
        self.lost = 0
        self.trouble: str | None = None
        self._open: dict[Deed, tuple[datetime, int]] = {}
        self._kept: deque[dict[str, Any]] = deque()
        self._lock = threading.Lock()

    def note(self, deed: Deed) -> None:
        """Called by workloads. Nothing here waits for anything but another note."""
        with self._lock:
            first_at, count = self._open.get(deed, (datetime.now(UTC), 0))
            self._open[deed] = (first_at, count + 1)

    def run(self) -> None:
        while not self.stop.wait(EVERY):
            self.send()
        self.send()

    def send(self) -> None:
        """Everything that waits, in batches, until it is through or Holdfast says no."""
        self._close_notes()
        while self._kept:
            batch = [self._kept[index] for index in range(min(AT_ONCE, len(self._kept)))]
            if not self._post(batch):
                return
            for _ in batch:
                self._kept.popleft()

    def public(self) -> dict[str, Any]:
        """For `workloads.json`."""
        return {"sent": self.sent, "waiting": len(self._kept), "lost": self.lost, "trouble": self.trouble}

    def _close_notes(self) -> None:
        with self._lock:
            noted, self._open = self._open, {}
        self._kept.extend(deed.told(first_at, count) for deed, (first_at, count) in noted.items())
        while len(self._kept) > MOST_KEPT:
            self._kept.popleft()
            self.lost += 1

    def _post(self, batch: list[dict[str, Any]]) -> bool:
        """Whether Holdfast has it now, or never will."""
        try:
            token = json.loads((self.home / TOKEN).read_text())["token"]
            answer = self.client.post("/api/v1/activity", json=batch, headers={"Authorization": f"Bearer {token}"})
        except (OSError, ValueError, KeyError, httpx.HTTPError) as no:
            self.trouble = f"Holdfast gives no answer ({type(no).__name__})"
            return False
        if answer.is_success:
            self.sent += len(batch)
            self.trouble = None
            return True
        self.trouble = f"Holdfast says {answer.status_code}"
        if answer.status_code in REFUSED_FOR_GOOD:
            self.lost += len(batch)
            return True
        return False
