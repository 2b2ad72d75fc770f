"""Gather: rows become Facts. Reads only; every query here is bounded, so that judging costs the same on the first day and the thousandth.

The caller holds the identity's lock and has read the clock after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import Team
from approvals import grants, groups
from approvals.domain.coverage import Seen, covers
from approvals.models import ExceptionGrant, Hold
from containment import baselines, cooling, limits
from containment.baselines import Doing, Noticed
from containment.domain.decide import AHEAD
from containment.domain.event import Event
from containment.domain.facts import (
    BOTH_STAGES,
    ActionFacts,
    BaselineFacts,
    BusinessClass,
    CallFacts,
    Ceiling,
    CredentialFacts,
    CredentialUser,
    DesignationFacts,
    DetectionFacts,
    Drive,
    EventFacts,
    Facts,
    GrantFacts,
    HistoryFacts,
    IdentityFacts,
    IntentFacts,
    Kind,
    Reach,
    ResourceFacts,
    RoleFacts,
    RulingFacts,
    RunFacts,
    ScopeRule,
    Sensitivity,
    SessionFacts,
    Severity,
    SourceFacts,
    Stage,
    StepFacts,
    WorkflowFacts,
    WorkloadClaim,
    WorkloadFacts,
)
from containment.domain.policy import RiskPolicy
from containment.domain.replay import part
from containment.models import (
    Credential,
    CredentialUse,
    Designation,
    Detection,
    Identity,
    Resource,
    Session,
    WorkDocument,
)
from playbooks.domain.moves import LIVE
from playbooks.domain.plan import cuts, narrowed
from playbooks.models import Run

MOST_SESSIONS = 200
MOST_EVENTS = 50
FALLBACK_TEAM = "soc"
RETRY_AFTER = timedelta(seconds=15)  # after which an undecided detection is tried again
STRIKES = 3  # workers that may die on one detection before it is set aside
SAME_EVENT = timedelta(minutes=5)  # a detection and a feed may tell of one event; what became known so shortly before is that event
NOTHING_BEFORE = HistoryFacts()
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows around an identity that most of its facts are made of, whoever read them. `credential`: the one it acts with, `users`: who
    else does. `answered_for`: somebody owns it, or a team answers for what nobody owns."""

    identity: Identity
    uses: Sequence[CredentialUse]
    credential: Credential | None
    users: Sequence[CredentialUse]
    sessions: Sequence[Session]
    designations: Sequence[Designation]
    documents: Sequence[WorkDocument]
    answered_for: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What those rows say. It is the same for everything that the identity does until one of them changes."""

    identity: IdentityFacts
    credential: CredentialFacts | None
    sessions: tuple[SessionFacts, ...]
    workflows: tuple[WorkflowFacts, ...]
    roles: tuple[RoleFacts, ...]


def facts_of(detection: Detection, policy: RiskPolicy, *, now: datetime, generation: int = 0) -> Facts:
    """Everything judgement may look at for this detection. The budget is taken for unspent here: flow counts it, under its lock, for
    whatever would spend some of it."""
    rows = _rows(detection, now)
    identity, credential = rows.identity, rows.credential
    granted = grants.covering(identity=str(identity.pk), at=now)
    return facts_from(
        detection,
        surroundings(rows),
        policy,
        _noticed(detection, rows.sessions, policy, now),
        now=now,
        grants=tuple(_grant(grant) for grant in granted if _fits(grant, detection, credential)),
        run=_run(identity),
        history=_history(detection, credential, now, policy),
        generation=generation,
    )


def facts_from(
    detection: Detection,
    around: Surroundings,
    policy: RiskPolicy,
    noticed: Noticed,
    *,
    now: datetime,
    grants: tuple[GrantFacts, ...] = (),
    run: RunFacts | None = None,
    history: HistoryFacts = NOTHING_BEFORE,
    generation: int = 0,
) -> Facts:
    """The facts of one detection, put together from what was read. Nothing is read here."""
    named = detection.session if detection.session and detection.session.discovered_at is None else None
    return Facts(
        now=now,
        identity=replace(around.identity, last_active_at=noticed.last_active_at),
        detection=_detection(detection, now),
        action=ActionFacts(name=detection.action, count=detection.action_count) if detection.action else None,
        resource=resource_facts(detection.resource) if detection.resource else None,
        credential=around.credential,
        session=str(named.pk) if named else "",
        sessions=around.sessions,
        workflows=around.workflows,
        roles=around.roles,
        grants=grants,
        run=run,
        history=history,
        budget_left=1 if policy.budget else 0,
        generation=generation,
        call=call_noticed(detection.called) or call_noticed(detection.noticed),
        intent=part(detection.called["intent"], IntentFacts) if detection.called.get("intent") else None,
        baseline=noticed.baseline,
        trail=noticed.trail,
        ruling=part(detection.called["ruling"], RulingFacts) if detection.called.get("ruling") else None,
    )


def surroundings(rows: Rows) -> Surroundings:
    return Surroundings(
        identity=_identity(rows),
        credential=_credential(rows.credential, rows.users) if rows.credential else None,
        sessions=tuple(_session(session, rows.designations) for session in rows.sessions),
        workflows=tuple(_workflow(document, rows.designations) for document in rows.documents),
        roles=_roles(rows.documents),
    )


def work_named(
    uses: Iterable[CredentialUse], users: Iterable[CredentialUse], sessions: Iterable[Session], designations: Iterable[Designation]
) -> set[str]:
    """The workflows and profiles whose documents matter here."""
    named: list[CredentialUse | Session | Designation] = [*uses, *users, *sessions, *designations]
    return {one.workflow for one in named} - {""}


def _rows(detection: Detection, now: datetime) -> Rows:
    identity = detection.identity
    uses = list(identity.credential_uses.order_by("id"))
    credential = detection.credential or _only_credential(uses)
    users = list(credential.uses.select_related("identity").order_by("id")) if credential else []
    sessions = list(_live_sessions(identity, credential, now))
    designations = list(identity.designations.filter(granted_at__isnull=False, ended_at__isnull=True))
    documents = _documents(work_named(uses, users, sessions, designations))
    owned = has_owner_of_its_own(identity)
    return Rows(
        identity, uses, credential, users, sessions, designations, documents, owned or fallback_team(identity.environment) is not None
    )


def has_owner_of_its_own(identity: Identity) -> bool:
    return bool(identity.owner_id or identity.owner_team)


def doing_of(detection: Detection, sessions: Sequence[Session] = ()) -> Doing:
    """What the detection says happened, in the words that baselines learn, and no later than it arrived. Role, workflow and tenant come
    from a session that somebody vouches for: the one it names, or the only one that its identity has."""
    session = detection.session or (None if detection.named_session else only_session(detection.identity_id, sessions))
    vouched = session if session is not None and session.discovered_at is None else None
    resource = detection.resource
    event = Event(
        occurred_at=min(detection.occurred_at, detection.received_at),
        action=detection.action,
        count=detection.action_count,
        resource_kind=resource.kind if resource else "",
        resource=resource.key if resource else "",
        system=resource.system if resource else "",
        session=str(session.pk) if session else "",
    )
    credential = detection.credential_id or (vouched.credential_id if vouched else None)
    return Doing(
        event=event,
        identity=detection.identity_id,
        session=session.pk if session else None,
        role=vouched.role if vouched else "",
        workflow=vouched.workflow if vouched else "",
        tenant=vouched.tenant if vouched else "",
        credential=credential,
    )


def only_session(identity_id: UUID, sessions: Iterable[Session]) -> Session | None:
    """The one live session that somebody vouches for, where the identity has just that one: whatever names no session belongs to it."""
    mine = [session for session in sessions if session.identity_id == identity_id and session.discovered_at is None]
    return mine[0] if len(mine) == 1 else None


def may_be_a_step(detection: Detection) -> bool:
    """Where nothing was done, nothing happened; and what is dated ahead of its arrival did not happen yet."""
    return bool(detection.action) and not is_ahead(detection.occurred_at, received_at=detection.received_at)


def may_learn(detection: Detection) -> bool:
    """Only what a feed of what identities do tells can make anything usual, and not while it observes. While something is wrong with an
    identity, nothing that it does becomes usual."""
    teaches = detection.source.teaches and not detection.observed_because
    return teaches and not detection.identity.cases.exclude(state="closed").exists()


def is_ahead(occurred_at: datetime, *, received_at: datetime) -> bool:
    """Dated further ahead than a clock may run before ours."""
    return occurred_at - received_at > AHEAD


def call_noticed(noticed: Mapping[str, Any]) -> CallFacts | None:
    return part(noticed["call"], CallFacts) if noticed.get("call") else None


def _noticed(detection: Detection, sessions: Sequence[Session], policy: RiskPolicy, now: datetime) -> Noticed:
    """What baseline and trail said when the event came in, where they were asked then; otherwise what they say now of that moment."""
    kept = detection.noticed
    if kept:
        return Noticed(
            baseline=part(kept["baseline"], BaselineFacts) if kept.get("baseline") else None,
            trail=tuple(part(step, StepFacts) for step in kept.get("trail", [])),
            last_active_at=datetime.fromisoformat(kept["last_active_at"]) if kept.get("last_active_at") else None,
        )
    doing = doing_of(detection, sessions)
    book = baselines.opened([doing], policy, now=now, known_before=doing.event.occurred_at - SAME_EVENT)
    return book.notice(doing, told_twice=SAME_EVENT)


def sparing(facts: Facts, stage_cuts: Mapping[str, frozenset[Stage]]) -> Facts:
    """The same facts under a plan that cuts only some sessions: session id -> the stages that would end it."""
    sessions = tuple(replace(session, cut_by=stage_cuts.get(session.id, BOTH_STAGES)) for session in facts.sessions)
    return replace(facts, sessions=sessions, scoped=True)


def under_no_run(facts: Facts) -> Facts:
    """The same facts, now that the run which had the identity has made way."""
    return replace(facts, run=None)


def without_credential_measure(facts: Facts) -> Facts:
    """The same facts under a plan that cannot cut the credential alone."""
    return replace(facts, credential_alone=False)


def under_the_switch(facts: Facts, position: str) -> Facts:
    """The same facts, beside the kill switch where it stands."""
    return replace(facts, kill_switch="" if position == "off" else position)


def from_observed_source(facts: Facts, because: str) -> Facts:
    """The same facts, now that the source is only observed."""
    assert facts.detection is not None  # noqa: S101 - only a detection has a source
    source = replace(facts.detection.source, observes_because=because)
    return replace(facts, detection=replace(facts.detection, source=source))


def with_budget(facts: Facts, left: int) -> Facts:
    """The same facts with what is left of the budget now that it is locked."""
    return replace(facts, budget_left=left)


def without_grant(facts: Facts, grant: str) -> Facts:
    """The same facts, now that this grant has nothing left."""
    return replace(facts, grants=tuple(one for one in facts.grants if one.id != grant))


def _only_credential(uses: Sequence[CredentialUse]) -> Credential | None:
    """An identity with one credential acts with that one, whether the message says so or not."""
    found = {use.credential_id for use in uses}
    return Credential.objects.get(pk=found.pop()) if len(found) == 1 else None


def _live_sessions(identity: Identity, credential: Credential | None, now: datetime) -> Iterable[Session]:
    """Sessions that have not ended, of this identity and of the credential's other users; discovered ones while they are fresh."""
    mine = Q(identity=identity)
    if credential is not None:
        mine |= Q(credential=credential)
    fresh = Q(discovered_at__isnull=True) | Q(last_seen_at__gt=now - _HOUR)
    found = Session.objects.filter(mine, fresh, ended_at__isnull=True).select_related("identity").order_by("-last_seen_at", "id")
    return found[:MOST_SESSIONS]


