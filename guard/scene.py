"""The scene of a question: everything around the asker, read in one statement. What stands in it is as it was when the question came.

Nothing is remembered that may change: the rows come afresh each time, as text, and only what was made of exactly this text before is used
again. So an answer rests on no older view than its own, and a containment counts from the moment it is committed. Documents and policies
are remembered by their ids; a version never changes.

This file and quick.py speak to psycopg directly: Django binds parameters on the client, so that its statements are planned anew each time,
and planning these costs more than running them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection, models

from containment import gather, policies
from containment.baselines import Book, Line, Part
from containment.domain import trail as trails
from containment.domain.policy import RiskPolicy
from containment.domain.trail import Trail
from containment.gather import Rows, Surroundings
from containment.models import (
    Credential,
    CredentialUse,
    Designation,
    Identity,
    Resource,
    RiskPolicyVersion,
    Session,
    SessionUse,
    Source,
    WorkDocument,
)
from containment.session_use import Approved
from guard import lines
from playbooks.domain.moves import LIVE
from sources.base import Reading

Row = TypeVar("Row", bound=models.Model)

REMEMBERED = 2_000  # scenes of so many sessions, in each process
MOST_OF_EACH = gather.MOST_SESSIONS  # beyond so many sessions, documents and users of a credential others take the time
SIGN_EVERY_S = 30  # a session that asks is alive; it is noted so often


@dataclass(frozen=True, slots=True)
class Known:
    """The rows around an identity, and what they say."""

    identity: Identity
    sessions: Mapping[UUID, Session]
    documents: Mapping[str, Sequence[WorkDocument]]
    source: Source
    around: Surroundings
    plain: bool  # neither discovered nor cut off at a limit, and its source observes nobody


@dataclass(slots=True)
class Scene:
    """`windows`, `step`: what the session used, and the number of its last step, as they were read; whoever writes them back says so.
    `use` None: nothing was counted for this session yet. `fading`: it is time to note that the session is alive."""

    now: datetime
    known: Known
    session: Session
    policy: RiskPolicy
    policy_version: int
    resource: Resource | None
    approved: Approved
    use: SessionUse | None
    windows: str
    trail_id: int
    step: int
    book: Book
    fading: bool


def statement(cursor: psycopg.Cursor[Any], query: str, parameters: Mapping[str, Any]) -> psycopg.Cursor[Any]:
    return cursor.execute(query.encode(), parameters, prepare=not settings.POOLED)


@contextmanager
def cursor() -> Iterator[psycopg.Cursor[Any]]:
    """In the web server on a line of our own, else on Django's connection, in whatever transaction that is."""
    with connection.wrap_database_errors:
        if settings.PROCESS == "web" and not connection.in_atomic_block and not settings.POOLED:
            with lines.borrowed() as line:
                yield psycopg.Cursor(line)
            return
        connection.ensure_connection()
        raw = connection.connection
        if raw.prepare_threshold is None and not settings.POOLED:
            raw.prepare_threshold = 5  # Django's own cursors never prepare, whatever stands here
        yield psycopg.Cursor(raw)


def read(reading: Reading, source: str, request: tuple[str, str], at: psycopg.Cursor[Any]) -> Scene | None:
    """None where anything is not plainly fine, or is not there yet: whoever has the time looks closer. `request`: whose, and its name."""
    asked = {
        "provider": reading.identity_provider,
        "subject": reading.identity_subject,
        "session": reading.session,
        "source": source,
        "resource_kind": reading.resource_kind,
        "resource": reading.resource_id,
        "principal": request[0],
        "request": request[1],
    }
    found = statement(at, _SCENE, asked).fetchone()
    if found is None:
        return None
    now, quiet, fading, around, resource, policy_id, last_no, acting, used, trail, baselines = found
    if not quiet or policy_id is None or trail is None:
        return None
    policy, version = policy_of(policy_id)
    if last_no is not None and last_no > now - policy.cool_off:
        return None
    known = known_of(around)
    session = known.sessions.get(acting)
    if not known.plain or session is None or not _is_the_one(reading.session, session, known):
        return None
    trail_id, trail_at, kept = trail
    kept = json.loads(kept)
    path = trails.restored(kept, newest_at=_moment(trail_at), loose=False, now=now)
    return Scene(
        now=now,
        known=known,
        session=session,
        policy=policy,
        policy_version=version,
        resource=resource_of(resource) if resource else None,
        approved=_approved(session, known),
        use=_used(session, used),
        windows=used[0] if used else "",
        trail_id=int(trail_id),
        step=kept.get("number", 0),
        book=_book(policy, now, (str(known.identity.pk), str(session.pk)), path, baselines),
        fading=fading,
    )


