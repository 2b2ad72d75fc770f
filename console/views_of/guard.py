"""Calls that agents asked about, as pages show them: one in a line, one with both its sides, and an hour counted up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unicodedata import category
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet

from approvals.models import Hold
from audit import clock
from console.filters import Option
from console.views_of.things import is_id
from containment.models import Decision, Identity, Session
from guard import verdicts
from guard.answers import Reason
from guard.models import GuardCall
from sources.asking import Ask

HOUR = timedelta(hours=1)
MOST_COUNTED = 20_000  # of an hour: a count that took longer than the hour's news would not be news
MOST_LOOKED_AT = 20_000  # among how many calls one is searched by what no index knows
MOST_OFFERED = 2_000  # the newest calls, whose agents and tools are offered as filters
MOST_OPTIONS = 60
MOST_REASONS = 6
NOBODY_IN_PARTICULAR = Ask(kind="", provider="", subject="", subject_type="", action="", action_name="")
MOST_AGENTS = 8

VERDICTS = {"allow": "Allowed", "deny": "Denied", "hold": "Held", "unasked": "Unasked"}
DEFIED = "defied"
NARROWINGS = VERDICTS | {DEFIED: "Done in spite of the answer"}
CARRIED_OUT = Q(outcome__in=("done", "failed")) & ~Q(verdict="allow")
TONES = {"allow": "ok", "deny": "hot", "hold": "warn", "unasked": "accent"}
ICONS = {"allow": "check", "deny": "ban", "hold": "clock-pause", "unasked": "link-off"}
REASONS = {
    Reason.ALLOWED: "nothing speaks against it",
    Reason.BY_RULE: "a rule of the policy allows it",
    Reason.EXEMPT: "an exception covers it",
    Reason.APPROVED: "people allowed exactly this",
    Reason.CONTAINED: "the agent is contained",
    Reason.PAUSED: "its session is paused",
    Reason.RESTRICTED: "its session is restricted",
    Reason.ENDED: "its session has ended",
    Reason.EXPIRED: "its session has expired",
    Reason.OUTSIDE: "outside what was approved",
    Reason.BY_POLICY: "the policy forbids it",
    Reason.UNKNOWN_SESSION: "no session that we know",
    Reason.HELD: "a person decides",
    Reason.APPROVAL_EXPIRED: "its approval is over",
    Reason.APPROVAL_ELSEWHERE: "its approval is about something else",
    Reason.APPROVAL_PENDING: "its approval waits for a person",
    Reason.APPROVAL_UNVERIFIABLE: "its approval is not one of ours",
}
OUTCOMES = {"done": "done", "failed": "it failed", "cancelled": "cancelled on the way", "not_done": "not done"}
SAID = {"allow": "It was told to go on", "deny": "It was told no", "hold": "It was told to wait for people"}
OBSERVED = {"deny": "would have been denied", "hold": "would have been held"}


@dataclass(frozen=True, slots=True)
class Row:
    """One call in a list. `state` is the verdict, or that nobody could be asked."""

    id: UUID
    url: str
    name: str
    kind: str
    session: str
    did: str
    on: str
    state: str
    tone: str
    why: str
    outcome: str
    defied: bool
    risk: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Hour:
    """The last hour in numbers. `cut`: there were more calls than are counted, and the newest count."""

    counts: dict[str, int]
    cut: bool
    defied: int = 0
    reasons: Sequence[tuple[str, int]] = ()
    agents: Sequence[tuple[Identity, int, int]] = ()

    @property
    def all(self) -> int:
        return sum(self.counts.values())

    @property
    def tiles(self) -> list[tuple[str, str, int, str]]:
        return [(state, words, self.counts[state], TONES[state] if self.counts[state] else "") for state, words in VERDICTS.items()]


@dataclass(frozen=True, slots=True)
class Stream:
    """What the list shows: which calls, in which narrowing, and where it goes on. `query` is the narrowing as an address has it."""

    rows: Sequence[Row]
    hour: Hour
    shown: str
    agent: str
    tool: str
    session: str
    session_name: str
    query: str
    further: str
    first: str
    chips: Sequence[tuple[str, str, int, str]]
    agents: Sequence[Option] = ()
    tools: Sequence[Option] = ()

    @property
    def narrowed(self) -> bool:
        return bool(self.shown or self.agent or self.tool or self.session)

    @property
    def live(self) -> bool:
        """The first page follows what happens; a page further back stays what it is."""
        return not self.first


@dataclass(frozen=True, slots=True)
class Card:
    """One call with both its sides: what the agent was told, and what we know."""

    call: GuardCall
    title: str
    identity: Identity | None
    session: Session | None
    state: str
    tone: str
    icon: str
    words: str
    why: str
    observed: str
    defied: bool
    said: str
    answer: str
    retry_after: int | None
    may_ask: bool
    decision: Decision | None
    hold: Hold | None
    writes: str
    outcome: str
    chained: str
    valid: bool


def state_of(call: GuardCall) -> str:
    return call.verdict if call.asked else "unasked"


def words_of(call: GuardCall) -> str:
    """“allowed”, or what it did when it could not ask."""
    if call.asked:
        return VERDICTS[call.verdict].lower()
    return "unasked, went ahead" if call.verdict == "allow" else "unasked, stopped itself"


def why_of(call: GuardCall) -> str:
    if not call.asked:
        return "Holdfast did not answer in time"
    said = REASONS.get(Reason(call.reason), call.reason) if call.reason in set(Reason) else call.reason.replace("_", " ")
    return f"{OBSERVED[call.would_have]}: only watching" if call.would_have in OBSERVED else said


def is_defied(call: GuardCall) -> bool:
    """Carried out although it was refused."""
    return call.verdict != "allow" and call.outcome in ("done", "failed")


def outcome_of(call: GuardCall) -> str:
    if is_defied(call):
        return "done in spite of the answer" if call.outcome == "done" else "tried in spite of the answer, and failed"
    return OUTCOMES.get(call.outcome, call.outcome.replace("_", " "))


def rows_of(calls: Iterable[GuardCall]) -> list[Row]:
    """Two queries for all the names in them."""
    shown = list(calls)
    identities = Identity.objects.in_bulk({call.identity for call in shown})
    sessions = Session.objects.in_bulk({call.session for call in shown if call.session})
    made = []
    for call in shown:
        identity, session = identities.get(call.identity), sessions.get(call.session) if call.session else None
        state = state_of(call)
        made.append(
            Row(
                id=call.pk,
                url=f"/guard/calls/{call.pk}/",
                name=identity.label if identity else "an agent that is gone",
                kind=identity.kind if identity else "ai_agent",
                session=session.external_id if session else "",
                did=call.tool or call.action,
                on=_on(call),
                state=words_of(call),
                tone="warn" if state == "allow" and call.would_have else TONES[state],
                why=why_of(call),
                outcome=outcome_of(call),
                defied=is_defied(call),
                risk=call.risk,
                at=call.asked_at,
            )
        )
    return made


# -- an hour ------------------------------------------------------------------------------------------------------------------------------


def hour(*, agent: str = "", session: str = "", tool: str = "", closely: bool = False) -> Hour:
    """Counts of the last hour, in one look at its newest calls; `closely`: and why calls were stopped, and who called."""
    calls = GuardCall.objects.filter(asked_at__gte=clock.now() - HOUR)
    calls = calls.filter(session=session) if session else calls.filter(identity=agent) if agent else calls
    wanted = _of_tool(tool) if tool else Q()
    counted: dict[str, Any] = calls.order_by("-asked_at")[:MOST_COUNTED].aggregate(
        looked_at=Count("pk"),
        oldest=Min("asked_at"),
        unasked=Count("pk", filter=wanted & Q(asked=False)),
        defied=Count("pk", filter=wanted & CARRIED_OUT),
        **{verdict: Count("pk", filter=wanted & Q(asked=True, verdict=verdict)) for verdict in VERDICTS if verdict != "unasked"},
    )
    counts = {verdict: counted[verdict] for verdict in VERDICTS}
    cut = counted["looked_at"] >= MOST_COUNTED
    if not closely or not counted["looked_at"]:
        return Hour(counts, cut, counted[DEFIED])
    looked_at = calls.filter(wanted, asked_at__gte=counted["oldest"])
    return Hour(counts, cut, counted[DEFIED], _reasons(looked_at), _agents(looked_at))


def _reasons(calls: QuerySet[GuardCall]) -> list[tuple[str, int]]:
    stopped = calls.filter(asked=True).exclude(verdict="allow").values_list("reason").annotate(count=Count("pk")).order_by("-count")
    return [(REASONS.get(reason, reason.replace("_", " ")), count) for reason, count in stopped[:MOST_REASONS]]


def _agents(calls: QuerySet[GuardCall]) -> list[tuple[Identity, int, int]]:
    stopped = Count("pk", filter=Q(asked=True) & ~Q(verdict="allow"))
    busiest = list(calls.values_list("identity").annotate(count=Count("pk"), stopped=stopped).order_by("-count")[:MOST_AGENTS])
    named = Identity.objects.in_bulk([key for key, _, _ in busiest])
    return [(named[key], count, no) for key, count, no in busiest if key in named]


# -- a list -------------------------------------------------------------------------------------------------------------------------------


def narrow(calls: QuerySet[GuardCall], *, verdict: str = "", agent: str = "", tool: str = "", session: str = "") -> QuerySet[GuardCall]:
    """Those calls. What no index knows is looked for among the newest."""
    if agent:
        calls = calls.filter(identity=agent)
    if session:
        calls = calls.filter(session=session)
    if (verdict or tool) and not (agent or session):
        oldest = GuardCall.objects.order_by("-pk").values_list("pk", flat=True)[MOST_LOOKED_AT : MOST_LOOKED_AT + 1].first()
        calls = calls.filter(pk__gt=oldest) if oldest else calls
    if tool:
        calls = calls.filter(_of_tool(tool))
    if verdict == DEFIED:
        calls = calls.filter(CARRIED_OUT)
    elif verdict:
        calls = calls.filter(asked=False) if verdict == "unasked" else calls.filter(asked=True, verdict=verdict)
    return calls


def options(agent: str, tool: str) -> tuple[list[Option], list[Option]]:
    """Agents and tools of the newest calls, and those that are chosen already."""
    newest = GuardCall.objects.order_by("-pk").values_list("identity", "tool", "action")[:MOST_OFFERED]
    seen = list(newest)
    keys = list(dict.fromkeys([*([UUID(agent)] if is_id(agent) else []), *(key for key, _, _ in seen)]))[:MOST_OPTIONS]
    named = Identity.objects.in_bulk(keys)
    agents = sorted(((str(key), named[key].label) for key in keys if key in named), key=lambda option: option[1].lower())
    tools = list(dict.fromkeys([*([tool] if tool else []), *(name or action for _, name, action in seen)]))[:MOST_OPTIONS]
    return agents, [(name, _short(name)) for name in sorted(tools)]


def _of_tool(tool: str) -> Q:
    return Q(tool=tool) | Q(tool="", action=tool)


# -- one call -----------------------------------------------------------------------------------------------------------------------------


def card(call: GuardCall) -> Card:
    identity = Identity.objects.filter(pk=call.identity).first()
    session = Session.objects.filter(pk=call.session).first() if call.session else None
    decided = Decision.objects.select_related("case", "run", "policy").filter(detection_id=call.detection) if call.detection else None
    decision = decided.order_by("-generation").first() if decided is not None else None
    hold = Hold.objects.filter(pk=call.hold).first() if call.hold else None
    answer = answer_of(call)
    state = state_of(call)
    return Card(
        call=call,
        title=f"{VERDICTS[state]}: {_short(call.tool or call.action)}",
        identity=identity,
        session=session,
        state=state,
        tone="warn" if state == "allow" and call.would_have else TONES[state],
        icon=ICONS[state],
        words=words_of(call),
        why=why_of(call),
        observed=OBSERVED.get(call.would_have, ""),
        said=_said(call),
        answer=_plain(json.dumps(answer, indent=2, ensure_ascii=False)) if call.asked else "",
        retry_after=answer["context"].get("retry_after"),
        may_ask=call.asked and (call.reason == Reason.HELD or bool(answer["context"].get("access_request"))),
        decision=decision,
        hold=hold,
        writes={True: "yes", False: "no, it reads", None: "nobody said, so it counts as a write"}[call.writes],
        outcome=outcome_of(call),
        defied=is_defied(call),
        chained=_chained(call),
        valid=call.verdict == "allow" and call.expires_at > clock.now(),
    )


def answer_of(call: GuardCall) -> dict[str, Any]:
    """The answer as the agent got it. Not kept, and so not in it: how old our view was, and obligations that its runtime said it knows."""
    if call.reason in set(Reason):
        return verdicts.again(call, NOBODY_IN_PARTICULAR).to_json()
    return {"decision": call.verdict == "allow", "context": {"evaluation_id": str(call.pk), "reason": call.reason}}


def _said(call: GuardCall) -> str:
    """What is so, in one sentence."""
    if not call.asked:
        did = "did it all the same" if call.verdict == "allow" else "left it"
        return f"Holdfast did not answer in time, so the agent {did}, as it had declared for this tool, and told us afterwards."
    return f"{SAID[call.verdict]}: {why_of(call)}."


def _chained(call: GuardCall) -> str:
    if call.verdict != "allow" or not call.asked:
        return "by itself, with the answer"
    return f"in batch {call.batch}, with other allowed calls" if call.batch else "due: allowed calls enter it together, every second"


def _on(call: GuardCall) -> str:
    """“table vault.card_tokens”; nothing where the resource is the tool itself."""
    if call.resource_kind == "tool" and call.resource in {"", call.tool}:
        return ""
    return " ".join(part for part in (call.resource_kind, call.resource) if part)


def _plain(text: str) -> str:
    """The same JSON, with what would turn or hide letters written as its escape."""
    return "".join(f"\\u{ord(sign):04x}" if category(sign) in {"Cf", "Cc"} and sign != "\n" else sign for sign in text)


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
