"""Reads questions of the AuthZEN Authorization API 1.0: subject, action, resource and context in, an Ask out, or every fault with its path.

What the standard does not know is ignored, as it says. Members that we add (a tool and its arguments, whether it writes, a session, an
approval) are read strictly: one that is misread would be judged as if it had not been said. A role, a tenant and the like are claims, and
one of another type than text is as good as not said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from core.names import trouble_with
from core.refusals import BadInput, Fault
from sources.asking import Ask
from sources.native import KINDS, MOST_ARGUMENTS, MOST_MOVED

PROVIDER = "holdfast"  # of a subject for which nobody says another
MOST_AT_ONCE = 100
LONGEST = 500
LONGEST_CLAIM = 200
MOST_OBLIGATIONS = 50
MINTS = "token.mint"
DEFAULTS = ("subject", "action", "resource", "context")

_KINDS: Mapping[str, str] = {kind: kind for kind in KINDS} | {
    "user": "human",
    "person": "human",
    "agent": "ai_agent",
    "service": "service_account",
}
_VERBS: tuple[tuple[str, str], ...] = (
    ("tools/call", "tool.call"),
    ("resources/read", "data.read"),
    ("prompts/get", "data.read"),
    *((word, "data.read") for word in ("read", "get", "list", "search", "GET", "HEAD", "can_read*")),
    *((word, "data.write") for word in ("write", "update", "create", "POST", "PUT", "PATCH", "can_create*", "can_update*")),
    *((word, "data.delete") for word in ("delete", "DELETE", "can_delete*")),
)
_OURS = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_ASTRAY = re.compile(r"[\x00-\x1f\x7f]")


class Malformed(BadInput):
    """Not a question of the Authorization API. Its clients are told 400."""

    code = "malformed"
    kind = "malformed"


class Semantic(StrEnum):
    """Which of many questions are answered."""

    ALL = "execute_all"
    FIRST_DENY = "deny_on_first_deny"
    FIRST_PERMIT = "permit_on_first_permit"


@dataclass(frozen=True, slots=True)
class Several:
    """Many questions at once: each as it stands with the defaults in it, not yet read."""

    questions: tuple[Any, ...]
    semantic: Semantic


def read(body: Any, *, provider: str = PROVIDER) -> Ask:
    """Malformed when the body is no question; it then carries all faults. `provider`: of a subject that names none."""
    reader = _Reader()
    ask = reader.ask(body, provider)
    if reader.faults or ask is None:
        raise Malformed(reader.faults)
    return ask


def several(body: Any) -> Several | None:
    """The questions of a batch, each member of an item standing whole for the default of that name. None: it holds no batch, and is one
    question by itself."""
    if not isinstance(body, dict):
        raise Malformed([Fault("", "wrong_type", "A request is a JSON object.")])
    items = body.get("evaluations", [])
    if not isinstance(items, list):
        raise Malformed([Fault("evaluations", "wrong_type", "A list of evaluations is needed here.")])
    semantic = _semantic(body)
    if len(items) > MOST_AT_ONCE:
        raise Malformed([Fault("evaluations", "too_many", f"At most {MOST_AT_ONCE} evaluations fit into one request.")])
    if not items:
        return None
    defaults = {name: body[name] for name in DEFAULTS if name in body}
    if faults := [Fault(name, "wrong_type", "An object is needed here.") for name in defaults if not isinstance(body[name], dict)]:
        raise Malformed(faults)
    return Several(tuple({**defaults, **item} if isinstance(item, dict) else item for item in items), semantic)


def _semantic(body: Mapping[str, Any]) -> Semantic:
    options = body.get("options", {})
    if not isinstance(options, dict):
        raise Malformed([Fault("options", "wrong_type", "An object is needed here.")])
    said = options.get("evaluations_semantic", Semantic.ALL)  # of any type
    if said not in list(Semantic):
        raise Malformed([Fault("options.evaluations_semantic", "unknown_value", f"Must be one of {', '.join(Semantic)}.")])
    return Semantic(said)


def kind_of(subject_type: str) -> str:
    """Whatever is not known for something else is the kind that is watched most closely here."""
    return _KINDS.get(subject_type, "ai_agent")


def names_a_kind(subject_type: str) -> bool:
    return subject_type in _KINDS


def verb_of(action_name: str) -> str:
    """Our verb for the caller's word; a word that we have none for stays, as far as a verb may look like it."""
    if _OURS.fullmatch(action_name):
        return action_name
    return next((verb for word, verb in _VERBS if fnmatchcase(action_name, word)), action_name)


