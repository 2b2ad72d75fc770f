"""Decide: ten sentences, of which the first that is true wins, and caps that may only lower what it said.

Read SENTENCES from top to bottom: the order is the policy. What the verdict sets in motion is the business of containment.flow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from containment.domain.bystanders import Bystander, inside
from containment.domain.conclusive import Against, Conclusive
from containment.domain.facts import Ceiling, CredentialUser, DetectionFacts, Facts, GrantFacts, Stage
from containment.domain.families import SOURCE_CLAIM
from containment.domain.policy import HoldReason, Mode, RiskPolicy
from containment.domain.risk import Waterfall


class Verdict(StrEnum):
    WATCH = "watch"
    COVERED = "covered"
    EXEMPT = "exempt"
    CONTAIN = "contain"
    HOLD = "hold"


class Cap(StrEnum):
    """What lowered the winning sentence: the source's ceiling, the date of the event, a source over its limits, observe mode, the kill
    switch."""

    CEILING = "ceiling"
    AGE = "age"
    SOURCE = "source"
    OBSERVE = "observe"
    KILL_SWITCH = "kill_switch"


AHEAD = timedelta(minutes=5)  # how far a sender's clock may run before ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to do, and because of what.

    `sentence`: the number of the one that won. `stage`: what runs now (contain), on approval (hold), or what the live run has or rises to
    (covered). `would_have`, `would_have_stage`: what a cap lowered, an exception spared or a live run covered; `capped_by` names the caps.
    Of a hold: `hold_reason`, `patience`, `interim` (its interim stage runs now),
    `at_once` (sessions that get the soft stage now), `bystanders` (who is held), `evidence_only`, `grouped` (with all others like it).
    `credential_only`: the evidence condemns the credential, and nothing but that may be cut. `offers_hard`: the playbook may open a hold
    for the hard stage besides. `raises`, `releases`, `retries`: the live run gets the hard stage, waits for people no longer, or tries
    again what it was set aside for; `contains_again`, `stays`: a run that comes back level by level is cut again, or goes no further by
    itself until a person says how. `spends`: it takes one from the containment budget.
    """

    verdict: Verdict
    sentence: int
    because: str
    stage: Stage | None = None
    would_have: Verdict | None = None
    would_have_stage: Stage | None = None
    capped_by: tuple[Cap, ...] = ()
    hold_reason: HoldReason | None = None
    patience: timedelta | None = None
    interim: bool = False
    at_once: tuple[str, ...] = ()
    bystanders: tuple[Bystander, ...] = ()
    evidence_only: bool = False
    grouped: bool = False
    credential_only: bool = False
    offers_hard: bool = False
    seen_again: bool = False
    run: str = ""
    raises: bool = False
    retries: bool = False
    releases: bool = False
    contains_again: bool = False
    stays: bool = False
    grant: str = ""

    @property
    def held_back(self) -> bool:
        """Decided again when the kill switch is off."""
        return Cap.KILL_SWITCH in self.capped_by

    @property
    def acts(self) -> bool:
        """Of a live run that covers it: it does more because of this."""
        return self.raises or self.releases or self.retries or self.contains_again or self.stays

    @property
    def spends(self) -> bool:
        return self.verdict is Verdict.CONTAIN or self.interim or self.releases or self.contains_again or bool(self.at_once)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything the sentences look at."""

    facts: Facts
    policy: RiskPolicy
    waterfall: Waterfall
    conclusive: tuple[Conclusive, ...]

    @property
    def risk(self) -> float:
        return self.waterfall.risk

    @property
    def credential_only(self) -> bool:
        """All that is conclusive is that the credential leaked, and the rest does not reach the hard threshold by itself."""
        only = bool(self.conclusive) and all(one.against is Against.CREDENTIAL for one in self.conclusive)
        return only and self.risk < self.waterfall.thresholds.hard

    @property
    def stage(self) -> Stage:
        """How hard the plan is. An identity discovered less than a day ago gets the soft stage at most, unless the matter is settled."""
        if self.conclusive:
            return Stage.HARD
        if self.risk < self.waterfall.thresholds.hard or self.is_new:
            return Stage.SOFT
        return Stage.HARD

    @property
    def is_new(self) -> bool:
        identity = self.facts.identity
        seen = identity.first_seen_at or self.facts.now
        return identity.discovered and self.facts.now - seen < self.policy.discovered_soft

    @property
    def codes(self) -> frozenset[str]:
        """The signals that fired; that a source reported at all is not one of them here."""
        return frozenset(signal.code for signal in self.waterfall.signals if signal.strength > 0) - {SOURCE_CLAIM}

    @property
    def is_exposed(self) -> bool:
        return "credential_exposed" in self.codes

    @property
    def why(self) -> str:
        """Conclusive evidence, or the risk in one clause."""
        return self.conclusive[0].because.rstrip(".") if self.conclusive else f"the risk is {self.risk:g}"


WEAK = frozenset({HoldReason.CEILING, HoldReason.THIN, HoldReason.COOL_OFF, HoldReason.BUDGET})  # nobody else lies inside the cut

Sentence = Callable[[Question], Choice | None]


def decide(question: Question) -> Choice:
    """The first sentence that is true, lowered by the source's ceiling and limits and by observe mode; what is left to do waits while the
    kill switch is on."""
    lowered = _observed(question, _from_observed_source(question, _under_ceiling(question, _first(question, SENTENCES))))
    return _held_back(question, lowered)


def _first(question: Question, sentences: Sequence[Sentence]) -> Choice:
    return next(choice for sentence in sentences if (choice := sentence(question)) is not None)


def covered(question: Question) -> Choice | None:
    """0. The target is under a live run of this control already."""
    run = question.facts.run
    if run is None:
        return None
    alone = _first(question, SENTENCES[1:])  # a run rises only where this case by itself would have gone as far
    contains = alone.verdict is Verdict.CONTAIN
    raises = run.may_rise and contains and alone.stage is Stage.HARD and run.stage is Stage.SOFT
    raises = raises and (run.credential_alone or not alone.credential_only)
    releases = run.waiting and run.asks in WEAK and contains
    retries = run.state == "needs_human" and contains
    contains_again, stays = run.returning and contains, run.returning and alone.verdict is Verdict.HOLD
    because = f"Run {run.id} has this identity under the same control already" + (", and rises to the hard stage." if raises else ".")
    if run.state == "needs_human":
        because = f"Run {run.id} has this identity, but did not get it under control: a person has to look."
        because += " What a machine can try again is tried again." if retries else ""
    if contains_again:
        because = f"Run {run.id} is on its way back, and this calls for containing it again: {_uncapital(alone.because)}"
    if stays:
        because = f"Run {run.id} is on its way back, and this calls for a person to say how it goes on: {_uncapital(alone.because)}"
    if releases:
        because = f"Run {run.id} waits for people ({run.asks.replace('_', ' ')}), and waits no longer: {_uncapital(alone.because)}"
    return Choice(
        verdict=Verdict.COVERED,
        sentence=0,
        because=because,
        stage=alone.stage if raises or releases else run.stage,
        would_have=alone.verdict,
        would_have_stage=alone.stage,
        run=run.id,
        raises=raises,
        retries=retries,
        releases=releases,
        contains_again=contains_again,
        stays=stays,
        credential_only=alone.credential_only,
    )


def quiet(question: Question) -> Choice | None:
    """1. The risk is under soft and nothing is conclusive."""
    soft = question.waterfall.thresholds.soft
    if question.conclusive or question.risk >= soft:
        return None
    return Choice(verdict=Verdict.WATCH, sentence=1, because=f"The risk is {question.risk:g}, under {soft:g}.")


def protected(question: Question) -> Choice | None:
    """2. The identity, the credential or another user of a credential that the plan would cut is protected, or we would lock ourselves out:
    two people, evidence only meanwhile; never contained because nobody answered."""
    identity, credential = question.facts.identity, question.facts.credential
    if identity.protected:
        what = f"{identity.subject} is protected" + (f" ({identity.protected_because})" if identity.protected_because else "")
    elif credential is not None and credential.protected:
        what = "The credential is protected"
    elif user := _protected_user(question.facts):
        what = f"{user.identity_name or user.identity} uses the same credential and is protected"
    elif question.facts.locks_out:
        what = question.facts.locks_out
    else:
        return None
    return _hold(question, 2, HoldReason.PROTECTED, f"{what}, and {question.why}.", evidence_only=True)


def exempted(question: Question) -> Choice | None:
    """3. An exception covers it, nothing is conclusive, no signal lies outside the grant, and its budget is not spent."""
    if question.conclusive:
        return None
    grant = next((grant for grant in question.facts.grants if _covers(grant, question)), None)
    if grant is None:
        return None
    alone = _first(question, SENTENCES[4:])
    because = f"Exception {grant.id} covers it until {grant.ends_at:%Y-%m-%d %H:%M}."
    return Choice(
        verdict=Verdict.EXEMPT,
        sentence=3,
        because=because,
        would_have=alone.verdict,
        would_have_stage=alone.stage,
        grant=grant.id,
    )


def cooling_off(question: Question) -> Choice | None:
    """4. A person said no to this within the cool-off: watch; with a new signal or conclusive evidence, ask again."""
    no, facts = question.facts.history.cool_off, question.facts
    if no is None or facts.generation > no.generation or not timedelta(0) <= facts.now - no.at < question.policy.cool_off:
        return None
    said = f"A person {no.word} this at {no.at:%H:%M}"
    new = sorted(question.codes - no.codes)
    if not new and not question.conclusive:
        until = f"It cools off until {no.at + question.policy.cool_off:%H:%M} UTC."
        because = f"Seen again. {said}, and no new signal has come. {until}"
        return Choice(verdict=Verdict.WATCH, sentence=4, because=because, seen_again=True)
    return _hold(question, 4, HoldReason.COOL_OFF, f"{said}, but this is new: {', '.join(new) or question.why}.")


def others_inside(question: Question) -> Choice | None:
    """5. Designated sessions or other users of a shared credential lie inside what the plan would cut. The rest gets soft at once."""
    found = inside(question.facts, question.stage)
    if not found.bystanders:
        return None
    may_act = _budget_left(question) > 0
    names = ", ".join(f"{one.name}: {one.because}" for one in found.bystanders)
    return _hold(
        question,
        5,
        found.reason,
        f"{_capital(question.why)}, but others lie inside the cut: {names}.",
        interim=may_act,
        at_once=found.at_once if may_act else (),
        bystanders=found.bystanders,
    )


def thin(question: Question) -> Choice | None:
    """6. Nothing is conclusive, and without what rests on thin baselines or on circumstances alone the risk is under soft."""
    without = question.waterfall.risk_without_thin
    if question.conclusive or without >= question.waterfall.thresholds.soft:
        return None
    circumstantial = any(signal.circumstantial for signal in question.waterfall.signals)
    on_what = "too little history or on circumstances alone" if circumstantial else "too little history"
    because = f"{_capital(question.why)}; without what rests on {on_what} it is {without:g}."
    return _hold(question, 6, HoldReason.THIN, because)


def spent(question: Question) -> Choice | None:
    """7. The containment budget is spent. A policy without a budget has none to spend."""
    if _budget_left(question) > 0:
        return None
    return _hold(question, 7, HoldReason.BUDGET, f"{_capital(question.why)}, and the containment budget is spent.", grouped=True)


def severe(question: Question) -> Choice | None:
    """8. The risk reaches hard, or evidence is conclusive."""
    hard = question.waterfall.thresholds.hard
    if not question.conclusive and question.risk < hard:
        return None
    if question.conclusive:
        because = f"{_capital(question.why)}; that is conclusive."
    else:
        because = f"The risk is {question.risk:g}, at or above {hard:g}."
        if question.is_new:
            because += " The identity is new, so the soft stage is the most."
    return _contain(question, 8, because)


def otherwise(question: Question) -> Choice | None:
    """9. Otherwise the soft stage, and the hard one is offered."""
    thresholds = question.waterfall.thresholds
    because = f"The risk is {question.risk:g}, between {thresholds.soft:g} and {thresholds.hard:g}."
    choice = _contain(question, 9, because)
    return replace(choice, offers_hard=choice.verdict is Verdict.CONTAIN)


SENTENCES: tuple[Sentence, ...] = (covered, quiet, protected, exempted, cooling_off, others_inside, thin, spent, severe, otherwise)


def _contain(question: Question, sentence: int, because: str) -> Choice:
    if question.credential_only and not question.facts.credential_alone:
        said = "Only the credential is condemned, and no measure of the plan cuts that alone: a person has to."
        return _hold(question, sentence, HoldReason.THIN, f"{because} {said}")
    return Choice(
        verdict=Verdict.CONTAIN,
        sentence=sentence,
        because=because,
        stage=question.stage,
        credential_only=question.credential_only,
    )


def _hold(
    question: Question,
    sentence: int,
    reason: HoldReason,
    because: str,
    *,
    interim: bool = False,
    at_once: tuple[str, ...] = (),
    bystanders: tuple[Bystander, ...] = (),
    evidence_only: bool = False,
    grouped: bool = False,
) -> Choice:
    patience = question.policy.patience[reason]
    if question.is_exposed:
        patience = min(patience, question.policy.exposed_patience)
    return Choice(
        verdict=Verdict.HOLD,
        sentence=sentence,
        because=because,
        stage=question.stage,
        hold_reason=reason,
        patience=patience,
        interim=interim,
        at_once=at_once,
        bystanders=bystanders,
        evidence_only=evidence_only,
        grouped=grouped,
        credential_only=question.credential_only,
    )


def _under_ceiling(question: Question, choice: Choice) -> Choice:
    """Lowered to the most that the source may bring about: contain, hold, watch. Below contain nothing happens by itself."""
    ceiling, cap, why = _ceiling(question)
    if ceiling is Ceiling.CONTAIN or choice.verdict in (Verdict.WATCH, Verdict.EXEMPT):
        return choice
    said = f"{choice.because} {why}"
    if choice.verdict is Verdict.COVERED:
        lowered = _unraised(question, choice, cap, said) if choice.acts else choice
        return replace(lowered, stays=ceiling is Ceiling.HOLD and (choice.contains_again or choice.stays))
    if ceiling is Ceiling.WATCH:
        return _watched(choice, cap, said)
    if choice.verdict is Verdict.CONTAIN:
        hold = _hold(question, choice.sentence, HoldReason.CEILING, said)
        return replace(hold, would_have=choice.verdict, would_have_stage=choice.stage, capped_by=(cap,))
    if choice.spends:
        return replace(choice, because=said, interim=False, at_once=(), capped_by=(cap,))
    return choice


def _ceiling(question: Question) -> tuple[Ceiling, Cap, str]:
    """The source's own; an event that it dates too far back, or ahead of our clock, is held at most."""
    detection = question.facts.detection
    if detection is None:
        return Ceiling.CONTAIN, Cap.CEILING, ""
    source = detection.source
    if source.ceiling is Ceiling.CONTAIN and (why := _misdated(question.facts, detection)):
        return Ceiling.HOLD, Cap.AGE, why
    return source.ceiling, Cap.CEILING, f"Its source may bring about no more than {source.ceiling}."


