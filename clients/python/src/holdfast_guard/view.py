"""What we know to be contained, and keep refusing until the service itself says otherwise, however long it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from holdfast_guard import wire
from holdfast_guard.words import Subject

REFUSED = {"paused": "session_paused", "ended": "session_ended"}


@dataclass(frozen=True)
class Known:
    """Why a call cannot be made, as the service told us before it was asked."""

    reason: str
    because: str


class View:
    """The last whole snapshot. Empty until the first one has come."""

    def __init__(self) -> None:
        self.name = ""
        self.provider = ""  # of subjects that name none
        self._identities: dict[tuple[str, str], str] = {}
        self._sessions: dict[str, list[Mapping[str, Any]]] = {}

    def take(self, got: wire.Got) -> bool:
        """Says whether it was one. A broken one changes nothing."""
        said = wire.read(got.body) if got.status == 200 else None
        if not isinstance(said, dict) or not isinstance(said.get("view"), str):
            return False
        contained, sessions = said.get("contained"), said.get("sessions")
        if not isinstance(contained, list) or not isinstance(sessions, list):
            return False
        if not all(isinstance(one, dict) for one in (*contained, *sessions)):
            return False
        self._identities = {(str(one.get("provider")), str(one.get("subject"))): str(one.get("because") or "") for one in contained}
        by_name: dict[str, list[Mapping[str, Any]]] = {}
        for one in sessions:
            for name in {str(one.get("id")), str(one.get("name"))}:
                by_name.setdefault(name, []).append(one)
        self._sessions = by_name
        self.name, self.provider = said["view"], str(said.get("provider") or "")
        return True

    def refuses(self, subject: Subject, session: str) -> Known | None:
        if because := self._contained(subject):
            return Known("contained", because)
        for one in self._of(subject, session):
            if one.get("state") in REFUSED:
                return Known(REFUSED[str(one["state"])], str(one.get("because") or ""))
        return None

    def restricts(self, subject: Subject, session: str) -> bool:
        """What a restricted session may still do, only the service knows."""
        return any(one.get("state") == "restricted" for one in self._of(subject, session))

    def _contained(self, subject: Subject) -> str:
        if subject.provider or self.provider:
            because = self._identities.get((subject.provider or self.provider, subject.id))
            return "" if because is None else because or "contained"
        found = [because for (_, name), because in self._identities.items() if name == subject.id]
        return (found[0] or "contained") if found else ""

    def _of(self, subject: Subject, session: str) -> list[Mapping[str, Any]]:
        """By its id, which is nobody else's; or by its name, where it is this subject's."""
        provider = subject.provider or self.provider
        return [
            one
            for one in (self._sessions.get(session, ()) if session else ())
            if one.get("id") == session or (one.get("subject") == subject.id and (not provider or one.get("provider") == provider))
        ]
