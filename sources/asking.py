"""A question of an agent runtime, in our words: may this subject do this to that, with these arguments?

Every reader of one makes an Ask. Everything in it is what the caller says, not what is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """`subject_type`, `action_name` and `resource_type` are the caller's own words, which scope rules compare. `kind`, `provider`,
    `subject`, `action`, `resource_kind` and `resource` are ours, which judgement compares: a name that we have a verb for became that verb.
    `session` is the id of a registered session, or the client's own name for it. `writes` None: the caller did not say. `approval` is what
    it was given when people allowed this before.
    """

    kind: str
    provider: str
    subject: str
    subject_type: str
    subject_properties: Mapping[str, Any] = field(default_factory=dict)
    action: str
    action_name: str
    action_properties: Mapping[str, Any] = field(default_factory=dict)
    resource_kind: str = ""
    resource: str = ""
    resource_type: str = ""
    resource_properties: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    writes: bool | None = None
    bytes: int = 0
    money: float = 0.0
    minted_kind: str = ""
    minted_id: str = ""
    session: str = ""
    environment: str = ""
    tenant: str = ""
    source_ip: str = ""
    role: str = ""
    workflow: str = ""
    request: str = ""
    approval: Mapping[str, Any] = field(default_factory=dict)
    can_carry_out: tuple[str, ...] = ()  # obligations that the caller says it supports
    context: Mapping[str, Any] = field(default_factory=dict)