def _used(session: Session, used: Sequence[str] | None) -> SessionUse | None:
    if used is None:
        return None
    return SessionUse(session=session, windows=json.loads(used[0]), marks=int(used[1]), full_at=_moment(used[2]))


def _is_the_one(named: str, session: Session, known: Known) -> bool:
    """A session that is not named is the only one that its identity has."""
    if named:
        return named in (session.external_id, str(session.pk))
    return gather.only_session(known.identity.pk, known.sessions.values()) is session


def _approved(session: Session, known: Known) -> Approved:
    name = str(session.intent.get("profile") or session.workflow)
    return Approved(session.intent, next(iter(known.documents.get(name, ())), None) if name else None)


def _book(policy: RiskPolicy, now: datetime, line: Line, path: Trail, baselines: str | None) -> Book:
    book = Book(policy, now)
    book.trails[line] = path
    for row in json.loads(baselines) if baselines else ():
        part: Part = (line[0], row["role"], row["workflow"], row["tenant"])
        columns = {"events": row["events"], "newest_at": _moment(row["newest_at"]), "oldest_at": _moment(row["oldest_at"])}
        book.put(part, UUID(row["id"]), row["learned"], **columns)
    return book


# -- made of text, once for each text --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=REMEMBERED)
def known_of(text: str) -> Known:
    said = json.loads(text)
    identity = _made(Identity, said["identity"])
    users = [_use(one) for one in said["users"] or ()]
    uses = [_made(CredentialUse, one) for one in said["uses"] or ()]
    sessions = [_made(Session, one) for one in said["sessions"] or ()]
    designations = [_made(Designation, one) for one in said["designations"] or ()]
    names = gather.work_named(uses, users, sessions, designations)
    documents: dict[str, list[WorkDocument]] = {}
    for key in said["documents"] or ():
        document = document_of(UUID(key))
        documents.setdefault(document.name, []).append(document)
    in_force = [one for several in documents.values() for one in several if one.name in names]
    source = _made(Source, said["source"])
    rows = Rows(
        identity=identity,
        uses=uses,
        credential=_made(Credential, said["credential"]) if said["credential"] else None,
        users=users,
        sessions=sessions,
        designations=designations,
        documents=sorted(in_force, key=lambda one: (one.kind, one.name)),
        answered_for=gather.has_owner_of_its_own(identity) or said["fallback"],
    )
    return Known(
        identity=identity,
        sessions={one.pk: one for one in sessions if one.identity_id == identity.pk and one.discovered_at is None},
        documents=documents,
        source=source,
        around=gather.surroundings(rows),
        plain=identity.discovered_at is None
        and source.state == "active"
        and max(len(sessions), len(documents), len(users)) < MOST_OF_EACH
        and not (said["credential"] or {}).get("minted_by_id"),  # whether the session that made it was stopped does not stand in the text
    )


@lru_cache(maxsize=REMEMBERED)
def resource_of(text: str) -> Resource:
    return _made(Resource, json.loads(text))


@lru_cache(maxsize=8)
def policy_of(version_id: UUID) -> tuple[RiskPolicy, int]:
    version = RiskPolicyVersion.objects.get(pk=version_id)
    return policies.document(version.text), version.version


