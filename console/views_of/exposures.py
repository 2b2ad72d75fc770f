"""Exposures: a leak as one group, with how many of its credentials are cut, held, watched or unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from containment import leaks
from containment.leaks import BUCKETS, Member
from containment.models import Decision, Exposure, ExposureMember

TONES = {
    "needs_person": "hot",
    "set_aside": "hot",
    "held": "warn",
    "cutting": "accent",
    "waiting": "warn",
    "watched": "quiet",
    "spared": "quiet",
    "left": "quiet",
    "unused": "quiet",
    "cut": "ok",
    "replaced": "ok",
    "unknown": "quiet",
    "twice": "quiet",
    "passed_on": "quiet",
}
WORDS = BUCKETS | {"passed_on": "marked and reported"}
MOST_SHOWN = 200
CHECKED = {True: "its secret was compared", False: "named only; nobody compared its secret"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How many credentials stand how, in words."""

    status: str
    words: str
    tone: str
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    exposure: Exposure
    standings: Sequence[Standing]


@dataclass(frozen=True, slots=True)
class MemberLine:
    member: Member
    words: str
    tone: str
    checked: str

    @property
    def decisions(self) -> Sequence[Decision]:
        return self.member.decisions

    @property
    def is_exposed(self) -> bool:
        """Whether somebody can still say that it was replaced."""
        credential = self.member.row.credential
        return credential is not None and leaks.still_leaked(credential)

    @property
    def left_by_a_run(self) -> bool:
        """Whether a run has its user and cuts another credential alone."""
        return self.member.status == "needs_person" and any(one.verdict == "covered" for one in self.member.decisions)


@dataclass(frozen=True, slots=True)
class Card:
    standings: Sequence[Standing]
    members: Sequence[MemberLine]
    named: int
    count: int
    settled: float


def lines(exposures: Sequence[Exposure]) -> list[Line]:
    overviews = leaks.overviews(exposures)
    return [Line(exposure, _standings(overviews[exposure.pk])) for exposure in exposures]


def card(exposure: Exposure, rows: Sequence[ExposureMember], *, status: str = "") -> Card:
    """`rows` is the page of its members that is shown; the counts are of all."""
    everything = leaks.members(exposure)
    on_page = {row.pk for row in rows}
    shown = [_line(member) for member in everything if (member.status == status if status in BUCKETS else member.row.pk in on_page)]
    ours = [member for member in everything if member.status not in ("unknown", "twice")]
    done = sum(member.status in ("cut", "replaced", "watched", "spared", "left", "unused") for member in ours)
    return Card(
        _standings(leaks.counts(everything)), shown[:MOST_SHOWN], len(everything), len(ours), 100 * done / len(ours) if ours else 100.0
    )


def _line(member: Member) -> MemberLine:
    return MemberLine(
        member, BUCKETS[member.status], TONES[member.status], CHECKED[member.row.verified] if member.row.credential_id else ""
    )


def _standings(counted: Mapping[str, int]) -> list[Standing]:
    return [Standing(status, WORDS[status], TONES[status], count) for status, count in counted.items()]
