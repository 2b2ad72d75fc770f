"""What may stand in each section of an inventory file. Each function returns the members that are there, by the name of their column.

docs/reference/inventory-format.md says the same for people.
"""

from __future__ import annotations

import re
from typing import Any

from containment import fingerprints
from containment.documents import NAME
from containment.domain.facts import Ceiling, Drive, Kind, Reach
from containment.domain.identity_members import describe
from containment.domain.members import Members
from containment.models.resource import SENSITIVITIES

SECTIONS = ("teams", "sources", "resources", "identities", "credentials", "workflows", "agent_profiles", "sessions", "designations")

FLAGS = {"admin_api", "ephemeral", "planted", "protected", "teaches", "must_go_on.reconnect"}
NUMBERS = {"trust", "budget_per_hour", "rate_per_minute", "max_age_seconds", "stop_cost_per_hour", "restart_minutes"}
LISTS = {
    "known_networks", "aliases", "kinds", "providers", "must_go_on.schemas",
    "attested.attestation", "attested.image", "attested.audience", "attested.network",
}  # fmt: skip
COLUMNS: dict[str, set[str]] = {
    "teams": {"name", "purpose"},
    "sources": {
        "name", "reads", "trust", "ceiling", "kinds", "providers", "budget_per_hour", "rate_per_minute", "max_age_seconds", "teaches",
    },
    "resources": {"kind", "id", "sensitivity", "admin_api", "environment", "tenant"},
    "identities": {
        "provider", "subject", "kind", "name", "environment", "tenant", "owner", "owner_team", "reach", "drive", "known_networks",
        "protected", "protected_because", "aliases", "attested.issuer", "attested.subject", "attested.environment",
        "attested.attestation", "attested.image", "attested.audience", "attested.network",
    },
    "credentials": {
        "provider", "kind", "id", "secret", "sha256", "store", "name", "ephemeral", "planted", "protected", "expires_at",
        "used_by.identity", "used_by.workflow",
    },
    "sessions": {
        "identity", "id", "credential.kind", "credential.name", "role", "workflow", "tenant", "environment", "drive", "origin.address",
        "origin.application", "expires_at",
    },
    "designations": {
        "identity", "session", "workflow", "service", "owner_team", "class", "because", "stop_cost_per_hour", "restart_minutes",
        "safe_stop",
        "must_go_on.schemas", "must_go_on.reconnect", "review_by",
    },
}  # fmt: skip

