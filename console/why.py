"""Why a decision says what it says: its stored waterfall as the picture's facts, and its signals in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from console.pictures import Bar, Factor, Waterfall
from console.pictures.waterfall import signed
from containment.models import Decision

SIGNALS = {
    "source_claim": "What the source says",
    "unexpected_secret_read": "Secret read outside the scope",
    "token_mint": "Token minted outside the scope",
    "privilege_change": "Rights changed outside the scope",
    "role_confusion": "Role used outside its purpose",
    "first_access": "First access to this",
    "volume": "More requests than usual",
    "tool_chain": "Actions never seen together",
    "cross_system": "Systems that nothing joins",
    "identity_violation": "Not as this identity presents itself",
    "drive_mismatch": "Driven unlike its kind",
    "credential_exposed": "Credential is known to be exposed",
    "credential_shared": "Credential used by several",
    "session_ttl": "Beyond the life of its session",
    "honeytoken": "Planted credential used",
    "intent_tool": "Tool outside the approved intent",
    "intent_resource": "Resource or value outside the approved intent",
    "intent_budget": "Budget of the intent used up",
    "intent_environment": "Environment outside the intent",
}
SHARES = (1.0, 0.5)
FURTHER = 0.25


@dataclass(frozen=True, slots=True)
class Dismissed:
    """A claim that our own facts contradict. It counts nothing."""

    label: str
    because: str


def waterfall_of(decision: Decision) -> Waterfall:
    """As the picture wants it: signals in families, each with the part that it counts with."""
    stored: Mapping[str, Any] = decision.waterfall["waterfall"]
    return Waterfall(
        prior=sum(part["decibans"] for part in stored["prior"]),
        prior_note=", ".join(f"{_words(part['name'])} {signed(part['decibans'])}" for part in stored["prior"]),
        bars=tuple(_bars(stored["signals"])),
        odds=stored["odds"],
        likelihood=stored["likelihood"],
        factors=tuple(Factor(factor["name"], _word_of(factor), factor["value"]) for factor in stored["factors"]),
        impact=stored["impact"],
        risk=float(decision.risk),
        soft=float(decision.soft),
        hard=float(decision.hard),
    )


def dismissed(decision: Decision) -> tuple[Dismissed, ...]:
    return tuple(Dismissed(label_of(one["code"]), one["because"]) for one in decision.waterfall["waterfall"]["dismissed"])


def conclusive(decision: Decision) -> tuple[str, ...]:
    """What settles the matter whatever the risk."""
    return tuple(label_of(one["code"]) for one in decision.waterfall.get("conclusive", ()))


def label_of(code: str) -> str:
    return SIGNALS.get(code, _words(code))


def _bars(signals: Iterable[Mapping[str, Any]]) -> Iterable[Bar]:
    families: dict[str, list[Mapping[str, Any]]] = {}
    for signal in signals:
        families.setdefault(signal["family"], []).append(signal)
    for family in families.values():
        ranked = sorted(family, key=lambda signal: -signal["decibans"])
        for rank, signal in enumerate(ranked):
            share = SHARES[rank] if rank < len(SHARES) else FURTHER
            yield Bar(label_of(signal["code"]), signal["decibans"] * share, signal["because"], share)


def _word_of(factor: Mapping[str, Any]) -> str:
    word = str(factor["of"]) if factor["name"] == "consequence" else _words(factor["of"])
    return word if factor["known"] else f"{word} (unknown, taken as)"


def _words(value: object) -> str:
    return str(value).replace("_", " ")
