"""The whole story of one question: who asks and may act at all, what the rules, the session's intent and judgement say of it, and what
follows. One transaction, under the lock of the identity, so that of fifty calls on a budget of ten ten pass.

The order is the order of the answers: whoever was stopped is told so; then an approval that is shown; then the policy's scope rules; then
the session's approved intent; then judgement, of a detection that is made from the call and stored only where there is more to it than
watching; then whether anybody knows the session that a write comes from. Where a kind is only observed, all but the first allow, and say
what they would have said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection

from approvals.models import Hold
from audit import clock
from audit.record import attempt, story
from containment import baselines, flow, gather, intake, inventory, limits, minted, policies, session_use, speaking
from containment.domain.decide import Verdict as Judged
from containment.domain.facts import Facts, Kind
from containment.domain.judge import Judgement, judge, question_of
from containment.domain.policy import Mode, RiskPolicy
from containment.domain.scope_rules import Answer as Permitted
from containment.domain.scope_rules import Permit
from containment.models import Decision, Detection, Identity, Resource, RiskPolicyVersion, Source
from containment.session_use import Told
from core.actor import Actor
from core.digest import plain
from core.ids import uuid7
from core.refs import Ref
from core.refusals import Refusal
from guard import asked, made, pausing, requestable, rules, standing, verdicts
from guard.answers import Answer, Reason
from guard.models import GuardCall
from guard.question import digest_of
from guard.requestable import Shown
from guard.standing import Acting, No
from guard.verdicts import Verdict
from playbooks import switch
from playbooks.models import Run
from sources.asking import Ask
from sources.base import Reading

log = logging.getLogger(__name__)

WOULD_HAVE = {Judged.CONTAIN: "deny", Judged.COVERED: "deny", Judged.HOLD: "hold"}
BUSY_S = 5
PUT_BACK_S = 2
LONGEST_WAIT_MS = 2_000  # for a lock that somebody else has
STANDING = ("gate", "gate_because", "gate_allows", "gate_key", "gated_at", "ended_at", "expires_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One question, with what is known around it. `told`: the call beside its session's intent; None, where there is none to compare.
    `shown`: what the approval is worth that came with it. `leans`: a rule allows it because of that alone."""

    key: UUID
    ask: Ask
    actor: Actor
    reading: Reading
    source: Source
    identity: Identity
    acting: Acting
    version: RiskPolicyVersion
    policy: RiskPolicy
    now: datetime
    question: str
    told: Told | None = None
    permit: Permit | None = None
    shown: Shown | None = None
    leans: bool = False
    writes: bool = True

    @property
    def observed(self) -> bool:
        """Whether the identity is only observed. One that nobody listed says its kind itself, so that an agent's counts for it too."""
        kinds = {Kind(self.identity.kind)} | ({Kind.AI_AGENT} if self.identity.discovered_at is not None else set())
        return all(self.policy.mode(kind, self.identity.environment) is Mode.OBSERVE for kind in kinds)

    @property
    def called(self) -> dict[str, Any]:
        """As a detection keeps it."""
        ruling = made.ruling_of(self.permit, self.policy)
        kept = session_use.kept(self.told) if self.told else {}
        return kept | ({"ruling": plain(ruling)} if ruling else {})


def answer(ask: Ask, actor: Actor) -> Answer:
    try:
        return _answer(ask, actor)
    except IntegrityError as trouble:
        if "one_verdict_per_request" not in str(trouble):
            raise
        return _answer(ask, actor)  # the same request was answered meanwhile: that answer is found


@story
def _answer(ask: Ask, actor: Actor) -> Answer:
    _wait_briefly()
    reading = asked.reading(ask, uuid7(), now=clock.now())
    source = asked.source_of(reading, actor)
    known = intake.find_identity(ask.provider, ask.subject)
    speaking.must_be_its_own(actor, known, f"{ask.provider}/{ask.subject}")
    if known is not None:
        scene = _scene(ask, actor, reading, source, known)
        if (no := standing.stopped(scene.acting, known, writes=False, now=scene.now)) is not None:
            return _refused(scene, no)  # without waiting for its lock: a storm of these stands in nobody's way
    placed = replace(reading, context={})  # a claim places nobody
    identity = inventory.lock(intake.identity_for(placed, reading.occurred_at, by=source.name).pk)
    scene = _with_call(_scene(ask, actor, reading, source, identity))
    if (no := standing.stopped(scene.acting, identity, writes=scene.writes, now=scene.now)) is not None:
        return _refused(scene, no)
    if (earlier := _earlier(scene)) is not None:
        return verdicts.again(earlier, ask)
    return _say(scene, _weighed(scene))