def _documents(names: set[str]) -> list[WorkDocument]:
    return list(WorkDocument.objects.filter(state="in_force", name__in=names).order_by("kind", "name")) if names else []


def _identity(rows: Rows) -> IdentityFacts:
    """When it was last active, its baseline says."""
    identity = rows.identity
    named = {use.workflow for use in rows.uses}
    mine = {session.workflow for session in rows.sessions if session.identity_id == identity.pk and session.discovered_at is None}
    return IdentityFacts(
        id=str(identity.pk),
        kind=Kind(identity.kind),
        provider=identity.provider,
        subject=identity.subject,
        environment=identity.environment,
        reach=None if identity.reach == "unknown" else Reach(identity.reach),
        has_owner=rows.answered_for,
        protected=identity.protected,
        protected_because=identity.protected_because,
        discovered=identity.discovered_at is not None,
        first_seen_at=identity.created_at,
        known_networks=tuple(identity.known_networks),
        workload=_attested(identity.attested) if identity.attested else None,
        workflows=tuple(sorted((named | mine) & {document.name for document in rows.documents})),
    )


def fallback_team(environment: str) -> Team | None:
    """The group that answers for whatever nobody owns: the environment's own, else the one for all."""
    teams = {team.name: team for team in Team.objects.filter(name__in=[f"{FALLBACK_TEAM}-{environment}", FALLBACK_TEAM])}
    return teams.get(f"{FALLBACK_TEAM}-{environment}") or teams.get(FALLBACK_TEAM)


