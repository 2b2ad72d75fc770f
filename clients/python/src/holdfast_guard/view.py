"""What we know to be contained, and keep refusing until the service itself says otherwise, however long it is gone."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from holdfast_guard import wire
from holdfast_guard.words import Subject

log = logging.getLogger("holdfast_guard")

SET_BACK = timedelta(minutes=1)  # no process of the service lags as much: then it is the clock
REFUSED = {"paused": "session_paused", "ended": "session_ended"}


@dataclass(frozen=True)
class Known:
    """Why a call cannot be made, as the service told us before it was asked."""

    reason: str
    because: str


class View:
    """The last whole snapshot. Empty until the first one has come."""

    def __init__(self) -> None:
        self.name = self.as_of = ""
        self._cut = False
        self.provider = ""  # of subjects that name none
        self._identities: dict[tuple[str, str], str] = {}
        self._sessions: dict[str, list[Mapping[str, Any]]] = {}

    def take(self, got: wire.Got) -> bool:
        """Says whether it was one. A broken one changes nothing, and neither does one that is older than what we have."""
        said = wire.read(got.body) if got.status == 200 else None
        if not isinstance(said, dict) or not isinstance(said.get("view"), str):
            return False
        contained, sessions = said.get("contained"), said.get("sessions")
        if not isinstance(contained, list) or not isinstance(sessions, list):
            return False
        if not all(isinstance(one, dict) for one in (*contained, *sessions)):
            return False
        if _older(said.get("as_of"), self.as_of):
            return False
        self._identities = {(str(one.get("provider")), str(one.get("subject"))): str(one.get("because") or "") for one in contained}
        by_name: dict[str, list[Mapping[str, Any]]] = {}
        for one in sessions:
            for name in {str(one.get("id")), str(one.get("name"))}:
                by_name.setdefault(name, []).append(one)
        self._sessions = by_name
        self.name, self.provider = said["view"], str(said.get("provider") or "")
        self.as_of = said["as_of"] if _moment(said.get("as_of")) else ""
        if said.get("cut") is True and not self._cut:
            log.warning("More is contained than the guard tells at once. Whoever is not in it may be contained too: only asking tells.")
        self._cut = said.get("cut") is True
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


def _older(said: object, had: str) -> bool:
    """Two processes of the service look at different moments."""
    new, old = _moment(said), _moment(had)
    return new is not None and old is not None and old - SET_BACK < new < old


def _moment(said: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(said.replace("Z", "+00:00")) if isinstance(said, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