def _wait_briefly() -> None:
    """Whoever asks has little time: where somebody else has the identity for longer, the answer is "try again"."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LONGEST_WAIT_MS}ms"])


def _scene(ask: Ask, actor: Actor, reading: Reading, source: Source, identity: Identity) -> Scene:
    intake.may_speak_about(source, identity.kind)
    acting = standing.acting_of(ask, identity)
    speaking.must_be_its_session(actor, acting.session)
    now = clock.now()
    version = policies.in_force()
    return Scene(
        key=UUID(reading.external_id.removeprefix(asked.PREFIX)),
        ask=ask,
        actor=actor,
        reading=replace(reading, occurred_at=now),
        source=source,
        identity=identity,
        acting=acting,
        version=version,
        policy=policies.document(version.text),
        now=now,
        question=digest_of(ask),
        writes=standing.is_write(ask, None),
    )


def _refused(scene: Scene, no: No) -> Answer:
    """Whoever was stopped is told so, also where the same request was let pass before that."""
    if _is_put_back(scene, no):
        because = "People allowed this call. What was restricted while they decided is being put back."
        found = _found(scene, "deny", Reason.APPROVAL_PENDING, because, retry_after=PUT_BACK_S)
        return _say(replace(scene, ask=replace(scene.ask, request="")), found)
    earlier = _earlier(scene)
    if earlier is not None and earlier.verdict != "allow":
        return verdicts.again(earlier, scene.ask)
    scene = replace(scene, ask=replace(scene.ask, request="")) if earlier is not None else scene
    return _say(scene, _found(scene, "deny", no.reason, no.because, run=no.run.pk if no.run else None))


def _earlier(scene: Scene) -> GuardCall | None:
    session = scene.acting.session
    return asked.earlier(scene.ask, scene.actor, scene.question, session.pk if session else None, now=scene.now)


def _is_put_back(scene: Scene, no: No) -> bool:
    """Whether a good approval is shown, and its asker is stopped only until a run that people let go has put back what it did."""
    if not scene.ask.approval or no.reason not in (Reason.PAUSED, Reason.RESTRICTED):
        return False
    shown = _shown(scene)
    return shown is not None and shown.good and Run.objects.filter(identity_ref=str(scene.identity.ref), state="undoing").exists()


def _with_call(scene: Scene) -> Scene:
    """With the call beside the intent of its session, under the lock of what that has used; and whether it changes anything."""
    session, reading = scene.acting.session, scene.reading
    told = None
    if session is not None:
        reading = replace(reading, session=session.external_id, tool=made.tool_of(scene.ask, session_use.approved_for(session)))
        if reading.tool:
            told = session_use.facts(session, intake.event_of(reading, session), now=scene.now, lock=True)
            session.refresh_from_db(fields=STANDING)  # whoever had the lock before may have closed it
    return replace(scene, reading=reading, told=told, writes=standing.is_write(scene.ask, told.call.writes if told else None))


# -- weighing ----------------------------------------------------------------------------------------------------------------------------


def _weighed(scene: Scene) -> Verdict:
    permit = rules.permit(scene.ask, scene.identity, scene.acting, scene.policy.scope)
    shown = _shown(scene)
    leans = shown is not None and shown.good and not shown.run and permit.answer is Permitted.NEEDS_APPROVAL
    permit = replace(permit, answer=Permitted.ALLOWED) if leans else permit
    scene = replace(scene, permit=permit, shown=shown, leans=leans)
    ruled = _by_rule(scene, permit)
    if ruled is not None and not scene.observed:
        return _beside_approval(scene, ruled)
    detection = _as_detection(scene)
    facts = gather.facts_of(detection, scene.policy, now=scene.now)
    judgement = judge(facts, scene.policy)
    found = _by_intent(scene, facts, judgement) or _by_judgement(scene, facts, judgement) or _by_session(scene)
    if found is None or found.verdict == "allow":
        found = ruled or found or _allowed(scene, judgement)
    if found.verdict != "allow" and scene.observed:
        found = _only_observed(found)
    found = _beside_approval(scene, found)
    if found.verdict == "allow":
        _happens(scene, detection, found)
    return found


def _shown(scene: Scene) -> Shown | None:
    session = scene.acting.session
    if not scene.ask.approval:
        return None
    return requestable.check(scene.ask, scene.question, scene.actor, scene.now, session=session.pk if session else None)


def _beside_approval(scene: Scene, found: Verdict) -> Verdict:
    """A good approval is used up by the call that it lets pass; what is wrong with one is the answer where people could allow the call."""
    shown = scene.shown
    if shown is None or found.verdict == "deny":
        return found
    if found.verdict == "allow":
        shown = requestable.use(shown, now=scene.now, actor=scene.actor, evaluation=scene.key)
        if shown.good:
            return replace(found, reason=Reason.APPROVED, because=shown.because, told=shown.told, approval=shown.approval)
        if not scene.leans and found.reason is not Reason.APPROVED:
            return found
    return replace(
        found,
        verdict="hold",
        reason=shown.reason,
        because=shown.because,
        told=shown.told,
        next_action=shown.next_action,
        retry_after=shown.retry_after,
        access_request=found.access_request or requestable.handle_for(now=scene.now),
    )


def _only_observed(found: Verdict) -> Verdict:
    because, would_have = f"Only observed: {found.because}", found.verdict
    return replace(found, verdict="allow", reason=Reason.ALLOWED, because=because, would_have=would_have, access_request={}, hold=None)


def _by_rule(scene: Scene, permit: Permit) -> Verdict | None:
    if permit.denied:
        return _found(scene, "deny", Reason.BY_POLICY, permit.because)
    if permit.answer is Permitted.NEEDS_APPROVAL:
        found = _found(scene, "hold", Reason.HELD, permit.because)
        return replace(found, access_request=requestable.handle_for(now=scene.now))
    return None


def _by_intent(scene: Scene, facts: Facts, judgement: Judgement) -> Verdict | None:
    """Outside what the session was approved for: denied, whatever the risk; a write, or a second read, also pauses the session."""
    finding = made.outside_intent(facts, scene.ask)
    if finding is None:
        return None
    decision = _decided(scene)
    found = _found(scene, "deny", Reason.OUTSIDE, finding.because, judgement=judgement, decision=decision)
    if scene.observed or not _goes_too_far(scene, facts):
        return found
    return _paused(scene, found, decision)


def _goes_too_far(scene: Scene, facts: Facts) -> bool:
    """A call of which nobody approved says that it only reads is taken for a write. What came before a person opened the session again is
    forgiven."""
    if facts.call is None or facts.call.writes is not False:
        return True
    session = scene.acting.session
    assert session is not None  # noqa: S101 - an intent is a session's
    before = GuardCall.objects.filter(session=session.pk, verdict="deny", reason=str(Reason.OUTSIDE))
    return (before.filter(asked_at__gt=session.gated_at) if session.gated_at else before).exists()


def _paused(scene: Scene, found: Verdict, decision: Decision | None) -> Verdict:
    """A run that contains the session pauses it, with proof and undo. Where judgement started none, the gate is closed at once, and what
    happened is a case, whatever the risk. While the kill switch is on no gate is closed: the no to the call is all."""
    session = scene.acting.session
    assert session is not None  # noqa: S101 - an intent is a session's
    if found.run is not None and standing.run_over(scene.identity, session) is not None:
        return replace(found, paused=True)
    case = flow.keep_open(decision).pk if decision is not None else None
    paused = not switch.stops_new() and pausing.pause(session, call=scene.key, because=found.because)
    return replace(found, paused=paused, case=case)


def _by_judgement(scene: Scene, facts: Facts, judgement: Judgement) -> Verdict | None:
    """None: nothing speaks against it, or too little to be kept."""
    if _is_quiet(judgement):
        return None
    if scene.shown is not None and scene.shown.good and _would_hold(judgement) and _was_asked(scene.shown, facts, scene.policy):
        return _found(scene, "allow", Reason.APPROVED, scene.shown.because, judgement=judgement)
    decision = _decided(scene)
    if decision is None:
        return _found(scene, "deny", Reason.CONTAINED, "It could not be decided just now.", judgement=judgement, retry_after=BUSY_S)
    return _as_decided(scene, decision, judgement)


def _is_quiet(judgement: Judgement) -> bool:
    """Watched and nothing else; beside a run that waits or is about another session, what that would be by itself."""
    choice = judgement.choice
    if choice.verdict is Judged.COVERED:
        return choice.would_have is Judged.WATCH
    return choice.verdict is Judged.WATCH and not choice.would_have


def _would_hold(judgement: Judgement) -> bool:
    choice = judgement.choice
    return Judged.HOLD in (choice.verdict, choice.would_have if choice.verdict is Judged.COVERED else None)


def _was_asked(shown: Shown, facts: Facts, policy: RiskPolicy) -> bool:
    """Whether people said "leave it running" about just this: to the run that it is covered by, if one does, and to every signal of now."""
    no, run = facts.history.cool_off, facts.run
    if not shown.run or (run is not None and shown.run != str(Ref.to("run", run.id))):
        return False
    return no is not None and question_of(facts, policy).codes <= no.codes


def _as_decided(scene: Scene, decision: Decision, judgement: Judgement) -> Verdict | None:
    match Judged(decision.verdict):
        case Judged.CONTAIN:
            return _found(scene, "deny", Reason.CONTAINED, decision.because, judgement=judgement, decision=decision)
        case Judged.HOLD:
            return _held(scene, decision, judgement, decision.hold)
        case Judged.COVERED:
            run = decision.run
            assert run is not None  # noqa: S101 - whatever is covered is covered by a run
            if run.state in standing.ACTING:
                return _found(scene, "deny", Reason.CONTAINED, decision.because, judgement=judgement, decision=decision)
            return _held(scene, decision, judgement, asked.hold_of(run))
        case Judged.EXEMPT:
            return _found(scene, "allow", Reason.EXEMPT, decision.because, judgement=judgement, decision=decision)
        case Judged.WATCH if decision.would_have:
            verdict = WOULD_HAVE.get(Judged(decision.would_have), "deny")
            found = _found(scene, verdict, Reason.BY_POLICY, decision.because, judgement=judgement, decision=decision)
            return found if scene.observed else replace(found, verdict="deny")
    return None


def _held(scene: Scene, decision: Decision, judgement: Judgement, hold: Hold | None) -> Verdict:
    if hold is None:
        return _found(scene, "deny", Reason.CONTAINED, decision.because, judgement=judgement, decision=decision, retry_after=BUSY_S)
    found = _found(scene, "hold", Reason.HELD, decision.because, judgement=judgement, decision=decision)
    return replace(found, hold=hold.pk, access_request=requestable.handle_for(hold, now=scene.now))


def _by_session(scene: Scene) -> Verdict | None:
    """A write that comes from nowhere: of an identity that nobody listed, of a session that nobody registered, of an agent without one. So
    is any call of an identity with approved sessions that names none of them: there it would be compared with nothing."""
    identity, acting = scene.identity, scene.acting
    if scene.permit is not None and scene.permit.allowed:
        return None
    if not scene.writes and not (acting.unknown and _leaves_its_intent(scene)):
        return None
    if identity.discovered_at is not None and acting.session is None:
        because = f"{identity} is not in the inventory, and no scope rule allows this write."
    elif acting.unknown:
        why = f"Nobody registered the session {acting.named}" if acting.named else f"{identity} has several sessions and names none of them"
        because = f"{why}, and no scope rule allows this call."
    elif acting.session is None and identity.kind == Kind.AI_AGENT:
        because = f"{identity} acts in no session, and no scope rule allows this write."
    elif acting.session is not None and identity.kind == Kind.AI_AGENT and not session_use.approved_for(acting.session).says_anything:
        because = f"Nothing was approved for the session {acting.session.external_id}, and no scope rule allows this write."
    else:
        return None
    return _found(scene, "deny", Reason.UNKNOWN_SESSION, because)


def _leaves_its_intent(scene: Scene) -> bool:
    """Whether it would call a tool in any of the sessions that its identity has."""
    return any(made.tool_of(scene.ask, session_use.approved_for(one)) for one in scene.acting.live)


def _allowed(scene: Scene, judgement: Judgement) -> Verdict:
    if scene.permit is not None and scene.permit.allowed:
        return _found(scene, "allow", Reason.BY_RULE, scene.permit.because, judgement=judgement)
    return _found(scene, "allow", Reason.ALLOWED, judgement.because, judgement=judgement)


# -- what follows ------------------------------------------------------------------------------------------------------------------------


def _decided(scene: Scene) -> Decision | None:
    """The call as a detection, stored and decided. Where it cannot be decided now, it is stored and due; None then."""
    received = intake.receive(
        scene.reading,
        asked.message(scene.ask, scene.reading),
        actor=asked.speaking_for(scene.actor, scene.source),
        admitted=intake.Admitted(limits.observed_because(scene.source)),
        source=scene.source,
        called=scene.called,
    )
    detection = received.detection
    detection.identity = scene.identity
    try:
        with attempt():
            return flow.decide_here(detection)
    except OperationalError:
        raise
    except Refusal as refusal:
        log.warning("The call %s waits to be decided: %s", scene.key, refusal.sentence)
    except Exception:
        log.exception("The call %s waits to be decided: it failed", scene.key)
    return None


def _happens(scene: Scene, detection: Detection, found: Verdict) -> None:
    """What is let pass counts: against the budgets of its session, and as a step of it. Nothing becomes usual by being asked."""
    session = scene.acting.session
    if session is not None and scene.told is not None:
        session_use.charge(session, intake.event_of(scene.reading, session), scene.told.call, now=scene.now)
    if scene.ask.minted_id:
        mints = replace(scene.reading, minted_kind=scene.ask.minted_kind, minted_id=scene.ask.minted_id)
        minted.note(session, mints, source=scene.source, actor=asked.speaking_for(scene.actor, scene.source), now=scene.now)
    if found.detection is None or found.would_have or found.reason is Reason.EXEMPT:
        baselines.take(gather.doing_of(detection, scene.acting.live), scene.policy, learn=False, now=scene.now)


def _as_detection(scene: Scene) -> Detection:
    """The call as the detection that it would make, not stored: facts are gathered of it as of any other."""
    reading, identity = scene.reading, scene.identity
    return made.detection_of(
        reading,
        source=scene.source,
        identity=identity,
        session=scene.acting.session or intake.session_for(reading, identity, None, scene.now),
        resource=made.resource_of(reading, Resource.objects.filter(kind=reading.resource_kind, key=reading.resource_id).first()),
        now=scene.now,
        observed_because=limits.observed_because(scene.source),
        called=scene.called,
    )


def _found(
    scene: Scene,
    verdict: str,
    reason: Reason,
    because: str,
    *,
    judgement: Judgement | None = None,
    decision: Decision | None = None,
    run: UUID | None = None,
    retry_after: int | None = None,
) -> Verdict:
    return Verdict(
        verdict=verdict,
        reason=reason,
        because=because,
        policy_version=scene.version.version,
        risk=judgement.risk if judgement else 0.0,
        digest=decision.digest if decision else judgement.digest if judgement else "",
        detection=decision.detection_id if decision else None,
        case=decision.case_id if decision else None,
        run=(decision.run_id if decision else None) or run,
        retry_after=retry_after,
    )


def _say(scene: Scene, found: Verdict) -> Answer:
    return verdicts.say(
        found,
        scene.ask,
        key=scene.key,
        identity=scene.identity,
        session=scene.acting.session,
        writes=scene.writes,
        actor=scene.actor,
        now=scene.now,
        question=scene.question,
    )
