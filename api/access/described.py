"""What the description of the API says of /access/: those views are plain ones, so that nothing can be read off them."""

from __future__ import annotations

from typing import Any

from api.schema import PROBLEM

_PROPERTIES: dict[str, Any] = {"type": "object", "additionalProperties": True}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_SUBJECT = {"type": "object", "required": ["type", "id"], "properties": {"type": _TEXT, "id": _TEXT, "properties": _PROPERTIES}}
_ACTION = {"type": "object", "required": ["name"], "properties": {"name": _TEXT, "properties": _PROPERTIES}}
_ENTITIES = {"subject": _SUBJECT, "action": _ACTION, "resource": _SUBJECT, "context": _PROPERTIES}
_QUESTION = {"type": "object", "required": ["subject", "action", "resource"], "properties": _ENTITIES}
_ANSWER = {
    "type": "object",
    "required": ["decision"],
    "properties": {"decision": {"type": "boolean"}, "context": _PROPERTIES},
}
_SEMANTICS = {"type": "string", "enum": ["execute_all", "deny_on_first_deny", "permit_on_first_permit"]}
_QUESTIONS = {
    "type": "object",
    "properties": _ENTITIES
    | {
        "evaluations": {"type": "array", "maxItems": 100, "items": {"type": "object", "properties": _ENTITIES}},
        "options": {"type": "object", "properties": {"evaluations_semantic": _SEMANTICS}},
    },
}
_ANSWERS = {"type": "object", "properties": {"evaluations": {"type": "array", "items": _ANSWER}}}
_EXAMPLE = {
    "subject": {"type": "agent", "id": "invoice-agent"},
    "action": {"name": "tools/call", "properties": {"arguments": {"invoice": "2026-118"}}},
    "resource": {"type": "tool", "id": "ledger.read"},
    "context": {"session": "inv-1", "request_id": "0193-7"},
}
_MOMENT = {"type": "string", "format": "date-time"}
_FLAG = {"type": "boolean"}
_SUBMISSION = {
    "type": "object",
    "required": ["subject", "action", "resource", "denial"],
    "properties": _ENTITIES
    | {
        "denial": {
            "type": "object",
            "required": ["evaluation_id", "expires_at"],
            "properties": {"evaluation_id": _TEXT, "evaluated_at": _MOMENT, "reason": _TEXT, "expires_at": _MOMENT, "template": _TEXT},
        },
        "requested_access": {"type": "object", "properties": {"requested_until": _MOMENT, "emergency": _FLAG}},
        "client": _PROPERTIES,
    },
}
_TASK = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {
            "type": "object",
            "required": ["id", "status", "status_endpoint", "expires_at"],
            "properties": {"id": _TEXT, "status": _TEXT, "status_endpoint": _TEXT, "expires_at": _MOMENT},
            "additionalProperties": True,
        },
        "result": _PROPERTIES,
    },
}
_NAMES = {"provider": _TEXT, "subject": _TEXT, "because": {"type": "string"}}
_STOPPED = {"id": {"type": "string"}, "name": {"type": "string"}, "state": {"type": "string", "enum": ["paused", "restricted", "ended"]}}
_VIEW = {
    "type": "object",
    "required": ["view", "as_of", "provider", "contained", "sessions", "cut"],
    "properties": {
        "view": {**_TEXT, "description": "what the next poll sends as `after`"},
        "as_of": _MOMENT,
        "provider": {**_TEXT, "description": "of subjects for which the caller names none"},
        "contained": {"type": "array", "items": {"type": "object", "properties": _NAMES}},
        "sessions": {"type": "array", "items": {"type": "object", "properties": _STOPPED | _NAMES}},
        "cut": {**_FLAG, "description": "there is more than this; ask before each call"},
    },
}
_OUTCOME = {"type": "string", "enum": ["done", "failed", "cancelled", "not_done"]}
_MADE = {
    "outcome": _OUTCOME,
    "returned": {"type": "array", "items": {"type": "string"}},
    "bytes": {"type": "integer", "minimum": 0},
    "minted": {"type": "object", "required": ["kind", "id"], "properties": {"kind": _TEXT, "id": _TEXT}},
}
_OF_CALL = {
    "type": "object",
    "required": ["evaluation_id", "outcome"],
    "properties": {"evaluation_id": _TEXT, "request": _QUESTION, **_MADE},
}
_OF_UNASKED = {
    "type": "object",
    "required": ["unasked", "request", "decision", "mode"],
    "properties": {
        "unasked": {"const": True},
        "request": _QUESTION,
        "decision": _FLAG,
        "mode": {"type": "string", "enum": ["closed", "open", "contained"]},
        "at": _MOMENT,
        **_MADE,
    },
}
_CHANGE = {"server": _TEXT, "tool": _TEXT, "before": _TEXT, "after": _TEXT, "subject": _SUBJECT, "session": {"type": "string"}}
_OF_CHANGE = {
    "type": "object",
    "required": ["tool_changed"],
    "properties": {
        "tool_changed": {"type": "object", "required": ["server", "tool", "before", "after", "subject"], "properties": _CHANGE},
    },
}
_REPORTS = {
    "type": "object",
    "required": ["reports"],
    "properties": {"reports": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"anyOf": [_OF_CALL, _OF_UNASKED, _OF_CHANGE]}}},
}
_RESULT = {"index": {"type": "integer"}, "status": {"type": "integer"}, "evaluation_id": _TEXT, "detection": _TEXT, "duplicate": _FLAG}
_TAKEN = {
    "type": "object",
    "properties": {
        **{name: {"type": "integer"} for name in ("accepted", "duplicates", "refused")},
        "results": {"type": "array", "items": {"type": "object", "properties": _RESULT, "additionalProperties": True}},
    },
}
_DENIAL = {
    "evaluation_id": "019ab3f2-7c1e-7a54-9b0d-1f2e3d4c5b6a",
    "evaluated_at": "2026-11-22T10:00:00.000Z",
    "reason": "approval_required",
    "expires_at": "2026-11-22T10:10:00.000Z",
}
SUBMITTED = {**_EXAMPLE, "denial": _DENIAL, "requested_access": {"emergency": False}}
REPORTED = {
    "reports": [
        {"evaluation_id": _DENIAL["evaluation_id"], "outcome": "done", "returned": ["3 invoices"], "bytes": 812},
        {"unasked": True, "request": _EXAMPLE, "decision": True, "mode": "open", "at": "2026-11-22T10:00:00Z", "outcome": "done"},
        {
            "tool_changed": {
                "server": "files",
                "tool": "read_file",
                "before": f"sha256:{'a' * 64}",
                "after": f"sha256:{'b' * 64}",
                "subject": {"type": "agent", "id": "invoice-agent"},
            }
        },
    ]
}
SEEN = {
    "view": f"sha256:{'c' * 64}",
    "as_of": "2026-11-22T10:00:00.000Z",
    "provider": "holdfast",
    "contained": [{"provider": "holdfast", "subject": "invoice-agent", "because": "It is contained."}],
    "sessions": [],
    "cut": False,
}
_REFUSED = {
    "400": "No question of the Authorization API, or another content type.",
    "401": "No token, or not a good one.",
    "403": "Not with this token.",
    "413": "Too large.",
    "503": "Too many ask at once, or the database does not answer; try again.",
}


