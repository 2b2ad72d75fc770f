"""The contract of a connector: what the engine asks of something that acts on one outside system.

The engine calls, in this order: `preflight` now and then; `look` before everything; `perform` with the attempt's key; `probe` until the
proof is good enough or the time is over; `undo` with what `look` saw first. A connector keeps nothing between calls, opens no transaction
of ours, reads no setting of ours, and answers within `deadline_s` or raises.

What may go wrong is said with four exceptions, because the engine does something else for each:
Unavailable (try later), Ambiguous (it may have happened: look), Rejected (it will never work: a person), Foreign (somebody else's change is
in the way: do not touch). Two of them have a form that is about all calls: Busy (an Unavailable) and LockedOut (a Rejected).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class Measure(StrEnum):
    SESSION_PAUSE = "session.pause"
    SESSION_RESTRICT = "session.restrict"
    SESSION_TERMINATE = "session.terminate"
    CREDENTIAL_REVOKE = "credential.revoke"
    CREDENTIAL_ROTATE = "credential.rotate"
    WORKLOAD_ISOLATE = "workload.isolate"
    IDENTITY_DISABLE = "identity.disable"
    EVIDENCE_PRESERVE = "evidence.preserve"
    JOB_CHECKPOINT = "job.checkpoint"
    NOTIFY = "notify"


class EffectClass(StrEnum):
    """What repeating a call does. KEYED: the target knows our key. NATURAL: it sets the same state again.
    OBSERVABLE: repeating costs something, but the state can be read. BLIND: neither."""

    KEYED = "keyed"
    NATURAL = "natural"
    OBSERVABLE = "observable"
    BLIND = "blind"


class OnAmbiguous(StrEnum):
    LOOK = "look"
    RETRY = "retry"
    ASK = "ask"


class ProofLevel(StrEnum):
    """How we know that it is dead, best first. Only the first two make a run contained."""

    REPLAYED = "replayed"
    INTROSPECTED = "introspected"
    ACKNOWLEDGED = "acknowledged"


IRREVERSIBLE = "irreversible"


@dataclass(frozen=True, slots=True)
class Ability:
    """What a connector declares of one measure. A connector that leaves any of it out does not load (see registry)."""

    effect: EffectClass
    on_ambiguous: OnAmbiguous
    inverse: str  # what undo does, in words for the approver; or IRREVERSIBLE
    residual: timedelta  # the longest that access already given may live on
    probe: str  # how death is proven, in words
    disruptive: bool = True  # False: evidence, notify
    settle: timedelta = timedelta(seconds=30)  # how long a probe may say "not yet"
    parameters: Mapping[str, type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A frozen copy of what a run acts on. `subject` is the name in the outside system; `facts` holds what the inventory knew
    (known_origins, must_go_on, credential, session …), plain JSON values only."""

    provider: str
    kind: str
    subject: str
    identity: str  # our id, for logs and ledgers
    session: str = ""
    credential: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """What is so now. `public` is shown and digested; `secret` (a password verifier) is sealed by the engine and never shown.
    `contained`: True when the measure's aim already holds, whoever brought it about. `public["seen"]`, where there is one, holds what moves
    by itself (the clock, the sessions): it is not put back, and not compared."""

    contained: bool
    public: Mapping[str, Any]
    secret: Mapping[str, str] = field(default_factory=dict)
    live_sessions: int | None = None
    account: str = ""  # which outside account or cluster answered: compared, so that nobody contains the wrong one


@dataclass(frozen=True, slots=True)
class Effect:
    """What `perform` or `undo` did. `left` lists what could not be cut and why: it makes the step partial."""

    changed: bool
    said: str  # a sentence for the record
    left: Sequence[str] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proof:
    """What `probe` found. `dead` False: not yet; the engine asks again until the measure's settle time is over."""

    dead: bool
    level: ProofLevel
    said: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    left: Sequence[str] = ()
    residual_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Artefact:
    """Evidence collected by `evidence.preserve`. No secret in it: the connector redacts before handing over."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """What `preflight` found for one measure and target: can it be done; else what is missing and the command that gives it."""

    can: bool
    missing: Sequence[str] = ()
    remedy: Sequence[str] = ()
    too_much: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What a connector is asked to do: one measure, its parameters, on one target, within a deadline in seconds."""

    measure: Measure
    target: Target
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deadline_s: float = 10.0