@lru_cache(maxsize=REMEMBERED)
def document_of(document_id: UUID) -> WorkDocument:
    return WorkDocument.objects.get(pk=document_id)


def _use(row: dict[str, Any]) -> CredentialUse:
    """Of somebody, as far as is shown of them."""
    who = Identity(id=UUID(row["identity_id"]), provider=row.pop("provider"), subject=row.pop("subject"), protected=row.pop("protected"))
    made = _made(CredentialUse, row)
    made.identity = who
    return made


def _made(model: type[Row], row: Mapping[str, Any]) -> Row:
    """A row of ours out of PostgreSQL's own JSON of it. A column that was left out is not looked at."""
    return model(**{field.attname: _value(field, row[str(field.column)]) for field in model._meta.concrete_fields if field.column in row})


def _value(field: models.Field[Any, Any], said: Any) -> Any:
    if said is None:
        return None
    kind = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(kind, models.UUIDField):
        return UUID(said)
    return _moment(said) if isinstance(kind, models.DateTimeField) else said


def _moment(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said) if said else None


_LIVE = ", ".join(f"'{state}'" for state in sorted(LIVE))


def is_free(called: str) -> str:
    """No run is about that identity, and no question to people."""
    return f"""NOT EXISTS (SELECT FROM run WHERE identity_ref = {called} AND state IN ({_LIVE}))
            AND NOT EXISTS (SELECT FROM hold WHERE identity_ref = {called} AND state = 'open')"""  # noqa: S608 - words of ours


