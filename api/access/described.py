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
    refused = {status: _content(words, PROBLEM, "application/problem+json") for status, words in _REFUSED.items()}
    return {
        "operationId": f"access_{name}",
        "summary": summary,
        "description": "AuthZEN Authorization API 1.0. A no is an answer like any other: 200. Takes the scope guard.ask.",
        "tags": ["access"],
        "parameters": [{"in": "header", "name": "X-Request-ID", "schema": {"type": "string"}, "description": "comes back with the answer"}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": _EXAMPLE}}},
        "responses": {"200": _content("The answer", answer), **refused},
    }


def _content(words: str, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": words, "content": {media: {"schema": schema}}}