def _attested(attested: Mapping[str, Any]) -> WorkloadFacts:
    def several(name: str) -> tuple[str, ...]:
        value = attested.get(name, [])
        return tuple(value) if isinstance(value, list) else (str(value),)

    return WorkloadFacts(
        attestations=several("attestation"),
        images=several("image"),
        issuer=str(attested.get("issuer", "")),
        subject=str(attested.get("subject", "")),
        audiences=several("audience"),
        networks=several("network"),
        environment=str(attested.get("environment", "")),
    )


def _detection(detection: Detection, now: datetime) -> DetectionFacts:
    context, source = detection.context, detection.source
    return DetectionFacts(
        id=str(detection.pk),
        source=SourceFacts(
            name=source.name,
            trust=source.trust,
            ceiling=Ceiling(source.ceiling),
            max_age_seconds=source.max_age_seconds,
            observes_because=detection.observed_because or limits.observed_because(source, at=now),
        ),
        received_at=detection.received_at,
        occurred_at=detection.occurred_at,
        severity=Severity(detection.severity),
        confidence=detection.confidence,
        claims=tuple(detection.claims),
        session_named=detection.named_session,
        claimed_role=detection.named_role,
        claimed_workflow=detection.named_workflow,
        source_ip=str(context.get("source_ip") or ""),
        environment=str(context.get("environment") or ""),
        tenant=str(context.get("tenant") or ""),
        workload=WorkloadClaim(**detection.workload) if detection.workload else None,
    )