class _Reader:
    """Collects faults while it reads."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, path: str, code: str, detail: str) -> None:
        self.faults.append(Fault(path, code, detail))

    def ask(self, body: Any, provider: str) -> Ask | None:
        if not isinstance(body, dict):
            self.fault("", "wrong_type", "A request is a JSON object.")
            return None
        subject, action, resource = (self.object(body, name) for name in ("subject", "action", "resource"))
        context = self.object(body, "context", needed=False)
        whose, how, what = (
            self.object(one, "properties", f"{name}.properties", needed=False)
            for name, one in (("subject", subject), ("action", action), ("resource", resource))
        )
        subject_type, subject_id = self.name(subject, "subject", "type"), self.name(subject, "subject", "id")
        action_name = self.name(action, "action", "name")
        resource_type, resource_id = self.name(resource, "resource", "type"), self.name(resource, "resource", "id")
        tool = self.tool(how, resource_id if resource_type == "tool" else "")
        made: dict[str, Any] = {
            "kind": kind_of(subject_type),
            "provider": _claim(whose, "provider") or provider,
            "subject": subject_id,
            "subject_type": subject_type,
            "subject_properties": whose,
            "action": verb_of(action_name),
            "action_name": action_name,
            "action_properties": how,
            "resource_kind": resource_type,
            "resource": resource_id,
            "resource_type": resource_type,
            "resource_properties": what,
            "system": _claim(what, "system"),
            "tool": tool,
            "arguments": self.arguments(how, context),
            "writes": self.flag(how, "writes"),
            "bytes": int(self.amount(how, "bytes", int)),
            "money": float(self.amount(how, "money", int | float)),
            **self.minted(how.get("minted"), verb_of(action_name)),
            "session": self.text(context, "session", "context.session") or self.text(whose, "session", "subject.properties.session"),
            "environment": _claim(context, "environment"),
            "tenant": _claim(context, "tenant"),
            "source_ip": _claim(context, "source_ip"),
            "role": _claim(context, "role"),
            "workflow": _claim(context, "workflow"),
            "request": self.text(context, "request_id", "context.request_id"),
            "approval": self.object(context, "approval", "context.approval", needed=False) if context.get("approval") is not None else {},
            "can_carry_out": self.obligations(context),
            "context": context,
        }
        return None if self.faults else Ask(**made)

    def object(self, holder: Mapping[str, Any], name: str, path: str = "", *, needed: bool = True) -> dict[str, Any]:
        if name not in holder:
            if needed:
                self.fault(path or name, "missing", "This member is needed.")
            return {}
        if not isinstance(holder[name], dict):
            self.fault(path or name, "wrong_type", "An object is needed here.")
            return {}
        found: dict[str, Any] = holder[name]
        return found

    def name(self, holder: Mapping[str, Any], of: str, member: str) -> str:
        """A type, id or name, which the standard asks for. Whoever holds nothing was told so already."""
        path, value = f"{of}.{member}", holder.get(member)
        if member not in holder:
            if not any(fault.path == of for fault in self.faults):
                self.fault(path, "missing", "This member is needed.")
        elif not isinstance(value, str):
            self.fault(path, "wrong_type", "A text is needed here.")
        elif not value.strip():
            self.fault(path, "blank", "It may not be empty.")
        elif len(value) > (LONGEST if member == "id" else LONGEST_CLAIM):
            self.fault(path, "too_long", f"At most {LONGEST if member == 'id' else LONGEST_CLAIM} characters.")
        elif trouble := trouble_with(value):
            self.fault(path, *trouble)
        else:
            return value
        return ""

    def text(self, holder: Mapping[str, Any], member: str, path: str, longest: int = LONGEST_CLAIM) -> str:
        value = holder.get(member)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > longest or _ASTRAY.search(value):
            self.fault(path, "wrong_type", f"A text of at most {longest} characters is needed here.")
            return ""
        return value.strip()

    def tool(self, how: Mapping[str, Any], called: str) -> str:
        """The one tool of the call, wherever it is named: what rules are asked about is what judgement compares."""
        said, called = self.text(how, "tool", "action.properties.tool", 300), called.strip()
        if said and called and said != called:
            self.fault("action.properties.tool", "conflict", "The resource names another tool. A call has one.")
        return said or called

    def flag(self, how: Mapping[str, Any], member: str) -> bool | None:
        value = how.get(member)
        if not isinstance(value, bool | None):
            self.fault(f"action.properties.{member}", "wrong_type", "true or false is needed here.")
            return None
        return value

    def amount(self, how: Mapping[str, Any], member: str, kinds: Any) -> float:
        value = how.get(member)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value <= MOST_MOVED:
            self.fault(f"action.properties.{member}", "out_of_range", "A number that is not under zero is needed here.")
            return 0
        return value  # type: ignore[no-any-return]

    def arguments(self, how: Mapping[str, Any], context: Mapping[str, Any]) -> Mapping[str, Any]:
        path, value = "action.properties.arguments", how.get("arguments")
        if value is None:
            path, value = "context.arguments", context.get("arguments")
        if value is None:
            return {}
        if not isinstance(value, dict) or len(value) > MOST_ARGUMENTS:
            self.fault(path, "wrong_type", f"An object with at most {MOST_ARGUMENTS} members is needed here.")
            return {}
        return value

    def minted(self, value: Any, verb: str) -> dict[str, str]:
        """The credential that a token.mint is to make. Its id may be the secret itself: no more than a keyed fingerprint of it is kept."""
        if value is None:
            return {}
        if verb != MINTS or not is_minted(value):
            self.fault("action.properties.minted", "wrong_type", "With the action token.mint: an object of kind and id of the credential.")
            return {}
        return {"minted_kind": value["kind"], "minted_id": value["id"]}

    def obligations(self, context: Mapping[str, Any]) -> tuple[str, ...]:
        value = context.get("supported_obligations")
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > MOST_OBLIGATIONS or not all(isinstance(one, str) for one in value):
            self.fault("context.supported_obligations", "wrong_type", f"A list of at most {MOST_OBLIGATIONS} names is needed here.")
            return ()
        return tuple(value)


def is_minted(value: Any) -> bool:
    """An object of just a kind and an id, both of them texts."""
    if not isinstance(value, dict) or set(value) != {"kind", "id"}:
        return False
    longest = {"kind": 50, "id": LONGEST}
    return all(isinstance(said, str) and 0 < len(said) <= longest[name] and not _ASTRAY.search(said) for name, said in value.items())


def _claim(holder: Mapping[str, Any], member: str) -> str:
    value = holder.get(member)
    return value.strip() if isinstance(value, str) and len(value) <= LONGEST_CLAIM and not _ASTRAY.search(value) else ""
