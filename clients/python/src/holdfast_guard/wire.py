"""What is sent and how answers are read, without a socket: the one place that knows the formats.

A question is an AuthZEN evaluation. Its request id goes with every try, so that the service gives the same verdict however often it is
asked. An answer that cannot be understood is no answer; a yes that contradicts itself, or comes with conditions nobody can read, is a no.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from holdfast_guard import plain
from holdfast_guard.words import SERVICE, Subject, Task, Verdict

EVALUATION = "/access/v1/evaluation"
REQUESTS = "/access/v1/requests"
REPORTS = "/access/v1/reports"
CONTAINED = "/access/v1/contained"
SESSIONS = "/api/v1/sessions"

SMALL, LARGE = 1024 * 1024, 16 * 1024 * 1024
BUSY = (408, 425, 429, 503)  # it says that it cannot answer now, which is no answer
MOST_KEPT = 64 * 1024
LONGEST_ID = 200
AROUND = 8  # levels around the arguments of a call


@dataclass(frozen=True)
class Sent:
    """One request. `most`: how many bytes its answer may have."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    most: int = SMALL
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Got:
    """An answer. `status` 0: there was none, and `failure` says why in our own words."""

    status: int = 0
    body: bytes = field(default=b"", repr=False)
    failure: str = ""
    retry_after: float | None = None

    @property
    def answered(self) -> bool:
        """The service itself said something, yes or no."""
        return 200 <= self.status < 500 and self.status not in BUSY


# -- questions ----------------------------------------------------------------------------------------------------------------------------


def evaluation(
    subject: Subject,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    action: str,
    resource: Mapping[str, Any] | None,
    writes: bool | None,
    session: str,
    context: Mapping[str, Any],
    approval: Mapping[str, Any],
    request_id: str,
    supported: Sequence[str],
) -> dict[str, Any]:
    """The body of a question."""
    said: dict[str, Any] = {"request_id": request_id, **plain.plain(context)}
    if session:
        said["session"] = plain.text(session)
    if approval:
        said["approval"] = plain.plain(approval)
    if supported:
        said["supported_obligations"] = list(supported)
    properties = {"tool": plain.text(tool), "arguments": plain.plain(arguments)}
    if writes is not None:  # where nobody said it here, the agent's profile does
        properties["writes"] = writes
    return {
        "subject": plain.plain(subject.to_json()),
        "action": {"name": plain.text(action), "properties": properties},
        "resource": plain.plain(resource) if resource else {"type": "tool", "id": plain.text(tool)},
        "context": said,
    }


def unsayable(request_id: str, said: Mapping[str, Any]) -> str:
    """Why this cannot be asked as it is; empty if it can."""
    if request_id and not (request_id.isascii() and request_id.isprintable() and len(request_id) <= LONGEST_ID):
        return f"A request id has at most {LONGEST_ID} characters of ASCII that can be printed."
    return next((why for name, value in said.items() if (why := plain.unsayable(value, name))), "")


def asked(body: Mapping[str, Any], request_id: str) -> Sent:
    return Sent("POST", EVALUATION, plain.encoded(body), {"X-Request-ID": request_id})


def submitted(verdict: Verdict, context: Mapping[str, Any], key: str = "") -> Sent:
    """Ask people about a call that was held. The same denial asks once, however often it is sent."""
    request, denied = verdict.request, verdict.access_request
    denial = {"evaluation_id": verdict.evaluation_id, "reason": verdict.reason}
    given = {name: denied[name] for name in ("expires_at", "binding_token", "template") if denied.get(name)}
    evaluated = {"evaluated_at": verdict.context["evaluated_at"]} if verdict.context.get("evaluated_at") else {}
    lasts = {"expires_at": verdict.expires_at} if verdict.expires_at and "expires_at" not in given else {}
    body = {
        **{name: request[name] for name in ("subject", "action", "resource") if name in request},
        "context": {**request.get("context", {}), **plain.plain(context)},
        "denial": {**denial, **evaluated, **lasts, **given},
    }
    return Sent(
        "POST", REQUESTS, plain.encoded(plain.plain(body, -AROUND)), {"Idempotency-Key": key or verdict.evaluation_id or verdict.request_id}
    )


def task_asked(task: Task, path: str, wait_s: float) -> Sent:
    return Sent("GET", path or f"{REQUESTS}/{quote(task.id, safe='')}", query={"wait": f"{wait_s:g}"})


def reported(items: Sequence[bytes]) -> Sent:
    """Each was encoded when it was kept."""
    return Sent("POST", REPORTS, b'{"reports":[' + b",".join(items) + b"]}", most=LARGE)


def contained_asked(view: str, wait_s: float, as_of: str = "") -> Sent:
    """`view` and its `as_of`: what we have. Another process of the service may have told it, and know more than the one that is asked."""
    seen = {"as_of": as_of} if as_of else {}
    return Sent("GET", CONTAINED, query={"after": view, "wait": f"{wait_s:g}", **seen}, most=LARGE)


def session_sent(method: str, handle: str = "", body: Mapping[str, Any] | None = None) -> Sent:
    path = f"{SESSIONS}/{quote(handle, safe='')}" if handle else SESSIONS
    return Sent(method, path, plain.encoded(plain.plain(body)) if body is not None else b"")


# -- answers ------------------------------------------------------------------------------------------------------------------------------


