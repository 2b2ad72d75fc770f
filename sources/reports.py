"""Reads what a runtime tells afterwards: what came of a call, a call that nobody was asked about, a tool that is not what it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from core.refusals import BadInput, Fault
from sources import authzen
from sources.asking import Ask
from sources.native import MOST_MOVED

OUTCOMES = ("done", "failed", "cancelled", "not_done")
MODES = ("closed", "open", "contained")
MOST_RETURNED, LONGEST_RETURNED, LONGEST_NAME = 20, 8_000, 300
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OF_CALL = {"evaluation_id", "outcome", "returned", "bytes", "minted", "request"}
_OF_UNASKED = {"unasked", "request", "decision", "mode", "at", "outcome", "returned", "bytes", "minted"}
_OF_CHANGE = {"server", "tool", "before", "after", "subject", "session"}


@dataclass(frozen=True, slots=True)
class Minted:
    """The credential that a token.mint made. Its id may be the secret itself."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call that was asked about. `ask`: the question again, so that its arguments are known; its digest tells."""

    evaluation: UUID
    outcome: str
    returned: tuple[str, ...] = ()
    bytes: int = 0
    minted: Minted | None = None
    ask: Ask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unasked:
    """A call that was done, or refused, by what was declared. `outcome` empty: nobody knows yet."""

    ask: Ask
    decision: bool
    mode: str
    at: datetime | None
    outcome: str = ""
    returned: tuple[str, ...] = ()
    bytes: int = 0
    minted: Minted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChanged:
    server: str
    tool: str
    before: str
    after: str
    kind: str
    provider: str
    subject: str
    session: str = ""


Report = Outcome | Unasked | ToolChanged


def read(item: Any, *, provider: str) -> Report:
    """BadInput with every fault and its path. `provider`: of a subject that names none."""
    reader = _Reader(provider)
    report = reader.report(item)
    if reader.faults or report is None:
        raise BadInput(reader.faults)
    return report