def resource_facts(resource: Resource) -> ResourceFacts:
    return ResourceFacts(
        id=resource.key,  # the outside name, because scopes match it
        kind=resource.kind,
        name=resource.key,
        sensitivity=None if resource.sensitivity == "unknown" else Sensitivity(resource.sensitivity),
        admin_api=resource.admin_api,
        environment=resource.environment,
        tenant=resource.tenant,
        system=resource.system,
    )


def _credential(credential: Credential, users: Sequence[CredentialUse]) -> CredentialFacts:
    return CredentialFacts(
        id=str(credential.pk),
        kind=credential.kind,
        ephemeral=credential.ephemeral,
        protected=credential.protected,
        honeytoken=credential.planted,
        expires_at=credential.expires_at,
        exposed_at=credential.exposed_at,
        exposed_where=credential.exposed_where,
        rotated_at=credential.rotated_at,
        fingerprint_verified=credential.exposure_verified,
        minted_by=str(credential.minted_by_id or ""),
        minter_stopped=_stopped(credential.minted_by) if credential.minted_by_id else "",
        users=tuple(
            CredentialUser(
                identity=str(use.identity_id), identity_name=str(use.identity), workflow=use.workflow, protected=use.identity.protected
            )
            for use in users
        ),
    )


def _stopped(session: Session | None) -> str:
    """A session that a containment closed, in words; one that its own client ended was not stopped."""
    closed = session is not None and session.gate in ("paused", "ended") and bool(session.gate_key)
    return f"the session {session.external_id}, which is {session.gate}" if session is not None and closed else ""


def _session(session: Session, designations: Sequence[Designation]) -> SessionFacts:
    designation = next(
        (one for one in designations if one.session_name == session.external_id and one.identity_id == session.identity_id), None
    )
    return SessionFacts(
        id=str(session.pk),
        identity=str(session.identity_id),
        name=session.external_id,
        credential=str(session.credential_id or ""),
        role=session.role,
        workflow=session.workflow,
        tenant=session.tenant,
        environment=session.environment,
        drive=Drive(session.drive) if session.drive else None,
        origin=str(session.origin.get("address", "")),
        started_at=session.started_at,
        expires_at=session.expires_at,
        parent=str(session.parent_id or ""),
        discovered=session.discovered_at is not None,
        designation=_designation(designation) if designation else None,
        application=str(session.origin.get("application", "")),
        claimed_drive=Drive(session.claimed["drive"]) if session.claimed.get("drive") in set(Drive) else None,
        sign_due_at=session.next_heartbeat_at,
    )


def _designation(designation: Designation) -> DesignationFacts:
    return DesignationFacts(
        id=str(designation.pk),
        service=designation.service,
        business_class=BusinessClass(designation.kind),
        owner=designation.owner_team,
        stop_cost_per_hour=str(designation.stop_cost_per_hour),
        safe_stop=designation.safe_stop,
        must_go_on=tuple(sorted(f"{name}: {value}" for name, value in designation.must_go_on.items())),
        review_by=designation.review_by,
    )


