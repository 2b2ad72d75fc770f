"""Whose word it takes: who may answer a hold, and how many of them. Pure; frozen on the hold when it opens.

Reviewers are asked group by group. A group that was asked stays asked: after an escalation the next group may answer too. `never` lists,
by principal, the people whose word does not count here and why: the requester, the playbook's author, the identity itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from core.actor import Actor, ActorKind


@dataclass(frozen=True, slots=True)
class Reviewers:
    """One group of people. `name` is how a page calls them: “the payments team”."""

    name: str
    teams: Sequence[str] = ()
    people: Sequence[str] = ()  # principals
    permission: str = "hold.answer"
    anyone: bool = False  # everybody with the permission, whatever their team

    def __post_init__(self) -> None:
        if not (self.teams or self.people or self.anyone):
            raise ValueError(f"{self.name or 'a group of reviewers'} names no team and no person")

    def include(self, actor: Actor) -> bool:
        """Is the actor one of them? What they may do is another question."""
        return self.anyone or actor.principal in self.people or not actor.teams.isdisjoint(self.teams)


@dataclass(frozen=True, slots=True)
class Terms:
    quorum: int
    reviewers: Sequence[Reviewers]  # in the order in which they are asked
    never: Mapping[str, str] = field(default_factory=dict)  # principal -> as what: “the requester”
    step: int = 0  # the group that was asked last

    def __post_init__(self) -> None:
        if not self.reviewers:
            raise ValueError("a hold without reviewers could never be answered")
        if self.quorum < 1:
            raise ValueError("a hold needs the word of at least one person")
        if not 0 <= self.step < len(self.reviewers):
            raise ValueError(f"there is no group of reviewers at step {self.step}")

    @property
    def asked(self) -> Sequence[Reviewers]:
        return self.reviewers[: self.step + 1]

    @property
    def further(self) -> bool:
        """Is there somebody who has not been asked yet?"""
        return self.step + 1 < len(self.reviewers)

    def escalated(self) -> Self:
        return replace(self, step=self.step + 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "quorum": self.quorum,
            "reviewers": [
                {
                    "name": group.name,
                    "teams": list(group.teams),
                    "people": list(group.people),
                    "permission": group.permission,
                    "anyone": group.anyone,
                }
                for group in self.reviewers
            ],
            "never": dict(self.never),
            "step": self.step,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        groups = tuple(
            Reviewers(
                name=group["name"],
                teams=tuple(group["teams"]),
                people=tuple(group["people"]),
                permission=group["permission"],
                anyone=group["anyone"],
            )
            for group in value["reviewers"]
        )
        return cls(quorum=value["quorum"], reviewers=groups, never=dict(value["never"]), step=value["step"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes, or no with a sentence for the person who meets it, and the names of the groups who could."""

    yes: bool
    sentence: str = ""
    who_could: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.yes


def admits(terms: Terms, actor: Actor) -> Verdict:
    """May this actor answer? The first reason against it is the one they are told."""
    if actor.kind is not ActorKind.PERSON:
        return _no(terms, "A hold is answered by a person who is signed in, never by a program.")
    if not actor.principal:
        return _no(terms, "It is not known who you are.")
    if as_what := terms.never.get(actor.principal):
        return _no(terms, f"You cannot answer this hold, being {as_what}.")
    groups = [group for group in terms.asked if group.include(actor)]
    if not groups:
        return _no(terms, "This hold does not wait for you.")
    if not any(actor.may(group.permission) for group in groups):
        return _no(terms, "Your role does not include answering this hold.")
    return Verdict(True)


def _no(terms: Terms, sentence: str) -> Verdict:
    names = [group.name for group in terms.asked]
    return Verdict(False, f"{sentence} It waits for {' or '.join(names)}.", names)
