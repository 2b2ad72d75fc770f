"""drive_mismatch: a person at the wheel of a script's account, or the reverse; by what a session is known to be, says or shows.

What a session shows (its client's own name) and what it says of itself may raise suspicion; neither ever clears it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

from containment.domain.facts import USUAL_DRIVE, Drive, Facts, Finding, SessionFacts

BY_HAND = (
    *("psql*", "pgadmin*", "dbeaver*", "datagrip*", "tableplus*", "mysql workbench*", "sqlplus*", "ssms*", "mongosh*", "redis-cli*"),
    *(
        "bash*",
        "zsh*",
        "ssh*",
        "openssh*",
        "putty*",
        "mozilla/*",
        "chrome*",
        "firefox*",
        "safari*",
        "postman*",
        "insomnia*",
        "aws-console*",
    ),
)
BY_SCRIPT = (
    *("python-requests/*", "python-httpx/*", "aiohttp/*", "boto3/*", "botocore/*", "aws-sdk-*", "go-http-client/*", "okhttp/*", "axios/*"),
    *("node-fetch*", "java/*", "apache-httpclient/*", "terraform/*", "ansible*", "github-actions*", "gitlab-runner*", "jenkins*"),
)
BY_LIBRARY = 0.5


def drive_mismatch(facts: Facts) -> Finding | None:
    usual = USUAL_DRIVE[facts.identity.kind]
    known = facts.drive
    vouched = bool(facts.suspects) and not any(session.discovered for session in facts.suspects)
    for drive, strength, how in _seen(facts, known, usual):
        if drive is not usual and not (vouched and _approved(facts, drive)):
            because = f"{how}; for a {facts.identity.kind.replace('_', ' ')} {usual} is usual."
            evidence = {"drive": str(drive), "usual": str(usual), "seen": how}
            return Finding(code="drive_mismatch", strength=strength, because=because, evidence=evidence)
    if known is not None and vouched:
        evidence = {"drive": str(known), "usual": str(usual)}
        return Finding(code="drive_mismatch", strength=0.0, because=f"It is driven as it should be ({known}).", evidence=evidence)
    return None


@lru_cache(maxsize=1024)
def shown(application: str) -> Drive | None:
    """How a client that calls itself so is driven, as far as its name tells."""
    name = application.strip().lower()
    if any(fnmatchcase(name, pattern) for pattern in BY_HAND):
        return Drive.HUMAN
    return Drive.SCRIPT if any(fnmatchcase(name, pattern) for pattern in BY_SCRIPT) else None


def _seen(facts: Facts, known: Drive | None, usual: Drive) -> list[tuple[Drive, float, str]]:
    """What is known, then what every session at hand says or shows alike: one of several may be the honest one.

    Agents and scripts use the same libraries, so that one tells nothing about an agent; a person with a library may be a person at work.
    """
    found = [(known, 1.0, f"The drive is {known}")] if known is not None else []
    if said := _alike([session.claimed_drive for session in facts.suspects]):
        found.append((said, 1.0, f"Its client says that the drive is {said}"))
    seen = _alike([shown(session.application) for session in facts.suspects])
    names = ", ".join(sorted({session.application for session in facts.suspects}))
    if seen is Drive.HUMAN:
        found.append((seen, 1.0, f"It acts through {names}, which a person drives"))
    elif seen is Drive.SCRIPT and usual is Drive.HUMAN:
        found.append((seen, BY_LIBRARY, f"It acts through {names}, which a script drives"))
    return found


def _alike(drives: list[Drive | None]) -> Drive | None:
    return drives[0] if drives and len(set(drives)) == 1 else None


def _approved(facts: Facts, drive: Drive) -> bool:
    workflows = [_workflow_drives(facts, session) for session in facts.suspects]
    return all(drives is not None and drive in drives for drives in workflows)


def _workflow_drives(facts: Facts, session: SessionFacts) -> frozenset[Drive] | None:
    workflow = facts.workflow(session.workflow)
    return workflow.drives if workflow is not None else None
