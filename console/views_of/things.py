"""References as names and links: `hold:0190…` is the title of a hold and leads to its page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import Person, ServiceToken
from approvals.models import AccessRequest, ExceptionGrant, Hold
from containment.models import (
    Case,
    Credential,
    Decision,
    Designation,
    Detection,
    Exposure,
    Identity,
    PreflightCheck,
    ProtectedConfirmation,
    RiskPolicyVersion,
    Session,
    Source,
    WorkDocument,
)
from core.refs import Ref
from guard.models import GuardCall
from playbooks.models import PlaybookVersion, Run, Step

ADDRESSES: Mapping[str, str] = {
    "identity": "/identities/{}/",
    "case": "/cases/{}/",
    "run": "/runs/{}/",
    "hold": "/holds/{}/",
    "decision": "/decisions/{}/",
    "session": "/sessions/{}/",
    "guard_call": "/guard/calls/{}/",
    "detection": "/decisions/?detection={}",
    "grant": "/exceptions/{}/",
    "playbook": "/playbooks/{}/",
    "policy": "/policy/{}/",
    "source": "/sources/{}/",
    "exposure": "/exposures/{}/",
    "confirmation": "/policy/ramp/#protected",
    "preflight": "/policy/ramp/",
    "proposal": "/connectors/",
    "readiness": "/connectors/",
    "connector": "/connectors/{}/",
    "person": "/access/",
    "token": "/access/tokens/",
    "killswitch": "/switch/",
    "mass_undo": "/mass-undo/{}/",
}
NAMERS: Mapping[str, tuple[Any, Callable[[Any], str]]] = {
    "identity": (Identity, lambda row: row.label),
    "case": (Case, lambda row: row.title),
    "hold": (Hold, lambda row: row.title),
    "access_request": (AccessRequest, str),
    "decision": (Decision, lambda row: f"{row.verdict} at risk {row.risk}"),
    "detection": (Detection, lambda row: row.title),
    "grant": (ExceptionGrant, lambda row: row.reason),
    "playbook": (PlaybookVersion, str),
    "policy": (RiskPolicyVersion, str),
    "confirmation": (ProtectedConfirmation, str),
    "preflight": (PreflightCheck, str),
    "source": (Source, str),
    "exposure": (Exposure, lambda row: row.where),
    "person": (Person, str),
    "token": (ServiceToken, lambda row: row.name),
    "session": (Session, lambda row: row.external_id),
    "guard_call": (GuardCall, str),
    "credential": (Credential, lambda row: row.name or row.fingerprint[:12]),
    "designation": (Designation, str),
    "work": (WorkDocument, str),
    "run": (Run, lambda row: f"at the {row.stage} stage, {row.state.replace('_', ' ')}"),
    "step": (Step, lambda row: row.measure),
}
SHOWN_WITH: Mapping[str, Callable[[Any], str]] = {  # what has no page of its own stands on another's
    "step": lambda row: f"run:{row.run_id}",
    "access_request": lambda row: f"hold:{row.hold_id}",
    "designation": lambda row: f"identity:{row.identity_id}",
}
WORDS = {
    "grant": "exception",
    "work": "document",
    "guard_call": "call",
    "access_request": "request",
    "killswitch": "kill switch",
    "mass_undo": "undo of many",
}
LONGEST = 60


@dataclass(frozen=True, slots=True)
class Thing:
    kind: str
    name: str
    url: str

    @property
    def text(self) -> str:
        """“hold Payment booking”, and not “policy policy v2”."""
        word = WORDS.get(self.kind, self.kind)
        return self.name if self.name.startswith(word) else f"{word} {self.name}"


def named(refs: Iterable[str]) -> dict[str, Thing]:
    """Every reference with its name, one query per kind. What is not there any more keeps its id."""
    by_kind: dict[str, set[str]] = defaultdict(set)
    for text in refs:
        kind, _, key = text.partition(":")
        by_kind[kind].add(key)
    return {f"{kind}:{key}": thing for kind, keys in by_kind.items() for key, thing in _of_kind(kind, keys).items()}


def address_of(ref: Ref | str) -> str:
    """Where it is shown; empty where no page shows it by itself."""
    kind, _, key = str(ref).partition(":")
    return ADDRESSES[kind].format(key) if kind in ADDRESSES else ""


def _of_kind(kind: str, keys: set[str]) -> dict[str, Thing]:
    model, name_of = NAMERS.get(kind, (None, str))
    ids = [key for key in keys if is_id(key)] if model else []
    rows = {str(row.pk): row for row in model.objects.filter(pk__in=ids)} if ids else {}
    things = {key: Thing(kind, _short(name_of(row)), address_of(_page_of(kind, row))) for key, row in rows.items()}
    return {key: things.get(key) or Thing(kind, _end_of(key), address_of(f"{kind}:{key}")) for key in keys}


def _page_of(kind: str, row: Any) -> str:
    return SHOWN_WITH[kind](row) if kind in SHOWN_WITH else f"{kind}:{row.pk}"


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _end_of(key: str) -> str:
    return f"…{key[-8:]}" if is_id(key) else key
