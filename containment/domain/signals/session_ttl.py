"""session_ttl: it acted beyond the life of its session or credential, or with a credential whose maker was stopped. Less where the session
is in its time, but its runtime has missed a sign of life that it promised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from containment.domain.facts import Facts, Finding

GRACE = timedelta(seconds=60)  # clocks of senders differ from ours
SILENT = 0.5


def session_ttl(facts: Facts) -> Finding | None:
    if facts.action is None:
        return None
    ends = {f"Session {session.name or session.id}": session.expires_at for session in facts.suspects}
    if facts.credential is not None:
        ends["The credential"] = facts.credential.expires_at
    over = [f"{what} ended at {end:%Y-%m-%d %H:%M}" for what, end in ends.items() if end is not None and end + GRACE < facts.at]
    if over:
        because = f"{'; '.join(over)}, and it acted at {facts.at:%Y-%m-%d %H:%M}."
        return Finding(code="session_ttl", strength=1.0, because=because, evidence={"over": over})
    return _of_a_stopped_session(facts) or _silent(facts) or _in_time(facts, ends)


def _of_a_stopped_session(facts: Facts) -> Finding | None:
    if facts.credential is None or not facts.credential.minter_stopped:
        return None
    stopped = facts.credential.minter_stopped
    because = f"The credential was made by {stopped}, and is used all the same."
    return Finding(
        code="session_ttl", strength=1.0, because=because, evidence={"minted_by": facts.credential.minted_by, "stopped": stopped}
    )


def _silent(facts: Facts) -> Finding | None:
    missed = [
        f"Session {session.name or session.id} promised a sign of life by {session.sign_due_at:%Y-%m-%d %H:%M:%S} and gave none"
        for session in facts.suspects
        if session.sign_due_at is not None and session.sign_due_at + GRACE < facts.at
    ]
    if not missed:
        return None
    because = f"{'; '.join(missed)}, and it acts."
    return Finding(code="session_ttl", strength=SILENT, because=because, evidence={"missed": missed})


def _in_time(facts: Facts, ends: Mapping[str, datetime | None]) -> Finding | None:
    if ends and None not in ends.values() and not any(session.discovered for session in facts.suspects):
        return Finding(code="session_ttl", strength=0.0, because="Session and credential were both in their time.")
    return None