def _workflow(document: WorkDocument, designations: Sequence[Designation]) -> WorkflowFacts:
    body = document.body
    designation = next((one for one in designations if one.workflow == document.name), None)
    return WorkflowFacts(
        name=document.name,
        version=document.version,
        scope=_scope(body.get("scope", [])),
        drives=frozenset(Drive(drive) for drive in body.get("drives", [])),
        joins=tuple(tuple(map(str, join)) for join in body.get("joins", [])),
        designation=_designation(designation) if designation else None,
    )


def _scope(rules: Iterable[Mapping[str, str]]) -> tuple[ScopeRule, ...]:
    return tuple(ScopeRule(action=rule["action"], resource=rule.get("resource", "*")) for rule in rules)


def _roles(documents: Sequence[WorkDocument]) -> tuple[RoleFacts, ...]:
    """A role's purpose is what the documents in force say of it, taken together."""
    workflows: dict[str, set[str]] = {}
    scope: dict[str, list[ScopeRule]] = {}
    for document in documents:
        for role, body in document.body.get("roles", {}).items():
            workflows.setdefault(role, set()).add(document.name)
            scope.setdefault(role, []).extend(_scope(body.get("scope", document.body.get("scope", []))))
    return tuple(RoleFacts(name=role, workflows=frozenset(workflows[role]), scope=tuple(scope[role])) for role in sorted(workflows))


def _fits(grant: ExceptionGrant, detection: Detection, credential: Credential | None) -> bool:
    """Whether the grant's scope is about this. Which signals it spares, and how much budget is left, is judgement's business."""
    named = detection.session if detection.session and detection.session.discovered_at is None else None
    seen = Seen(
        identity=str(detection.identity_id),
        session=str(named.pk) if named else "",
        credential=str(credential.pk) if credential else "",
        action=detection.action,
        resource=detection.resource.key if detection.resource else "",
        tenant=named.tenant if named else "",
    )
    return covers(grant.scope, seen).covers


def _grant(grant: ExceptionGrant) -> GrantFacts:
    return GrantFacts(
        id=str(grant.pk),
        starts_at=grant.starts_at,
        ends_at=grant.ends_at,
        signals=frozenset(grant.scope.get("signals", [])),
        times_left=grant.budget_count - grant.used_count,
        risk_left=float(grant.budget_risk - grant.used_risk),
    )


def _run(identity: Identity) -> RunFacts | None:
    run = Run.objects.filter(identity_ref=str(identity.ref), control_family="access", state__in=LIVE).first()
    if run is None:
        return None
    return RunFacts(
        id=str(run.pk),
        stage=Stage(run.stage),
        waiting=run.state in {"prepared", "waiting"},
        state=run.state,
        returning=run.state == "reinstating",
        asks=_asks(run) if run.state == "waiting" else "",
        credential_alone=bool(cuts(run.plan, "hard")) and cuts(narrowed(run.plan), "hard") == cuts(run.plan, "hard"),
    )


def _asks(run: Run) -> str:
    """Why people are asked about it, by itself or in a group."""
    alone = Hold.objects.filter(run_ref=str(run.ref), state="open").values_list("reason_class", flat=True).first()
    if alone is None and (member := groups.of_run(str(run.ref))) is not None:
        return member.hold.reason_class
    return alone or ""


def _history(detection: Detection, credential: Credential | None, now: datetime, policy: RiskPolicy) -> HistoryFacts:
    identity = detection.identity
    case = identity.cases.exclude(state="closed").first()
    events: list[EventFacts] = []
    if case is not None:
        before = Detection.objects.filter(decisions__case=case).exclude(pk=detection.pk).select_related("session").order_by("-received_at")
        events = [
            EventFacts(
                session=str(one.session_id or ""),
                workflow=one.session.workflow if one.session else one.named_workflow,
                credential=str(one.credential_id or ""),
            )
            for one in before.distinct()[:MOST_EVENTS]
        ]
    steps = 0
    if detection.action == "privilege.change":
        steps = Detection.objects.filter(identity=identity, action="privilege.change", received_at__gt=now - _HOUR).count()
    return HistoryFacts(
        cool_off=cooling.cool_off(identity, now, policy.cool_off),
        privilege_steps=steps,
        suspicious=tuple(dict.fromkeys(events)),
        use=baselines.use_of(identity.pk, credential.pk if credential else None, now=now),
    )