def _misdated(facts: Facts, detection: DetectionFacts) -> str:
    received, oldest = detection.received_at or facts.now, detection.source.max_age_seconds
    age = received - detection.occurred_at
    if age < -AHEAD:
        return f"It is dated {_span(-age)} ahead of the moment it arrived, so a person decides."
    if oldest is not None and age > timedelta(seconds=oldest):
        fresh = _span(timedelta(seconds=oldest))
        return f"It was {_span(age)} old when it arrived; from {detection.source.name}, what is over {fresh} old is for a person to decide."
    return ""


def _span(length: timedelta) -> str:
    """As people say it: 90 s, 12 min, 5 h, 3 days."""
    seconds = int(length.total_seconds())
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def _from_observed_source(question: Question, choice: Choice) -> Choice:
    """From a source that went over its rate or budget: recorded as would-have, while the other sources go on."""
    why = question.facts.detection.source.observes_because if question.facts.detection else ""
    if not why or choice.verdict is Verdict.WATCH:
        return choice
    said = f"{choice.because} Only observed: {why}"
    if choice.verdict is Verdict.COVERED:
        return _unraised(question, choice, Cap.SOURCE, said) if choice.acts else choice
    return _watched(choice, Cap.SOURCE, said)


def _observed(question: Question, choice: Choice) -> Choice:
    """In observe mode: recorded as would-have, with nothing done, held or spent."""
    identity = question.facts.identity
    if choice.verdict is Verdict.WATCH or question.policy.mode(identity.kind, identity.environment) is Mode.ENFORCE:
        return choice
    said = f"{choice.because} Only observed: that is the mode of {identity.kind} in {identity.environment or 'this environment'}."
    if choice.verdict is Verdict.COVERED:
        return _unraised(question, choice, Cap.OBSERVE, said) if choice.acts else choice
    return _watched(choice, Cap.OBSERVE, said)


