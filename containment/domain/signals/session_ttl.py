"""session_ttl: it acted beyond the life of its session or credential."""

from __future__ import annotations

from datetime import timedelta

from containment.domain.facts import Facts, Finding

GRACE = timedelta(seconds=60)  # clocks of senders differ from ours


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
    if ends and None not in ends.values() and not any(session.discovered for session in facts.suspects):
        return Finding(code="session_ttl", strength=0.0, because="Session and credential were both in their time.")
    return None