def add_access(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of the schema's generator."""
    result["paths"] |= {
        "/access/v1/evaluation": {"post": _asked("May this subject do this to that, now?", "evaluation", _QUESTION, _ANSWER)},
        "/access/v1/evaluations": {"post": _asked("Many questions at once", "evaluations", _QUESTIONS, _ANSWERS)},
        "/access/v1/requests": {"post": _submitted()},
        "/access/v1/requests/{handle}": {
            "get": _polled("What became of a request", "request", _TASK, [_HANDLE, _wait("Waits for its end.")])
        },
        "/access/v1/requests/{handle}/cancel": {"post": _cancelled()},
        "/access/v1/contained": {
            "get": _polled(
                "What is contained, and which sessions are stopped", "contained", _VIEW, [_AFTER, _AS_OF, _wait("For a change.")], SEEN
            )
        },
        "/access/v1/reports": {"post": _reported()},
        "/.well-known/authzen-configuration": {
            "get": {
                "operationId": "authzen_configuration",
                "summary": "What this decision point can do",
                "tags": ["access"],
                "security": [{}],
                "responses": {"200": _content("Where to ask", _PROPERTIES)},
            }
        },
    }
    return result


def _asked(summary: str, name: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    refused = _refusals(*_REFUSED)
    return {
        "operationId": f"access_{name}",
        "summary": summary,
        "description": "AuthZEN Authorization API 1.0. A no is an answer like any other: 200. Needs `guard.ask`.",
        "tags": ["access"],
        "security": [{"token": []}],
        "parameters": [{"in": "header", "name": "X-Request-ID", "schema": {"type": "string"}, "description": "comes back with the answer"}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": _EXAMPLE}}},
        "responses": {"200": _content("The answer", answer), **refused},
    }


_HANDLE = {"in": "path", "name": "handle", "required": True, "schema": _TEXT, "description": "the id of the task"}
_AS_OF = {"in": "query", "name": "as_of", "schema": {"type": "string", "format": "date-time"}, "description": "the as_of of that view"}
_AFTER = {"in": "query", "name": "after", "schema": {"type": "string"}, "description": "the view that the caller has"}


def _wait(words: str) -> dict[str, Any]:
    return {"in": "query", "name": "wait", "schema": {"type": "number", "minimum": 0, "maximum": 55}, "description": f"Seconds. {words}"}


def _submitted() -> dict[str, Any]:
    key = {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": 200}}
    said = _asked("Have people asked about a call that was held", "requests", _SUBMISSION, _TASK)
    answers = {status: _content(words, _TASK) for status, words in (("201", "It has ended already"), ("202", "People are asked"))}
    refused = {"409": "The key was used for another request.", "410": "The denial is too old. Ask the guard again."}
    return _of(said, "Repeats the call with the denial that was answered. Needs `guard.ask`.", SUBMITTED) | {
        "parameters": [*said["parameters"], key],
        "responses": answers | _refusals("400", "401", "403", "413", "503") | _refusals(**refused),
    }


def _cancelled() -> dict[str, Any]:
    said = _asked("Want it no longer", "request_cancel", {"type": "object"}, _TASK)
    refused = {"404": "No such task of yours.", "409": "It has ended already."}
    return _of(said, "Its asker does not need the answer any more. Needs `guard.ask`.", {}) | {
        "parameters": [*said["parameters"], _HANDLE],
        "responses": {"200": _content("The task", _TASK), **_refusals("400", "413", "401", "403", "503"), **_refusals(**refused)},
    }


def _reported() -> dict[str, Any]:
    said = _asked("What came of it", "reports", _REPORTS, _TAKEN)
    words = "Outcomes, calls that nobody was asked about, and tools that changed; one result for each, in order. Needs `guard.ask`."
    return _of(said, words, REPORTED)


def _polled(
    summary: str, name: str, answer: dict[str, Any], parameters: list[dict[str, Any]], example: dict[str, Any] | None = None
) -> dict[str, Any]:
    told = _content("As it stands", answer)
    if example:
        told["content"]["application/json"]["example"] = example
    return {
        "operationId": f"access_{name}",
        "summary": summary,
        "description": "A long poll, where it says how long to wait. Needs `guard.ask`.",
        "tags": ["access"],
        "security": [{"token": []}],
        "parameters": parameters,
        "responses": {"200": told, **_refusals("400", "401", "403", "503")}
        | (_refusals(**{"404": "No such task of yours.", "410": "It ended long ago."}) if _HANDLE in parameters else {}),
    }


def _of(said: dict[str, Any], words: str, example: dict[str, Any]) -> dict[str, Any]:
    body = {**said["requestBody"]["content"]["application/json"], "example": example}
    return {**said, "description": words, "requestBody": {"required": True, "content": {"application/json": body}}}


def _refusals(*usual: str, **others: str) -> dict[str, Any]:
    words = {status: _REFUSED[status] for status in usual} | others
    return {status: _content(said, PROBLEM, "application/problem+json") for status, said in words.items()}


def _content(words: str, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": words, "content": {media: {"schema": schema}}}