def _held_back(question: Question, choice: Choice) -> Choice:
    """While the kill switch is on nothing begins: what would be contained or held is recorded as would-have, and decided again after."""
    position = question.facts.kill_switch
    if not position or choice.verdict in (Verdict.WATCH, Verdict.EXEMPT):
        return choice
    words = "no new containment" if position == "no_new" else "nothing"
    said = f"{choice.because} Held back by the kill switch, which is at “{words}”. It is decided again when that is off."
    if choice.verdict is Verdict.COVERED:
        return _unraised(question, choice, Cap.KILL_SWITCH, said) if choice.acts else choice
    return _watched(choice, Cap.KILL_SWITCH, said)


def _watched(choice: Choice, cap: Cap, because: str) -> Choice:
    return Choice(
        verdict=Verdict.WATCH,
        sentence=choice.sentence,
        because=because,
        would_have=choice.would_have if choice.capped_by else choice.verdict,
        would_have_stage=choice.would_have_stage if choice.capped_by and choice.would_have else choice.stage,
        capped_by=(*choice.capped_by, cap),
    )


def _unraised(question: Question, choice: Choice, cap: Cap, because: str) -> Choice:
    run = question.facts.run
    return replace(
        choice,
        because=because,
        raises=False,
        releases=False,
        retries=False,
        contains_again=False,
        stays=False,
        stage=run.stage if run else None,
        capped_by=(*choice.capped_by, cap),
    )


def _budget_left(question: Question) -> int:
    return question.facts.budget_left if question.policy.budget is not None else 0


def _covers(grant: GrantFacts, question: Question) -> bool:
    facts = question.facts
    if not grant.starts_at <= facts.now < grant.ends_at:
        return False
    if grant.times_left is not None and grant.times_left < 1:
        return False
    if grant.risk_left is not None and grant.risk_left < question.risk:
        return False
    if grant.signals and not question.codes <= grant.signals:
        return False
    named = next((session for session in facts.own_sessions if session.id == facts.session and not session.discovered), None)
    scope = (
        (grant.identity, facts.identity.id),
        (grant.session, named.id if named else ""),
        (grant.credential, facts.credential.id if facts.credential else ""),
        (grant.action, facts.action.name if facts.action else ""),
        (grant.resource, facts.resource.id if facts.resource else ""),
        (grant.tenant, named.tenant if named else ""),
    )
    return all(granted in ("", here) for granted, here in scope)


def _protected_user(facts: Facts) -> CredentialUser | None:
    users = facts.credential.users if facts.credential and not facts.scoped else ()
    return next((user for user in users if user.protected), None)


def _uncapital(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