def verdict_of(got: Got, request: Mapping[str, Any], request_id: str, supported: Sequence[str]) -> Verdict | None:
    """None: that was no answer. What is refused as such (wrong token, broken request, redirect) is a no, not a failure."""
    if not got.answered:
        return None
    if got.status != 200:
        return _refused(got, request, request_id)
    try:
        said = _read(got.body)
    except _Twice:
        return _contradictory(request, request_id, "a name came more than once")
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("decision"), bool):
        return None
    context = said.get("context")
    if not isinstance(context, dict | None):
        return None
    if said["decision"] and (why := _contradicts(context or {})):
        return _contradictory(request, request_id, why)
    return _verdict(said["decision"], context or {}, request, request_id, supported)


def _contradicts(context: Mapping[str, Any]) -> str:
    """Why a yes with this is none."""
    if context.get("verdict") not in (None, "allow"):
        return "its verdict is another one"
    duties = context.get("obligations")
    if duties is None:
        return ""
    readable = isinstance(duties, list) and all(isinstance(duty, dict) and _word(duty.get("type")) for duty in duties)
    return "" if readable else "its obligations cannot be read"


def _contradictory(request: Mapping[str, Any], request_id: str, why: str) -> Verdict:
    return Verdict(
        decision=False,
        reason="guard_answer_contradictory",
        said_by=SERVICE,
        request_id=request_id,
        verdict="deny",
        for_user="This cannot be done now: the check before it gave an answer that cannot be relied on. Nothing was done.",
        for_admin=f"The guard's answer is not to be relied on: {why}.",
        request=request,
    )


def _verdict(decision: bool, context: dict[str, Any], request: Mapping[str, Any], request_id: str, supported: Sequence[str]) -> Verdict:
    said = context.get("obligations")
    duties = tuple(duty for duty in said if isinstance(duty, dict)) if isinstance(said, list) else ()
    beyond_us = [str(duty.get("type")) for duty in duties if duty.get("type") not in supported]
    reason, for_user = _word(context.get("reason")), _in_english(context.get("reason_user"))
    if decision and beyond_us:  # the standard: who cannot carry out an obligation treats the answer as a no
        decision, reason = False, "obligation_not_supported"
        for_user = f"It was allowed on a condition that cannot be met here: {', '.join(beyond_us)}."
    wait, access = context.get("retry_after"), context.get("access_request")
    return Verdict(
        decision=decision,
        reason=reason or ("allowed" if decision else "denied"),
        said_by=SERVICE,
        request_id=request_id,
        evaluation_id=_word(context.get("evaluation_id")),
        verdict=_word(context.get("verdict")) or ("allow" if decision else "deny"),
        for_user=for_user,
        for_admin=_in_english(context.get("reason_admin")),
        risk=_number(context.get("risk")) or 0.0,
        expires_at=_word(context.get("expires_at")),
        retry_after=_number(wait),
        hold=_word(context.get("hold")),
        would_have=_word(context.get("would_have")),
        access_request=access if isinstance(access, dict) else {},
        obligations=duties,
        request=request,
        context=context,
    )


def _refused(got: Got, request: Mapping[str, Any], request_id: str) -> Verdict:
    code, detail = problem_of(got)
    reasons = {401: "guard_token_refused", 403: "guard_token_refused"}
    return Verdict(
        decision=False,
        reason="guard_misconfigured" if got.status < 400 else reasons.get(got.status, "guard_refused_request"),
        said_by=SERVICE,
        request_id=request_id,
        verdict="deny",
        for_user="This cannot be done now: the check before it is not set up rightly. Whoever runs this agent has to look at it.",
        for_admin=f"The guard answered {got.status} {code}: {detail}",
        request=request,
    )


def problem_of(got: Got) -> tuple[str, str]:
    """The code and the sentence of a no, as far as it has them."""
    if got.status < 400:
        return "unexpected_answer", "This is not what the guard answers; redirects are not followed. Is the address right?"
    said = read(got.body)
    if not isinstance(said, dict):
        return "refused", "The service refused."
    faults = [one for one in said.get("errors") or () if isinstance(one, dict)][:5] if isinstance(said.get("errors"), list) else []
    where = "".join(f" {one.get('path')}: {one.get('detail')}" for one in faults)
    return _word(said.get("code")) or "refused", ((_word(said.get("detail")) or "The service refused.") + where)[:1000]


def task_of(got: Got) -> Task | None:
    said = read(got.body)
    if not isinstance(said, dict):
        return None
    told = said.get("task", said)
    if not isinstance(told, dict) or not _word(told.get("id")) or not _word(told.get("status")):
        return None
    result = said.get("result") or told.get("result")
    approval = result.get("approval") if isinstance(result, dict) else None
    shown = told.get("display")
    display = shown if isinstance(shown, dict) else {}
    return Task(
        id=_word(told["id"]),
        status=_word(told["status"]),
        status_endpoint=_word(told.get("status_endpoint")),
        expires_at=_word(told.get("expires_at")),
        title=_word(display.get("title")),
        description=_word(display.get("description")),
        approval=approval if isinstance(approval, dict) else {},
    )


def results_of(got: Got, count: int) -> list[dict[str, Any]] | None:
    """What became of each report. None: that was not an answer to this."""
    said = read(got.body) if got.status == 200 else None
    results = said.get("results") if isinstance(said, dict) else None
    if not isinstance(results, list) or len(results) != count or not all(isinstance(one, dict) for one in results):
        return None
    return results


class _Twice(ValueError):  # noqa: N818 - names what came
    """Two readers could read it in two ways."""


def read(body: bytes) -> Any:
    """None where it is no JSON, however it is broken, and where a name comes twice."""
    try:
        return _read(body)
    except (ValueError, RecursionError):
        return None


def _read(body: bytes) -> Any:
    return json.loads(body, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice
    return made


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _word(value: Any) -> str:
    return plain.text(value) if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else None


def _in_english(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("en") or next((said for said in value.values() if isinstance(said, str)), "")
    return value[:4000] if isinstance(value, str) else ""