_SCENE = f"""
    WITH RECURSIVE who AS MATERIALIZED (
        SELECT * FROM identity WHERE provider = %(provider)s::text AND subject = %(subject)s::text AND merged_into_id IS NULL
    ), acting AS MATERIALIZED (
        SELECT s.* FROM session s
        WHERE s.identity_id = (SELECT id FROM who) AND s.ended_at IS NULL AND s.discovered_at IS NULL
            AND (%(session)s::text = '' OR s.external_id = %(session)s::text OR s.id::text = %(session)s::text)
        ORDER BY s.last_seen_at DESC, s.id LIMIT 1
    ), uses AS MATERIALIZED (
        SELECT * FROM credential_use WHERE identity_id = (SELECT id FROM who)
    ), its AS MATERIALIZED (
        SELECT * FROM credential
        WHERE id = (SELECT (array_agg(credential_id))[1] FROM uses HAVING count(DISTINCT credential_id) = 1)
    ), users AS MATERIALIZED (
        SELECT u.*, i.provider, i.subject, i.protected FROM credential_use u JOIN identity i ON i.id = u.identity_id
        WHERE u.credential_id = (SELECT id FROM its)
    ), sessions AS MATERIALIZED (
        SELECT * FROM session
        WHERE (identity_id = (SELECT id FROM who) OR credential_id = (SELECT id FROM its)) AND ended_at IS NULL
            AND (discovered_at IS NULL OR last_seen_at > clock_timestamp() - interval '1 hour')
        ORDER BY last_seen_at DESC, id LIMIT {gather.MOST_SESSIONS}
    ), designated AS MATERIALIZED (
        SELECT * FROM designation WHERE identity_id = (SELECT id FROM who) AND granted_at IS NOT NULL AND ended_at IS NULL
    ), named(name) AS MATERIALIZED (
        SELECT workflow FROM uses UNION SELECT workflow FROM users UNION SELECT workflow FROM designated
        UNION SELECT workflow FROM sessions UNION SELECT intent->>'profile' FROM acting
    ), in_force AS MATERIALIZED (
        SELECT id, kind, name FROM work_document WHERE state = 'in_force' AND name IN (SELECT name FROM named WHERE name <> '')
        LIMIT {MOST_OF_EACH}
    ), all_of_it(id) AS (
        SELECT id FROM who UNION SELECT other.id FROM identity other JOIN all_of_it ON other.merged_into_id = all_of_it.id
    ), called(ref) AS MATERIALIZED (
        SELECT 'identity:' || id FROM all_of_it
    )
    SELECT clock_timestamp(),
        acting.gate = 'active' AND (acting.expires_at IS NULL OR acting.expires_at > clock_timestamp())
            AND NOT EXISTS (SELECT FROM session AS parent WHERE parent.id = acting.parent_id
                AND (parent.gate <> 'active' OR parent.ended_at IS NOT NULL OR parent.expires_at <= clock_timestamp()))
            AND {is_free("'identity:' || who.id")}
            AND NOT EXISTS (SELECT FROM incident_case WHERE identity_id = who.id AND NOT (state = 'closed'))
            AND NOT EXISTS (SELECT FROM exception_grant WHERE state = 'granted' AND starts_at <= clock_timestamp()
                AND ends_at > clock_timestamp() AND used_count < budget_count
                AND (NOT scope ? 'identity' OR scope->>'identity' = who.id::text))
            AND (%(request)s::text = '' OR NOT EXISTS (SELECT FROM guard_call
                WHERE principal = %(principal)s::text AND request = %(request)s::text AND NOT (request = ''))),
        acting.last_seen_at IS NULL OR acting.last_seen_at < clock_timestamp() - interval '{SIGN_EVERY_S} s',
        jsonb_build_object(
            'identity', (SELECT to_jsonb(who) - 'last_seen_at' - 'reach_at'),
            'sessions', (SELECT jsonb_agg(to_jsonb(s) - 'last_seen_at' ORDER BY s.last_seen_at DESC, s.id) FROM sessions s),
            'uses', (SELECT jsonb_agg(to_jsonb(u) - 'last_used_at' ORDER BY u.id) FROM uses u),
            'users', (SELECT jsonb_agg(to_jsonb(u) - 'last_used_at' ORDER BY u.id) FROM users u),
            'credential', (SELECT to_jsonb(its) - 'fingerprint' - 'secret_digest' FROM its),
            'designations', (SELECT jsonb_agg(to_jsonb(d) ORDER BY d.requested_at DESC) FROM designated d),
            'documents', (SELECT jsonb_agg(f.id ORDER BY f.kind, f.name) FROM in_force f),
            'source', to_jsonb(source),
            'fallback', EXISTS (SELECT FROM team
                WHERE name IN ('{gather.FALLBACK_TEAM}', '{gather.FALLBACK_TEAM}-' || who.environment))
        )::text,
        (SELECT to_jsonb(r)::text FROM resource r WHERE r.kind = %(resource_kind)s::text AND r.key = %(resource)s::text),
        (SELECT id FROM risk_policy_version WHERE state = 'in_force'),
        greatest(
            (SELECT max(closed_at) FROM hold WHERE identity_ref IN (SELECT ref FROM called) AND state = 'rejected'),
            (SELECT max(h.closed_at) FROM hold_member m JOIN hold h ON h.id = m.hold_id
                WHERE m.identity_ref IN (SELECT ref FROM called) AND h.state = 'rejected'),
            (SELECT max(undo_at) FROM run WHERE identity_ref IN (SELECT ref FROM called) AND undo_at IS NOT NULL)
        ),
        acting.id,
        CASE WHEN u.session_id IS NOT NULL THEN ARRAY[u.windows::text, u.marks::text, u.full_at::text] END,
        CASE WHEN t.id IS NOT NULL THEN ARRAY[t.id::text, t.newest_at::text, t.kept::text] END,
        (SELECT jsonb_agg(to_jsonb(b))::text FROM baseline b WHERE b.identity_id = who.id
            AND (b.role, b.workflow, b.tenant) IN (('', '', ''), (acting.role, acting.workflow, acting.tenant)))
    FROM who JOIN acting ON true JOIN source ON source.name = %(source)s::text
        LEFT JOIN session_use u ON u.session_id = acting.id
        LEFT JOIN trail t ON t.identity_id = who.id AND t.session_id = acting.id
"""  # noqa: S608 - numbers and words of ours
