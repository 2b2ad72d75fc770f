"""One thing that somebody did, as a feed, the guard or a detection tells it. What baselines learn from and sessions are charged with.

Pure data. It names things as outside systems call them; whose event it is, the caller knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`count`: how often, where a feed has added up. `resource` is the outside key, `system` where it lives (or the tool's own server);
    `session` is the session's key here, empty for none. `writes` None: nobody said whether it changes anything. `arguments` of a tool
    call, `returned`: the text values of its result, for whoever asks later where an argument came from.
    """

    occurred_at: datetime
    action: str
    count: int = 1
    resource_kind: str = ""
    resource: str = ""
    system: str = ""
    tool: str = ""
    writes: bool | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    bytes: int = 0
    money: float = 0.0
    returned: tuple[str, ...] = ()
    session: str = ""
