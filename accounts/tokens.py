"""Service tokens: issuing, finding, revoking.

`hf_`, 30 base62 characters (178 bits), and 6 more with the CRC-32 of all before: a scanner recognises a leaked token without asking us,
and a mistyped one costs no query. The digest is looked up by its unique index, so nothing compares secrets character by character.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db.models import DateTimeField, Q
from django.db.models.functions import Now, TruncMinute

from accounts.models import LONGEST_TOKEN_LIFE, Person, ServiceToken
from accounts.roles import Scope
from audit import clock
from audit.record import record, story
from core.actor import Actor
from core.refs import Ref
from core.refusals import BadInput, Fault, Missing, Refusal

PREFIX = "hf_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{36}}", re.ASCII)
IDENTITY = re.compile(r"identity:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
USUAL_LIFE = timedelta(days=90)


class TokenRefused(Refusal):
    kind = "unauthenticated"


class TokenMalformed(TokenRefused):
    code = "token_malformed"


class TokenUnknown(TokenRefused):
    code = "token_unknown"


class TokenExpired(TokenRefused):
    code = "token_expired"


class TokenRevoked(TokenRefused):
    code = "token_revoked"


@story
def issue(
    *,
    name: str,
    owner: Person,
    scopes: Iterable[str],
    actor: Actor,
    source: str = "",
    speaks_for: str = "",
    life: timedelta = USUAL_LIFE,
) -> tuple[ServiceToken, str]:
    """The row, and the text of the token, which nobody can read again. `speaks_for`: the identity that it is bound to."""
    wanted = sorted(set(scopes))
    if faults := _faults(wanted, source, speaks_for, life):
        raise BadInput(faults)
    text = _make()
    now = clock.now()
    token = ServiceToken.objects.create(
        name=name,
        digest=digest_of(text),
        shown=f"{text[:7]}…{text[-4:]}",
        owner=owner,
        scopes=wanted,
        source=source,
        speaks_for=speaks_for,
        created_at=now,
        expires_at=now + life,
    )
    bound = [Ref.parse(speaks_for)] if speaks_for else []
    record("token.issued", token.ref, actor=actor, about=[owner.ref, *bound], name=name, scopes=", ".join(wanted), source=source)
    return token, text


def find(text: str) -> ServiceToken:
    """The token that `text` is, noted as used; or a refusal that says what is wrong with it."""
    if not well_formed(text):
        raise TokenMalformed("This is not one of our tokens: it is incomplete or mistyped.")
    rows = ServiceToken.objects.select_related("owner").annotate(now=Now(), minute=TruncMinute(Now(), output_field=DateTimeField()))
    return good(rows.filter(digest=digest_of(text)).first())


def good(token: ServiceToken | None) -> ServiceToken:
    """The token, noted as used, or what is wrong with it. Whoever read it brought `now` and `minute` with it."""
    if token is None:
        raise TokenUnknown("No such token.")
    if token.revoked_at is not None:
        raise TokenRevoked(f"This token was revoked at {token.revoked_at:%Y-%m-%d %H:%M} UTC.")
    if not token.owner.is_active:
        raise TokenRevoked("This token ended when its owner left.")
    if token.expires_at <= token.now:  # type: ignore[attr-defined]  # outside a transaction, which a request is here, this is the moment of the question
        raise TokenExpired(f"This token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC.")
    _note_use(token)
    return token


@story
def revoke(token_id: UUID, *, actor: Actor) -> ServiceToken:
    """At once: nothing caches tokens. Revoking twice changes nothing."""
    token = ServiceToken.objects.select_for_update().filter(pk=token_id).first()
    if token is None:
        raise Missing("No such token.")
    if token.revoked_at is None:
        token.revoked_at = clock.now()
        token.save(update_fields=["revoked_at"])
        record("token.revoked", token.ref, actor=actor, name=token.name)
    return token


def well_formed(text: str) -> bool:
    return SHAPE.fullmatch(text) is not None and text[-6:] == _checksum(text[:-6])


def _make() -> str:
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(30))
    return body + _checksum(body)


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _note_use(token: ServiceToken) -> None:
    minute = token.minute  # type: ignore[attr-defined]
    if token.last_used_at is None or token.last_used_at < minute:
        unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=minute)
        ServiceToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=minute)


def _faults(scopes: list[str], source: str, speaks_for: str, life: timedelta) -> list[Fault]:
    known = {scope.value for scope in Scope}
    faults = [Fault("scopes", "unknown_scope", f"{scope} is not a scope.") for scope in scopes if scope not in known]
    if not scopes:
        faults.append(Fault("scopes", "required", "A token needs at least one scope."))
    if Scope.DETECTIONS_WRITE in scopes and not source:
        faults.append(Fault("source", "required", "A token that posts detections speaks for one source."))
    if speaks_for and source:
        faults.append(Fault("source", "not_both", "A token speaks for one agent or for a source."))
    if speaks_for and not IDENTITY.fullmatch(speaks_for):
        faults.append(Fault("speaks_for", "wrong_form", "An identity of the inventory is needed here."))
    if not timedelta(0) < life <= LONGEST_TOKEN_LIFE:
        faults.append(Fault("life", "out_of_range", "A token lives for at most a year."))
    return faults