class ConnectorTrouble(Exception):  # noqa: N818
    """`said` is shown on the step, so it names no secret."""

    def __init__(self, said: str, *, retry_after: float | None = None, diff: Mapping[str, Any] | None = None) -> None:
        super().__init__(said)
        self.said = said
        self.retry_after = retry_after
        self.diff = diff or {}


class Unavailable(ConnectorTrouble):
    """The target did not answer, and nothing was done. Try again later."""


class Busy(Unavailable):
    """The target asks all of us for patience, not only this call; nothing was done. Whoever calls it waits `retry_after`."""


class Ambiguous(ConnectorTrouble):
    """The target may have done it. Look before anything else."""


class Rejected(ConnectorTrouble):
    """The target will not do it, now or later: permission, unknown subject, unsupported."""


class LockedOut(Rejected):
    """The target refuses our own credential, whatever we ask for; nothing was done. Each try may lock the account: few
    tries a minute, and people are told."""


class Foreign(ConnectorTrouble):
    """Somebody changed it after us. `diff` holds before, ours and now. Nothing was touched."""


@runtime_checkable
class HasDoors(Protocol):
    """Offered where the measures of a connector go to different hosts, which know us, and refuse us, each for itself."""

    def door(self, measure: Measure) -> str:
        """The host that this measure asks."""
        ...


@runtime_checkable
class Connector(Protocol):
    name: str
    abilities: Mapping[Measure, Ability]

    def whoami(self) -> Sequence[str]:
        """Subjects in the outside system that are ours or its last administrators: they become protected."""
        ...

    def preflight(self, step: Step) -> Ready: ...

    def look(self, step: Step) -> State: ...

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        """Do it. `key` names the attempt, so saying it twice does it once; `was` is what look saw before the first attempt."""
        ...

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        """Try what should be dead: is it? `was` as in perform."""
        ...

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        """Put back `was`, only where what is there is still what we left (Foreign otherwise). Doing it twice does it once."""
        ...

    def collect(self, step: Step) -> Sequence[Artefact]:
        """Evidence for `evidence.preserve`; an empty list for other measures."""
        ...


# --- What a connector may offer besides. Callers ask through optional.py, which answers for those that do not offer it.


@runtime_checkable
class RestoresByHand(Protocol):
    def manual(self, step: Step, was: State) -> Sequence[str]:
        """The exact commands that put back `was` with everything of ours down: to be typed in this order, quoted, no secret in them.
        From what look saw alone: nobody is asked."""
        ...


@runtime_checkable
class ResolvesSubjects(Protocol):
    def resolves(self, step: Step) -> Sequence[str]:
        """Every subject that the call would hit, in all spellings under which it may stand on a list: ids, aliases, members. May ask the
        target, and raises what look raises."""
        ...


@runtime_checkable
class HandsOver(Protocol):
    def hands_over(self, step: Step, was: State, to: Step, to_was: State) -> tuple[State, State]:
        """Before `step` is undone while `to`, on the same subject, stays: what both take moves from `was` to `to_was`, so that undoing the
        one does not loosen the other, and undoing the other gives it back. Pure. The same two again where they share nothing."""
        ...


@runtime_checkable
class Forgets(Protocol):
    def forget(self, step: Step, *, key: str) -> None:
        """The attempt `key` will never be undone: what was kept outside for that goes. Twice does it once. Raises what undo raises."""
        ...


@runtime_checkable
class NamesAdministrators(Protocol):
    def administrators(self) -> Sequence[str]:
        """Subjects that still can repair things there, ourselves left out. A system must not lose its last one."""
        ...


@runtime_checkable
class OnlyLooks(Protocol):
    def looker(self) -> Connector | None:
        """The same connector on credentials that cannot change anything; None where none are configured. Its perform and undo are
        Rejected before anybody is called."""
        ...