_SLUG = re.compile(r"[-a-zA-Z0-9_]{1,100}")
_IDENTITY = re.compile(r"[^/\s][^/]*/\S.*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_SECRET = 20_000


def team(members: Members) -> dict[str, Any]:
    read = {"name": members.text("name", needed=True), "purpose": members.text("purpose", empty=True)}
    if read["name"] and not _SLUG.fullmatch(read["name"]):
        members.fault("name", "wrong_form", "Letters, digits, hyphens and underscores.")
    return _given(members, read)


def source(members: Members) -> dict[str, Any]:
    read: dict[str, Any] = {
        "name": members.text("name", needed=True, longest=100),
        "reads": members.text("reads", longest=100),
        "trust": members.share("trust"),
        "ceiling": members.word("ceiling", [str(word) for word in Ceiling]),
        "kinds": members.texts("kinds", words=[str(kind) for kind in Kind]),
        "providers": members.texts("providers"),
        "budget_per_hour": members.whole("budget_per_hour", 0, 1_000_000),
        "rate_per_minute": members.whole("rate_per_minute", 1, 1_000_000),
        "max_age_seconds": members.whole("max_age_seconds", 60, 1_000_000_000),
        "teaches": members.flag("teaches"),
    }
    return _given(members, read)


def resource(members: Members) -> dict[str, Any]:
    read: dict[str, Any] = {
        "kind": members.text("kind", needed=True, longest=50),
        "id": members.text("id", needed=True),
        "sensitivity": members.word("sensitivity", SENSITIVITIES),
        "admin_api": members.flag("admin_api"),
        "environment": members.text("environment", longest=100),
        "tenant": members.text("tenant", empty=True),
    }
    return _given(members, read)


def identity(members: Members) -> dict[str, Any]:
    read: dict[str, Any] = {
        "provider": members.text("provider", needed=True, longest=100),
        "subject": members.text("subject", needed=True),
        "owner": members.text("owner"),
        "owner_team": members.text("owner_team"),
        "reach": members.word("reach", [*map(str, Reach), "unknown"]),
        "protected": members.flag("protected"),
        "protected_because": members.text("protected_because", longest=2000),
        "aliases": [_identity(text) for text in members.texts("aliases", form=_IDENTITY, like="postgres/etl_reader")],
    }
    if read["protected"] and not read["protected_because"]:
        members.fault("protected_because", "missing", "Say why it is protected.")
    return {**_given(members, read), **describe(members)}


def credential(members: Members) -> dict[str, Any]:
    """Its secret leaves this function as a fingerprint."""
    kind = members.text("kind", needed=True, longest=50)
    word = "id" if kind in fingerprints.NAMED else "secret"
    value = members.text(word, needed=bool(kind), longest=LONGEST_SECRET)
    unused = "secret" if word == "id" else "id"
    if kind and members.raw(unused) is not None:
        advice = "This kind is known by its name: use id." if word == "id" else "Use secret. Only its fingerprint is kept."
        members.fault(unused, "wrong_form", advice)
    sha256 = members.text("sha256", longest=64)
    if sha256 and not _SHA256.fullmatch(sha256):
        members.fault("sha256", "wrong_form", "64 hex digits in lower case: the SHA-256 of its secret.")
    name = members.text("name")
    if word == "id" and name and name != value:
        members.fault("name", "wrong_form", "A credential of this kind is called by its id.")
    read: dict[str, Any] = {
        "provider": members.text("provider", needed=True, longest=100),
        "kind": kind,
        "name": name,
        "ephemeral": members.flag("ephemeral"),
        "planted": members.flag("planted"),
        "protected": members.flag("protected"),
        "expires_at": members.moment("expires_at"),
        "store": members.text("store", empty=True),
    }
    if read["store"] and not _IDENTITY.fullmatch(read["store"]):
        members.fault("store", "wrong_form", "Provider and name are needed here, such as vault/prod-payments.")
    found = {**_given(members, read), "fingerprint": fingerprints.of(kind, value), "label": name or fingerprints.label(kind, value)}
    if sha256 or word == "secret":
        found["secret_digest"] = fingerprints.of_sha256(sha256) if sha256 else fingerprints.of_secret(value)
    found["used_by"] = [(identity_of(use), use.text("workflow"), use.at("identity")) for use in members.each("used_by")]
    return found


def session(members: Members) -> dict[str, Any]:
    read: dict[str, Any] = {
        "identity": identity_of(members),
        "id": members.text("id", needed=True, longest=200),
        "role": members.text("role", empty=True),
        "workflow": members.text("workflow", empty=True),
        "tenant": members.text("tenant", empty=True),
        "environment": members.text("environment", longest=100),
        "drive": members.word("drive", [str(drive) for drive in Drive]),
        "origin": {},
        "expires_at": members.moment("expires_at"),
        "credential": None,
    }
    for origin in members.part("origin"):
        read["origin"] = {name: text for name in ("address", "application") if (text := origin.text(name))}
    for named in members.part("credential"):
        read["credential"] = (named.text("kind", needed=True), named.text("name", needed=True), named.at("name"))
    return _given(members, read)


def document_name(members: Members) -> str:
    name = members.text("name", needed=True)
    if name and not NAME.fullmatch(name):
        members.fault("name", "wrong_form", "Small letters, digits, dots and hyphens, such as nightly-ingest.")
        return ""
    return name


def identity_of(members: Members, name: str = "identity") -> tuple[str, str]:
    text = members.text(name, needed=True)
    if text and not _IDENTITY.fullmatch(text):
        members.fault(name, "wrong_form", "Provider and subject are needed here, such as postgres/etl_reader.")
        text = ""
    return _identity(text)


def _identity(text: str) -> tuple[str, str]:
    provider, _, subject = text.partition("/")
    return provider, subject


def _given(members: Members, read: dict[str, Any]) -> dict[str, Any]:
    """What the entry says nothing about is not changed."""
    return {name: value for name, value in read.items() if name in members and members.raw(name) is not None}
