"""Would it lock us out? Pure: whose word would be missing, who could still repair a system, and whether it is one of ours.

The answer is a clause for the page, and a fact of the judgement (`Facts.locks_out`): decide treats it like protection (sentence 2).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - names of this host, compared and never bound
USUAL_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True)
class Asked:
    """An open hold, or the one that would open: who may answer it, by principal, and how many of them it takes. `answered`: who did."""

    title: str
    quorum: int
    eligible: Collection[str]
    answered: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Ours:
    """A login of our own: at which host and port, as whom, and what we would be without. No host: wherever a subject is called so."""

    user: str
    without: str
    host: str = ""
    port: int = 0
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What containing one identity would take away. `people`: whose account it is. `administrators`: who can still repair its system,
    with those left out that are contained already. `names`: (provider, subject) of all it is called; `places`: where a provider's
    connector reaches, as host and port."""

    subject: str
    names: Sequence[tuple[str, str]]
    people: Collection[str] = ()
    holds: Sequence[Asked] = ()
    administrators: Sequence[tuple[str, str]] = ()
    ours: Sequence[Ours] = ()
    places: Sequence[tuple[str, str, int]] = ()


def folded(name: str) -> str:
    """How two spellings of one name are compared. A system that tells them apart loses nothing: a person is asked once more."""
    return unicodedata.normalize("NFKC", name).strip().strip('"').casefold()


def locks_out(standing: Standing) -> str:
    """What would be missing, as a whole sentence without its full stop; empty where nothing would. The gravest comes first."""
    return _one_of_ours(standing) or _last_administrator(standing) or _nobody_left(standing)


def place_of(url: str) -> tuple[str, int]:
    """Host and port of an address; of this host under any of its names, the host is empty."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    host = (parts.hostname or "").casefold()
    return ("" if host in LOCAL else host), port or USUAL_PORTS.get(parts.scheme.partition("+")[0], 0)


def login_of(url: str, without: str) -> Ours | None:
    """Who logs in with this address; None where it names nobody."""
    user = unquote(urlsplit(url).username or "")
    host, port = place_of(url)
    return Ours(user=user, without=without, host=host, port=port) if user else None


def _one_of_ours(standing: Standing) -> str:
    for provider, subject in standing.names:
        places = {(host, port) for name, host, port in standing.places if name == provider}
        for login in standing.ours:
            if folded(login.user) == folded(subject) and (login.anywhere or (login.host, login.port) in places):
                return f"{standing.subject} is one of ours: without it we would be without {login.without}"
    return ""


def _last_administrator(standing: Standing) -> str:
    mine = {(provider, folded(subject)) for provider, subject in standing.names}
    for provider in dict.fromkeys(provider for provider, _ in standing.names):
        there = {(where, folded(subject)) for where, subject in standing.administrators if where == provider}
        if there and there <= mine:
            return f"{standing.subject} is the last administrator of {provider} who is not contained: nobody could repair it"
    return ""


def _nobody_left(standing: Standing) -> str:
    gone = frozenset(standing.people)
    for hold in standing.holds if gone else ():
        if _can_be_answered(hold, hold.eligible) and not _can_be_answered(hold, frozenset(hold.eligible) - gone):
            return f"{standing.subject} is the account of somebody without whom nobody could answer the hold about {hold.title}"
    return ""


def _can_be_answered(hold: Asked, people: Iterable[str]) -> bool:
    return len({*people, *hold.answered}) >= hold.quorum