class _Reader:
    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.faults: list[Fault] = []

    def fault(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Fault(path, code, detail))

    def report(self, item: Any) -> Report | None:
        if not isinstance(item, dict):
            self.fault("", "wrong_type", "A report is a JSON object.")
        elif "tool_changed" in item:
            self.known(item, {"tool_changed"})
            return self.changed(item["tool_changed"])
        elif "unasked" in item:
            return self.unasked(item)
        elif "evaluation_id" in item:
            return self.outcome(item)
        else:
            self.fault("", "missing", "A report has evaluation_id, unasked or tool_changed.")
        return None

    def outcome(self, item: Mapping[str, Any]) -> Outcome | None:
        self.known(item, _OF_CALL)
        try:
            evaluation = UUID(item["evaluation_id"])
        except (ValueError, TypeError, AttributeError):
            self.fault("evaluation_id", "wrong_form", "The evaluation_id of an answer is needed here.")
            return None
        return Outcome(
            evaluation=evaluation,
            outcome=self.choice(item, "outcome", OUTCOMES),
            returned=self.returned(item),
            bytes=self.bytes(item),
            minted=self.minted(item),
            ask=self.ask(item["request"]) if "request" in item else None,
        )

    def unasked(self, item: Mapping[str, Any]) -> Unasked | None:
        self.known(item, _OF_UNASKED)
        if item["unasked"] is not True:
            self.fault("unasked", "wrong_type", "true is needed here.")
        if not isinstance(item.get("decision"), bool):
            self.fault("decision", "wrong_type", "true or false is needed here.")
        ask = self.ask(item.get("request"))
        if ask is not None and not ask.request:
            self.fault("request.context.request_id", "missing", "The request id that it would have been asked under is needed here.")
        mode = self.choice(item, "mode", MODES)
        if item.get("decision") is (mode != "open") and not self.faults:
            self.fault("decision", "contradiction", f"What is {mode} is {'not ' if mode != 'open' else ''}done.")
        at, returned, moved, minted = self.moment(item), self.returned(item), self.bytes(item), self.minted(item)
        outcome = self.choice(item, "outcome", OUTCOMES) if item.get("outcome") is not None else ""
        if ask is None:
            return None
        decision = item.get("decision") is True
        return Unasked(ask=ask, decision=decision, mode=mode, at=at, outcome=outcome, returned=returned, bytes=moved, minted=minted)

    def changed(self, said: Any) -> ToolChanged | None:
        if not isinstance(said, dict):
            self.fault("tool_changed", "wrong_type", "An object is needed here.")
            return None
        self.known(said, _OF_CHANGE, "tool_changed.")
        names = {name: self.name(said, name, f"tool_changed.{name}") for name in ("server", "tool")}
        digests = {name: self.digest(said, name) for name in ("before", "after")}
        subject = said.get("subject")
        if not isinstance(subject, dict):
            self.fault("tool_changed.subject", "wrong_type", "Who calls the tool is needed here, as in a question.")
            return None
        properties = subject.get("properties")
        provider = properties.get("provider") if isinstance(properties, dict) else None
        kind = self.name(subject, "type", "tool_changed.subject.type")
        return ToolChanged(
            **names,
            **digests,
            kind=authzen.kind_of(kind),
            provider=provider if isinstance(provider, str) and 0 < len(provider) <= 100 else self.provider,
            subject=self.name(subject, "id", "tool_changed.subject.id"),
            session=self.name(said, "session", "tool_changed.session") if said.get("session") else "",
        )

    # -- members

    def known(self, said: Mapping[str, Any], members: set[str], at: str = "") -> None:
        for name in sorted(set(said) - members):
            self.fault(f"{at}{name}", "unknown_member", f"Known are {', '.join(sorted(members))}.")

    def ask(self, body: Any) -> Ask | None:
        try:
            return authzen.read(body, provider=self.provider)
        except BadInput as refusal:
            for fault in refusal.faults:
                self.fault(f"request.{fault.path}" if fault.path else "request", fault.code, fault.detail)
        return None

    def choice(self, said: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
        value = said.get(name)
        if value not in known:
            self.fault(name, "unknown_value" if name in said else "missing", f"Must be one of {', '.join(known)}.")
            return ""
        return str(value)

    def name(self, said: Mapping[str, Any], name: str, path: str) -> str:
        value = said.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
            self.fault(path, "wrong_type", f"A text of at most {LONGEST_NAME} characters is needed here.")
            return ""
        return value.strip()

    def digest(self, said: Mapping[str, Any], name: str) -> str:
        value = said.get(name)
        if not isinstance(value, str) or not _DIGEST.fullmatch(value):
            self.fault(f"tool_changed.{name}", "wrong_form", "A digest is needed here: sha256: and 64 hexadecimal digits.")
            return ""
        return value

    def returned(self, said: Mapping[str, Any]) -> tuple[str, ...]:
        value = said.get("returned") or []
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or len(texts) > MOST_RETURNED or not all(_fits(text) for text in texts):
            self.fault("returned", "wrong_type", f"At most {MOST_RETURNED} texts of at most {LONGEST_RETURNED:,} characters.")
            return ()
        return tuple(texts)

    def bytes(self, said: Mapping[str, Any]) -> int:
        value = said.get("bytes", 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_MOVED:
            self.fault("bytes", "out_of_range", "A whole number that is not under zero.")
            return 0
        return value

    def minted(self, said: Mapping[str, Any]) -> Minted | None:
        value = said.get("minted")
        if value is None:
            return None
        if not authzen.is_minted(value):
            self.fault("minted", "wrong_type", "An object of kind and id of the credential that the call made.")
            return None
        return Minted(value["kind"], value["id"])

    def moment(self, said: Mapping[str, Any]) -> datetime | None:
        value = said.get("at")
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or not 1970 <= moment.year <= 9000:
            if value is not None:
                self.fault("at", "wrong_form", "A moment with its time zone, as in 2026-11-22T10:00:00Z.")
            return None
        return moment.astimezone(UTC)


def _fits(text: object) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST_RETURNED
