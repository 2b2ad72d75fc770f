"""Facts: everything that a judgement may look at, frozen. Pure data; filled by containment.flow from rows, or by a test.

Whatever the inventory knows stands here without a mark. Whatever only a message or the session's own client says is marked (`claimed_…`,
`discovered`): it may raise suspicion and never lowers a verdict. Empty text and None mean "not known".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address, ip_network


class Kind(StrEnum):
    HUMAN = "human"
    SERVICE_ACCOUNT = "service_account"
    WORKLOAD = "workload"
    CI_PIPELINE = "ci_pipeline"
    AI_AGENT = "ai_agent"


class Drive(StrEnum):
    """Who is at the wheel of a session."""

    HUMAN = "human"
    SCRIPT = "script"
    AUTONOMOUS = "autonomous"


USUAL_DRIVE: Mapping[Kind, Drive] = {
    Kind.HUMAN: Drive.HUMAN,
    Kind.SERVICE_ACCOUNT: Drive.SCRIPT,
    Kind.WORKLOAD: Drive.SCRIPT,
    Kind.CI_PIPELINE: Drive.SCRIPT,
    Kind.AI_AGENT: Drive.AUTONOMOUS,
}


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Sensitivity(StrEnum):
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    CRITICAL = "critical"


class Reach(StrEnum):
    """How much an identity could touch."""

    NARROW = "narrow"
    TEAM = "team"
    WIDE = "wide"
    ESTATE = "estate"


class Ceiling(StrEnum):
    """The most that a source may bring about."""

    WATCH = "watch"
    HOLD = "hold"
    CONTAIN = "contain"


class Stage(StrEnum):
    SOFT = "soft"
    HARD = "hard"


class BusinessClass(StrEnum):
    """Why stopping something may hurt more than letting it go on."""

    PAYMENT = "payment"
    CUSTOMER_FACING = "customer_facing"
    LONG_RUNNING_JOB = "long_running_job"
    REGULATED = "regulated"


BOTH_STAGES = frozenset({Stage.SOFT, Stage.HARD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a signal found. Strength 0: our facts say that it is not so (they contradict a claim of it). No finding: they cannot tell.

    `confirms`: whether a claim of the same code counts as confirmed by this. `observations` and `days`: how many observations, on how many
    distinct days, the baseline behind it rests on; None for a finding that rests on no baseline (a chain the policy names is one).
    `circumstantial`: it weighs in full, and people are asked before anything is done for its sake alone.
    `evidence` holds plain JSON values and no secret.
    """

    code: str
    strength: float
    because: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    confirms: bool = True
    observations: int | None = None
    days: int | None = None
    circumstantial: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", float(self.strength))
        if not 0.0 <= self.strength <= 1.0:
            raise ValueError(f"{self.code}: a strength lies between 0 and 1, not {self.strength}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """Where a detection came from; known from its token. `bound`: the token belongs to this source alone. `trust` None: the policy's.
    `max_age_seconds`: how old an event may be to do more than ask. `observes_because`: it went over one of its limits, and is only
    observed."""

    name: str
    bound: bool = True
    trust: float | None = None
    ceiling: Ceiling = Ceiling.CONTAIN
    max_age_seconds: int | None = None
    observes_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadClaim:
    """`detection.workload`: how a workload presented itself, as the integration saw it. Empty: not said."""

    attestation: str = ""
    image: str = ""
    issuer: str = ""
    subject: str = ""
    audience: str = ""
    network: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFacts:
    """How a workload identity should present itself, from the inventory. Images may hold patterns (`registry/etl@sha256:*`);
    `attestations` are the words that count as good. An empty field or tuple is not compared."""

    attestations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    issuer: str = ""
    subject: str = ""
    audiences: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFacts:
    """What an integration posted. `claimed_…` and `session_named` are its words, resolved or not. `received_at` None: just now."""

    id: str
    source: SourceFacts
    occurred_at: datetime
    severity: Severity
    confidence: float
    claims: tuple[str, ...] = ()
    session_named: str = ""
    claimed_role: str = ""
    claimed_workflow: str = ""
    source_ip: str = ""
    environment: str = ""
    tenant: str = ""
    workload: WorkloadClaim | None = None
    received_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "confidence", float(self.confidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFacts:
    """Who acts. `has_owner` is true as well when the fallback group of its environment answers for it: only an identity that nobody at all
    answers for is worth suspicion. `protected_because` is shown (break-glass, our own account, last administrator). `workflows` names the
    approved workflows and profiles it may act in, live or not. `last_active_at` is its last activity before what is judged."""

    id: str
    kind: Kind
    provider: str
    subject: str
    environment: str = ""
    reach: Reach | None = None
    has_owner: bool = True
    protected: bool = False
    protected_because: str = ""
    discovered: bool = False
    first_seen_at: datetime | None = None
    last_active_at: datetime | None = None
    known_networks: tuple[str, ...] = ()
    workload: WorkloadFacts | None = None
    workflows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRule:
    """One thing approved: an action on a resource, both as patterns (`secret.*`, `vault.card_*`)."""

    action: str
    resource: str = "*"

    def allows(self, action: str, resource: str) -> bool:
        return fnmatchcase(action, self.action) and fnmatchcase(resource, self.resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignationFacts:
    """Business-critical, because. `origins` are networks: a session from elsewhere lies outside the designation. Empty: from anywhere."""

    id: str
    service: str
    business_class: BusinessClass
    owner: str = ""
    stop_cost_per_hour: str = ""
    safe_stop: str = ""
    must_go_on: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    review_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFacts:
    """An approved workflow or agent profile in force: what it may do, driven how, and whether the business stands or falls with it.
    `joins`: pairs of systems that its work moves between, both ways."""

    name: str
    version: int = 1
    scope: tuple[ScopeRule, ...] = ()
    drives: frozenset[Drive] = frozenset()
    designation: DesignationFacts | None = None
    joins: tuple[tuple[str, ...], ...] = ()

    def allows(self, action: str, resource: str) -> bool:
        return any(rule.allows(action, resource) for rule in self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """What a role is for: the workflows it belongs to, and what it may do in them. Both empty: its purpose is not known."""

    name: str
    workflows: frozenset[str] = frozenset()
    scope: tuple[ScopeRule, ...] = ()

    def allows(self, action: str, resource: str) -> bool:
        return any(rule.allows(action, resource) for rule in self.scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """One live session. `identity` is its own (a shared credential brings sessions of others in). `discovered`: nobody vouches for its role
    and workflow but itself or the detection. `origin` is an address, `application` what its client calls itself, `claimed_drive` what it
    says of who drives it. `cut_by`: the stages of the plan that would end it. `sign_due_at`: when its runtime promised its next sign of
    life."""

    id: str
    identity: str
    name: str = ""
    credential: str = ""
    role: str = ""
    workflow: str = ""
    tenant: str = ""
    environment: str = ""
    drive: Drive | None = None
    origin: str = ""
    started_at: datetime | None = None
    expires_at: datetime | None = None
    parent: str = ""
    discovered: bool = False
    designation: DesignationFacts | None = None
    cut_by: frozenset[Stage] = BOTH_STAGES
    application: str = ""
    claimed_drive: Drive | None = None
    sign_due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialUser:
    """Somebody who uses a credential: an identity, in a workflow. `protected`: the identity is."""

    identity: str
    identity_name: str = ""
    workflow: str = ""
    protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFacts:
    """What the identity acts with. `fingerprint_verified`: the leaked secret was compared with this credential's keyed fingerprint, and is
    it. `rotated_at` after `exposed_at` ends an exposure. `minter_stopped`: the session that made it was stopped by a containment, in words.
    `users`: all that inventory or recent sessions know to use it, itself included."""

    id: str
    kind: str = ""
    ephemeral: bool = False
    protected: bool = False
    honeytoken: bool = False
    expires_at: datetime | None = None
    exposed_at: datetime | None = None
    exposed_where: str = ""
    fingerprint_verified: bool = False
    rotated_at: datetime | None = None
    minted_by: str = ""
    minter_stopped: str = ""
    users: tuple[CredentialUser, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """What is acted on; `id` as its system calls it (`vault.card_tokens`). `sensitivity` None: not classified, the policy says what then.
    `honeytoken`: planted, so that nobody has business there. `system`: where it lives (a database, a mail service, an MCP server)."""

    id: str
    kind: str = ""
    name: str = ""
    sensitivity: Sensitivity | None = None
    admin_api: bool = False
    environment: str = ""
    tenant: str = ""
    honeytoken: bool = False
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFacts:
    """The observed, normalised verb. `new_right_used`: a right gained in a privilege change was used since."""

    name: str
    count: int = 1
    new_right_used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentFacts:
    """One value in the arguments of a call. `value` is masked where it may be a secret, and left out of free text. `kind`: address,
    credential, path, name or amount, empty for what says nothing about where something goes. `inside`: it was read out of a longer text.

    Where else it stood: in the task, in results of tools that the approved profile marks trusted, in content that the task itself points
    at (`in_named`), in other results. Content fetched from outside is never trusted.

    `broke`: the bounds that the whole value leaves, in words; empty for none, None where nobody compared it. `approved`: a bound that
    people approved lists or describes it."""

    name: str
    value: str = ""
    kind: str = ""
    inside: bool = False
    in_task: bool = False
    in_trusted: bool = False
    in_named: bool = False
    in_untrusted: bool = False
    broke: str | None = None
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """A call of a tool, asked about or reported. `writes` None: neither the approved profile nor the caller says whether it changes
    anything. `bytes` and `money` are what this call would move, `new_targets` how many places its session has not touched before. `cut`: it
    had more arguments than are looked at."""

    tool: str
    writes: bool | None = None
    arguments: tuple[ArgumentFacts, ...] = ()
    bytes: int = 0
    money: float = 0.0
    new_targets: int = 0
    environment: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """An approved tool, by name or pattern. `trusted`: what it returns may be acted on (never content fetched from outside). `kinds`: what
    its arguments are, where the profile says so: (argument, kind)."""

    name: str
    writes: bool = False
    trusted: bool = False
    kinds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRule:
    """What one argument of one tool may be. `approved`: people approved these values, so that none of them needs another reason."""

    tool: str
    argument: str
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] = ()
    like: str = ""
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRule:
    """How much of something a session may use: `calls`, `writes`, `bytes`, `money` or `targets`, per minute, hour, day or session. `used`
    is what went before the call that is judged. `of`: whose budget it is, where not the session's own; `new_targets`: how many places of
    the call are new to that one."""

    what: str
    per: str
    most: float
    used: float = 0.0
    of: str = ""
    new_targets: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentFacts:
    """What the session declared, inside the approved profile. Empty tuples: nothing was said about it, so that it is not compared.
    `has_task`: somebody said what the work is, so that a value which nobody named can be told apart; the text itself is not kept here.
    `tools_declared`: tools were approved once, so that an empty tuple of them means none. `within`: what it has to lie inside as well, at
    every call: its profile as that is in force now, and what the sessions that it works for may do; `of` says whose an intent is there.
    Bounds and budgets of all of them stand in its own."""

    has_task: bool = False
    profile: str = ""
    profile_version: int = 0
    tools: tuple[ToolRule, ...] = ()
    resources: tuple[str, ...] = ()
    bounds: tuple[BoundRule, ...] = ()
    budgets: tuple[BudgetRule, ...] = ()
    environments: tuple[str, ...] = ()
    tools_declared: bool = False
    of: str = ""
    within: tuple[IntentFacts, ...] = ()

    @property
    def layers(self) -> tuple[IntentFacts, ...]:
        """All that hold at once, its own first."""
        return (self, *self.within)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulingFacts:
    """What a scope rule said (allowed, denied or silent), its name, and a sentence."""

    answer: str
    rule: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFacts:
    """One window of the identity's request rate: what it holds now, and the band that this identity keeps to by itself. `observations`
    and `days` count earlier windows of this length in which it was active."""

    window: str
    count: float
    usual: float
    upper: float
    observations: int
    days: int = 0

    def __post_init__(self) -> None:
        for name in ("count", "usual", "upper"):
            object.__setattr__(self, name, float(getattr(self, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One earlier step of the same session, oldest first in a trail. `writes` None: nobody said."""

    action: str
    system: str = ""
    resource: str = ""
    tool: str = ""
    writes: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFacts:
    """What this identity usually does in this role, workflow and tenant; `of` says whose baseline it is, because a thin one falls back to
    the identity's own. `events` and `days`: how much it rests on; `pairs` and `moves`: how many steps could have shown another pair of
    actions or another system, on how many days. None: it cannot say."""

    of: str = "identity"
    events: int = 0
    days: int = 0
    resource_known: bool | None = None
    rates: tuple[RateFacts, ...] = ()
    pair_known: bool | None = None
    pairs: int = 0
    pair_days: int = 0
    systems_joined: bool | None = None
    moves: int = 0
    move_days: int = 0

    @property
    def whose(self) -> str:
        """For the beginning of a sentence."""
        return "This identity" if self.of == "identity" else f"This identity, in {self.of},"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFacts:
    """An exception grant. An empty scope field is any. Empty budgets are unlimited; `risk_left` is how much risk may still pass."""

    id: str
    starts_at: datetime
    ends_at: datetime
    identity: str = ""
    session: str = ""
    credential: str = ""
    action: str = ""
    resource: str = ""
    tenant: str = ""
    signals: frozenset[str] = frozenset()
    times_left: int | None = None
    risk_left: float | None = None

    def __post_init__(self) -> None:
        if self.risk_left is not None:
            object.__setattr__(self, "risk_left", float(self.risk_left))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A live run of this control on this identity. `waiting`: it waits for people, nothing but interim and evidence steps has run; `asks`
    is the reason of the hold that is open then. `credential_alone`: the hard stage of its frozen plan cuts the credential alone."""

    id: str
    stage: Stage
    waiting: bool = False
    state: str = ""
    asks: str = ""
    credential_alone: bool = False
    returning: bool = False  # it comes back level by level

    @property
    def may_rise(self) -> bool:
        """A run that waits stays what people are reading, and one that is being undone or needs a person goes nowhere by itself."""
        return not self.waiting and self.state not in ("undoing", "needs_human")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolOffFacts:
    """The last time that a person said no to this: rejected a hold or undid a run. `codes`: the signals that had fired then."""

    at: datetime
    word: str = "rejected"
    codes: frozenset[str] = frozenset()
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """One suspicious event of the case, as far as known. The event being judged is added by judgement itself."""

    session: str = ""
    workflow: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseFacts:
    """How much honest work of the last 7 days went through one session, workflow and credential."""

    session: str = ""
    workflow: str = ""
    credential: str = ""
    events: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFacts:
    """What happened before. `privilege_steps`: privilege changes of this identity in the last hour, this one included."""

    cool_off: CoolOffFacts | None = None
    privilege_steps: int = 0
    suspicious: tuple[EventFacts, ...] = ()
    use: tuple[UseFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The whole of what is judged.

    `sessions`: every live session of the identity, and of the credential's other users. `session`: the id of the one the detection names,
    if it is among them. `workflows` and `roles`: what is in force, for every name that identity, sessions and credential users mention.
    `observed`: findings that were made elsewhere. `call`, `intent`: the tool call, and what its session declared. `baseline`: what the
    identity usually does; `trail`: what its session did just before. `ruling`: the word of the policy's scope rules, where the guard asked
    them in the caller's own words; None, and judgement asks them in ours. `budget_left`: how many automatic containments the policy's
    budget still allows, the smallest of its limits. `generation`: above 0 for a decision taken anew with a named cause. No detection: an
    observed activity, or a call that the guard is asked about. No action: nothing was done yet (a credential reported leaked).
    `kill_switch`: where it stands, if it is on: no_new or nothing.
    `scoped`: the plan cuts sessions of a shared credential and leaves the credential alone. `credential_alone`: the plan has a measure
    that cuts the credential and nothing else. `locks_out`: whom or what we would lose with it, as a sentence; empty for nothing.
    """

    now: datetime
    identity: IdentityFacts
    detection: DetectionFacts | None = None
    action: ActionFacts | None = None
    resource: ResourceFacts | None = None
    credential: CredentialFacts | None = None
    session: str = ""
    sessions: tuple[SessionFacts, ...] = ()
    workflows: tuple[WorkflowFacts, ...] = ()
    roles: tuple[RoleFacts, ...] = ()
    grants: tuple[GrantFacts, ...] = ()
    run: RunFacts | None = None
    history: HistoryFacts = field(default_factory=HistoryFacts)
    observed: tuple[Finding, ...] = ()
    budget_left: int = 0
    generation: int = 0
    scoped: bool = False
    credential_alone: bool = True
    call: CallFacts | None = None
    intent: IntentFacts | None = None
    baseline: BaselineFacts | None = None
    trail: tuple[StepFacts, ...] = ()
    ruling: RulingFacts | None = None
    locks_out: str = ""
    kill_switch: str = ""

    @property
    def at(self) -> datetime:
        """When it happened; a message cannot date itself into the future."""
        return min(self.detection.occurred_at, self.now) if self.detection else self.now

    @property
    def own_sessions(self) -> tuple[SessionFacts, ...]:
        return tuple(session for session in self.sessions if session.identity == self.identity.id)

    @property
    def suspects(self) -> tuple[SessionFacts, ...]:
        """The session that the detection names, or else every live session of the identity."""
        named = tuple(session for session in self.own_sessions if session.id == self.session)
        return named or self.own_sessions

    @property
    def drive(self) -> Drive | None:
        """How the suspects are driven, where they agree."""
        drives = {session.drive for session in self.suspects if session.drive}
        return drives.pop() if len(drives) == 1 else None

    def workflow(self, name: str) -> WorkflowFacts | None:
        return next((workflow for workflow in self.workflows if name and workflow.name == name), None)

    def role(self, name: str) -> RoleFacts | None:
        return next((role for role in self.roles if name and role.name == name), None)


def lies_inside(address: str, networks: tuple[str, ...]) -> bool | None:
    """Whether `address` lies in one of `networks`; None where either is unknown or unreadable."""
    try:
        ip = ip_address(address.strip())
        ranges = [ip_network(network, strict=False) for network in networks]
    except ValueError:
        return None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in ranges) if ranges else None
