"""Trace: what an agent or an identity did, call by call, in one form whatever file it came from; and what a team would approve for it.

Nothing here looks at an attack. A profile is made from the tools that the agent has, a declaration from what the user asked.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The verbs of looking. Every other tool counts as one that changes something, as it does where a profile says nothing.
_LOOKS = frozenset(
    [
        *("get", "read", "list", "search", "find", "look", "lookup", "check", "show", "view", "fetch", "query", "describe", "count"),
        *("calculate", "think", "browse", "inspect", "retrieve", "summarize", "verify"),
    ]
)
# What carries words that somebody else wrote: results with them are content from outside, never trusted.
_CONTENT = frozenset(
    [
        *("web", "webpage", "page", "site", "website", "url", "internet", "email", "mail", "inbox", "message", "chat", "file", "document"),
        *("review", "comment", "post", "note", "transaction", "event", "calendar", "ticket", "feed", "article", "news", "attachment"),
    ]
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`said`: what the user said just before. `returned`: the text of the result. `injected`: it belongs to the attack."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    returned: str = ""
    said: str = ""
    injected: bool = False
    writes: bool | None = None
    resource: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`task_id` is the work that the user asked for: traces of one task stay in one half. `harmful` is the first call that does harm;
    None in a benign trace. `task` is what the user said before the first call."""

    dataset: str
    task_id: str
    name: str
    calls: tuple[Call, ...]
    task: str = ""
    harmful: int | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    declared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def apart(self) -> bool:
        """In the half that nobody looked at while the rules were written."""
        return zlib.crc32(f"{self.dataset}/{self.task_id}".encode()) % 2 == 1


def words(name: str) -> list[str]:
    """The words of a tool's name, singular where that is a matter of one letter."""
    found = [word.lower() for word in _WORD.findall(name)]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


def looks_only(tool: str) -> bool:
    """By the verb that its name begins with."""
    return bool(first := words(tool)[:1]) and first[0] in _LOOKS


def brings_content(tool: str, description: str = "") -> bool:
    return bool(_CONTENT & {*words(tool), *words(description)})


def tools(names: Iterable[str], descriptions: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """A profile's list, as somebody would write it who reads the names and descriptions of the tools and nothing else."""
    said = descriptions or {}
    return [
        {"name": name, "writes": not looks_only(name), "trusted": looks_only(name) and not brings_content(name, said.get(name, ""))}
        for name in sorted(set(names))
    ]


def planned(profile: Mapping[str, Any], plan: Iterable[str], task: str) -> dict[str, Any]:
    """What a runtime declares that plans before it reads: the user's words, every tool that only reads, and the changes that the task
    needs."""
    needed = set(plan)
    return {"task": task, "tools": [tool["name"] for tool in profile["tools"] if not tool["writes"] or tool["name"] in needed]}
