"""A stored decision, ready to be read: the picture of its risk, every number of it, and the facts that it looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString

from console import why
from console.pictures import waterfall
from console.views_of import baselines
from containment import verdicts
from containment.models import Decision

SHARES = (1.0, 0.5, 0.25)  # of the largest signal of a family, the second, and each further
SENTENCES = {
    0: "The target is under a live run of this control already.",
    1: "The risk is under the soft threshold, and nothing is conclusive.",
    2: "The identity or its credential is protected.",
    3: "An exception covers it.",
    4: "A person rejected or undid this a short while ago.",
    5: "Others who must go on lie inside what the plan would cut.",
    6: "What raises the risk rests on too little history, or on circumstances alone.",
    7: "The containment budget is spent.",
    8: "The risk reaches the hard threshold, or the matter is conclusive.",
    9: "The risk reaches the soft threshold.",
}
TONES = {"contain": "hot", "hold": "warn", "exempt": "accent", "covered": "accent", "watch": "quiet"}
PRIOR_WORDS = {
    "unlike_drive": "not driven as its kind usually is",
    "discovered": "not in the inventory before",
    "dormant": "dormant for a long time",
    "no_owner": "nobody owns it",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A decision in a list."""

    decision: Decision
    tone: str
    what: str
    resource: str
    words: str


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal with every number: weight × strength × thinning = decibans, of which `counts` enters the sum."""

    name: str
    family: str
    standing: str
    strength: float
    weight: float
    thinned_to: float
    decibans: float
    share: float
    because: str
    observations: int | None
    so_far: str = ""

    @property
    def counts(self) -> float:
        return self.decibans * self.share


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact, or several of them under one name."""

    name: str
    value: str = ""
    inner: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True)
class Whole:
    line: Line
    picture: SafeString | None
    prior: Sequence[tuple[str, float]]
    signals: Sequence[Signal]
    dismissed: Sequence[Signal]
    families: Sequence[tuple[str, float]]
    numbers: Mapping[str, Any]
    sentence: str
    conclusive: Sequence[Fact]
    choice: Sequence[Fact]
    behaviour: Sequence[baselines.Reason]
    cut: str
    facts: Sequence[Fact]
    source_so_far: str = ""


def lines(decisions: Iterable[Decision]) -> list[Line]:
    return [line(decision) for decision in decisions]


def line(decision: Decision) -> Line:
    detection = decision.detection
    resource = detection.resource.key if detection.resource else ""
    stage = f", {decision.stage}" if decision.stage and decision.verdict in {"contain", "hold"} else ""
    would = f", would have been {decision.would_have}" if decision.would_have else ""
    return Line(decision, TONES.get(decision.verdict, "quiet"), detection.action, resource, f"{decision.verdict}{stage}{would}")


def whole(decision: Decision) -> Whole:
    stored = decision.waterfall
    fall: Mapping[str, Any] = stored.get("waterfall") or {}
    signals = _signals(fall.get("signals", []))
    cut = stored.get("cut") or {}
    return Whole(
        line=line(decision),
        picture=waterfall(why.waterfall_of(decision)) if fall else None,
        prior=[(_prior_name(part["name"]), part["decibans"]) for part in fall.get("prior", [])],
        signals=signals,
        dismissed=_signals(fall.get("dismissed", [])),
        families=[(part["family"], part["decibans"]) for part in fall.get("families", [])],
        numbers=fall,
        sentence=SENTENCES.get(decision.sentence, ""),
        conclusive=[_fact(why.label_of(each["code"]), each) for each in stored.get("conclusive", [])],
        choice=_inner(stored.get("choice") or {}),
        behaviour=baselines.reasons(fall.get("signals", []), why.label_of),
        cut=f"{cut.get('level', '')}: {', '.join(_brief(name) for name in cut.get('names', []))}" if cut else "",
        facts=_inner(decision.facts),
        source_so_far=verdicts.said(verdicts.of_sources([decision.detection.source.name]).get(decision.detection.source.name)),
    )


def _signals(stored: Sequence[Mapping[str, Any]]) -> list[Signal]:
    """Heaviest first, each with the share that its place in its family leaves it, and how its cases were judged so far."""
    counted = verdicts.of_signals(each["code"] for each in stored)
    places: dict[str, int] = {}
    found = []
    for each in sorted(stored, key=lambda signal: -signal["decibans"]):
        place = places.get(each["family"], 0)
        places[each["family"]] = place + 1
        found.append(
            Signal(
                name=why.label_of(each["code"]),
                family=each["family"],
                standing=each["standing"],
                strength=each["strength"],
                weight=each["weight"],
                thinned_to=each["thinned_to"],
                decibans=each["decibans"],
                share=SHARES[min(place, len(SHARES) - 1)],
                because=each["because"],
                observations=each.get("observations"),
                so_far=verdicts.said(counted.get(each["code"])),
            )
        )
    return found


def _prior_name(name: str) -> str:
    return PRIOR_WORDS.get(name, name.replace("_", " "))


def _inner(values: Mapping[str, Any]) -> list[Fact]:
    return [_fact(str(name), value) for name, value in values.items() if value not in (None, "", [], {})]


def _fact(name: str, value: Any) -> Fact:
    words = name.replace("_", " ")
    if isinstance(value, Mapping):
        return Fact(words, inner=_inner(value))
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return Fact(words, inner=[_fact(_title(item, place), item) for place, item in enumerate(value, 1)])
    if isinstance(value, list):
        return Fact(words, ", ".join(map(str, value)))
    return Fact(words, {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value))


def _title(item: Any, place: int) -> str:
    if isinstance(item, Mapping):
        return next((str(item[name]) for name in ("name", "code", "workflow", "id") if item.get(name)), str(place))
    return str(place)


def _brief(name: object) -> str:
    text = str(name)
    return f"…{text[-8:]}" if len(text) == 36 and text.count("-") == 4 else text
